"""What the data source asks of Quiver: queries, ingests and transactions of Flight SQL, with pyarrow alone.

pyarrow speaks Flight and knows nothing of Flight SQL, so its few messages are put together here, field by field.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.flight as flight

PACKAGE = b"type.googleapis.com/arrow.flight.protocol.sql."
SAME_SERVER = "arrow-flight-reuse-connection://?"
# What an ingest does when there is no such table, and when there is one: the fields of TableDefinitionOptions.
CREATE, APPEND, CREATE_OR_APPEND, CREATE_OR_REPLACE = {1: 1, 2: 1}, {1: 2, 2: 2}, {1: 1, 2: 2}, {1: 1, 2: 3}


class Client:
    """A login."""

    def __init__(self, options):
        self.options = options
        self.flight = flight.connect(options["uri"])
        if token := options.get("token"):
            self.login = (b"authorization", b"Bearer " + token.encode())
        else:
            self.login = self.flight.authenticate_basic_token(options["user"], options["password"])
        self.call = flight.FlightCallOptions(headers=[self.login])

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.flight.close()

    def schema(self, sql: str) -> pa.Schema:
        return self.flight.get_schema(statement(sql), self.call).schema

    def endpoints(self, sql: str, count: int = 1) -> list[flight.FlightEndpoint]:
        """Where the rows of a query are: at up to `count` places if they can be shared out, all of one moment."""
        call = flight.FlightCallOptions(headers=[self.login, (b"x-quiver-endpoints", str(count).encode())])
        return self.flight.get_flight_info(statement(sql), call).endpoints

    def renew(self, endpoint: flight.FlightEndpoint) -> None:
        request = message({1: endpoint.serialize()})
        list(self.flight.do_action(flight.Action("RenewFlightEndpoint", request), self.call))

    def rows(self, endpoint: flight.FlightEndpoint) -> Iterator[pa.RecordBatch]:
        places = [location.uri.decode() for location in endpoint.locations]
        if places and SAME_SERVER not in places:
            with Client({**self.options, "uri": places[0]}) as there:
                yield from there.redeemed(endpoint.ticket)
        else:
            yield from self.redeemed(endpoint.ticket)

    def redeemed(self, ticket: flight.Ticket) -> Iterator[pa.RecordBatch]:
        for chunk in self.flight.do_get(ticket, self.call):
            yield chunk.data

    def begin(self) -> bytes:
        (result,) = self.flight.do_action(action(b"BeginTransaction"), self.call)
        # The id is the one field of a message that is the last field of another.
        return last_field(last_field(result.body.to_pybytes()))

    def execute(self, sql: str, transaction: bytes) -> None:
        self.flight.get_flight_info(statement(sql, transaction), self.call)

    def ingest(self, table: str, schema: pa.Schema, mode: dict, transaction: bytes, batches=()) -> None:
        """The rows are stored when this returns, and count when the transaction is committed."""
        *db_schema, name = table.encode().rsplit(b".", 1)
        into = {1: message(mode), 2: name, 6: transaction} | ({3: db_schema[0]} if db_schema else {})
        target = flight.FlightDescriptor.for_command(command(b"CommandStatementIngest", into))
        writer, answers = self.flight.do_put(target, schema, self.call)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
            assert answers.read() is not None, "the upload ended without an acknowledgement"

    def end(self, transaction: bytes, *, commit: bool) -> None:
        fields = {1: transaction, 2: 1 if commit else 2}
        list(self.flight.do_action(action(b"EndTransaction", fields), self.call))


def path(table: str) -> str:
    return ".".join(quoted(part) for part in table.rsplit(".", 1))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def statement(sql: str, transaction: bytes = b"") -> flight.FlightDescriptor:
    fields = {1: sql.encode()} | ({2: transaction} if transaction else {})
    return flight.FlightDescriptor.for_command(command(b"CommandStatementQuery", fields))


def action(name: bytes, fields: dict = {}) -> flight.Action:
    return flight.Action(name.decode(), command(b"Action" + name + b"Request", fields))


def command(name: bytes, fields: dict) -> bytes:
    """A message of Flight SQL in the `Any` that it travels in."""
    return message({1: PACKAGE + name, 2: message(fields)})


def message(fields: dict[int, bytes | int]) -> bytes:
    """Protobuf: each field begins with its number and how its value is written."""
    encoded = b""
    for number, value in fields.items():
        if isinstance(value, int):
            encoded += varint(number << 3) + varint(value)
        else:
            encoded += varint(number << 3 | 2) + varint(len(value)) + value
    return encoded


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit set."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def last_field(data: bytes) -> bytes:
    """The last value in a message of which all fields are bytes or texts, with numbers below 16."""
    value = b""
    while data:
        length, place = 0, 1
        while data[place] > 127:
            length |= (data[place] & 127) << 7 * (place - 1)
            place += 1
        length |= data[place] << 7 * (place - 1)
        value, data = data[place + 1 : place + 1 + length], data[place + 1 + length :]
    return value
