"""Spark: its examples run as printed, and the data source stores and reads every row once, whatever fails.

All tests but the first share one Spark, for it takes long to start.
"""

from __future__ import annotations

import datetime as dt
import importlib
import math
import os
import runpy
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from pyspark import SparkContext, TaskContext, cloudpickle
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from quiver_testing.flight import Flight
from quiver_testing.java import JDBC_VERSION, jdbc_driver, jdbc_url

FOLDER = Path(__file__).resolve().parents[1] / "client-examples" / "spark"
EXPECTED = {
    "datasource_example.py": [
        "stored 200000 trips", "station 0 199000.00", "station 4 200600.00", "after a repeated task: 201000 trips",
        "failed: SparkRuntimeException", "after a failed job: 201000 trips",
    ],
    "jdbc_example.py": [
        "id bigint, station string, fare decimal(10,2), started timestamp_ntz",
        "first: 0 station 0 0.00 2026-01-01 00:00:00", *(f"partition {n} has 25000 rows" for n in range(4)), "late: 40",
        "counted by Quiver: 100000",
    ],
}
MODULES = {"quiver_datasource.py", "quiver_flight.py"}
# More than what waits between Java and Python, so that a writer has rows when a task fails.
TEXT = "x" * 200
pytestmark = pytest.mark.timeout(600)


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.glob("*.py")} == {*EXPECTED, *MODULES}
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text().splitlines()) < 150, path


@pytest.fixture(scope="module", autouse=True)
def java():
    assert shutil.which("java"), "Spark needs Java: install a JDK 17"


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, server, spark, capsys):
    """As printed, and once more in the Spark of the other tests: an example that works once only is no example."""
    path = FOLDER / name
    login = (server.user, server.password)
    if name == "jdbc_example.py":
        assert f"flight-sql-jdbc-driver-{JDBC_VERSION}.jar" in path.read_text(), "it says how it is run"
        arguments, again = [str(jdbc_driver()), jdbc_url(server), *login], (jdbc_url(server), *login)
    else:
        arguments, again = [server.uri, *login], (options(server),)
    done = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    capsys.readouterr()
    runpy.run_path(str(path), run_name="example")["run"](spark, *again)
    for output in (done.stdout, capsys.readouterr().out):
        for line in EXPECTED[name]:
            assert line in output.splitlines(), output


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark")
    sys.path.insert(0, str(FOLDER))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        # Two tasks at a time, each of them up to three times.
        "spark.master": "local[2,3]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.jars": str(jdbc_driver()),
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
    }
    builder = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    # What fails on purpose goes to the workers as it is: they know nothing of this file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    importlib.import_module("datasource_example").register(session)
    yield session
    java = SparkContext._gateway
    session.stop()
    # It would stay until the last of all tests, with its memory.
    java.shutdown()
    java.proc.stdin.close()
    java.proc.wait(60)
    sys.path.remove(str(FOLDER))


def options(server) -> dict[str, str]:
    return {"uri": server.uri, "user": server.user, "password": server.password}


@pytest.fixture
def source(spark, server):
    """The data source and the shared server."""
    return Source(spark, options(server))


class Source:
    def __init__(self, spark, login: dict[str, str]):
        self.spark, self.login = spark, login

    def read(self, table: str, **more):
        return self.spark.read.format("quiver").options(**self.login, dbtable=table, **more).load()

    def query(self, sql: str):
        return self.spark.read.format("quiver").options(**self.login, query=sql).load()

    def write(self, frame, table: str, mode: str = "append") -> None:
        frame.write.format("quiver").options(**self.login, dbtable=table).mode(mode).save()

    def numbers(self, count: int, first: int = 0):
        """Rows in two partitions, ten batches each for 20,000."""
        return self.spark.range(first, first + count, 1, 2).withColumn("text", F.lit(TEXT))


def fails_in_the_middle(batches):
    """After some rows, the first time."""
    for place, batch in enumerate(batches):
        if place == 7 and TaskContext.get().attemptNumber() == 0:
            time.sleep(0.5)
            raise RuntimeError("in the middle")
        yield batch


def fails_at_the_end(batches):
    """After all rows, the first time."""
    yield from batches
    if TaskContext.get().attemptNumber() == 0:
        time.sleep(0.5)
        raise RuntimeError("at the end")


def uploads(flight, table: str) -> list[int]:
    """Rows of each upload that tasks of jobs on `table` made."""
    sql = f"""SELECT record_count FROM system.queries WHERE starts_with(sql, 'INGEST INTO main.{table}_')
              AND record_count > 0 AND state = 'finished'"""
    return [count for (count,) in flight.rows(sql)]


