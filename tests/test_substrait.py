"""Substrait plans: those of independent producers mean what their SQL means, in every call that takes a plan; what is
not understood is refused by name; hostile ones end in an answer."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing import substrait as s
from quiver_testing.compare import assert_same
from quiver_testing.errors import CLIENT_ERRORS, assert_refused, code_and_message
from quiver_testing.flight import Flight

PLANS = Path(__file__).parent / "substrait"
COMMAND = "CommandStatementSubstraitPlan"
ROWS = 1000
SQL = {
    "filter": "SELECT id, amount * 2 AS doubled, status FROM orders WHERE amount > 100.0 AND status = 'open'",
    "join": "SELECT o.id, c.name, o.amount FROM orders o JOIN customers c ON o.customer_id = c.id "
    "WHERE c.region = 'north'",
    "group": "SELECT status, count(*) AS n, sum(amount) AS total FROM orders GROUP BY status",
    "window": "SELECT id, status, row_number() OVER (PARTITION BY status ORDER BY amount DESC) AS r FROM orders",
    "order": "SELECT id, amount FROM orders ORDER BY amount DESC, id LIMIT 3",
    "subquery": "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE region = 'north')",
    "exists": "SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
    "scalar": "SELECT id, amount FROM orders WHERE amount > (SELECT avg(amount) FROM orders)",
    "union": "SELECT id FROM orders UNION ALL SELECT id FROM customers",
    "case": "SELECT id, CASE WHEN amount > 100.0 THEN 'big' ELSE 'small' END AS size, "
    "CAST(amount AS BIGINT) AS whole FROM orders",
    # Of `python` alone.
    "filter_2names": "SELECT id FROM orders WHERE amount > 100.0",
    "values": "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (n, t)",
    "subset": "SELECT status, id FROM orders",
}
ORDERED_BY = {"order": (1, 0)}
SAME = sorted(
    path.stem for path in PLANS.glob("*.bin")
    if path.stem.split("-")[1] in SQL and not path.stem.startswith("duckdb")
)
# Answers to hostile plans come from a debug binary on a busy machine.
SECONDS_MAX = 20


def fixture(name: str) -> bytes:
    return (PLANS / f"{name}.bin").read_bytes()


def command(plan: bytes, **fields) -> bytes:
    message = flightsql.SQL["SubstraitPlan"](plan=plan, version="0.85.0")
    return flightsql.command(COMMAND, plan=message, **fields)


def run(client: Flight, plan: bytes, **fields) -> pa.Table:
    return client.read(client.info(command(plan, **fields)))


def rows(client: Flight, plan: bytes) -> list[tuple]:
    columns = [column.to_pylist() for column in run(client, plan).columns]
    return sorted(zip(*columns), key=repr)


def refused(client: Flight, plan: bytes, *codes: str, mentions: str | None = None) -> None:
    with pytest.raises(CLIENT_ERRORS) as caught:
        run(client, plan)
    assert_refused(caught.value, *codes, mentions=mentions)


def orders() -> pa.Table:
    ids = range(ROWS)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "customer_id": pa.array([i % 7 for i in ids], pa.int64()),
        "amount": pa.array([i * 1.5 for i in ids], pa.float64()),
        "status": ["done" if i % 2 else "open" for i in ids],
        "placed": pa.array([20454] * ROWS, pa.int32()).cast(pa.date32()),
    })


def customers() -> pa.Table:
    regions = ["south" if i % 2 else "north" for i in range(7)]
    return pa.table({"id": pa.array(range(7), pa.int64()), "name": [f"n{i}" for i in range(7)], "region": regions})


@pytest.fixture(scope="module")
def tenants(shared_server):
    """`plans` has the tables of the fixtures, `bare` has none of them."""
    made = {}
    with Flight(shared_server.uri) as admin:
        for tenant in ("plans", "bare"):
            admin.execute(f"CREATE TENANT {tenant}")
            admin.execute(f"CREATE USER planner IN TENANT {tenant} PASSWORD 'plans for {tenant}'")
            made[tenant] = Flight(shared_server.uri, f"planner@{tenant}", f"plans for {tenant}")
    create = [("x-create", "true")]
    made["plans"].put("orders", orders(), create)
    made["plans"].put("customers", customers(), create)
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def plans(tenants, server) -> Flight:
    return tenants["plans"]


@pytest.fixture
def driver(plans, server):
    with adbc.connect(server.uri, "planner@plans", "plans for plans") as connection:
        yield connection


# What producers write.


@pytest.mark.parametrize("name", SAME)
def test_a_plan_means_what_its_sql_means(plans, name):
    what = name.split("-")[1]
    ours, theirs = run(plans, fixture(name)), plans.query(SQL[what])
    assert_same(ours, theirs, ORDERED_BY.get(what, ()))
    assert ours.schema.names == theirs.schema.names


def test_names_of_the_root_may_repeat(plans):
    table = run(plans, fixture("python-dup_names"))
    assert table.schema.names == ["id", "id"]
    assert table.num_rows == ROWS


@pytest.mark.parametrize(("name", "rel"), [
    ("write_insert", "WriteRel"), ("write_ctas", "WriteRel"), ("ddl", "DdlRel"), ("update", "UpdateRel"),
    ("local_files", "LocalFiles"), ("reference", "several relations"),
])
def test_what_is_not_a_query_is_refused_by_name(plans, name, rel):
    refused(plans, fixture(f"python-{name}"), "UNIMPLEMENTED", mentions=rel)
    assert plans.scalar("SELECT count(*) FROM orders") == ROWS


def test_root_names_that_do_not_fit_are_refused(plans):
    refused(plans, fixture("duckdb-filter"), "INVALID_ARGUMENT", mentions="names")


# Every call that takes a plan.


def test_a_plan_as_a_ticket(plans):
    assert_same(plans.redeem(command(fixture("isthmus-join"))), plans.query(SQL["join"]))


def test_schema_before_rows(plans):
    plan = fixture("datafusion-group")
    descriptor = pa.flight.FlightDescriptor.for_command(command(plan))
    schema = plans.client.get_schema(descriptor, plans.options()).schema
    assert schema.names == ["status", "n", "total"]
    assert schema.types == run(plans, plan).schema.types


def test_adbc_executes_bytes(driver, plans):
    with driver.cursor() as cursor:
        cursor.execute(fixture("ibis-filter"))
        assert_same(cursor.fetch_arrow_table(), plans.query(SQL["filter"]))


def test_adbc_binds_parameters(driver, plans):
    with driver.cursor() as cursor:
        for least in (100.0, 1400.0):
            cursor.execute(fixture("python-parameter"), (least,))
            expected = plans.query(f"SELECT id FROM orders WHERE amount > {least}")
            assert_same(cursor.fetch_arrow_table(), expected)


def test_prepared_plans_tell_what_they_need(plans):
    plan = flightsql.SQL["SubstraitPlan"](plan=fixture("python-parameter"))
    body = flightsql.command("ActionCreatePreparedSubstraitPlanRequest", plan=plan)
    (result,) = plans.action("CreatePreparedSubstraitPlan", body)
    answer = flightsql.unpack(result, "ActionCreatePreparedStatementResult")
    assert not answer.is_update
    assert pa.ipc.read_schema(pa.py_buffer(answer.parameter_schema)).types == [pa.float64()]
    assert pa.ipc.read_schema(pa.py_buffer(answer.dataset_schema)).names == ["id"]
    plans.close_prepared(answer.prepared_statement_handle)
    assert "CreatePreparedSubstraitPlan" in [action.type for action in plans.client.list_actions(plans.options())]


def test_a_plan_with_open_parameters_is_not_executed(plans):
    refused(plans, fixture("python-parameter"), "INVALID_ARGUMENT", mentions="parameters")


def test_a_plan_in_a_transaction_sees_it(plans):
    plan = s.plan(s.aggregate(s.read(), [], [s.measure("count")]), 1)
    transaction = plans.begin()
    insert = "INSERT INTO orders (id) VALUES (-1)"
    plans.update("CommandStatementUpdate", query=insert, transaction_id=transaction)
    assert run(plans, plan, transaction_id=transaction)[0][0].as_py() == ROWS + 1
    assert rows(plans, plan) == [(ROWS,)]
    plans.end(transaction, commit=False)


def test_do_put_of_a_query_says_what_to_do(plans):
    message = flightsql.SQL["SubstraitPlan"](plan=fixture("ibis-filter"))
    with pytest.raises(CLIENT_ERRORS) as caught:
        plans.update(COMMAND, plan=message)
    assert_refused(caught.value, "INVALID_ARGUMENT", mentions="GetFlightInfo")


def test_several_endpoints(plans):
    count = 1_300_000
    plans.put("wide_orders", pa.table({"id": pa.array(range(count), pa.int64())}), [("x-create", "true")])
    plans.query("CALL system.flush()")
    rel = s.read("wide_orders", columns={"id": "i64"})
    plan = s.plan(s.filtered(rel, s.call("gte", s.col(0), s.lit(10))), ["id"])
    info = plans.info(command(plan), [("x-quiver-endpoints", "4")])
    assert len(info.endpoints) > 1
    assert plans.read(info).num_rows == count - 10


def test_a_plan_is_listed_without_its_constants(plans):
    plan = fixture("isthmus-filter")
    run(plans, plan)
    texts = [text for (text,) in plans.rows("SELECT sql FROM system.queries")]
    assert f"SUBSTRAIT PLAN over orders ({len(plan)} bytes)" in [text.replace("ORDERS", "orders") for text in texts]


def test_it_is_advertised(plans):
    info = plans.command("CommandGetSqlInfo", info=[5, 6, 7]).to_pylist()
    assert {row["info_name"]: row["value"] for row in info} == {5: True, 6: "0.56.0", 7: "0.85.0"}


# Nothing is passed over in silence.


def test_the_filter_of_a_read_is_applied(plans):
    plan = s.plan(s.read(more=s.m((3, s.call("equal", s.col(0), s.lit(7))))), list(s.ORDERS))
    assert [row[0] for row in rows(plans, plan)] == [7]


def test_the_mask_of_a_read_comes_after_its_filter(plans):
    mask = s.m((1, s.m((1, s.m((1, 3))), (1, s.m((1, 0))))))
    read = s.read(more=s.m((3, s.call("equal", s.col(0), s.lit(7))), (4, mask)))
    assert rows(plans, s.plan(read, 2)) == [("done", 7)]


def test_an_emit_may_repeat_and_drop_columns(plans):
    read = s.filtered(s.read(), s.call("equal", s.col(0), s.lit(7)))
    plan = s.plan(s.project(read, s.call("add", s.col(0), s.lit(1)), output=[5, 0, 5]), 3)
    assert rows(plans, plan) == [(8, 7, 8)]


COUNT = [s.measure("count")]


def label(value) -> str:
    return "plan" if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(("rel", "expected"), [
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.col(5))), ROWS),
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.col(6)), 5), 7),
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.col(6)), 6), ROWS - 7),
    (s.join(s.read(), s.read(), s.call("equal", s.col(1), s.col(5)), 8), 7),
    (s.join(s.read(), s.read(), s.call("equal", s.col(1), s.col(5)), 9), ROWS - 7),
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.call("subtract", s.lit(-1), s.col(5))), 2), 2 * ROWS),
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.lit(-1)), 3), ROWS),
    (s.join(s.read(), s.read(), s.call("equal", s.col(0), s.col(5)), 1, s.m((5, s.call("lt", s.col(5), s.lit(9))))), 9),
    (s.cross(s.cross(s.one_row(), s.read()), s.one_row()), ROWS),
    (s.fetch(s.read(), s.m((3, 990), (4, 50))), 10),
    (s.fetch(s.read(), s.m((5, s.lit(10)))), ROWS - 10),
    (s.fetch(s.read(), s.m((6, s.lit(5)))), 5),
    (s.fetch(s.read(), s.m((4, -1))), ROWS),
    (s.set_of(5, s.one_row(), s.one_row(), s.one_row()), 1),
    (s.set_of(6, *[s.one_row()] * 128), 128),
    (s.set_of(1, s.read(), s.filtered(s.read(), s.call("lt", s.col(0), s.lit(9))), s.read()), 0),
    (s.set_of(1, s.read(), s.filtered(s.read(), s.call("lt", s.col(0), s.lit(9)))), ROWS - 9),
    (s.set_of(4, s.read(), s.read(), s.filtered(s.read(), s.call("lt", s.col(0), s.lit(9)))), 9),
    (s.set_of(3, s.filtered(s.read(), s.call("lt", s.col(0), s.lit(9))), s.read(), s.read()), 9),
    (s.filtered(s.read(), s.call("xor", s.call("lt", s.col(0), s.lit(9)), s.call("lt", s.col(0), s.lit(3)))), 6),
    (s.filtered(s.read(), s.call("and", *[s.call("gte", s.col(0), s.lit(n)) for n in range(ROWS)])), 1),
    (s.aggregate(s.read(), [s.col(3), s.col(1), s.col(3)], []), 14),
    (s.values(columns={"a": "i64"}), 0),
    # A customer's orders, by reference to the query around.
    (s.filtered(s.read(), s.exists(s.filtered(s.one_row(), s.call("equal", s.outer(1), s.col(0))))), 143),
    (s.filtered(s.read(), s.call("gt", s.col(0), s.scalar_subquery(
        s.aggregate(s.filtered(s.read(), s.call("equal", s.col(1), s.outer(1))), [], [s.measure("max", s.col(0))],
    )))), 0),
], ids=label)
def test_how_many_rows(plans, rel, expected):
    assert rows(plans, s.plan(s.aggregate(rel, [], COUNT), 1)) == [(expected,)]


def test_columns_of_equal_names_do_not_meet(plans):
    """The same table on both sides, each with a computed column, told apart by position."""
    side = s.project(s.read(), s.call("multiply", s.col(0), s.lit(10)), output=[0, 5])
    both = s.join(side, side, s.call("equal", s.col(0), s.call("subtract", s.col(2), s.lit(1))))
    plan = s.plan(s.filtered(both, s.call("equal", s.col(0), s.lit(7))), ["id", "id", "id", "id"])
    assert rows(plans, plan) == [(7, 70, 8, 80)]


def test_measures(plans):
    last = s.call("gte", s.col(0), s.lit(998))
    distinct = s.m((6, 2))
    rel = s.aggregate(s.read(), [], [
        s.measure("count"), s.measure("count"), s.measure("count", s.col(1), more=distinct),
        s.measure("sum", s.col(0), condition=last), s.measure("min", s.col(2)), s.measure("avg", s.col(0)),
    ])
    assert rows(plans, s.plan(rel, 6)) == [(1000, 1000, 7, 998 + 999, 0.0, 499.5)]


def test_measures_that_differ_in_a_cast_are_not_one(plans):
    """DataFusion gives both the same name, and refuses that: better than the value of the other."""
    whole = s.cast(s.col(2), s.type_of("i64"))
    rel = s.aggregate(s.read(), [], [s.measure("sum", s.col(2)), s.measure("sum", whole)])
    refused(plans, s.plan(rel, 2), "INVALID_ARGUMENT")


def test_groups_come_in_the_order_of_their_declaration(plans):
    def grouped(references: bytes) -> bytes:
        keys = [(5, s.col(1)), (5, s.col(3))]
        return s.m((4, s.m((2, s.read()), (3, s.m((2, references))), (4, s.measure("count")), *keys)))

    for references in (b"\x00\x01", b"\x01\x00"):
        found = run(plans, s.plan(grouped(references), 3))
        assert [str(kind) for kind in found.schema.types] == ["int64", "string", "int64"]
    refused(plans, s.plan(grouped(b"\x01"), 2), "INVALID_ARGUMENT", mentions="group by each")


def test_options_that_are_not_fulfilled_are_refused(plans):
    def option(name: str, wish: str, field: int = 5) -> bytes:
        return s.m((field, s.m((1, name), (2, wish))))

    def rounded(wish: str) -> bytes:
        call = s.call("round", s.lit(2.5), s.lit(0), options=option("rounding", wish))
        return s.plan(s.project(s.one_row(), call, output=[1]), 1)

    refused(plans, rounded("TIE_TO_EVEN"), "UNIMPLEMENTED", mentions="rounding")
    assert rows(plans, rounded("TIE_AWAY_FROM_ZERO")) == [(3.0,)]
    population = s.measure("stddev", s.col(2), more=option("distribution", "POPULATION", 8))
    refused(plans, s.plan(s.aggregate(s.read(), [], [population]), 1), "UNIMPLEMENTED", mentions="distribution")


def test_a_parameter_has_the_type_that_its_plan_declares(driver):
    halved = s.call("divide", s.parameter(0, "i64"), s.cast(s.lit(2), s.type_of("i64")))
    with driver.cursor() as cursor:
        cursor.execute(s.plan(s.project(s.one_row(), halved, output=[1]), 1), (5.0,))
        assert cursor.fetchall() == [(2,)]


def test_fields_of_a_struct_are_those_of_the_table(plans, name):
    pairs = pa.array([{"x": 1, "y": 10}], pa.struct([("x", pa.int64()), ("y", pa.int64())]))
    plans.put(("main", name), pa.table({"s": pairs}), [("x-create", "true")])
    pair = s.m((25, s.m((1, s.type_of("i64")), (1, s.type_of("i64")))))

    def first_field(*names: str) -> bytes:
        base = s.m((1, "s"), *[(1, name) for name in names], (2, s.m((1, pair))))
        read = s.m((1, s.m((2, base), (7, s.m((1, "main"), (1, name))))))
        field = s.m((2, s.m((1, s.m((2, s.m((1, 0), (2, s.m((2, s.m((1, 0)))))))))) + s.m(s.ROOT)))
        return s.plan(s.project(read, field, output=[1]), 1)

    assert rows(plans, first_field("x", "y")) == [(1,)]
    refused(plans, first_field("y", "x"), "INVALID_ARGUMENT", mentions="fields of column")


def test_a_fetch_without_count_means_what_its_version_says(plans):
    rel = s.aggregate(s.fetch(s.read()), [], COUNT)
    assert rows(plans, s.plan(rel, 1, version=63)) == [(ROWS,)]
    assert rows(plans, s.plan(rel, 1, version=62)) == [(0,)]
    refused(plans, s.plan(rel, 1, version=None), "INVALID_ARGUMENT", mentions="version")


ENHANCED = s.m((10, s.m((2, s.m((1, "type.googleapis.com/x"))))))


@pytest.mark.parametrize(("rel", "mentions"), [
    (s.m((13, s.m((2, s.read())))), "HashJoinRel"),
    (s.m((15, s.m((2, s.read()), (3, 200_000_000)))), "ExchangeRel"),
    (s.m((21, s.m((1, 0)))), "ReferenceRel"),
    (s.m((23, s.m((2, s.read())))), "TopNRel"),
    (s.m((9, s.m((2, s.read())))), "ExtensionSingleRel"),
    (s.m((99, s.m((2, s.read())))), "unknown"),
    (s.read(more=ENHANCED), "enhancement"),
    (s.sort(s.read(), s.col(0), 5), "clustered"),
    (s.join(s.read(), s.read(), s.lit(True), 7), "single"),
    (s.join(s.read(), s.read(), s.lit(True), 3, s.m((5, s.lit(True)))), "post_join_filter"),
    (s.set_of(7, s.read(), s.read()), "MINUS_PRIMARY_ALL"),
    (s.aggregate(s.read(), [s.col(0)], [], s.m((3, s.m((1, s.col(1)))))), "grouping sets"),
    (s.aggregate(s.read(), [], [s.measure("sum", s.col(0), more=s.m((4, 1)))]), "intermediate"),
    (s.aggregate(s.read(), [], [s.measure("frobnicate", s.col(0))]), "frobnicate"),
    (s.filtered(s.read(), s.call("frobnicate:any", s.col(0))), "frobnicate"),
    (s.filtered(s.read(), s.call("sum", s.col(0))), "sum"),
    (s.project(s.read(), s.call("add", s.col(0), s.lit(1), options=s.m((5, s.m((1, "overflow"), (2, "ERROR")))))),
     "overflow"),
    (s.project(s.read(), s.m((15, b""))), "Lambda"),
    (s.project(s.read(), s.m((44, b""))), "unknown"),
    (s.project(s.read(), s.m((2, s.m((2, b""), s.ROOT)))), "masked"),
    (s.project(s.read(), s.col(0, (6, b""))), "lambda"),
    (s.project(s.read(), s.m((1, s.m((7, 1), (51, 3))))), "variation"),
    (s.project(s.read(), s.cast(s.col(0), s.m((7, s.m((1, 1)))))), "variation"),
    (s.project(s.read(), s.literal(30, b"")), "list"),
    (s.filtered(s.read(), s.m((5, s.m((1, s.anchor("row_number")))))), "outside a ProjectRel"),
], ids=label)
def test_refused_by_name(plans, rel, mentions):
    refused(plans, s.plan(rel, 6), "UNIMPLEMENTED", mentions=mentions)


@pytest.mark.parametrize(("more", "mentions"), [
    (s.m((7, b"")), "parameter_bindings"),
    (s.m((4, s.m((2, b"")))), "enhancement"),
    (s.m((2, s.m((2, s.m((2, 1), (3, "odd")))))), "variation"),
], ids=label)
def test_parts_of_a_plan_refused_by_name(plans, more, mentions):
    refused(plans, s.plan(s.read(), list(s.ORDERS), more), "UNIMPLEMENTED", mentions=mentions)


# Tables.


def test_names_of_a_table(plans):
    for names in (["orders"], ["ORDERS"], ["main", "orders"], ["plans", "main", "orders"]):
        assert len(rows(plans, s.plan(s.read(*names), 5))) == ROWS
    refused(plans, s.plan(s.read("a", "plans", "main", "orders"), 5), "INVALID_ARGUMENT", mentions="4 names")


def test_tables_that_are_not_there(plans, tenants):
    for names in (["nowhere"], ["elsewhere", "orders"], ["bare", "main", "orders"], ["default", "main", "orders"]):
        refused(plans, s.plan(s.read(*names), 5), "NOT_FOUND", mentions=".".join(names))
    for names in (["orders"], ["main", "orders"], ["plans", "main", "orders"]):
        refused(tenants["bare"], s.plan(s.read(*names), 5), "NOT_FOUND", mentions=".".join(names))


def test_columns_are_found_by_name(plans):
    columns = {"STATUS": "string", "id": "i32"}
    assert (("done", 7) in rows(plans, s.plan(s.read(columns=columns), 2)))
    refused(plans, s.plan(s.read(columns={"gone": "i64"}), 1), "INVALID_ARGUMENT", mentions="gone")
    refused(plans, s.plan(s.read(columns={"id": "string"}), 1), "INVALID_ARGUMENT", mentions="id")


def test_system_tables_can_be_read(plans):
    plan = s.plan(s.read("information_schema", "tables", columns={"table_name": "string"}), 1)
    assert ("orders",) in rows(plans, plan)


def test_a_changed_table_is_planned_anew(plans):
    plans.execute("CREATE TABLE changing (id BIGINT)")
    plan = s.plan(s.read("changing", columns={"id": "i64"}), 1)
    assert rows(plans, plan) == []
    plans.execute("INSERT INTO changing VALUES (1)")
    assert rows(plans, plan) == [(1,)]
    plans.execute("DROP TABLE changing")
    refused(plans, plan, "NOT_FOUND", mentions="changing")


# Malformed and hostile plans.


def nested(count: int, value: bytes, wrap) -> bytes:
    for _ in range(count):
        value = wrap(value)
    return value


def doubled(rel: bytes) -> bytes:
    return s.project(rel, s.call("add", s.col(0), s.col(0)), output=[1])


def inverted(value: bytes) -> bytes:
    return s.call("not", value)


def correlated(rel: bytes) -> bytes:
    return s.filtered(s.read(), s.exists(s.filtered(rel, s.call("equal", s.col(0), s.outer(0)))))


INTERVAL = s.literal(19, s.m((1, 2**31 - 1), (2, 12)))
DECIMAL = s.literal(24, s.m((1, b"\xff" * 16), (2, 99), (3, 3)))
MALFORMED = {
    "no_relation": s.m((6, s.m((2, 85)))),
    "no_input": s.m((3, s.m((2, s.m((2, "a")))))),
    "filter_without_input": s.plan(s.m((2, b"")), 0),
    "filter_without_condition": s.plan(s.m((2, s.m((2, s.read())))), 5),
    "join_without_sides": s.plan(s.m((6, s.m((6, 1)))), 0),
    "field_beyond": s.plan(s.filtered(s.read(), s.call("equal", s.col(99), s.lit(1))), 5),
    "field_negative": s.plan(s.filtered(s.read(), s.call("equal", s.col(-1), s.lit(1))), 5),
    "emit_beyond": s.plan(s.project(s.read(), s.lit(1), output=[77]), 1),
    "mask_beyond": s.plan(s.read(more=s.m((4, s.m((1, s.m((1, s.m((1, 50))))))))), 1),
    "group_beyond": s.plan(s.m((4, s.m((2, s.read()), (3, s.m((2, b"\x05"))), (4, COUNT[0])))), 2),
    "outer_at_top": s.plan(s.filtered(s.read(), s.call("equal", s.outer(0), s.lit(1))), 5),
    "outer_of_no_steps": s.plan(s.filtered(s.read(), s.call("equal", s.outer(0, 0), s.lit(1))), 5),
    "names_too_few": s.plan(s.read(), 4),
    "names_too_many": s.plan(s.read(), 6),
    "base_schema_names": s.plan(s.m((1, s.m((2, s.m((1, "id"), (2, b""))), (7, s.m((1, "orders")))))), 1),
    "undeclared_function": s.plan(s.project(s.read(), s.m((3, s.m((1, 999))))), 6),
    "function_without_arguments": s.plan(s.project(s.read(), s.call("equal")), 6),
    "filter_by_a_number": s.plan(s.filtered(s.read(), s.lit(1)), 5),
    "if_of_nothing": s.plan(s.project(s.read(), s.m((6, s.m((1, b""), (1, b""))))), 6),
    "if_without_branches": s.plan(s.project(s.read(), s.m((6, b""))), 6),
    "in_list_without_value": s.plan(s.filtered(s.read(), s.m((8, b""))), 5),
    "cast_of_nothing": s.plan(s.project(s.read(), s.m((11, s.m((1, s.type_of("i64")))))), 6),
    "cast_to_nothing": s.plan(s.project(s.read(), s.m((11, s.m((2, s.col(0)))))), 6),
    "decimal_of_99_digits": s.plan(s.project(s.read(), DECIMAL), 6),
    "interval_too_long": s.plan(s.project(s.read(), INTERVAL), 6),
    "binary_of_2_gib": s.plan(s.project(s.read(), s.literal(29, s.m((23, s.m((1, 2**31 - 1)))))), 6),
    "binary_of_minus_7": s.plan(s.project(s.read(), s.literal(29, s.m((23, s.m((1, -7)))))), 6),
    "fetch_negative": s.plan(s.fetch(s.read(), s.m((6, s.lit(-5)))), 5),
    "fetch_of_text": s.plan(s.fetch(s.read(), s.m((6, s.lit("x")))), 5),
    "fetch_twice": s.plan(s.fetch(s.read(), s.m((4, 1), (6, s.lit(1)))), 5),
    "values_too_short": s.plan(s.values([s.lit(1)], columns={"a": "i64", "b": "i64"}), 2),
    "values_of_a_column": s.plan(s.values([s.col(0)], columns={"a": "i64"}), 1),
    "values_of_text": s.plan(s.values([s.lit("x")], columns={"a": "i64"}), 1),
    "no_table_name": s.plan(s.m((1, s.m((2, s.base_schema(s.ORDERS)), (7, b"")))), 5),
    "number_as_time": s.plan(s.project(s.read(), s.cast(s.col(0), s.m((14, b"")))), 6),
    "two_functions_of_one_anchor": s.plan(s.read(), 5, s.m(*[(2, s.m((3, s.m((2, 9999), (3, "x")))))] * 2)),
    # Too much of something.
    "emit_20k": s.plan(s.project(s.read(), s.lit(1), output=[0] * 20_000), 20_000),
    "literals_5k": s.plan(s.project(s.read(), *[s.lit(1)] * 5000), 5005),
    "and_of_100k": s.plan(s.filtered(s.read(), s.call("and", *[s.lit(True)] * 60_000)), 5),
    "add_of_2k": s.plan(s.project(s.one_row(), s.call("add", *[s.lit(1)] * 2000)), 2),
    "union_of_129": s.plan(s.set_of(6, *[s.one_row()] * 129), 1),
    "except_of_2k": s.plan(s.set_of(1, *[s.one_row()] * 2000), 1),
    "parameter_4_billion": s.plan(s.project(s.one_row(), s.parameter(2**32 - 1, "i64")), 2),
    "nested_60_deep": s.plan(nested(60, s.read(), lambda rel: s.filtered(rel, s.lit(True))), 5),
    "subqueries_11_deep": s.plan(nested(11, s.read(), correlated), 5),
    "columns_60k": s.plan(s.set_of(6, *[s.project(s.one_row(), *[s.lit(1)] * 300)] * 128), 301),
    "doubled_40_times": s.plan(s.filtered(nested(40, s.one_row(), doubled), s.call("gt", s.col(0), s.lit(0))), 1),
    "values_60k": s.plan(s.values(*[[s.lit(1)]] * 60_000, columns={"a": "i64"}), 1),
    "two_megabytes": s.plan(s.project(s.one_row(), s.lit("x" * (2 << 20))), 2),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_plans(plans, name):
    began = time.monotonic()
    refused(plans, MALFORMED[name], "INVALID_ARGUMENT")
    assert time.monotonic() - began < SECONDS_MAX
    assert rows(plans, s.plan(s.aggregate(s.one_row(), [], COUNT), 1)) == [(1,)]


EQUAL = s.call("equal", s.col(0), s.lit(1))
# As deep and as wide as is allowed: any answer will do, but there must be one.
LARGE = {
    "filters": s.plan(nested(45, s.read(), lambda rel: s.filtered(rel, EQUAL)), 5),
    "projects": s.plan(nested(45, s.one_row(), lambda rel: s.project(rel, s.call("add", s.col(0), s.lit(1)), output=[1])), 1),
    "nots": s.plan(s.filtered(s.read(), nested(28, EQUAL, inverted)), 5),
    "xors": s.plan(s.filtered(s.one_row(), nested(28, EQUAL, lambda e: s.call("xor", e, s.lit(True)))), 1),
    "casts": s.plan(s.project(s.read(), nested(40, s.col(0), lambda e: s.cast(e, s.type_of("i64")))), 6),
    "doubled": s.plan(s.filtered(nested(14, s.one_row(), doubled), s.call("gt", s.col(0), s.lit(0))), 1),
    "subqueries": s.plan(nested(10, s.read(), correlated), 5),
    "unions": s.plan(nested(40, s.one_row(), lambda rel: s.set_of(5, rel, s.one_row(), s.one_row())), 1),
    "intersections": s.plan(s.set_of(4, *[s.one_row()] * 128), 1),
    "minus": s.plan(nested(40, s.one_row(), lambda rel: s.set_of(1, rel, s.one_row(), s.one_row())), 1),
    "crossed": s.plan(nested(40, s.one_row(), lambda rel: s.cross(rel, s.one_row())), 41),
    "grouped": s.plan(nested(40, s.read(), lambda rel: s.aggregate(rel, [s.col(0)], [])), 1),
    "emit_2k": s.plan(s.project(s.read(), s.lit(1), output=[0] * 2000), 2000),
    "literals_2k": s.plan(s.project(s.one_row(), *[s.lit(1)] * 2000), 2001),
    "or_2k": s.plan(s.filtered(s.read(), s.call("or", *[EQUAL] * 2000)), 5),
    "in_2k": s.plan(s.filtered(s.read(), s.m((8, s.m((1, s.col(0)), *[(2, s.lit(n)) for n in range(2000)])))), 5),
    "fetch_most": s.plan(s.fetch(s.read(), s.m((5, s.lit(2**63 - 1)), (6, s.lit(2**63 - 1)))), 5),
    "repeat": s.plan(s.project(s.one_row(), s.call("repeat", s.lit("x" * 1000), s.lit(2**40))), 2),
    "outer_in_project": s.plan(s.project(s.read(), s.scalar_subquery(s.project(s.one_row(), s.outer(0), output=[1]))), 6),
    "outer_two_steps": s.plan(s.filtered(s.read(), s.exists(s.filtered(
        s.read(), s.exists(s.filtered(s.read(), s.call("equal", s.col(0), s.outer(0, 2)))),
    ))), 5),
    "subquery_in_join": s.plan(s.join(s.read(), s.read(), s.in_subquery(s.col(0), s.one_row())), 10),
    "subquery_in_sort": s.plan(s.sort(s.read(), s.scalar_subquery(s.one_row())), 5),
    "subquery_in_measure": s.plan(s.aggregate(s.read(), [], [s.measure("sum", s.scalar_subquery(s.one_row()))]), 1),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_plans_end_in_an_answer(plans, name):
    began = time.monotonic()
    try:
        run(plans, LARGE[name])
    except CLIENT_ERRORS as error:
        code, message = code_and_message(error)
        assert code in ("INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"), message
        print(name, code, message)
    assert time.monotonic() - began < SECONDS_MAX
    assert rows(plans, s.plan(s.aggregate(s.one_row(), [], COUNT), 1)) == [(1,)]


def test_plans_cut_short(plans):
    """Whatever the first half of a plan says, it is answered."""
    whole = fixture("isthmus-join")
    for length in range(0, len(whole), 7):
        try:
            run(plans, whole[:length])
        except CLIENT_ERRORS as error:
            assert_refused(error, "INVALID_ARGUMENT", "UNIMPLEMENTED", "NOT_FOUND")
