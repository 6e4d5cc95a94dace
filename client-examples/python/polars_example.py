"""Frames of polars into Quiver and back, by ADBC: no row passes through Python.

    pip install polars adbc-driver-flightsql adbc-driver-manager pyarrow
    python polars_example.py grpc://127.0.0.1:50051 admin quiver

Open the connection yourself. Given a URI, polars derives the driver from its scheme, so it looks in vain for a
driver `grpc`; `flightsql://HOST:PORT?transport=tcp` finds the right one, but polars has no way to hand on a password.
"""

import sys
from datetime import date, datetime, timedelta
from decimal import Decimal

import adbc_driver_flightsql.dbapi as adbc
import polars as pl

STATES = pl.Enum(["booked", "under way", "done"])


def main(uri: str, user: str, password: str) -> None:
    login = {"username": user, "password": password}
    with adbc.connect(uri, db_kwargs=login, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS travel")
        trips = make_trips()
        write(connection, trips)
        compare(connection, trips)
        ask(connection)
        large(connection)
        undo(uri, login, trips)
        without_copies(connection)


def make_trips() -> pl.DataFrame:
    number = pl.int_range(1000, eager=True)
    first = datetime(2026, 3, 28)
    hours = pl.datetime_range(first, first + timedelta(hours=999), "1h", time_zone="UTC", eager=True)
    return pl.DataFrame({
        "id": number,
        "day": hours.dt.date(),
        "departs": hours.dt.convert_time_zone("Europe/Berlin"),
        "fare": [Decimal(n % 400) / 4 if n % 7 else None for n in number],
        "city": pl.Series([["Kiel", "Ulm", "Jena"][n % 3] for n in number], dtype=pl.Categorical),
        "state": pl.Series([STATES.categories[n % 3] for n in number], dtype=STATES),
        "stops": [["Fulda"] * (n % 3) for n in number],
        "seat": [{"coach": n % 12, "window": n % 2 == 0} for n in number],
        "took": [timedelta(minutes=n) for n in number],
    }, schema_overrides={"fare": pl.Decimal(10, 2)})


def storable(trips: pl.DataFrame) -> pl.DataFrame:
    """A table has no place for durations, 128-bit integers and columns of nothing but null: say what to keep."""
    return trips.with_columns(pl.col("took").dt.total_microseconds())


def write(connection, trips: pl.DataFrame) -> None:
    """`replace` and `append` are one commit each; `append` makes the table if there is none.

    In several threads at once use `adbc_ingest`, as below: polars asks for the driver's name each time, and version
    1.13 of the driver ends the process when two threads do so.
    """
    rows = storable(trips)
    print("stored", rows[:900].write_database("travel.trips", connection, if_table_exists="replace"), "rows")
    # By name, in any order; narrower types are fine, and columns that are left out are null.
    late = rows[900:].with_columns(pl.col("id").cast(pl.Int16)).select(reversed(rows.columns))
    print("appended", late.write_database("travel.trips", connection, if_table_exists="append"), "rows")


def compare(connection, trips: pl.DataFrame) -> None:
    """Values come back as they were, and so do types, but for those that a table has in one form only.

    Likewise, arrays come back as lists, and times with a zone in microseconds.
    """
    back = pl.read_database("SELECT * FROM travel.trips ORDER BY id", connection)
    for name, given in trips.schema.items():
        if given != back.schema[name]:
            print(f"  {name}: {given} came back as {back.schema[name]}")
    print("the same values:", back.cast(dict(trips.schema)).equals(trips))


def ask(connection) -> None:
    """Parameters are Python values; polars infers nothing, the types are those of the query."""
    dearest = pl.read_database(
        "SELECT city, count(*) AS trips, max(fare) AS dearest, min(departs) AS first FROM travel.trips "
        "WHERE fare >= ? AND day < ? AND state IN (?, ?) GROUP BY city ORDER BY city",
        connection,
        execute_options={"parameters": [Decimal("12.50"), date(2026, 5, 1), "booked", "done"]},
        schema_overrides={"city": pl.Categorical},
    )
    print(dearest)


def large(connection) -> None:
    """A chunk of a frame is one message, of which the driver sends 16 MiB at most: above, hand it over in batches."""
    number = pl.int_range(1_000_000, eager=True)
    frame = pl.DataFrame({"n": number, "text": pl.select(pl.format("a line of text, number {}", number))})
    with connection.cursor() as cursor:
        batches = frame.to_arrow().to_reader(max_chunksize=100_000)
        print("stored", cursor.adbc_ingest("lines", batches, mode="replace", db_schema_name="travel"), "rows")
    # What is larger than memory comes as a frame per batch.
    pieces = pl.read_database("SELECT * FROM travel.lines", connection, iter_batches=True)
    print("read in pieces:", sum(piece.height for piece in pieces), "rows")


def undo(uri: str, login: dict, trips: pl.DataFrame) -> None:
    """`write_database` commits at its end; in a transaction of your own, hand the frame to the cursor."""
    with adbc.connect(uri, db_kwargs=login) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("trips", storable(trips), mode="append", db_schema_name="travel")
        connection.rollback()
        cursor.execute("SELECT count(*) FROM travel.trips")
        print("after the rollback:", cursor.fetchone()[0], "rows")


def without_copies(connection) -> None:
    """A frame of numbers and times uses the buffers that came from the network; text is copied into views."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, departs FROM travel.trips")
        table = cursor.fetch_arrow_table()
        frame = pl.from_arrow(table, rechunk=False)
        came = {column.chunk(0).buffers()[1].address for column in table.columns}
        uses = {column.to_arrow().buffers()[1].address for column in frame[: len(table[0].chunk(0))]}
        print("no copies:", came == uses)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
