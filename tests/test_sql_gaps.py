"""What users of PostgreSQL and DuckDB type first: types, SHOW, repeated names, functions."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from quiver_testing import adbc
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import NO_TIMED_FLUSH

SCHEMA = "gaps"


@pytest.fixture(scope="module")
def flight(shared_server):
    with Flight(shared_server.uri) as client:
        client.execute(f"CREATE SCHEMA {SCHEMA}")
        client.execute(f"CREATE TABLE {SCHEMA}.t (id BIGINT NOT NULL, name TEXT, at TIMESTAMP)")
        client.execute(
            f"INSERT INTO {SCHEMA}.t VALUES (1, 'one', '2024-01-31 10:20:30'), (2, 'two', NULL), "
            "(3, 'three', '2024-02-29 00:00:00')"
        )
        yield client


@pytest.fixture(scope="module")
def connection(shared_server):
    with adbc.connect(shared_server.uri) as connection:
        yield connection


def refused(flight, sql: str, *codes: str, mentions: str | None = None) -> str:
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.query(sql)
    return assert_refused(caught.value, *codes, mentions=mentions)


# Types.

US = pa.timestamp("us")
UTC = pa.timestamp("us", tz="UTC")
TYPES = {
    "JSON": (pa.string(), "'{}'"),
    "JSONB": (pa.string(), "'{}'"),
    "TEXT(10)": (pa.string(), "'x'"),
    "STRING": (pa.string(), "'x'"),
    "CLOB": (pa.string(), "'x'"),
    "CHARACTER VARYING(5)": (pa.string(), "'x'"),
    "BLOB": (pa.binary(), "X'00ff'"),
    "BYTEA": (pa.binary(), "X'00ff'"),
    "VARBINARY(4)": (pa.binary(), "X'00ff'"),
    "BINARY(2)": (pa.binary(), "X'00ff'"),
    "DATETIME": (US, "'9999-12-31 23:59:59.123456'"),
    "TIMESTAMP": (US, "'0001-01-01 00:00:00'"),
    "TIMESTAMP(3)": (pa.timestamp("ms"), "'2024-01-01 00:00:00.123'"),
    "TIMESTAMP(9)": (pa.timestamp("ns"), "'2024-01-01 00:00:00.123456789'"),
    "TIMESTAMPTZ": (UTC, "'2024-01-01 00:00:00+01:00'"),
    "TIMESTAMP WITH TIME ZONE": (UTC, "'2024-01-01 00:00:00Z'"),
    "TIME": (pa.time64("us"), "'10:20:30.123456'"),
    "TIME(3)": (pa.time64("us"), "'10:20:30.123'"),
    "INT2": (pa.int16(), "1"),
    "INT4": (pa.int32(), "1"),
    "INT8": (pa.int64(), "1"),
    "UTINYINT": (pa.uint8(), "255"),
    "USMALLINT": (pa.uint16(), "65535"),
    "UINTEGER": (pa.uint32(), "4294967295"),
    "UBIGINT": (pa.uint64(), "18446744073709551615"),
    "FLOAT4": (pa.float32(), "1.5"),
    "FLOAT8": (pa.float64(), "1.5"),
    "DOUBLE PRECISION": (pa.float64(), "1.5"),
    "NUMERIC(12,2)": (pa.decimal128(12, 2), "1.25"),
    "DECIMAL(38,0)": (pa.decimal128(38, 0), "1"),
    "BOOL": (pa.bool_(), "true"),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_name_in_a_table_and_in_a_cast(flight, name):
    expected, value = TYPES[name]
    table = f'{SCHEMA}."{name}"'
    flight.execute(f"CREATE TABLE {table} (c {name})")
    flight.execute(f"INSERT INTO {table} VALUES ({value})")
    kept = flight.query(f"SELECT c FROM {table}")
    assert kept.schema.field("c").type == expected
    cast = flight.query(f"SELECT CAST({value} AS {name}) AS c, TRY_CAST({value} AS {name}) AS d")
    assert cast["c"].cast(expected).to_pylist() == kept["c"].to_pylist()
    assert cast["d"].to_pylist() == cast["c"].to_pylist()
    assert flight.scalar(f"SELECT count(*) FROM {table} WHERE c = CAST({value} AS {name})") == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("UUID", "use TEXT"),
        ("HUGEINT", "DECIMAL(38, 0)"),
        ("SERIAL", "BIGINT"),
        ("BIGGINT", "did you mean BIGINT"),
        ("timestmp", "did you mean TIMESTAMP"),
        ("MONEY", "DECIMAL(18, 2)"),
        ("DECIMAL(50, 2)", "p <= 38"),
        ("TIMESTAMP(2)", "0, 3, 6 or 9"),
    ],
)
def test_a_type_that_does_not_exist_is_refused_by_name(flight, name, hint):
    for sql in (f"CREATE TABLE {SCHEMA}.no (c {name})", f"SELECT CAST(NULL AS {name})"):
        message = refused(flight, sql, "INVALID_ARGUMENT", mentions=hint)
        assert name.split("(")[0].lower() in message.lower()


def test_numbers_are_no_timestamps(flight):
    for sql in ("SELECT 1700000000::timestamp", f"SELECT CAST(id AS TIMESTAMPTZ) FROM {SCHEMA}.t"):
        refused(flight, sql, "INVALID_ARGUMENT", mentions="to_timestamp")


# SHOW, DESCRIBE, EXPLAIN.


def test_describe(flight, connection):
    expected = [("id", "Int64", "NO"), ("name", "Utf8", "YES"), ("at", "Timestamp(µs)", "YES")]
    for sql in (f"DESCRIBE {SCHEMA}.t", f"DESC {SCHEMA}.t", f"DESCRIBE TABLE {SCHEMA}.t"):
        assert flight.rows(sql) == expected, sql
    assert adbc.rows(connection, f"DESCRIBE {SCHEMA}.t") == expected
    refused(flight, "DESCRIBE nothing", "NOT_FOUND", mentions="nothing")


def test_show_tables(flight, connection):
    listed = {row[1:3] for row in flight.rows("SHOW TABLES")}
    assert (SCHEMA, "t") in listed and ("system", "queries") in listed
    assert not [name for schema, name in listed if schema == "information_schema"]
    assert {row[1] for row in adbc.rows(connection, f"SHOW TABLES FROM {SCHEMA}")} == {SCHEMA}
    assert [row[2] for row in flight.rows(f"SHOW TABLES FROM {SCHEMA} LIKE '_'")] == ["t"]


def test_show_columns(flight, connection):
    for rows in (flight.rows, lambda sql: adbc.rows(connection, sql)):
        columns = [row[3:] for row in rows(f"SHOW COLUMNS FROM {SCHEMA}.t")]
        assert columns == [
            ("id", "Int64", "NO"), ("name", "Utf8", "YES"), ("at", "Timestamp(µs)", "YES"),
        ]
    refused(flight, "SHOW COLUMNS FROM nothing", "NOT_FOUND", mentions="nothing")


def test_show_schemas(flight):
    schemas = [name for (name,) in flight.rows("SHOW SCHEMAS")]
    assert {"main", "system", "information_schema", SCHEMA} <= set(schemas)
    assert flight.rows(f"SHOW SCHEMAS LIKE '{SCHEMA}'") == [(SCHEMA,)]


def test_show_settings(flight, shared_server):
    assert flight.rows("SHOW schema") == [("schema", "main")]
    assert flight.rows("SHOW search_path") == [("search_path", "main")]
    assert flight.rows("SHOW TimeZone") == [("timezone", "UTC")]
    settings = dict(flight.rows("SHOW ALL"))
    assert settings["catalog"] == "default" and not [k for k in settings if "datafusion" in k]
    refused(flight, "SHOW datafusion.execution.batch_size", "INVALID_ARGUMENT", mentions="setting")
    with Flight(shared_server.uri) as other:
        other.execute(f"USE {SCHEMA}")
        assert other.rows("SHOW schema") == [("schema", SCHEMA)]
        assert other.scalar("SELECT current_schema()") == SCHEMA
        assert other.scalar("SELECT count(*) FROM t") == 3


def test_show_functions(flight):
    found = flight.rows("SHOW FUNCTIONS LIKE 'abs'")
    assert [row[:2] for row in found] == [("abs", "SCALAR")]
    assert flight.scalar("SELECT version()").startswith("Quiver ")


def test_explain(flight, connection):
    for rows in (flight.rows, lambda sql: adbc.rows(connection, sql)):
        kinds = [row[0] for row in rows(f"EXPLAIN SELECT * FROM {SCHEMA}.t")]
        assert kinds == ["logical_plan", "physical_plan"]
        (plan,) = rows(f"EXPLAIN ANALYZE SELECT count(*) FROM {SCHEMA}.t WHERE id > 1")
        assert "output_rows" in plan[1]
    refused(flight, f"EXPLAIN ANALYZE INSERT INTO {SCHEMA}.t VALUES (1)", "UNIMPLEMENTED")
    assert flight.scalar(f"SELECT count(*) FROM {SCHEMA}.t") == 3


# Result columns of the same name.

T = f"{SCHEMA}.t"
REPEATED = {
    "SELECT 1, 1": (["Int64(1)"] * 2, [(1, 1)]),
    f"SELECT count(*), count(*) FROM {T}": (["count(*)"] * 2, [(3, 3)]),
    f"SELECT sum(t.id), min(t.id), sum(t.id) FROM {T}": (
        [f"sum({T}.id)", f"min({T}.id)", f"sum({T}.id)"], [(6, 1, 6)],
    ),
    f"SELECT a.id, b.id FROM {T} a JOIN {T} b ON a.id + 1 = b.id ORDER BY a.id DESC": (
        ["id", "id"], [(2, 3), (1, 2)],
    ),
    f"SELECT t.*, t.id FROM {T} ORDER BY t.id LIMIT 1": (
        ["id", "name", "at", "id"], [(1, "one", datetime.datetime(2024, 1, 31, 10, 20, 30), 1)],
    ),
    f"SELECT t.id, t.id, upper(name) AS id FROM {T} ORDER BY id": (
        ["id"] * 3, [(1, 1, "ONE"), (2, 2, "TWO"), (3, 3, "THREE")],
    ),
    f"SELECT id, name, upper(name) AS name FROM {T} ORDER BY 1 LIMIT 1": (
        ["id", "name", "name"], [(1, "one", "ONE")],
    ),
    f"SELECT name, upper(name) AS name, * FROM {T} ORDER BY t.id LIMIT 1": (
        ["name", "name", "id", "name", "at"],
        [("one", "ONE", 1, "one", datetime.datetime(2024, 1, 31, 10, 20, 30))],
    ),
    "SELECT 1 AS x, 2 AS x UNION ALL SELECT 3, 3 ORDER BY 1": (["x", "x"], [(1, 2), (3, 3)]),
    "(SELECT 1 AS x, 2 AS x) UNION SELECT 1, 2": (["x", "x"], [(1, 2)]),
    f"SELECT a.id, b.id FROM {T} a, {T} b WHERE a.id = b.id INTERSECT SELECT 2, 2": (
        ["id", "id"], [(2, 2)],
    ),
    f"WITH c AS (SELECT id FROM {T}) SELECT c.id, d.id FROM c JOIN c d ON c.id = d.id - 2": (
        ["id", "id"], [(1, 3)],
    ),
    f"SELECT DISTINCT 1, 1 FROM {T}": (["Int64(1)"] * 2, [(1, 1)]),
    f"SELECT count(*) OVER (), count(*) OVER () FROM {T} LIMIT 1": (None, [(3, 3)]),
    "SELECT '2024-01-01'::date, '2024-01-01'::timestamp": (
        None, [(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1))],
    ),
}


@pytest.mark.parametrize("sql", REPEATED)
def test_repeated_names(flight, connection, sql):
    names, rows = REPEATED[sql]
    info = flight.info(sql.encode())
    got = flight.read(info)
    assert info.schema.equals(got.schema, check_metadata=False)
    assert names is None or got.column_names == names
    assert not [name for name in got.column_names if "\x1f" in name]
    assert list(zip(*(column.to_pylist() for column in got.columns))) == rows
    assert adbc.query(connection, sql).column_names == got.column_names


def test_repeated_names_with_parameters(connection):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, id, ? AS id FROM {T} WHERE id = ?", (7, 2))
        table = cursor.fetch_arrow_table()
    assert table.column_names == ["id", "id", "id"]
    assert [column[0].as_py() for column in table.columns] == [2, 2, 7]


def test_repeated_names_that_are_not_shown(flight):
    flight.execute(f"CREATE TABLE {SCHEMA}.pairs (a BIGINT, b BIGINT)")
    assert flight.execute(f"INSERT INTO {SCHEMA}.pairs SELECT 1, 1") == 1
    assert flight.execute(f"INSERT INTO {SCHEMA}.pairs SELECT count(*), count(*) FROM {T}") == 1
    assert flight.execute(f"INSERT INTO {SCHEMA}.pairs SELECT t.id, t.id FROM {T} WHERE id = 2") == 1
    assert flight.rows(f"SELECT a, b FROM {SCHEMA}.pairs ORDER BY a") == [(1, 1), (2, 2), (3, 3)]
    assert flight.rows("DESCRIBE SELECT 1, 1") == [("Int64(1)", "Int64", "NO")] * 2
    assert len(flight.rows("EXPLAIN SELECT 1, 1")) == 2


def test_repeated_names_in_a_new_table_are_refused_by_name(flight):
    for query in (
        f"SELECT a.id, b.id FROM {T} a, {T} b",
        f"SELECT id, id FROM {T}",
        f"SELECT id, upper(name) AS id FROM {T}",
    ):
        sql = f"CREATE TABLE {SCHEMA}.twice AS {query}"
        refused(flight, sql, "INVALID_ARGUMENT", mentions="column 'id' is there twice")
    refused(flight, f"SELECT * FROM {SCHEMA}.twice", "NOT_FOUND")


# information_schema.


def test_information_schema_shows_the_tenant_and_nothing_of_the_engine(flight):
    tables = set(flight.rows("SELECT table_schema, table_name FROM information_schema.tables"))
    names = {name for schema, name in tables if schema == "information_schema"}
    assert names == {"columns", "schemata", "tables", "views"}
    assert {("system", "queries"), ("system", "functions"), (SCHEMA, "t")} <= tables
    views = flight.rows("SELECT DISTINCT table_schema FROM information_schema.views")
    assert {schema for (schema,) in views} == {"system", "information_schema"}
    assert flight.rows("SELECT DISTINCT table_catalog FROM information_schema.columns") == [
        ("default",)
    ]
    for name in ("df_settings", "routines", "parameters"):
        refused(flight, f"SELECT * FROM information_schema.{name}", "NOT_FOUND", mentions=name)


def test_columns_as_the_standard_counts_them(flight):
    assert flight.rows(
        "SELECT column_name, ordinal_position, numeric_precision, datetime_precision "
        f"FROM information_schema.columns WHERE table_schema = '{SCHEMA}' AND table_name = 't'"
    ) == [("id", 1, 64, None), ("name", 2, None, None), ("at", 3, None, 6)]


# Statements that are refused may hold a password.


def test_a_password_in_a_refused_statement_is_not_kept(make_server):
    server = make_server(settings={**NO_TIMED_FLUSH, "QUIVER_LOG__FILTER": "debug"}).start()
    secret = "hunter2hunter2"
    statements = [
        f"CREATE USER bob PASSWORD '{secret}' FROBNICATE",
        f"CREATE USER bob PASSWORD '{secret}' IN TENANT",
        f"CREATE USER bob PASSWORD '{secret}",
        f"CREATE USER bob PASSWORD {secret}",
        f"ALTER USER bob SET PASSWORD TO '{secret}'",
        f"CREATE ROLE bob LOGIN PASSWORD '{secret}'",
        f"SELECT 1; CREATE USER bob PASSWORD '{secret}'",
    ]
    with Flight(server.uri) as flight, adbc.connect(server.uri) as connection:
        for sql in statements:
            message = refused(flight, sql, "INVALID_ARGUMENT", "UNIMPLEMENTED")
            assert secret not in message
            with pytest.raises(CLIENT_ERRORS) as caught:
                adbc.execute(connection, sql)
            assert secret not in str(caught.value)
        flight.execute(f"CREATE USER bob PASSWORD '{secret}'")
        recorded = flight.rows("SELECT state, sql FROM system.queries")
    texts = [sql for state, sql in recorded if state == "failed"]
    assert len(texts) >= len(statements), recorded
    assert not [text for _, text in recorded if secret in text]
    assert "CREATE USER bob PASSWORD '***' FROBNICATE" in texts
    assert server.stop() == 0
    assert secret not in server.log()


# The first ten minutes.

VALUES = {
    "SELECT now() > TIMESTAMP '2020-01-01'": True,
    "SELECT current_timestamp - INTERVAL '1 hour' < now()": True,
    "SELECT current_date >= DATE '2020-01-01'": True,
    "SELECT arrow_typeof(now()) || ' ' || arrow_typeof(current_time)": 'Timestamp(µs, "UTC") Time64(µs)',
    "SELECT EXISTS (SELECT 1)": True,
    f"SELECT NOT EXISTS (SELECT 1 FROM {T} WHERE id < 0)": True,
    f"SELECT count(*) FROM (SELECT EXISTS (SELECT 1 FROM {T} b WHERE b.id = a.id + 1) AS e FROM {T} a) WHERE NOT e": 1,
    f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {T}) THEN 'some' ELSE 'none' END": "some",
    f"SELECT EXISTS (SELECT count(*) FROM {T} WHERE id < 0)": True,
    f"SELECT EXISTS (SELECT id FROM {T} ORDER BY id LIMIT 1 OFFSET 1000)": False,
    "SELECT count(*) FROM generate_series(now() - INTERVAL '1 day', now(), INTERVAL '12 hours')": 3,
    "SELECT '100%' LIKE '100/%' ESCAPE '/'": True,
    "SELECT '1000' LIKE '100/%' ESCAPE '/'": False,
    r"SELECT 'c:\\x' ILIKE 'C:\\_' ESCAPE '!'": True,
    "SELECT count(*) FROM (VALUES ('a_b', 'a!_b'), ('axb', 'a!_b'), ('a!b', 'a!!b')) v(t, p) WHERE t LIKE p ESCAPE '!'": 2,
    "SELECT 'a' || 7 % 5 || 'b'": "a2b",
    "SELECT TIMESTAMP '2020-03-01' - TIMESTAMP '2020-01-01' > INTERVAL '1 day'": True,
    "SELECT now() - TIMESTAMP '2020-01-01' BETWEEN INTERVAL '1 year' AND INTERVAL '100 years'": True,
    "SELECT INTERVAL '1 day' = INTERVAL '24 hours' AND INTERVAL '1 month' <= INTERVAL '30 days'": True,
    "SELECT INTERVAL '25 hours' IN (INTERVAL '1 day', INTERVAL '1 day 1 hour')": True,
    "SELECT count(*) FROM (VALUES (TIMESTAMP '2024-01-03'), (TIMESTAMP '2024-01-01 12:00:00'), (NULL)) v(t) "
    "WHERE t - TIMESTAMP '2024-01-01' < INTERVAL '1 day'": 1,
    "SELECT INTERVAL '1 day' IS DISTINCT FROM INTERVAL '24 hours'": False,
    "SELECT 'a' || 1 + 2 = 'a3'": True,
    "SELECT count(*) FROM generate_series(1, 10) WHERE now() IS NOT NULL": 10,
    "SELECT to_char(DATE '2024-02-29', 'YYYY-MM-DD')": "2024-02-29",
    "SELECT to_char(TIMESTAMP '2024-02-29 13:05:06', 'DD Mon YYYY HH24:MI:SS')": "29 Feb 2024 13:05:06",
    "SELECT to_char(TIMESTAMP '2024-02-29 13:05:06', '%H:%M')": "13:05",
    "SELECT to_date('29.02.2024', 'DD.MM.YYYY')": datetime.date(2024, 2, 29),
    "SELECT date_trunc('month', TIMESTAMP '2024-02-29 10:00:00')": datetime.datetime(2024, 2, 1),
    "SELECT extract(year FROM DATE '2024-02-29')": 2024,
    "SELECT DATE '2024-01-31' + INTERVAL '1 month'": datetime.date(2024, 2, 29),
    "SELECT DATE '2024-03-01' - DATE '2024-02-01'": 29,
    "SELECT '9999-12-31'::timestamp": datetime.datetime(9999, 12, 31),
    "SELECT timestamptz '2024-01-01 00:00:00+01'": datetime.datetime(
        2023, 12, 31, 23, tzinfo=datetime.timezone.utc
    ),
    "SELECT TIME '10:20:30'": datetime.time(10, 20, 30),
    f"SELECT name FROM {T} ORDER BY id FETCH FIRST ROW ONLY": "one",
    f"SELECT name FROM {T} ORDER BY id OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY": "two",
    f"SELECT count(*) FROM (SELECT * FROM {T} ORDER BY id FETCH FIRST 2 ROWS ONLY) x": 2,
    "WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT x FROM a": 1,
    f"SELECT count(*) FROM (SELECT DISTINCT ON (name) * FROM {T} ORDER BY name, id) x": 3,
    f"SELECT name FROM {T} QUALIFY row_number() OVER (ORDER BY id DESC) = 1": "three",
    "SELECT current_schema": "main",
    "SELECT current_schema()": "main",
    "SELECT current_database()": "default",
    "SELECT pg_typeof(1)": "Int64",
    f"SELECT every(id > 0) FROM {T}": True,
    f"SELECT variance(id) FROM {T}": 1.0,
    f"SELECT approx_count_distinct(id) FROM {T}": 3,
    "SELECT length(gen_random_uuid())": 36,
    "SELECT (named_struct('a', 1)).a": 1,
    "SELECT 0.1 + 0.2": Decimal("0.3"),
    "SELECT count(*) FROM generate_series(TIMESTAMP '2024-01-01', '2024-01-03'::timestamp, "
    "INTERVAL '1 day') AS g(d)": 3,
    f"SELECT string_agg(name, ',' ORDER BY id) FROM {T}": "one,two,three",
    f"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM {T}": 2.0,
    "SELECT 'ABC' ILIKE 'a%' AND 'abc' ~ '^a.c$'": True,
    "SELECT 1 AS \"Mixed Case\"  -- a comment\n;": 1,
}


@pytest.mark.parametrize("sql", VALUES)
def test_a_value(flight, connection, sql):
    assert flight.scalar(sql) == VALUES[sql]
    assert adbc.scalar(connection, sql) == VALUES[sql]


def test_names_of_the_session_name_their_columns(flight):
    assert flight.query("SELECT current_schema()").column_names == ["current_schema"]


def test_table_as_a_statement(flight):
    assert flight.query(f"TABLE {T}").num_rows == 3


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT 'abc' SIMILAR TO 'a%'", "LIKE"),
        ("SELECT to_char(now(), 'Month')", "Month"),
        (f"CREATE TABLE {SCHEMA}.no (a TIMESTAMP DEFAULT now())", "DEFAULT"),
        (f"SELECT * FROM {T} FETCH FIRST 1 ROW WITH TIES", "WITH TIES"),
        (f"SELECT * FROM {T} LIMIT 1 FETCH FIRST 1 ROW ONLY", "FETCH"),
        (f"SHOW CREATE TABLE {T}", "DESCRIBE"),
    ],
)
def test_what_would_answer_wrongly_is_refused(flight, sql, hint):
    refused(flight, sql, "INVALID_ARGUMENT", "UNIMPLEMENTED", mentions=hint)


# What must not be taken for something else


def test_copy_of_a_query_takes_it_as_it_is_written(flight, connection):
    """Quotes in texts and names, and values for parameters."""
    query = f"""SELECT 'a''''b' AS "odd ""name", name FROM {SCHEMA}.t WHERE id < 3 ORDER BY id"""
    assert flight.execute(f"COPY ({query}) TO 'quotes.parquet'") == 2
    names = ", ".join(f'"{field.name}" TEXT'.replace('d "n', 'd ""n') for field in flight.query(query).schema)
    flight.execute(f"CREATE TABLE {SCHEMA}.quotes ({names})")
    flight.execute(f"COPY {SCHEMA}.quotes FROM 'quotes.parquet'")
    assert flight.rows(f"SELECT * FROM {SCHEMA}.quotes ORDER BY name") == [("a''b", "one"), ("a''b", "two")]
    copy = f"COPY (SELECT ? AS \"odd \"\"name\", name FROM {SCHEMA}.t WHERE id = ?) TO 'one.csv'"
    with connection.cursor() as cursor:
        cursor.execute(copy, ("it's", 3))
    flight.execute(f"COPY {SCHEMA}.quotes FROM 'one.csv'")
    assert ("it's", "three") in flight.rows(f"SELECT * FROM {SCHEMA}.quotes")


def test_only_insert_takes_several_rows_of_parameters(connection):
    with connection.cursor() as cursor:
        with pytest.raises(CLIENT_ERRORS) as caught:
            cursor.executemany(f"CREATE TABLE {SCHEMA}.several AS SELECT ? AS x", [(1,), (2,)])
    assert_refused(caught.value, "INVALID_ARGUMENT", mentions="once per row")


def test_a_key_for_sql_is_refused_and_not_ignored(flight):
    insert = f"INSERT INTO {SCHEMA}.t VALUES (99, 'no', NULL)"
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.execute(insert, headers=[("x-idempotency-key", "k")])
    assert_refused(caught.value, "UNIMPLEMENTED", mentions="x-idempotency-key")
    assert flight.scalar(f"SELECT count(*) FROM {SCHEMA}.t WHERE id = 99") == 0


def test_the_schema_of_a_call_is_known_before(flight):
    call = "CALL system.flush()"
    descriptor = fl.FlightDescriptor.for_command(call.encode())
    promised = flight.client.get_schema(descriptor, flight.options()).schema
    assert promised == flight.query(call).schema
    prepared = flight.prepare(call)
    assert pa.ipc.read_schema(pa.py_buffer(prepared.dataset_schema)) == promised
    flight.close_prepared(prepared.prepared_statement_handle)


def test_a_table_of_the_time_of_a_statement(flight, name):
    flight.execute(f"CREATE TABLE {name} AS SELECT now() AS at, current_time AS time, current_date AS day")
    (row,) = flight.query(f"SELECT * FROM {name}").to_pylist()
    assert row["at"].time().replace(tzinfo=None) == row["time"] and row["at"].date() == row["day"]


def test_a_parameter_that_meets_several_types(connection):
    sql = "SELECT x FROM (VALUES (CAST(1 AS BIGINT), CAST(2 AS TINYINT)), (3, 4)) v(x, y) WHERE x = $1 OR y = $1"
    assert adbc.rows(connection, sql, (3,)) == [(3,)]
    assert adbc.rows(connection, sql, (2,)) == [(1,)]


@pytest.mark.parametrize("sql", ["SELECT 1 WHERE TRUE BETWEEN 1 AND 2", "SELECT TIMESTAMP '2026-01-01' BETWEEN 1 AND 2"])
def test_a_mistake_in_between_is_the_users(flight, sql):
    refused(flight, sql, "INVALID_ARGUMENT", mentions="BETWEEN")


def test_escape_is_one_character(flight):
    refused(flight, "SELECT 'a' LIKE 'a' ESCAPE '!!'", "INVALID_ARGUMENT", mentions="one character")


def test_what_exists_would_get_wrong_is_refused(flight):
    """An aggregate has a row even where nothing matches: DataFusion loses it when it takes the subquery apart."""
    sql = f"SELECT EXISTS (SELECT count(*) FROM {T} b WHERE b.id = a.id + 1000) FROM {T} a"
    refused(flight, sql, "UNIMPLEMENTED")