def tables(flight, name: str) -> list[str]:
    rows = flight.rows(f"SELECT table_name FROM information_schema.tables WHERE starts_with(table_name, '{name}')")
    return [table for (table,) in rows]


def test_rows_in_are_rows_out(source, flight, name):
    frame = source.spark.createDataFrame(
        [
            (
                1, -2, 3, 2**62, 1.5, math.inf, True, "é", b"\0\xff",
                Decimal("1234567890123456789012345678.0123456789"), dt.date(1, 1, 1),
                dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC), dt.datetime(1900, 1, 2, 3, 4, 5, 678901),
                dt.time(23, 59, 59, 999999), [1, None], (5, dt.datetime(2026, 6, 1, tzinfo=dt.UTC)),
                {"a": [Decimal("1.25"), None]}, [({1: "x"},)],
            ),
            (
                -128, None, None, -(2**63), 0.0, -math.inf, False, "", b"", None, dt.date(9999, 12, 31), None, None,
                dt.time(0, 0), [], (None, None), {}, [],
            ),
            (None,) * 18,
        ],
        """a_byte BYTE, a_short SHORT, an_int INT, a_long LONG, a_float FLOAT, a_double DOUBLE, a_boolean BOOLEAN,
           a_text STRING, bytes BINARY, a_decimal DECIMAL(38, 10), a_date DATE, a_timestamp TIMESTAMP,
           a_timestamp_ntz TIMESTAMP_NTZ, a_time TIME(6), a_list ARRAY<LONG>, a_struct STRUCT<x: INT, at: TIMESTAMP>,
           a_map MAP<STRING, ARRAY<DECIMAL(10, 2)>>, nested ARRAY<STRUCT<m: MAP<INT, STRING>>>""",
    )
    source.write(frame, name)
    back = source.read(name)
    assert back.schema == frame.schema
    assert sorted(back.collect(), key=str) == sorted(frame.collect(), key=str)
    # The moment, not what a clock in New York showed.
    assert flight.rows(f"SELECT CAST(a_timestamp AS VARCHAR) FROM {name} WHERE a_byte = 1") == [
        ("2026-01-02T03:04:05.678901Z",)
    ]
    source.write(back, name)
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 6


def test_types_that_spark_has_not(source, flight, name):
    columns = {
        "u8": (pa.uint8(), 255), "u16": (pa.uint16(), 2**16 - 1), "u32": (pa.uint32(), 2**32 - 1),
        "u64": (pa.uint64(), 2**64 - 1), "ns": (pa.timestamp("ns"), 1000), "s": (pa.timestamp("s"), 1),
        "offset": (pa.timestamp("us", "+05:30"), 1),
    }
    data = pa.table({column: pa.array([value], kind) for column, (kind, value) in columns.items()})
    flight.put(name, data, [("x-create", "true")])
    (row,) = source.read(name).collect()
    assert (row.u8, row.u16, row.u32, row.u64) == (255, 2**16 - 1, 2**32 - 1, Decimal(2**64 - 1))
    assert row.ns == dt.datetime(1970, 1, 1, 0, 0, 0, 1) and row.s == dt.datetime(1970, 1, 1, 0, 0, 1)
    assert row.offset.timestamp() == 1e-6
    for sql, words in {
        "SELECT INTERVAL '1 month' AS c": "no type for column 'c'",
        "SELECT [arrow_cast(1, 'UInt64')] AS c": "no type for column 'c'",
        "SELECT arrow_cast(1, 'Timestamp(ns)') AS c": "column 'c' does not fit timestamp[us]",
    }.items():
        with pytest.raises(Exception, match=words.replace("[", r"\[")):
            source.query(sql).collect()
    for table, column, words in [
        (f"{name}_new", "INTERVAL '1' DAY AS c", "column 'c' has type Duration"),
        (name, "1 AS z", "column 'z' is not in the table"),
        (name, "'x' AS u8", "column 'u8' has type Utf8 in the data and UInt8 in the table"),
    ]:
        with pytest.raises(Exception, match=words):
            source.write(source.spark.range(1).selectExpr(column), table)
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 1


