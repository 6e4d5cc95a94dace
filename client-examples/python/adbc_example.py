"""Quiver through ADBC, the DB-API of the Arrow world.

    pip install adbc-driver-flightsql adbc-driver-manager pyarrow
    python adbc_example.py grpc://127.0.0.1:50051 admin quiver
"""

import sys

import adbc_driver_flightsql.dbapi as adbc
import pyarrow as pa


def main(uri: str, user: str, password: str) -> None:
    # Without autocommit=True the driver keeps a transaction open: nothing counts before commit().
    with adbc.connect(uri, db_kwargs={"username": user, "password": password}) as connection:
        load(connection)
        report(connection)
        undo(connection)


def load(connection) -> None:
    """Bulk ingest: record batches go to the table as they are; a reader streams any amount."""
    orders = pa.table({
        "id": pa.array(range(1, 10_001), pa.int64()),
        "customer": pa.array([f"customer {n % 97}" for n in range(10_000)]),
        "amount": pa.array([n % 500 / 4 for n in range(10_000)], pa.float64()),
    })
    with connection.cursor() as cursor:
        stored = cursor.adbc_ingest("orders", orders, mode="replace")
    connection.commit()
    print("stored", stored, "rows")


def report(connection) -> None:
    """A query with a parameter, fetched as Arrow."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT customer, sum(amount) AS total FROM orders WHERE amount > ? "
            "GROUP BY customer ORDER BY total DESC, customer LIMIT 3",
            (100.0,),
        )
        for row in cursor.fetch_arrow_table().to_pylist():
            print(row)


def undo(connection) -> None:
    """What is rolled back was never there for anybody else."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (10001, 'nobody', 0.0)")
        connection.rollback()
        cursor.execute("SELECT count(*) FROM orders")
        print("after the rollback:", cursor.fetchone()[0], "rows")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
