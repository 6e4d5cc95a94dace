"""pyarrow.flight as a client of Quiver: plain paths and SQL, Flight SQL commands, and the headers."""

from __future__ import annotations

import base64

import pyarrow as pa
import pyarrow.flight as fl

from . import flightsql


class _Recorder(fl.ClientMiddlewareFactory):
    """Keeps the headers and trailers of the last call."""

    def __init__(self):
        super().__init__()
        self.last: dict[str, list[str]] = {}

    def start_call(self, info):
        self.last = {}
        recorder = self

        class Middleware(fl.ClientMiddleware):
            def received_headers(self, headers):
                for name, values in headers.items():
                    recorder.last.setdefault(name, []).extend(values)

        return Middleware()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Flight:
    """One pyarrow connection. `login` handshakes for a token; otherwise Basic goes with each call."""

    def __init__(self, uri: str, user="admin", password="quiver", *, login=True, headers=()):
        self.recorder = _Recorder()
        self.client = fl.FlightClient(uri, middleware=[self.recorder])
        self.headers = [(k.encode(), v.encode()) for k, v in headers]
        if login:
            token = self.client.authenticate_basic_token(user, password)
        else:
            token = (b"authorization", basic(user, password).encode())
        self.token = (token[0], token[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.client.close()

    def options(self, headers=(), timeout=None) -> fl.FlightCallOptions:
        extra = [(k.encode(), v if isinstance(v, bytes) else v.encode()) for k, v in headers]
        return fl.FlightCallOptions(
            headers=[self.token, *self.headers, *extra], timeout=timeout
        )

    def response_header(self, name: str) -> str | None:
        """A header or trailer of the last call's answer."""
        values = self.recorder.last.get(name)
        return values[-1] if values else None

    # Plain Flight.

    def info(self, descriptor, headers=()) -> fl.FlightInfo:
        if isinstance(descriptor, bytes):
            descriptor = fl.FlightDescriptor.for_command(descriptor)
        elif isinstance(descriptor, (tuple, list)):
            descriptor = fl.FlightDescriptor.for_path(*descriptor)
        return self.client.get_flight_info(descriptor, self.options(headers))

    def read(self, info: fl.FlightInfo) -> pa.Table:
        """All endpoints of an answer, in order."""
        tables = [self.redeem(endpoint.ticket) for endpoint in info.endpoints]
        return pa.concat_tables(tables) if tables else pa.table({})

    def redeem(self, ticket, headers=()) -> pa.Table:
        if isinstance(ticket, bytes):
            ticket = fl.Ticket(ticket)
        return self.client.do_get(ticket, self.options(headers)).read_all()

    def query(self, sql: str, headers=()) -> pa.Table:
        """A SELECT as plain SQL in the descriptor's command."""
        return self.read(self.info(sql.encode(), headers))

    def execute(self, sql: str, headers=()) -> int:
        """A statement that changes something; how many rows it changed."""
        return self.info(sql.encode(), headers).total_records

    def scalar(self, sql: str):
        table = self.query(sql)
        assert table.num_columns == 1 and table.num_rows == 1, table
        return table.column(0)[0].as_py()

    def rows(self, sql: str) -> list[tuple]:
        table = self.query(sql)
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns)) if columns else []

    def put(self, descriptor, table: pa.Table, headers=(), *, rows_per_batch=None, timeout=None):
        """A DoPut; the number of rows the server says it stored."""
        if isinstance(descriptor, str):
            descriptor = (descriptor,)
        if isinstance(descriptor, bytes):
            descriptor = fl.FlightDescriptor.for_command(descriptor)
        elif isinstance(descriptor, (tuple, list)):
            descriptor = fl.FlightDescriptor.for_path(*descriptor)
        options = self.options(headers, timeout)
        writer, reader = self.client.do_put(descriptor, table.schema, options)
        with writer:
            try:
                writer.write_table(table, rows_per_batch or 65536)
                writer.done_writing()
            except (pa.ArrowException, OSError):
                reader.read()  # the server's own words, instead of "write failed"
                raise
            answer = reader.read()
            assert reader.read() is None, "more than one answer to a DoPut"
        return record_count(answer)

    def action(self, name: str, body: bytes = b"", headers=()) -> list[bytes]:
        results = self.client.do_action(fl.Action(name, body), self.options(headers))
        return [result.body.to_pybytes() for result in results]

    # Flight SQL.

    def command(self, name: str, headers=(), **fields) -> pa.Table:
        """GetFlightInfo and DoGet of one Flight SQL command."""
        return self.read(self.info(flightsql.command(name, **fields), headers))

    def update(self, name: str, data: pa.Table | None = None, headers=(), **fields) -> int:
        """DoPut of one Flight SQL command, with the rows it binds."""
        empty = pa.table({}, schema=pa.schema([]))
        return self.put(flightsql.command(name, **fields), empty if data is None else data, headers)

    def prepare(self, sql: str, headers=(), **fields):
        body = flightsql.command("ActionCreatePreparedStatementRequest", query=sql, **fields)
        (result,) = self.action("CreatePreparedStatement", body, headers)
        return flightsql.unpack(result, "ActionCreatePreparedStatementResult")

    def close_prepared(self, handle: bytes, headers=()) -> None:
        name = "ActionClosePreparedStatementRequest"
        body = flightsql.command(name, prepared_statement_handle=handle)
        self.action("ClosePreparedStatement", body, headers)

    def begin(self, headers=()) -> bytes:
        body = flightsql.command("ActionBeginTransactionRequest")
        (result,) = self.action("BeginTransaction", body, headers)
        return flightsql.unpack(result, "ActionBeginTransactionResult").transaction_id

    def end(self, transaction_id: bytes, *, commit: bool, headers=()) -> None:
        name = "ActionEndTransactionRequest"
        action = 1 if commit else 2
        body = flightsql.command(name, transaction_id=transaction_id, action=action)
        self.action("EndTransaction", body, headers)

    def begin_savepoint(self, transaction_id: bytes, savepoint: str = "") -> bytes:
        name = "ActionBeginSavepointRequest"
        body = flightsql.command(name, transaction_id=transaction_id, name=savepoint)
        (result,) = self.action("BeginSavepoint", body)
        return flightsql.unpack(result, "ActionBeginSavepointResult").savepoint_id

    def end_savepoint(self, savepoint_id: bytes, *, release: bool) -> None:
        name, action = "ActionEndSavepointRequest", 1 if release else 2
        self.action("EndSavepoint", flightsql.command(name, savepoint_id=savepoint_id, action=action))


def record_count(answer) -> int | None:
    """DoPutUpdateResult.record_count of a DoPut's answer; None when there was no answer."""
    if answer is None:
        return None
    return flightsql.SQL["DoPutUpdateResult"].FromString(answer.to_pybytes()).record_count