@pytest.mark.parametrize("fails", [fails_in_the_middle, fails_at_the_end])
def test_a_repeated_task_stores_its_rows_once(source, flight, name, fails):
    source.write(source.numbers(20_000), name)
    more = source.numbers(20_000, 20_000)
    source.write(more.mapInArrow(fails, more.schema), name)
    assert flight.rows(f"SELECT count(*), count(DISTINCT id), max(id) FROM {name}") == [(40_000, 40_000, 39_999)]
    # Else it shows nothing: what was uploaded for the attempts that failed, seven batches or ten of them.
    sent = uploads(flight, name)
    assert len(sent) > 4 and sum(sent) > 40_000, sent
    assert tables(flight, name) == [name]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_failed_job_leaves_nothing(source, flight, name, mode):
    source.write(source.numbers(20_000), name)
    broken = source.numbers(20_000).withColumn(
        "text", F.when(F.col("id") == 6_500, F.raise_error(F.lit("broken"))).otherwise(F.col("text"))
    )
    with pytest.raises(Exception, match="broken"):
        source.write(broken, name, mode)
    assert sum(uploads(flight, name)) > 30_000, "there was something to forget"
    assert flight.rows(f"SELECT count(*), count(DISTINCT id) FROM {name}") == [(20_000, 20_000)]
    with pytest.raises(Exception, match="broken"):
        source.write(broken, f"{name}_new", mode)
    assert tables(flight, name) == [name]
    source.write(source.numbers(10, 20_000), name)
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 20_010


def test_overwrite_replaces(source, flight, name, schema):
    table = f"{schema}.{name} of \"Ann\""
    quoted = f'{schema}."{name} of ""Ann"""'
    for mode in ("append", "overwrite", "overwrite"):
        source.write(source.numbers(100), table, mode)
    assert source.read(table).count() == flight.scalar(f"SELECT count(*) FROM {quoted}") == 100
    source.write(source.spark.range(3).selectExpr("id AS `other \"name\"`"), table, "overwrite")
    assert sorted(source.read(table).collect()) == [(0,), (1,), (2,)]
    # From itself: it reads what was there before the job.
    source.write(source.read(table).selectExpr("`other \"name\"` + 10 AS n"), table, "overwrite")
    assert sorted(source.read(table).collect()) == [(10,), (11,), (12,)]
    source.write(source.spark.range(0).selectExpr("id AS n"), table)
    source.write(source.spark.range(1).selectExpr("CAST(NULL AS LONG) AS n"), table)
    assert source.read(table).count() == 4
    for mode in ("errorifexists", "ignore"):
        with pytest.raises(Exception, match="UNSUPPORTED_DATA_SOURCE_SAVE_MODE"):
            source.write(source.spark.range(3), table, mode)


ROWS = 1_300_000


def large(flight, name: str) -> None:
    """More than one row group, so that it can be shared out."""
    ids = pa.array(range(ROWS), pa.int64())
    flight.put(name, pa.table({"id": ids}), [("x-create", "true")])
    flight.query("CALL system.flush()")


def parts(frame) -> list[int]:
    """Rows of each partition."""
    return sorted(row["count"] for row in frame.groupBy(F.spark_partition_id()).count().collect())


