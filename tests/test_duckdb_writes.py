"""DuckDB writes to the catalog while the server is stopped; afterwards both read the same, at every
snapshot, whichever of them goes on writing.

A change DuckDB can make is a line in SCENARIOS, for a table of its own; what Quiver does not read
yet is one in REFUSED, with the reason it gives.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quiver_testing import exact, lake
from quiver_testing.duck import Duck, DuckError
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.random_tables import TEXTS, quoted
from quiver_testing.server import NO_TIMED_FLUSH, Server

NO_INLINING = "DATA_INLINING_ROW_LIMIT 0"
REWRITE = "CALL ducklake_rewrite_data_files('lake', '$t', delete_threshold => 0.01)"
MERGE_FILES = "CALL ducklake_merge_adjacent_files('lake', '$t')"
# Rows, and deletions, that stay in the catalog.
LET_INLINE = "CALL lake.set_option('data_inlining_row_limit', 100, table_name => '$t')"
INLINE_FEW = "CALL lake.set_option('data_inlining_row_limit', 5, table_name => '$t')"
FLUSH_INLINED = "CALL ducklake_flush_inlined_data('lake', table_name => '$t')"

# By table, written $t, the statements of the first visit, and of the second.
SCENARIOS: dict[str, tuple[list[str], list[str]]] = {
    "inserted": (["INSERT INTO $t SELECT i, i, i / 4, 'new' FROM range(100, 140) r(i)"], []),
    "deleted": (["DELETE FROM $t WHERE id % 3 = 0"], ["DELETE FROM $t WHERE id % 3 = 1"]),
    "deleted_at_once": (
        ["BEGIN", "DELETE FROM $t WHERE id = 7", "DELETE FROM $t WHERE id = 8", "COMMIT"],
        [],
    ),
    "file_deleted": (
        ["DELETE FROM $t WHERE id < 20"],
        ["DELETE FROM $t WHERE id = 30", "DELETE FROM $t WHERE id < 40"],
    ),
    "emptied": (["DELETE FROM $t"], ["TRUNCATE $t"]),
    "updated": (
        ["UPDATE $t SET n = 1 WHERE id < 9"],
        ["UPDATE $t SET n = 2 WHERE id < 5", "UPDATE $t SET n = 3 WHERE id < 3"],
    ),
    "updated_wholly": (["UPDATE $t SET v = v || '!'"], ["UPDATE $t SET id = -id"]),
    "merged_into": (
        [
            "MERGE INTO $t USING (VALUES (1, 'one'), (500, 'new')) AS s(k, v) ON $t.id = s.k "
            "WHEN MATCHED THEN UPDATE SET v = s.v "
            "WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.k, s.v)"
        ],
        ["MERGE INTO $t USING (VALUES (500), (3)) AS s(k) ON $t.id = s.k WHEN MATCHED THEN DELETE"],
    ),
    "in_a_transaction": (
        [
            "BEGIN",
            "INSERT INTO $t VALUES (200, 1, 1, 'a'), (201, 2, 2, 'b')",
            "DELETE FROM $t WHERE id = 200",
            "UPDATE $t SET v = 'c' WHERE id IN (3, 201)",
            "CREATE TABLE $t_copy AS SELECT id FROM $t",
            "COMMIT",
        ],
        [
            "BEGIN",
            "ALTER TABLE $t ADD COLUMN late VARCHAR",
            "INSERT INTO $t VALUES (202, 1, 1, 'a', 'b')",
            "COMMIT",
        ],
    ),
    "files_merged": (
        ["INSERT INTO $t VALUES (300, 1, 1, 'a')", MERGE_FILES],
        ["DELETE FROM $t WHERE id = 300", MERGE_FILES],
    ),
    "files_merged_late": (
        [
            "DELETE FROM $t WHERE id = 7",
            "INSERT INTO $t VALUES (300, 1, 1, 'a')",
            "INSERT INTO $t VALUES (301, 1, 1, 'b')",
        ],
        [
            MERGE_FILES,
            "DELETE FROM $t WHERE id IN (300, 9)",
            "UPDATE $t SET v = 'm' WHERE id = 301",
        ],
    ),
    "rewritten": (
        ["DELETE FROM $t WHERE id % 5 = 0", REWRITE],
        ["DELETE FROM $t WHERE id % 5 = 1", REWRITE, MERGE_FILES],
    ),
    "column_added": (
        ["ALTER TABLE $t ADD COLUMN more VARCHAR"],
        ["INSERT INTO $t VALUES (300, 1, 1, 'a', 'more')"],
    ),
    "column_added_and_merged": (
        [
            "ALTER TABLE $t ADD COLUMN more VARCHAR",
            "INSERT INTO $t VALUES (300, 1, 1, 'a', 'more')",
        ],
        ["DELETE FROM $t WHERE id % 5 = 0", REWRITE, MERGE_FILES],
    ),
    "column_dropped": (["ALTER TABLE $t DROP COLUMN n"], ["DELETE FROM $t WHERE id = 3"]),
    "columns_widened": (
        ["ALTER TABLE $t ALTER n TYPE BIGINT", "ALTER TABLE $t ALTER f TYPE DOUBLE"],
        ["INSERT INTO $t VALUES (300, 5000000000, 0.1, 'wide')", REWRITE],
    ),
    "partitioned": (
        [
            "ALTER TABLE $t SET PARTITIONED BY (v, bucket(4, id))",
            "INSERT INTO $t VALUES (300, 1, 1, 'a/b=c %'), (301, 2, 2, NULL)",
        ],
        [
            "DELETE FROM $t WHERE id = 301",
            "UPDATE $t SET v = 'other' WHERE id IN (4, 300)",
            "ALTER TABLE $t RESET PARTITIONED BY",
        ],
    ),
    "sorted": (
        [
            "ALTER TABLE $t SET SORTED BY (n DESC NULLS FIRST)",
            "INSERT INTO $t VALUES (300, 2, 1, 'a'), (301, 3, 1, 'b')",
        ],
        [],
    ),
    "table_renamed": (
        [
            "ALTER TABLE $t RENAME TO $t_moved",
            "DELETE FROM $t_moved WHERE id = 9",
            "ALTER TABLE $t_moved RENAME TO $t",
        ],
        [],
    ),
    "commented": (
        ["COMMENT ON TABLE $t IS 'about it'", "COMMENT ON COLUMN $t.id IS 'about id'"],
        [],
    ),
    "with_types": (
        [
            "CREATE TABLE $t_typed (b BOOLEAN, i TINYINT, u UBIGINT, d DECIMAL(38, 10), t TIME, "
            "ts TIMESTAMP, tz TIMESTAMPTZ, "
            "dt DATE, bl BLOB, l VARCHAR[], s STRUCT(x INTEGER, y STRUCT(z VARCHAR)))",
            "INSERT INTO $t_typed VALUES (true, -128, 18446744073709551615, -0.5, '01:02:03.5', "
            "'1969-12-31 23:59:59.9', '2020-01-01 00:00:00+02', '0001-01-01', '\\xAA\\x00', "
            "['a', NULL], {'x': 1, 'y': {'z': 'q'}}), "
            "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        ],
        ["DELETE FROM $t_typed WHERE b"],
    ),
    "defaults_added": (
        [
            "ALTER TABLE $t ADD COLUMN d INTEGER DEFAULT -7",
            "ALTER TABLE $t ADD COLUMN e VARCHAR DEFAULT 'it''s'",
            "ALTER TABLE $t ADD COLUMN g DECIMAL(9, 2) DEFAULT 1.5",
            "ALTER TABLE $t ADD COLUMN h TIMESTAMPTZ DEFAULT '2020-01-02 03:04:05.6+02'",
            "ALTER TABLE $t ADD COLUMN i BLOB DEFAULT '\\xAA\\x00'",
            "ALTER TABLE $t ADD COLUMN j BOOLEAN DEFAULT 'true'",
            "ALTER TABLE $t ADD COLUMN k DOUBLE DEFAULT 'nan'",
            "INSERT INTO $t (id) VALUES (900)",
            "DELETE FROM $t WHERE id = 3",
        ],
        ["ALTER TABLE $t ALTER d SET DEFAULT 8", "UPDATE $t SET d = 1 WHERE id = 900", REWRITE],
    ),
    "renamed": (
        ["ALTER TABLE $t RENAME COLUMN n TO number", "INSERT INTO $t (id, number) VALUES (900, 1)"],
        ["ALTER TABLE $t RENAME f TO g", "DELETE FROM $t WHERE id = 4", REWRITE, MERGE_FILES],
    ),
    "named_again": (
        ["ALTER TABLE $t DROP COLUMN n", "ALTER TABLE $t ADD COLUMN n INTEGER"],
        ["INSERT INTO $t (id, n) VALUES (900, 1)", MERGE_FILES],
    ),
    "widened": (
        ["ALTER TABLE $t ALTER n SET DATA TYPE BIGINT", "ALTER TABLE $t ALTER f TYPE DOUBLE"],
        ["INSERT INTO $t (id, n, f) VALUES (900, 5000000000, 0.1)"],
    ),
    "struct_evolved": (
        [
            "ALTER TABLE $t ADD COLUMN s STRUCT(a INTEGER, b VARCHAR)",
            "INSERT INTO $t (id, s) VALUES (900, {'a': 1, 'b': 'x'}), (901, NULL)",
            "ALTER TABLE $t ADD COLUMN s.c DOUBLE",
            "INSERT INTO $t (id, s) VALUES (902, {'a': 2, 'b': 'y', 'c': 0.5})",
        ],
        [
            "ALTER TABLE $t DROP COLUMN s.a",
            "ALTER TABLE $t RENAME COLUMN s.b TO z",
            "INSERT INTO $t (id, s) VALUES (903, {'z': 'z', 'c': 1.5})",
        ],
    ),
}

SCENARIOS |= {
    "inlined": (
        [
            LET_INLINE,
            "INSERT INTO $t VALUES (300, 1, 1, 'a'), (301, 2, 2, NULL), (302, NULL, NULL, 'NULL')",
            "INSERT INTO $t VALUES (303, 4, 'nan', '')",
            "DELETE FROM $t WHERE id IN (301, 3)",
            "UPDATE $t SET v = 'inlined' WHERE id IN (302, 4, 8)",
        ],
        [
            "DELETE FROM $t WHERE id IN (303, 6, 22, 42)",
            "UPDATE $t SET v = 'again' WHERE id IN (302, 4, 48)",
            "INSERT INTO $t VALUES (304, 1, -0.0, 'b')",
        ],
    ),
    "inlined_evolved": (
        [
            LET_INLINE,
            "INSERT INTO $t VALUES (300, 1, 0.1, 'a')",
            "ALTER TABLE $t ADD COLUMN more INTEGER DEFAULT 7",
            "INSERT INTO $t VALUES (301, 2, 2, 'b', 8)",
            "ALTER TABLE $t RENAME COLUMN n TO m",
            "ALTER TABLE $t ALTER m TYPE BIGINT",
            "ALTER TABLE $t ALTER f TYPE DOUBLE",
            "INSERT INTO $t VALUES (302, 5000000000, 0.1, 'c', 9)",
            "UPDATE $t SET v = 'd' WHERE id IN (300, 301)",
            "ALTER TABLE $t DROP COLUMN more",
            "DELETE FROM $t WHERE id = 302",
        ],
        [
            "INSERT INTO $t VALUES (303, 1, 1, 'e')",
            "ALTER TABLE $t ADD COLUMN s STRUCT(a INTEGER)",
            "INSERT INTO $t (id, s) VALUES (304, {'a': 1}), (305, {'a': NULL}), (306, NULL)",
            "ALTER TABLE $t ADD COLUMN s.b VARCHAR",
            "INSERT INTO $t (id, s) VALUES (307, {'a': 2, 'b': 'x'})",
        ],
    ),
    "inlined_and_emptied": (
        [LET_INLINE, "INSERT INTO $t (id) VALUES (300)", "DELETE FROM $t WHERE id = 3", "DELETE FROM $t"],
        ["INSERT INTO $t (id) VALUES (301), (302)", "DELETE FROM $t WHERE id = 301", "TRUNCATE $t"],
    ),
    "inlined_beside_lists": (
        [
            INLINE_FEW,
            "DELETE FROM $t WHERE id BETWEEN 10 AND 18",
            "DELETE FROM $t WHERE id = 3",
            "DELETE FROM $t WHERE id BETWEEN 30 AND 38",
        ],
        ["DELETE FROM $t WHERE id = 4", "DELETE FROM $t WHERE id < 20", "DELETE FROM $t WHERE id = 39"],
    ),
    "inlined_before_lists": (
        [
            INLINE_FEW,
            "DELETE FROM $t WHERE id = 3",
            "DELETE FROM $t WHERE id BETWEEN 10 AND 18",
            "DELETE FROM $t WHERE id = 23",
            "DELETE FROM $t WHERE id BETWEEN 20 AND 39",
        ],
        ["DELETE FROM $t WHERE id = 43", "DELETE FROM $t"],
    ),
    "inlined_and_rewritten": (
        [
            INLINE_FEW,
            "DELETE FROM $t WHERE id BETWEEN 10 AND 18",
            "DELETE FROM $t WHERE id = 3",
            REWRITE,
            "DELETE FROM $t WHERE id = 4",
        ],
        ["DELETE FROM $t WHERE id = 23", MERGE_FILES, REWRITE],
    ),
    "inlined_and_gone": (
        [
            "CREATE TABLE $t_gone (id BIGINT)",
            INLINE_FEW.replace("$t", "$t_gone"),
            "INSERT INTO $t_gone SELECT range FROM range(12)",
            "INSERT INTO $t_gone SELECT range FROM range(20, 40)",
            *(f"DELETE FROM $t_gone WHERE id IN ({n}, {n + 1}, {n + 2}, {n + 3})" for n in (0, 4, 8)),
            "DELETE FROM $t_gone WHERE id BETWEEN 20 AND 29",
            "DELETE FROM $t_gone WHERE id = 30",
            "DROP TABLE $t_gone",
        ],
        [],
    ),
    "inlined_at_once": (
        [
            LET_INLINE,
            "BEGIN",
            "INSERT INTO $t (id, v) VALUES (300, 'a'), (301, 'b')",
            "DELETE FROM $t WHERE id IN (300, 3)",
            "UPDATE $t SET v = 'c' WHERE id IN (301, 4)",
            "COMMIT",
        ],
        ["BEGIN", "ALTER TABLE $t ADD COLUMN late VARCHAR", "INSERT INTO $t (id) VALUES (302)", "COMMIT"],
    ),
    "inlined_and_flushed": (
        [
            LET_INLINE,
            "INSERT INTO $t (id, v) VALUES (300, 'a'), (301, 'b')",
            "UPDATE $t SET v = 'c' WHERE id IN (300, 4)",
            "DELETE FROM $t WHERE id IN (301, 3)",
            FLUSH_INLINED,
            "DELETE FROM $t WHERE id IN (5, 300)",
        ],
        ["INSERT INTO $t (id) VALUES (302)", "DELETE FROM $t WHERE id IN (302, 6)", FLUSH_INLINED],
    ),
    "inlined_and_dropped": (
        [
            "CREATE TABLE $t_dropped (id BIGINT, v VARCHAR)",
            LET_INLINE.replace("$t", "$t_dropped"),
            "INSERT INTO $t_dropped VALUES (1, 'a'), (2, 'b')",
            "DELETE FROM $t_dropped WHERE id = 1",
            "DROP TABLE $t_dropped",
            LET_INLINE,
            "INSERT INTO $t (id) VALUES (300)",
        ],
        [],
    ),
    "inlined_and_partitioned": (
        [LET_INLINE, "ALTER TABLE $t SET PARTITIONED BY (v)", "INSERT INTO $t (id, v) VALUES (300, 'a')"],
        ["DELETE FROM $t WHERE id IN (300, 3)"],
    ),
}

# What Quiver does not read, and the reason it gives.
REFUSED: dict[str, tuple[list[str], str]] = {
    "inlined value": (
        [
            "ALTER TABLE $t ADD COLUMN day DATE",
            LET_INLINE,
            "INSERT INTO $t (id, day) VALUES (300, '2020-01-01'), (301, 'infinity')",
        ],
        "a value of column 'day' that another program keeps in the catalog",
    ),
}



@pytest.fixture
def server(make_server) -> Server:
    return make_server(settings=NO_TIMED_FLUSH).start()


@pytest.fixture
def duck():
    with Duck() as duck:
        yield duck


def create(server: Server, tables: list[str]) -> None:
    """Tables of several files each, with rows that Quiver deleted and updated itself."""
    with Flight(server.uri) as client:
        for table in tables:
            client.execute(f"CREATE TABLE {table} (id BIGINT, n INTEGER, f REAL, v VARCHAR)")
        for first in (0, 20, 40):
            rows = ", ".join(
                f"({n}, {n % 7}, {n / 8 + 1}, 'v{n % 5}')" for n in range(first, first + 20)
            )
            for table in tables:
                client.execute(f"INSERT INTO {table} VALUES {rows}")
            client.query("CALL system.flush()")
        for table in tables:
            client.execute(f"DELETE FROM {table} WHERE id IN (5, 25, 26)")
            client.execute(f"UPDATE {table} SET v = 'updated' WHERE id IN (8, 48)")
        client.query("CALL system.flush()")


def write_on(server: Server, tables: list[str]) -> None:
    """Quiver inserts, deletes and updates, over files of both."""
    with Flight(server.uri) as client:
        for table in tables:
            client.execute(
                f"INSERT INTO {table} (id, v) VALUES (600, 'quiver'), (601, NULL), (602, 'gone')"
            )
            client.execute(f"DELETE FROM {table} WHERE id IN (1, 21, 41, 300, 602)")
            client.execute(
                f"UPDATE {table} SET v = 'quiver again' WHERE id IN (2, 22, 42, 301, 601)"
            )
        client.query("CALL system.flush()")


def visit(server: Server, duck: Duck, statements: list[str]) -> None:
    """What DuckDB does between a stop of the server and its next start."""
    assert server.stop() == 0, server.log()[-4000:]
    duck.attach(server.catalog_path, NO_INLINING)
    for statement in statements:
        duck.execute(statement)
    duck.detach()


def on(table: str, statements: list[str]) -> list[str]:
    return [statement.replace("$t", table) for statement in statements]


def assert_agree(server: Server, duck: Duck, *, history: bool = False) -> None:
    """Both show the same tables, now, and as they were at each snapshot that changed them."""
    duck.attach(server.catalog_path)
    names = duck.query("SHOW TABLES").column(0).to_pylist()
    places = [*names, *(old_tables(duck) if history else [])]
    with Flight(server.uri) as client:
        differences = [
            found for place in places if (found := difference(place, client.query, duck.query))
        ]
    duck.detach()
    assert not differences, "\n".join(differences)


def old_tables(duck: Duck) -> list[str]:
    """Each table at each snapshot that names it."""
    tables = duck.query("SELECT table_name, table_id FROM ducklake_table_info('lake')").to_pylist()
    snapshots = duck.query("SELECT snapshot_id, changes FROM lake.snapshots()").to_pylist()
    return [
        f"{table['table_name']} AT (VERSION => {snapshot['snapshot_id']})"
        for table in tables
        for snapshot in snapshots
        if any(str(table["table_id"]) in changed for _, changed in snapshot["changes"])
    ]


def difference(table: str, ours: Callable, theirs: Callable) -> str | None:
    """What the two show differently: columns, rows, or whether there is such a table."""
    sql = f"SELECT * FROM {table}"
    try:
        expected = theirs(sql)
    except DuckError as error:
        if not error.unknown_table:
            raise
        expected = None
    try:
        answer = ours(sql)
    except CLIENT_ERRORS as error:
        if expected is None:
            assert_refused(error, "NOT_FOUND")
            return None
        return f"{table}: {error}"
    if expected is None:
        return f"{table}: DuckDB knows no such table"
    if answer.schema.names != expected.schema.names:
        return f"{table}: {answer.schema.names} instead of {expected.schema.names}"
    got, wanted = exact.rows_of(answer), exact.rows_of(expected)
    return None if got == wanted else f"{table}: {exact.difference(got, wanted)}"


def test_what_duckdb_wrote_is_read_and_written_on(server, duck):
    tables = list(SCENARIOS)
    create(server, tables)
    for step in (0, 1):
        visit(
            server,
            duck,
            [sql for table, steps in SCENARIOS.items() for sql in on(table, steps[step])],
        )
        server.start()
        assert_agree(server, duck)
        write_on(server, tables)
        assert_agree(server, duck)
    visit(server, duck, [f"DELETE FROM {table} WHERE id IN (3, 23, 600)" for table in tables])
    server.start()
    assert_agree(server, duck, history=True)
    server.kill9()
    server.start()
    assert_agree(server, duck)


def test_what_duckdb_cleaned_up_is_not_missed(server, duck):
    """Snapshots and files are gone; what is left reads the same."""
    create(server, ["t"])
    visit(
        server,
        duck,
        on(
            "t",
            [
                "DELETE FROM t WHERE id % 5 = 0",
                REWRITE,
                "INSERT INTO t VALUES (300, 1, 1, 'a')",
                MERGE_FILES,
            ],
        ),
    )
    server.start()
    write_on(server, ["t"])
    expire = "CALL ducklake_expire_snapshots('lake', older_than => now())"
    visit(server, duck, [expire, "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)"])
    server.start()
    assert_agree(server, duck, history=True)
    write_on(server, ["t"])
    assert_agree(server, duck, history=True)


def test_inlined_values(server, duck):
    """Each type, and texts that look like something else, inside of others and by themselves."""
    texts = [*TEXTS, "a, b", "[1, 2]", "{'a': 1}", "k=v", "x: y", "'", "''", "a'b'c", "(", "]", ",", "=", "\\'"]
    columns = ", ".join([
        "v VARCHAR", "l VARCHAR[]", "s STRUCT(a VARCHAR, b STRUCT(c VARCHAR[]))", "m MAP(VARCHAR, VARCHAR)",
        "ll VARCHAR[][]", "i TINYINT", "u UBIGINT", "us USMALLINT", "bo BOOLEAN", "d DOUBLE", "r REAL",
        "de DECIMAL(38, 10)", "dd DECIMAL(4, 1)", "t TIME", "ts TIMESTAMP", "tz TIMESTAMPTZ", "dt DATE",
        "bl BLOB", "j JSON", "lb BLOB[]", "ld TIMESTAMP[]", "lf DOUBLE[]",
        "mi MAP(INTEGER, STRUCT(x INTEGER))"])
    typed = [
        "-128, 18446744073709551615, 65535, true, 'nan', '-inf', -1234567890.5, -99.9, '23:59:59.999999', "
        "'1969-12-31 23:59:59.9', '2020-01-01 00:00:00+02', '0001-01-01', '\\xAA\\x00z', "
        "'{\"a\": [1]}', ['\\x00'::BLOB, 'a''b'::BLOB], "
        "['2020-01-02 03:04:05', NULL], ['nan'::DOUBLE, 1e300, '-0.0'::DOUBLE], MAP {1: {'x': 1}, 2: NULL}",
        "127, 0, 0, false, -0.0, 1e-45, 0, 0, '00:00:00', '9999-12-31 00:00:00', '1900-01-01 00:00:00+00', "
        "'9999-12-31', '', 'null', [], [], [], MAP {}",
        ", ".join(["NULL"] * 18),
    ]
    rows = [f"({quoted(text)}, [{quoted(text)}, NULL], {{'a': {quoted(text)}, 'b': {{'c': [{quoted(text)}]}}}}, "
            f"MAP {{{quoted(text)}: {quoted(text)}}}, [[{quoted(text)}], [], NULL], {typed[n % 3]})"
            for n, text in enumerate(texts)]
    rows.append(f"({', '.join(['NULL'] * 23)})")
    statements = [f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES {', '.join(rows)}"]
    # DuckDB 1.5.5 does not understand all of what it keeps itself.
    for statement in statements:
        duck.execute(statement)
    before = exact.rows_of(duck.query("SELECT * FROM t"))
    create(server, ["other"])
    visit(server, duck, [statements[0], LET_INLINE.replace("$t", "t"), statements[1]])
    kept = "SELECT count(*) FROM ducklake_inlined_data_tables"
    assert lake.catalog_rows(server.catalog_path, kept) != [(0,)], "nothing is in the catalog"
    server.start()
    assert lake.catalog_rows(server.catalog_path, kept) == [(0,)]
    with Flight(server.uri) as client:
        after = exact.rows_of(client.query("SELECT * FROM t"))
    assert after == before, exact.difference(after, before)
    assert_agree(server, duck, history=True)


@pytest.mark.parametrize("name", REFUSED)
def test_what_quiver_does_not_read_is_named(server, duck, name):
    """It shows no rows that may be wrong, and leaves the catalog as it is."""
    statements, reason = REFUSED[name]
    rows = "SELECT id, n, f, v, CAST(day AS VARCHAR) FROM t"
    create(server, ["t"])
    visit(server, duck, on("t", statements))
    duck.attach(server.catalog_path)
    before = exact.rows_of(duck.query(rows))
    duck.detach()
    with pytest.raises(AssertionError, match=f"{reason}.* not supported"):
        server.start()
    duck.attach(server.catalog_path)
    assert exact.rows_of(duck.query(rows)) == before
    duck.detach()
