"""Quiver with nothing but pyarrow: write by path, read by path, query with SQL.

    pip install pyarrow
    python pyarrow_example.py grpc://127.0.0.1:50051 admin quiver
"""

import sys

import pyarrow as pa
import pyarrow.flight as flight


def main(uri: str, user: str, password: str) -> None:
    client = flight.FlightClient(uri)
    token = client.authenticate_basic_token(user, password)
    options = flight.FlightCallOptions(headers=[token])

    readings = pa.table({
        "sensor": ["roof", "roof", "cellar", "cellar", "cellar"],
        "celsius": [21.5, 22.0, 12.1, 12.0, None],
    })
    print("stored", write(client, token, "readings", readings), "rows")

    # A table by its path, or any SELECT as the command: both give a FlightInfo to read from.
    everything = read(client, flight.FlightDescriptor.for_path("readings"), options)
    print("the table has", everything.num_rows, "rows")
    query = b"SELECT sensor, count(*) AS n, avg(celsius) AS mean FROM readings GROUP BY 1 ORDER BY 1"
    for row in read(client, flight.FlightDescriptor.for_command(query), options).to_pylist():
        print(row)


def write(client, token, table: str, data: pa.Table) -> int:
    """Appends; `x-create` makes the table if there is none, the key makes a repetition harmless."""
    options = flight.FlightCallOptions(headers=[
        token, (b"x-create", b"true"), (b"x-idempotency-key", b"readings-2026-11-21"),
    ])
    descriptor = flight.FlightDescriptor.for_path(table)
    writer, answers = client.do_put(descriptor, data.schema, options)
    with writer:
        writer.write_table(data)
        writer.done_writing()
        # The rows are durable and visible once this answer is here, and not before.
        assert answers.read() is not None
    return data.num_rows


def read(client, descriptor, options) -> pa.Table:
    """All endpoints of the answer, one after the other."""
    info = client.get_flight_info(descriptor, options)
    parts = [client.do_get(endpoint.ticket, options).read_all() for endpoint in info.endpoints]
    return pa.concat_tables(parts)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
