"""A data frame into Quiver and a query's answer back into one.

    pip install adbc-driver-flightsql adbc-driver-manager pandas pyarrow
    python pandas_example.py grpc://127.0.0.1:50051 admin quiver
"""

import sys

import adbc_driver_flightsql.dbapi as adbc
import pandas as pd
import pyarrow as pa


def main(uri: str, user: str, password: str) -> None:
    frame = pd.DataFrame({
        "day": pd.date_range("2026-01-01", periods=90, freq="D"),
        "visits": [100 + (n * 37) % 50 for n in range(90)],
    })
    login = {"username": user, "password": password}
    with adbc.connect(uri, db_kwargs=login, autocommit=True) as connection:
        with connection.cursor() as cursor:
            data = pa.Table.from_pandas(frame, preserve_index=False)
            cursor.adbc_ingest("visits", data, mode="replace")
        monthly = pd.read_sql(
            "SELECT date_trunc('month', day) AS month, sum(visits) AS visits "
            "FROM visits GROUP BY 1 ORDER BY 1",
            connection,
        )
    print(monthly.to_string(index=False))


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
