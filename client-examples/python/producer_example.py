"""A loader that numbers its batches, dies, and goes on where it stopped: no row is lost or doubled.

    python producer_example.py grpc://127.0.0.1:50051 admin quiver

The server takes number 1, 2, 3, … of a producer into a table, each once. It acknowledges a number it has
already, refuses one that leaves a gap, and tells the last one in `system.producers`. An instance with a
higher epoch shuts out the ones before it.
"""

import sys

import pyarrow as pa
import pyarrow.flight as flight

TABLE, PRODUCER, ROWS = "sensor_readings", "cellar-sensor", 100


class Loader:
    def __init__(self, uri: str, user: str, password: str):
        self.client = flight.connect(uri)
        self.token = self.client.authenticate_basic_token(user, password)
        self.epoch, self.last = self.place()
        self.epoch += 1

    def place(self) -> tuple[int, int]:
        """The epoch of the newest instance, and the last number that is stored."""
        sql = f"""SELECT epoch, last_sequence FROM system.producers
                  WHERE table_name = '{TABLE}' AND producer = '{PRODUCER}'"""
        rows = self.query(sql).to_pylist()
        return (rows[0]["epoch"], rows[0]["last_sequence"]) if rows else (0, 0)

    def query(self, sql: str) -> pa.Table:
        options = flight.FlightCallOptions(headers=[self.token])
        info = self.client.get_flight_info(flight.FlightDescriptor.for_command(sql), options)
        return self.client.do_get(info.endpoints[0].ticket, options).read_all()

    def send(self, number: int) -> None:
        """Durable and visible when this returns; safe to repeat when it does not."""
        start = number * ROWS
        rows = pa.table({"number": [number] * ROWS, "reading": range(start, start + ROWS)})
        headers = {
            "x-quiver-producer": PRODUCER,
            "x-quiver-epoch": str(self.epoch),
            "x-quiver-sequence": str(number),
            "x-create": "true",
        }
        headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        options = flight.FlightCallOptions(headers=[self.token, *headers])
        descriptor = flight.FlightDescriptor.for_path(TABLE)
        writer, _ = self.client.do_put(descriptor, rows.schema, options)
        with writer:
            writer.write_table(rows)


def main(uri: str, user: str, password: str) -> None:
    first = Loader(uri, user, password)
    for number in range(first.last + 1, first.last + 4):
        first.send(number)
    # It dies here, and its answer to the last number is lost: whoever comes next repeats that one.
    second = Loader(uri, user, password)
    for number in range(second.last, second.last + 3):
        second.send(number)
    try:
        first.send(second.last + 3)
    except pa.ArrowException as error:
        print("the first instance is shut out:", "another instance has taken over" in str(error))
    _, last = second.place()
    sql = f"SELECT count(*) AS n, count(DISTINCT reading) AS d FROM {TABLE}"
    (found,) = second.query(sql).to_pylist()
    print("every reading once:", found == {"n": last * ROWS, "d": last * ROWS})


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
