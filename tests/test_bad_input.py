"""Bad input of every kind: the right code, one line that helps, nothing changed, and on it goes.

Each case is one function in a table. After each the control table is compared row by row, the list
of tables is compared, and the server answers another client.
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass
from typing import Callable

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused, code_and_message
from quiver_testing.flight import Flight
from quiver_testing.flightsql import FLIGHT
from quiver_testing.raw import Raw, descriptor, flight_data

CONTROL = "bad.control"
ROWS = 100


@dataclass
class Clients:
    """What a case may send with."""

    server: object
    flight: Flight
    raw: Raw

    def put(self, table: pa.Table, headers=()):
        return self.flight.put(("bad", "control"), table, headers)


@dataclass
class Case:
    name: str
    codes: tuple[str, ...]
    send: Callable[[Clients], object]
    mentions: str | None = None


CASES: list[Case] = []


def refused(*codes: str, mentions: str | None = None, name: str | None = None):
    """Registers a function as a case that must be refused with one of `codes`."""

    def register(function):
        title = name or function.__name__
        CASES.append(Case(title, codes, function, mentions))
        return function

    return register


def sql(name: str, text: str, *codes: str, mentions: str | None = None) -> None:
    """Registers one statement as a case."""
    CASES.append(Case(name, codes, lambda c: c.flight.query(text), mentions))


@pytest.fixture(scope="module")
def clients(shared_server):
    with Flight(shared_server.uri) as flight, Raw(shared_server.flight_port) as raw:
        flight.execute("CREATE SCHEMA bad")
        flight.execute(f"CREATE TABLE {CONTROL} (id BIGINT NOT NULL, payload VARCHAR)")
        flight.put(("bad", "control"), numbered(0, ROWS))
        yield Clients(shared_server, flight, raw)


def state(flight: Flight):
    """All that a refused request could have changed."""
    tables = flight.rows(
        "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
    )
    return flight.rows(f"SELECT * FROM {CONTROL} ORDER BY id"), tables


@contextlib.contextmanager
def unchanged(clients: Clients):
    before = state(clients.flight)
    yield
    assert clients.server.alive(), clients.server.log()[-3000:]
    with Flight(clients.server.uri) as other:
        assert state(other) == before


# Names and shapes.

sql("unknown_table", "SELECT * FROM bad.nothing", "NOT_FOUND", mentions="nothing")
sql("unknown_schema", "SELECT * FROM nowhere.control", "NOT_FOUND", mentions="nowhere")
sql("unknown_catalog", "SELECT * FROM nobody.bad.control", "NOT_FOUND", mentions="nobody")
sql("unknown_column", f"SELECT nothing FROM {CONTROL}", "INVALID_ARGUMENT", mentions="nothing")
sql("unknown_function", "SELECT frobnicate(1)", "INVALID_ARGUMENT", mentions="frobnicate")
sql("insert_unknown_table", "INSERT INTO bad.nothing VALUES (1)", "NOT_FOUND", mentions="nothing")
sql("drop_unknown_table", "DROP TABLE bad.nothing", "NOT_FOUND", mentions="nothing")
sql("drop_unknown_schema", "DROP SCHEMA nowhere", "NOT_FOUND", mentions="nowhere")
sql("drop_schema_in_use", "DROP SCHEMA bad", "FAILED_PRECONDITION", mentions="bad")
sql("create_existing", f"CREATE TABLE {CONTROL} (a INT)", "ALREADY_EXISTS", mentions="control")
sql("create_differing_by_case", "CREATE TABLE bad.\"CONTROL\" (a INT)", "ALREADY_EXISTS")
sql("create_existing_schema", "CREATE SCHEMA bad", "ALREADY_EXISTS", mentions="bad")
sql("create_without_columns", "CREATE TABLE bad.empty ()", "INVALID_ARGUMENT")
sql("create_column_twice", "CREATE TABLE bad.twice (a INT, a INT)", "INVALID_ARGUMENT", mentions="a")
sql("create_column_twice_but_for_case", 'CREATE TABLE bad.twice (a INT, "A" INT)', "INVALID_ARGUMENT")
sql("table_name_with_slash", 'CREATE TABLE bad."../x" (a INT)', "INVALID_ARGUMENT")
sql("table_name_too_long", f'CREATE TABLE bad."{"x" * 5000}" (a INT)', "INVALID_ARGUMENT")


@refused("NOT_FOUND", mentions="nothing")
def put_into_unknown_table(c):
    c.flight.put(("bad", "nothing"), numbered(0, 3))


@refused("NOT_FOUND", mentions="nothing")
def info_of_unknown_path(c):
    c.flight.info(("bad", "nothing"))


@refused("NOT_FOUND", mentions="nothing")
def schema_of_unknown_path(c):
    target = fl.FlightDescriptor.for_path("bad", "nothing")
    c.flight.client.get_schema(target, c.flight.options())


@refused("INVALID_ARGUMENT", name="path_of_five_parts")
def _(c):
    c.flight.info(("a", "b", "c", "d", "e"))


@refused("INVALID_ARGUMENT", name="empty_path")
def _(c):
    c.raw.unary("GetFlightInfo", descriptor(path=()).SerializeToString(), "FlightInfo")


@refused("INVALID_ARGUMENT", mentions="extra")
def column_too_many(c):
    c.put(numbered(0, 3, extra=1))


@refused("INVALID_ARGUMENT", mentions="id")
def required_column_missing(c):
    c.put(pa.table({"payload": ["x"]}))


@refused("INVALID_ARGUMENT", mentions="id")
def text_for_a_number(c):
    c.put(pa.table({"id": ["one"], "payload": ["x"]}))


@refused("INVALID_ARGUMENT", mentions="payload")
def number_for_a_text(c):
    c.put(pa.table({"id": [1], "payload": pa.array([1.5])}))


@refused("INVALID_ARGUMENT", mentions="id")
def null_in_not_null(c):
    c.put(pa.table({"id": pa.array([1, None, 3], pa.int64()), "payload": ["a", "b", "c"]}))


@refused("INVALID_ARGUMENT", mentions="id")
def null_in_a_later_batch(c):
    good, bad = numbered(500, 1000), pa.table({"id": pa.array([None], pa.int64()), "payload": ["x"]})
    c.flight.put(("bad", "control"), pa.concat_tables([good, bad]), rows_per_batch=100)


sql("null_by_insert", f"INSERT INTO {CONTROL} VALUES (1, 'x'), (NULL, 'y')", "INVALID_ARGUMENT")
sql("text_by_insert", f"INSERT INTO {CONTROL} VALUES ('one', 'x')", "INVALID_ARGUMENT")
sql("too_few_values", f"INSERT INTO {CONTROL} (id, payload) VALUES (1)", "INVALID_ARGUMENT")
sql("overflow_by_insert", f"INSERT INTO {CONTROL} VALUES (99999999999999999999, 'x')", "INVALID_ARGUMENT")


# Types that cannot be kept are refused by name, before anything is created.


def type_case(name: str, array: pa.Array) -> None:
    def send(c):
        table = pa.table({"fine": pa.array(range(len(array))), "strange_one": array})
        c.flight.put(("bad", "strange"), table, [("x-create", "true")])

    CASES.append(Case(f"type_{name}", ("INVALID_ARGUMENT", "UNIMPLEMENTED"), send, "strange_one"))


type_case("null", pa.nulls(2))
type_case(
    "dense_union",
    pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["x"])]
    ),
)


@refused("INVALID_ARGUMENT", mentions="twin")
def duplicate_column_names(c):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["twin", "twin"])
    c.flight.put(("bad", "twins"), table, [("x-create", "true")])


# Streams that are not what they say.


@refused("INVALID_ARGUMENT")
def upload_without_messages(c):
    c.raw.do_put([])


@refused("INVALID_ARGUMENT")
def adbc_reader_without_batches(c):
    reader = pa.RecordBatchReader.from_batches(numbered(0, 1).schema, [])
    with adbc.connect(c.server.uri) as connection:
        adbc.ingest(connection, "control", reader, mode="append", schema="bad")


@refused("INVALID_ARGUMENT")
def upload_without_a_descriptor(c):
    table = numbered(0, 3)
    c.raw.do_put(flight_data(None, table.schema, table.to_batches()))


@refused("INVALID_ARGUMENT")
def upload_without_a_schema(c):
    messages = control_upload()
    first = FLIGHT["FlightData"](flight_descriptor=descriptor(path=("bad", "control")))
    c.raw.do_put([first.SerializeToString(), messages[1]])


def control_upload() -> list[bytes]:
    table = numbered(1000, 64)
    return flight_data(descriptor(path=("bad", "control")), table.schema, table.to_batches())


def tampered(change) -> Callable[[Clients], object]:
    """An upload whose second message (its batch) `change` has edited."""

    def send(c):
        first, second = control_upload()
        batch = FLIGHT["FlightData"].FromString(second)
        change(batch)
        c.raw.do_put([first, batch.SerializeToString()])

    return send


def corrupt_case(name: str, change) -> None:
    CASES.append(Case(f"corrupt_{name}", ("INVALID_ARGUMENT",), tampered(change)))


def set_field(**fields):
    return lambda batch: [setattr(batch, name, value) for name, value in fields.items()]


corrupt_case("header_of_zeros", set_field(data_header=bytes(64)))
corrupt_case("header_of_ones", set_field(data_header=b"\xff" * 64))
corrupt_case("header_of_one_byte", set_field(data_header=b"\x01"))
corrupt_case("body_missing", set_field(data_body=b""))
corrupt_case("body_cut", lambda b: setattr(b, "data_body", b.data_body[: len(b.data_body) // 3]))


def header_cut(batch):
    batch.data_header = batch.data_header[: len(batch.data_header) // 2]


corrupt_case("header_cut", header_cut)


@refused("INVALID_ARGUMENT")
def corrupt_schema(c):
    first, second = control_upload()
    message = FLIGHT["FlightData"].FromString(first)
    message.data_header = message.data_header[:40] + b"\xee" * 40
    c.raw.do_put([message.SerializeToString(), second])


def strings_from(offsets: list[int], data: bytes) -> Callable[[Clients], object]:
    """An upload of two strings with these offsets over these bytes: no builder would make it, and
    no client library would send it, so a good message is patched."""

    def send(c):
        table = pa.table({"id": pa.array([70, 80], pa.int64()), "payload": ["ab", "cd"]})
        target = descriptor(path=("bad", "control"))
        first, second = flight_data(target, table.schema, table.to_batches())
        batch = FLIGHT["FlightData"].FromString(second)
        for old, new in ((int32s([0, 2, 4]), int32s(offsets)), (b"abcd", data)):
            assert batch.data_body.count(old) == 1
            batch.data_body = batch.data_body.replace(old, new)
        c.raw.do_put([first, batch.SerializeToString()])

    return send


def int32s(numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(4, "little", signed=True) for number in numbers)


for _name, _offsets, _data in (
    ("bad_utf8", [0, 2, 4], b"ok\xff\xfe"),
    ("utf8_cut_inside_a_character", [0, 1, 4], "éab".encode()),
    ("offsets_that_go_back", [0, 4, 2], b"abcd"),
    ("offsets_behind_the_end", [0, 2, 1_000_000], b"abcd"),
    ("negative_offsets", [-4, 0, 2], b"abcd"),
):
    CASES.append(Case(_name, ("INVALID_ARGUMENT",), strings_from(_offsets, _data)))


@refused("INVALID_ARGUMENT")
def bad_utf8_through_pyarrow(c):
    """pyarrow does not look into strings before it sends them."""
    offsets, data = pa.py_buffer(int32s([0, 2, 4])), pa.py_buffer(b"ok\xff\xfe")
    payload = pa.StringArray.from_buffers(2, offsets, data)
    c.put(pa.table({"id": [1, 2], "payload": payload}))


# Protobuf.


@refused("INVALID_ARGUMENT", name="command_of_garbage")
def _(c):
    c.flight.info(b"\xff\xfe\x00\x01garbage")


@refused("INVALID_ARGUMENT", name="empty_command")
def _(c):
    c.flight.info(b"")


for _name in (
    "CommandStatementQuery", "CommandPreparedStatementQuery", "CommandGetTables", "CommandGetSqlInfo",
):
    CASES.append(Case(
        f"malformed_{_name}",
        ("INVALID_ARGUMENT",),
        lambda c, n=_name: c.flight.info(flightsql.pack(n, b"\x0a\xff\xff\xff\xff\x0f!")),
    ))


@refused("INVALID_ARGUMENT", "UNIMPLEMENTED", name="unknown_command_type")
def _(c):
    c.flight.info(flightsql.pack("CommandFrobnicate", b""))


@refused("INVALID_ARGUMENT", name="malformed_ingest")
def _(c):
    c.flight.put(flightsql.pack("CommandStatementIngest", b"\x0a\xff\xff\x7f"), numbered(0, 3))


@refused("INVALID_ARGUMENT", name="malformed_action")
def _(c):
    c.flight.action("CreatePreparedStatement", b"\xff\xff\xff")


@refused("INVALID_ARGUMENT", "UNIMPLEMENTED", name="unknown_action")
def _(c):
    c.flight.action("Frobnicate", b"")


# Bytes that are no protobuf message at all fail in the transport, below the service.
@refused("INVALID_ARGUMENT", "INTERNAL", name="bytes_that_are_no_message")
def _(c):
    c.raw.unary("GetFlightInfo", b"\xff" * 16, "FlightInfo")


@refused("INVALID_ARGUMENT", name="substrait_without_a_plan")
def _(c):
    c.flight.info(flightsql.command("CommandStatementSubstraitPlan"))


@refused("INVALID_ARGUMENT", name="substrait_garbage")
def _(c):
    plan = flightsql.SQL["SubstraitPlan"](plan=b"\xff" * 100)
    c.flight.info(flightsql.command("CommandStatementSubstraitPlan", plan=plan))


# Tickets.


@refused("NOT_FOUND", "INVALID_ARGUMENT", name="ticket_of_garbage")
def _(c):
    c.flight.redeem(b"\x00\x01\x02garbage")


@refused("NOT_FOUND", "INVALID_ARGUMENT", name="empty_ticket")
def _(c):
    c.flight.redeem(b"")


@refused("NOT_FOUND", name="ticket_with_one_bit_flipped")
def _(c):
    ticket = c.flight.info(f"SELECT * FROM {CONTROL}".encode()).endpoints[0].ticket.ticket
    # Ours is a handle in a TicketStatementQuery: flip inside the handle, not in its envelope.
    handle = flightsql.unpack(ticket, "TicketStatementQuery").statement_handle
    forged = bytearray(handle)
    forged[-1] ^= 1
    c.flight.redeem(flightsql.command("TicketStatementQuery", statement_handle=bytes(forged)))


@refused("NOT_FOUND", name="ticket_made_up")
def _(c):
    c.flight.redeem(flightsql.command("TicketStatementQuery", statement_handle=b"\x01" * 64))


@refused("NOT_FOUND", name="prepared_handle_made_up")
def _(c):
    c.flight.command("CommandPreparedStatementQuery", prepared_statement_handle=b"\x02" * 64)


@refused("NOT_FOUND", name="transaction_made_up")
def _(c):
    c.flight.command("CommandStatementQuery", query="SELECT 1", transaction_id=b"\x03" * 64)


@refused("NOT_FOUND", name="commit_of_a_made_up_transaction")
def _(c):
    c.flight.end(b"\x04" * 64, commit=True)


# SQL.

for _name, _text in {
    "empty": "", "blank": "  \n\t ", "only_a_comment": "-- nothing here", "only_a_semicolon": ";",
}.items():
    CASES.append(Case(
        f"sql_{_name}",
        ("INVALID_ARGUMENT",),
        lambda c, t=_text: c.flight.command("CommandStatementQuery", query=t),
    ))

MEGABYTE = 1_000_000
sql("sql_nonsense", "colourless green ideas sleep furiously", "INVALID_ARGUMENT")
sql("sql_two_statements", f"SELECT 1; DELETE FROM {CONTROL}", "INVALID_ARGUMENT")
sql("sql_unterminated_string", "SELECT 'oops", "INVALID_ARGUMENT")
sql("sql_nul_byte", "SELECT 1\0", "INVALID_ARGUMENT")
sql("sql_1_mb_of_nonsense", "frobnicate " * (MEGABYTE // 11), "INVALID_ARGUMENT")
sql("sql_1_mb_of_brackets", "SELECT " + "(" * MEGABYTE, "INVALID_ARGUMENT")
sql("sql_1_mb_of_nots", "SELECT " + "NOT " * (MEGABYTE // 4) + "true", "INVALID_ARGUMENT")
sql("sql_1_mb_of_minus", "SELECT " + "- " * (MEGABYTE // 2) + "1", "INVALID_ARGUMENT")
sql("sql_too_long", f"SELECT '{'x' * (4 * MEGABYTE)}'", "INVALID_ARGUMENT")
sql("sql_division_by_zero", f"SELECT 1 / (id - id) FROM {CONTROL}", "INVALID_ARGUMENT")
sql("sql_failing_cast", f"SELECT cast(payload AS BIGINT) FROM {CONTROL}", "INVALID_ARGUMENT")
sql("sql_parameter_without_value", f"SELECT * FROM {CONTROL} WHERE id = ?", "INVALID_ARGUMENT")
sql("sql_create_function", "CREATE FUNCTION f(x INT) RETURNS INT RETURN x", "UNIMPLEMENTED", "INVALID_ARGUMENT")
sql("sql_external_table", "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'", "UNIMPLEMENTED", "INVALID_ARGUMENT")
sql("sql_unknown_setting", "SET datafusion.execution.nothing = 1", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")
sql("sql_forbidden_setting", "SET datafusion.runtime.temp_directory = '/'", "INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED")
sql("sql_unknown_procedure", "CALL system.frobnicate()", "NOT_FOUND", "INVALID_ARGUMENT", mentions="frobnicate")
sql("sql_kill_unknown", "KILL QUERY 'nobody'", "NOT_FOUND", "INVALID_ARGUMENT", "UNIMPLEMENTED")


@refused("INVALID_ARGUMENT", name="sql_deep_plan")
def _(c):
    c.flight.query("SELECT " + " + ".join(["1"] * 200_000))


# Paths.

FORBIDDEN = ("INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND")
for _name, _path in {
    "absolute": "/etc/passwd",
    "parent": "../catalog.sqlite",
    "parent_in_the_middle": "a/../../data/x.parquet",
    "data_folder": "../data/bad/control/x.parquet",
    "file_url": "file:///etc/passwd",
    "s3_url": "s3://bucket/x.parquet",
    "http_url": "http://127.0.0.1/x.parquet",
    "nul": "a\0b.csv",
    "empty": "",
}.items():
    sql(f"copy_from_{_name}", f"COPY {CONTROL} FROM '{_path}' (FORMAT csv)", *FORBIDDEN)
    sql(f"copy_to_{_name}", f"COPY {CONTROL} TO '{_path}' (FORMAT csv)", *FORBIDDEN)

sql("copy_from_missing_file", f"COPY {CONTROL} FROM 'missing.csv'", "NOT_FOUND", mentions="missing.csv")
sql("copy_unknown_format", f"COPY {CONTROL} TO 'x.zzz'", "INVALID_ARGUMENT", "UNIMPLEMENTED")
sql("select_from_a_file", "SELECT * FROM '/etc/passwd'", "NOT_FOUND", "INVALID_ARGUMENT")
sql("select_from_a_file_name", 'SELECT * FROM "/etc/hostname.csv"', "NOT_FOUND", "INVALID_ARGUMENT")


# Credentials.


def anonymous(*headers: tuple[bytes, bytes]) -> Callable[[Clients], object]:
    def send(c):
        with fl.FlightClient(c.server.uri) as client:
            options = fl.FlightCallOptions(headers=list(headers))
            client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1"), options)

    return send


def basic_header(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Basic " + base64.b64encode(text.encode())


for _name, _headers in {
    "none": [],
    "wrong_password": [basic_header("admin:wrong")],
    "unknown_user": [basic_header("nobody:quiver")],
    "unknown_tenant": [basic_header("admin@nowhere:quiver")],
    "no_colon": [basic_header("admin")],
    "no_base64": [(b"authorization", b"Basic !!!")],
    "garbage_bearer": [(b"authorization", b"Bearer not.a.token")],
    "unsigned_bearer": [(b"authorization", b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOjF9.")],
    "unknown_scheme": [(b"authorization", b"Digest x")],
    "two_that_disagree": [basic_header("admin:quiver"), basic_header("admin:wrong")],
}.items():
    CASES.append(Case(f"login_{_name}", ("UNAUTHENTICATED",), anonymous(*_headers)))


# Ingest options.


@refused("INVALID_ARGUMENT", name="ingest_with_unspecified_mode")
def _(c):
    c.flight.put(flightsql.ingest("control", "unspecified", "bad"), numbered(0, 3))


@refused("ALREADY_EXISTS", mentions="control", name="ingest_create_of_an_existing_table")
def _(c):
    c.flight.put(flightsql.ingest("control", "create", "bad"), numbered(0, 3))


@refused("NOT_FOUND", mentions="nothing", name="ingest_append_to_an_unknown_table")
def _(c):
    c.flight.put(flightsql.ingest("nothing", "append", "bad"), numbered(0, 3))


@refused("NOT_FOUND", mentions="nowhere", name="ingest_into_an_unknown_schema")
def _(c):
    c.flight.put(flightsql.ingest("control", "append", "nowhere"), numbered(0, 3))


@refused("INVALID_ARGUMENT", name="ingest_without_a_table")
def _(c):
    c.flight.put(flightsql.ingest("", "append", "bad"), numbered(0, 3))


@refused("UNIMPLEMENTED", "INVALID_ARGUMENT", name="ingest_into_a_temporary_table")
def _(c):
    c.flight.put(flightsql.ingest("fleeting", "create", "bad", temporary=True), numbered(0, 3))


@refused("INVALID_ARGUMENT", name="two_idempotency_keys")
def _(c):
    c.put(numbered(0, 3), [("x-idempotency-key", "a"), ("x-idempotency-key", "b")])


@refused("INVALID_ARGUMENT", name="idempotency_key_of_10_kb")
def _(c):
    c.put(numbered(0, 3), [("x-idempotency-key", "k" * 7000)])


@refused("INVALID_ARGUMENT", name="x_create_of_nonsense")
def _(c):
    c.flight.put(("bad", "maybe"), numbered(0, 3), [("x-create", "perhaps")])


# Parameters.


@refused("INVALID_ARGUMENT", name="too_many_parameters")
def _(c):
    with adbc.connect(c.server.uri) as connection:
        adbc.query(connection, f"SELECT * FROM {CONTROL} WHERE id = ?", (1, 2, 3))


@refused("INVALID_ARGUMENT", name="parameter_of_the_wrong_kind")
def _(c):
    with adbc.connect(c.server.uri) as connection:
        adbc.query(connection, f"SELECT * FROM {CONTROL} WHERE id + 1 = ?", ("many",))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_and_nothing_changed(case, clients):
    with unchanged(clients):
        with pytest.raises(CLIENT_ERRORS) as caught:
            case.send(clients)
        assert_refused(caught.value, *case.codes, mentions=case.mentions)


def test_an_unknown_method_is_unimplemented(clients):
    """Answered by the transport, which has no words for it."""
    with unchanged(clients), pytest.raises(CLIENT_ERRORS) as caught:
        clients.raw.unary("Frobnicate", b"", "FlightInfo")
    assert code_and_message(caught.value)[0] == "UNIMPLEMENTED"


# What is odd but right goes through.


def test_zero_batches_with_a_schema_store_nothing(clients):
    with unchanged(clients):
        assert clients.put(numbered(0, 1).slice(0, 0)) == 0


def test_a_batch_of_zero_rows_stores_nothing(clients):
    table = numbered(0, 1)
    empty = table.to_batches()[0].slice(0, 0)
    target = descriptor(path=("bad", "control"))
    with unchanged(clients):
        clients.raw.do_put(flight_data(target, table.schema, [empty, empty]))


def test_zero_rows_can_create_a_table(clients, name):
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert clients.flight.put(("bad", name), schema.empty_table(), [("x-create", "true")]) == 0
    assert clients.flight.query(f"SELECT * FROM bad.{name}").schema.names == ["a", "b"]
    clients.flight.execute(f"DROP TABLE bad.{name}")


def test_a_cell_of_100_mb_is_kept_or_refused_clearly(clients, name):
    size = 100_000_000
    table = pa.table({"id": [1], "cell": pa.array(["x" * size], pa.large_string())})
    with unchanged(clients):
        try:
            assert clients.flight.put(("bad", name), table, [("x-create", "true")]) == 1
        except CLIENT_ERRORS as error:
            assert_refused(error, "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "OUT_OF_RANGE")
            return
        (found,) = clients.flight.rows(f"SELECT length(cell), md5(cell) FROM bad.{name}")
        assert found[0] == size
        assert clients.flight.query(f"SELECT cell FROM bad.{name}")["cell"][0].as_py() == "x" * size
        clients.flight.execute(f"DROP TABLE bad.{name}")


def test_ten_thousand_columns_are_kept_or_refused_clearly(clients, name):
    columns = {f"column_{n}": [n] for n in range(10_000)}
    with unchanged(clients):
        try:
            assert clients.flight.put(("bad", name), pa.table(columns), [("x-create", "true")]) == 1
        except CLIENT_ERRORS as error:
            assert_refused(error, "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", mentions="column")
            return
        got = clients.flight.query(f"SELECT * FROM bad.{name}")
        assert got.to_pylist() == [{key: value[0] for key, value in columns.items()}]
        clients.flight.execute(f"DROP TABLE bad.{name}")


def test_a_message_over_the_limit_is_refused(make_server):
    server = make_server(settings={"QUIVER_SERVER__MESSAGE_BYTES_MAX": str(1 << 20)}).start()
    with Flight(server.uri) as flight:
        flight.execute("CREATE TABLE control (id BIGINT, payload VARCHAR)")
        big = pa.table({"id": [1], "payload": ["x" * (4 << 20)]})
        with pytest.raises(CLIENT_ERRORS) as caught:
            flight.put("control", big)
        assert_refused(
            caught.value, "RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "INVALID_ARGUMENT"
        )
        assert flight.scalar("SELECT count(*) FROM control") == 0
        assert flight.put("control", numbered(0, 10)) == 10
    assert server.stop() == 0


def test_sql_of_almost_a_megabyte_works(clients):
    numbers = ", ".join(str(n) for n in range(100_000))
    assert len(numbers) < 1 << 20
    query = f"SELECT count(*) FROM {CONTROL} WHERE id IN ({numbers})"
    assert clients.flight.command("CommandStatementQuery", query=query)[0][0].as_py() == ROWS


def test_symbolic_links_lead_nowhere(clients, shared_server):
    """A link inside the tenant's files that points outside is not followed."""
    files = shared_server.data_dir / "tenants" / "default" / "files"
    files.mkdir(exist_ok=True)
    link = files / "link.csv"
    link.symlink_to("/etc/passwd")
    folder = files / "out"
    folder.symlink_to("/tmp")
    with unchanged(clients):
        for statement in (
            f"COPY {CONTROL} FROM 'link.csv'",
            f"COPY {CONTROL} TO 'out/quiver-test.csv'",
            f"COPY {CONTROL} FROM 'out/quiver-test.csv'",
        ):
            with pytest.raises(CLIENT_ERRORS) as caught:
                clients.flight.query(statement)
            assert_refused(caught.value, *FORBIDDEN)
    link.unlink()
    folder.unlink()
