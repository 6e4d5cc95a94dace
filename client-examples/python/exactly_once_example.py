"""Retrying without doubling: the same key, the same rows, stored once.

An error while writing leaves open whether the rows arrived. Sent again under the same key they are
stored once, whatever happened the first time.

    pip install pyarrow
    python exactly_once_example.py grpc://127.0.0.1:50051 admin quiver
"""

import sys
import time

import pyarrow as pa
import pyarrow.flight as flight

RETRIABLE = (flight.FlightUnavailableError, flight.FlightTimedOutError, flight.FlightInternalError)


def main(uri: str, user: str, password: str) -> None:
    client = flight.FlightClient(uri)
    token = client.authenticate_basic_token(user, password)
    options = flight.FlightCallOptions(headers=[token])
    for number in range(3):
        batch = pa.table({"batch": [number] * 100, "value": list(range(100))})
        key = f"measurements-batch-{number}"
        # Twice, as a client would that never saw the first answer.
        store(client, token, batch, key)
        store(client, token, batch, key)
    count = flight.FlightDescriptor.for_command(b"SELECT count(*) AS n FROM measurements")
    info = client.get_flight_info(count, options)
    (endpoint,) = info.endpoints
    print("rows:", client.do_get(endpoint.ticket, options).read_all()["n"][0].as_py())


def store(client, token, data: pa.Table, key: str, attempts: int = 5) -> None:
    headers = [token, (b"x-create", b"true"), (b"x-idempotency-key", key.encode())]
    for attempt in range(attempts):
        try:
            put(client, data, flight.FlightCallOptions(headers=headers))
            return
        except RETRIABLE:
            if attempt == attempts - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def put(client, data: pa.Table, options) -> None:
    descriptor = flight.FlightDescriptor.for_path("measurements")
    writer, answers = client.do_put(descriptor, data.schema, options)
    with writer:
        writer.write_table(data)
        writer.done_writing()
        assert answers.read() is not None, "the stream ended without an acknowledgement"


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