def test_an_endpoint_is_a_partition(source, flight, name):
    large(flight, name)
    frame = source.read(name, numPartitions=4)
    assert len(parts(frame)) == 4 and sum(parts(frame)) == ROWS
    assert frame.agg(F.sum("id"), F.countDistinct("id")).first() == (ROWS * (ROWS - 1) // 2, ROWS)
    assert parts(source.read(name, numPartitions=1)) == [ROWS]
    assert parts(source.query(f"SELECT sum(id) AS s FROM {name}")) == [1], "what cannot be shared out"
    # A task that reads its rows again, after others came, reads the same.
    flight.execute(f"INSERT INTO {name} VALUES (-1)")
    again = frame.mapInArrow(fails_at_the_end, frame.schema)
    assert again.agg(F.count("*"), F.min("id"), F.sum("id")).first() == (ROWS, 0, ROWS * (ROWS - 1) // 2)


def test_tickets_last_as_long_as_the_job(spark, make_server):
    """Six tasks of two seconds, two at a time; tickets end after three, unless somebody asks for more."""
    server = make_server(settings={"QUIVER_SESSION__LEASE_TTL_MS": "3000"}).start()
    with Flight(server.uri) as flight:
        large(flight, "t")
        flight.put("few", pa.table({"id": [1]}), [("x-create", "true")])
        source = Source(spark, options(server))
        frame, few = source.read("t", numPartitions=6), source.read("few")
        assert few.count() == 1

        def slowly(batches):
            time.sleep(2)
            yield from batches

        assert frame.mapInArrow(slowly, frame.schema).count() == ROWS
        time.sleep(4)
        with pytest.raises(Exception, match="the ticket has expired"):
            frame.count()
        # A lone partition has no ticket to lose.
        flight.put("few", pa.table({"id": [2]}))
        assert few.count() == 2


class Elsewhere(fl.FlightServerBase):
    """Knows where the rows are, and has none."""

    def __init__(self, flight: Flight, uri: str, sql: str):
        super().__init__("grpc://127.0.0.1:0")
        self.info = flight.info(sql.encode(), [("x-quiver-endpoints", "3")])
        self.uri = uri

    def get_schema(self, context, descriptor):
        return fl.SchemaResult(self.info.schema)

    def get_flight_info(self, context, descriptor):
        endpoints = [fl.FlightEndpoint(endpoint.ticket, [self.uri]) for endpoint in self.info.endpoints]
        return fl.FlightInfo(self.info.schema, descriptor, endpoints, -1, -1)

    def do_action(self, context, action):
        return []


def test_endpoints_elsewhere_and_a_token(spark, server, flight, name):
    large(flight, name)
    token = flight.token[1].decode().removeprefix("Bearer ")
    with Elsewhere(flight, server.uri, f"SELECT * FROM {name}") as there:
        source = Source(spark, {"uri": f"grpc://127.0.0.1:{there.port}", "token": token})
        frame = source.read(name)
        assert len(parts(frame)) == 3 and sum(parts(frame)) == ROWS
        assert frame.agg(F.countDistinct("id")).first() == (ROWS,)


@pytest.fixture
def jdbc(spark, server):
    def load(**more):
        login = {"url": jdbc_url(server), "user": server.user, "password": server.password}
        driver = "org.apache.arrow.driver.jdbc.ArrowFlightJdbcDriver"
        return spark.read.format("jdbc").options(**login, driver=driver, **more).load()

    return load


def test_jdbc_partitions_have_every_row_once(jdbc, flight, name):
    """Rows outside of the bounds and NULLs too."""
    ids = [*range(-500, 10_500), None]
    flight.put(name, pa.table({"id": pa.array(ids, pa.int64())}), [("x-create", "true")])
    frame = jdbc(
        dbtable=name, customSchema="id BIGINT", partitionColumn="id", lowerBound=0, upperBound=10_000, numPartitions=4
    )
    assert parts(frame) == [2500, 2500, 3000, 3001]
    assert sorted(row.id for row in frame.dropna().collect()) == ids[:-1]


def test_jdbc_pushes_filters_and_columns_down(jdbc, flight, name):
    flight.execute(f"CREATE TABLE {name} AS SELECT value AS id, 'n' || value AS text FROM range(0, 1000)")
    frame = jdbc(dbtable=name, customSchema="id BIGINT").where("id < 10 AND text LIKE 'n%'").select("text")
    assert len(frame.collect()) == 10
    sent = flight.rows(f"SELECT sql FROM system.queries WHERE sql LIKE '%FROM {name} %' AND record_count = 10")
    assert any(sql.startswith('SELECT "text" FROM') and '"id" < 10' in sql for (sql,) in sent), sent
    (row,) = jdbc(query=f"SELECT count(*) AS n FROM {name}").collect()
    assert row.n == 1000


def test_jdbc_types(jdbc, flight, name):
    """As the README says."""
    numbers = "a SMALLINT, b INT, c BIGINT, d DECIMAL(12, 3)"
    flight.execute(
        f"CREATE TABLE {name} ({numbers}, e TIMESTAMP, f DOUBLE, g VARCHAR, h BYTEA, i DATE, j BOOLEAN, k REAL)"
    )
    flight.execute(
        f"INSERT INTO {name} VALUES (1, 2, 9007199254740993, 123.456, TIMESTAMP '2026-07-01 01:02:03.456789', 2.5, "
        "'é', X'01ff', DATE '2026-01-02', true, 1.5)"
    )
    plain = dict(jdbc(dbtable=name).dtypes)
    assert [plain[column] for column in "abcdefghijk"] == [
        "int", "bigint", "decimal(20,0)", "decimal(12,3)", "timestamp", "double", "string", "binary", "date", "boolean", "float"
    ]
    frame = jdbc(dbtable=name, customSchema=numbers, preferTimestampNTZ="true")
    assert [kind for _, kind in frame.dtypes][:5] == ["smallint", "int", "bigint", "decimal(12,3)", "timestamp_ntz"]
    assert frame.collect() == [(
        1, 2, 9007199254740993, Decimal("123.456"), dt.datetime(2026, 7, 1, 1, 2, 3, 456789), 2.5, "é",
        bytearray(b"\x01\xff"), dt.date(2026, 1, 2), True, 1.5,
    )]
    for expression in ("now()", "[1]", "named_struct('a', 1)"):
        with pytest.raises(Exception, match="UNRECOGNIZED_SQL_TYPE"):
            jdbc(query=f"SELECT {expression} AS c")
