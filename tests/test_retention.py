"""Snapshots that expire, names that keep them, and files that go when nobody needs them any more;
housekeeping beside everything else and across crashes. DuckDB reads and tidies the same catalog."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product

import pytest

from quiver_testing import exact, lake
from quiver_testing.errors import CLIENT_ERRORS, assert_refused, code_and_message
from quiver_testing.flight import Flight
from quiver_testing.quiet import client, duck, flush, server
from quiver_testing.server import NO_BACKGROUND, Server

BUSY = {"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "60", "QUIVER_COMPACTION__INTERVAL_MS": "40",
        "QUIVER_COMPACTION__ENABLED": "true", "QUIVER_COMPACTION__BYTES_PER_SECOND_MAX": "50000"}
EXPIRE = "CALL system.expire_snapshots(keep => 1)"
ROWS = 240_000  # more than a stream sends ahead


def paths(server: Server, sql: str) -> set[str]:
    return {path for (path,) in lake.catalog_rows(server.catalog_path, sql)}


def scheduled(server: Server) -> set[str]:
    return paths(server, "SELECT path FROM ducklake_files_scheduled_for_deletion")


def needed(server: Server) -> set[str]:
    """Segments and lists of deleted rows that some snapshot has."""
    sql = ("SELECT s.path || t.path || f.path FROM ducklake_{}_file f JOIN ducklake_table t USING (table_id) "
           "JOIN ducklake_schema s USING (schema_id)")
    return paths(server, sql.format("data")) | paths(server, sql.format("delete"))


def files(server: Server) -> set[str]:
    """Those on disk, with parts of unfinished ones."""
    data = server.catalog_path.parent / "data"
    return {str(path.relative_to(data)) for path in data.rglob("*.parquet*")}


def snapshots(client: Flight) -> list[int]:
    return [n for (n,) in client.rows("SELECT snapshot_id FROM system.snapshots ORDER BY 1")]


def clean_up(client: Flight, older_than: str = "older_than => now()") -> tuple[int, int, int]:
    """How many files it deleted, how many wait, and how many it deleted that nobody had known."""
    (counts,) = client.rows(f"CALL system.cleanup_files({older_than})")
    return counts


def ids(client: Flight, table: str = "t") -> list[int]:
    return sorted(id for (id,) in client.rows(f"SELECT id FROM {table}"))


def fill(client: Flight, count: int = 6) -> list[int]:
    """A table with one row more in each of these snapshots."""
    client.execute("CREATE TABLE t (id BIGINT)")
    return [client.execute(f"INSERT INTO t VALUES ({n})") and flush(client) for n in range(count)]


def assert_refused_call(client: Flight, sql: str, code: str, mentions: str) -> None:
    with pytest.raises(CLIENT_ERRORS) as refused:
        client.query(sql)
    assert_refused(refused.value, code, mentions=mentions)


def assert_gone(client: Flight, version: object, mentions: str = "does not exist") -> None:
    assert_refused_call(client, f"SELECT * FROM t AT (VERSION => {version})", "NOT_FOUND", mentions)


def wait_until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


# How many of eight snapshots go: one without a table, one without rows, six with rows.
LIMITS = {
    "older_than => TIMESTAMP '{fifth}'": 4,
    "older_than => '{fifth}', keep => 5": 3,
    "older_than => INTERVAL '1 hour', keep => 1": 0,
    "keep => 3": 5,
    "now()": 7,
}


@pytest.mark.parametrize("limits", LIMITS)
def test_old_snapshots_expire(client, limits):
    """Just those that are meant; whoever asks for one is told, and the others stay as they are."""
    fill(client)
    times = client.rows("SELECT snapshot_id, snapshot_time FROM system.snapshots ORDER BY 1")
    call = f"CALL system.expire_snapshots({limits.format(fifth=times[4][1].replace(tzinfo=None))})"
    expired, left = times[: LIMITS[limits]], times[LIMITS[limits] :]
    assert client.rows(call) == [(n,) for n, _ in expired]
    assert snapshots(client) == [n for n, _ in left]
    for count, (snapshot, moment) in enumerate(times[2:], 1):
        if (snapshot, moment) in expired:
            assert_gone(client, snapshot)
        else:
            assert ids(client, f"t AT (VERSION => {snapshot})") == list(range(count))
    assert ids(client) == list(range(6)), "the newest"
    assert client.rows(call) == []


def test_names_keep_snapshots(server, client):
    added = fill(client)
    client.execute("INSERT INTO t VALUES (6)")
    ((_, newest),) = client.rows("CALL system.name_snapshot('now')")
    assert newest == added[-1] + 1, "what is committed by now has a snapshot"
    client.query(f"CALL system.name_snapshot('it''s früh', {added[1]})")
    client.query(f"CALL system.name_snapshot(version => {added[0]}, name => 'moved')")
    client.query("CALL system.name_snapshot('moved', 'it''s früh')")
    client.execute("INSERT INTO t VALUES (7)")
    last = flush(client)
    client.query(EXPIRE)
    assert snapshots(client) == [added[1], newest, last]
    server.kill9()
    with Flight(server.start().uri) as client:
        names = client.rows("SELECT name, snapshot_id FROM system.snapshot_names ORDER BY name")
        assert names == [("it's früh", added[1]), ("moved", added[1]), ("now", newest)]
        assert ids(client, "t AT (VERSION => 'it''s früh')") == [0, 1]
        later = "SELECT id FROM t AT (VERSION => 'now') EXCEPT SELECT id FROM t AT (VERSION => 'moved')"
        assert sorted(client.rows(later)) == [(n,) for n in range(2, 7)]
        client.query("CALL system.forget_snapshot_name('moved')")
        assert client.rows(EXPIRE) == [], "it has another name"
        client.query("CALL system.forget_snapshot_name('it''s früh')")
        assert client.rows(EXPIRE) == [(added[1],)]
        assert_gone(client, "'moved'", mentions="named 'moved'")


def test_a_number_as_a_name_is_no_other_snapshot(client):
    """Refused, or found by it."""
    added = fill(client)
    with suppress(CLIENT_ERRORS):
        client.query(f"CALL system.name_snapshot('{added[0]}')")
        assert ids(client, f"t AT (VERSION => '{added[0]}')") == list(range(6))


def test_what_no_snapshot_has_goes_after_its_time(server, client, duck):
    """Dropped, truncated, deleted, changed: listed first, deleted when its time of grace is over."""
    client.execute("CREATE SCHEMA s")
    for table in ("kept", "dropped", "truncated", "deleted", "changed", "s.dropped"):
        client.execute(f"CREATE TABLE {table} (id BIGINT, n BIGINT)")
        for first in (0, 10):
            client.execute(f"INSERT INTO {table} SELECT value, 0 FROM generate_series({first}, {first + 9})")
            flush(client)
    for sql in ("DROP TABLE dropped", "DROP TABLE s.dropped", "DROP SCHEMA s", "TRUNCATE truncated",
                "DELETE FROM deleted WHERE id = 3", "DELETE FROM deleted WHERE id IN (4, 11)",
                "DELETE FROM deleted WHERE id < 10", "UPDATE changed SET n = 1 WHERE id % 2 = 0"):
        client.execute(sql)
    tables = ("kept", "deleted", "changed", "truncated")
    expected = {table: exact.rows_of(client.query(f"SELECT * FROM {table}")) for table in tables}
    before = files(server)
    assert before == needed(server) and not scheduled(server)
    client.query(EXPIRE)
    listed = [path for (path,) in client.rows("SELECT path FROM system.files_scheduled_for_deletion")]
    assert len(listed) >= 3 * 2 + 3 and set(listed) == before - needed(server) == scheduled(server)
    assert not paths(server, "SELECT table_name FROM ducklake_table WHERE table_name = 'dropped'")
    for too_young in ("", "older_than => INTERVAL '1 minute'"):
        assert clean_up(client, too_young) == (0, len(listed), 0) and files(server) == before
    assert clean_up(client) == (len(listed), 0, 0)
    assert files(server) == needed(server) == before - set(listed) and not scheduled(server)
    with Flight(server.restart().uri) as client, duck.attached(server.catalog_path):
        for who, table in product((client, duck), tables):
            assert exact.rows_of(who.query(f"SELECT * FROM {table}")) == expected[table], table


def test_settings_make_snapshots_expire_by_themselves(server, client):
    """And files go; soon after a start for the first time."""
    added = fill(client, 3)
    client.query(f"CALL system.name_snapshot('second', {added[1]})")
    client.execute("TRUNCATE t")
    client.execute("INSERT INTO t VALUES (100)")
    last = flush(client)
    server.settings |= {"QUIVER_COMPACTION__INTERVAL_MS": "100", "QUIVER_RETENTION__CLEANUP_GRACE_MS": "0",
                        "QUIVER_RETENTION__SNAPSHOTS_MIN": "2", "QUIVER_RETENTION__SNAPSHOT_MAX_AGE_MS": "1"}
    with Flight(server.restart().uri) as client:
        wait_until(lambda: snapshots(client) == [added[1], last - 1, last])
        assert_gone(client, added[2])
    server.settings |= {"QUIVER_COMPACTION__ENABLED": "true"}
    with Flight(server.restart().uri) as client:
        wait_until(lambda: files(server) == needed(server))
        assert ids(client, "t AT (VERSION => 'second')") == [0, 1] and ids(client) == [100]


@pytest.mark.parametrize("table", ["t", "t AT (VERSION => {snapshot})"])
def test_a_stream_keeps_its_files(server, client, table):
    """Of now or of the past, however long its client takes, unless it goes away."""
    client.execute("CREATE TABLE t (id BIGINT, v VARCHAR)")
    for first in range(0, ROWS, ROWS // 4):
        rows = f"generate_series({first}, {first + ROWS // 4 - 1})"
        client.execute(f"INSERT INTO t SELECT value, repeat(md5(CAST(value AS VARCHAR)), 6) FROM {rows}")
        snapshot = flush(client)
    sql = f"SELECT * FROM {table}".format(snapshot=snapshot).encode()
    with Flight(server.uri) as slow, Flight(server.uri) as leaving:
        info = slow.info(sql)
        stream, left = (who.client.do_get(info.endpoints[0].ticket, who.options()) for who in (slow, leaving))
        found = stream.read_chunk().data.column("id").to_pylist()
        left.read_chunk()
        client.query("CALL system.compact('t')")
        client.query(EXPIRE)
        assert clean_up(client) == (0, 4, 0) and client.scalar("SELECT count(*) FROM t") == ROWS
        found += stream.read_all().column("id").to_pylist()
        assert sorted(found) == list(range(ROWS))
        assert clean_up(client) == (0, 4, 0), "the other one is still there"
        left.cancel()
    wait_until(lambda: clean_up(client)[1] == 0)
    assert files(server) == needed(server) and len(files(server)) == 1


def test_a_transaction_keeps_its_files(server, client):
    """Once it has read. One that has not reads what is there then; so do tickets and statements."""
    fill(client)
    prepared = client.prepare("SELECT count(*) FROM t").prepared_statement_handle
    ticket = client.info(b"SELECT count(*) FROM t")
    with Flight(server.uri) as reader, Flight(server.uri) as late:
        reader.execute("BEGIN")
        late.execute("BEGIN")
        assert ids(reader) == list(range(6))
        client.execute("DELETE FROM t WHERE id = 3")
        client.query("CALL system.compact('t')")
        client.query(EXPIRE)
        assert clean_up(client)[:2] == (0, 6)
        assert ids(reader) == list(range(6)) and ids(late) == [0, 1, 2, 4, 5]
        reader.execute("COMMIT")
        assert clean_up(client)[:2] == (6, 0)
        assert ids(late) == ids(reader) == [0, 1, 2, 4, 5]
    again = client.command("CommandPreparedStatementQuery", prepared_statement_handle=prepared)
    assert [table.column(0).to_pylist() for table in (client.read(ticket), again)] == [[5], [5]]


def test_files_that_nobody_knows_are_swept(server, client):
    """Segments and lists of deleted rows; what is not of their kind stays."""
    fill(client)
    client.execute("DELETE FROM t WHERE id = 0")
    known, data = files(server), server.catalog_path.parent / "data"
    folder = data / "main" / "t"
    orphans = [folder / "0b.parquet", folder.parent / "gone" / "0c.parquet"]
    foreign = [folder / "notes.txt", folder.parent / "parquet", folder / "report.parquet.md"]
    orphans[1].parent.mkdir()
    for path in (*orphans, *foreign):
        shutil.copy(data / min(known), path)
    assert clean_up(client, "")[2] == 2
    assert not any(path.exists() for path in orphans) and all(path.exists() for path in foreign)
    assert files(server) - {"main/t/report.parquet.md"} == known
    assert clean_up(client) == (0, 0, 0) and ids(client) == [1, 2, 3, 4, 5]


def test_each_deletes_what_the_other_has_scheduled(server, client, duck):
    fill(client)
    client.execute("DELETE FROM t WHERE id = 2")
    client.query("CALL system.compact()")
    client.query(EXPIRE)
    assert server.stop() == 0
    with duck.attached(server.catalog_path, "DATA_INLINING_ROW_LIMIT 0"):
        unknown = "CALL ducklake_delete_orphaned_files('lake', dry_run => true, cleanup_all => true)"
        assert duck.query(unknown).num_rows == 0
        assert duck.query("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").num_rows >= 6
        assert files(server) == needed(server) and not scheduled(server)
        for sql in (*(f"INSERT INTO t VALUES ({n})" for n in (10, 11, 12)), "DELETE FROM t WHERE id = 11",
                    "CALL ducklake_merge_adjacent_files('lake', 't')",
                    "CALL ducklake_expire_snapshots('lake', older_than => now())"):
            duck.execute(sql)
    with Flight(server.start().uri) as client, duck.attached(server.catalog_path):
        left_by_duckdb = len(scheduled(server))
        assert left_by_duckdb and clean_up(client) == (left_by_duckdb, 0, 0)
        assert files(server) == needed(server) and not scheduled(server)
        theirs = sorted(duck.query("SELECT id FROM t").column(0).to_pylist())
        assert ids(client) == theirs == [0, 1, 3, 4, 5, 10, 12]


@contextmanager
def crowd(server: Server, *actions: Callable[[Flight], None]) -> Iterator[threading.Event]:
    """Clients that act again and again, each in a thread, until the block ends or one fails."""
    over, failures = threading.Event(), []

    def act(action: Callable[[Flight], None]) -> None:
        try:
            with Flight(server.uri) as client:
                while not over.is_set():
                    action(client)
        except BaseException as failure:
            # What is refused when the server was killed is no failure.
            if not over.is_set() or not isinstance(failure, CLIENT_ERRORS):
                failures.append(failure)
                over.set()

    threads = [threading.Thread(target=act, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    try:
        yield over
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def transaction(client: Flight, *changes: str, attempts: int = 30, pause: float = 0) -> None:
    """Commits when nobody else was faster."""
    for _ in range(attempts):
        try:
            for sql in ("BEGIN", *changes):
                client.execute(sql)
            time.sleep(pause)
            return client.execute("COMMIT")
        except CLIENT_ERRORS as error:
            code, message = code_and_message(error)
            if code != "ABORTED":
                raise
    raise AssertionError(f"refused for good: {message}")


def test_who_looks_back_finds_all_or_nothing(server, client):
    """While what is looked for expires."""
    client.execute(f"CREATE TABLE wide ({', '.join(f'c{n} DOUBLE' for n in range(100))})")
    for _ in range(8):
        client.execute("INSERT INTO wide (c0) VALUES (1)")
        flush(client)
    client.execute("CREATE TABLE t (id BIGINT)")
    client.execute("INSERT INTO t SELECT * FROM generate_series(1, 1000)")
    expected = {flush(client): 1000}

    def look_back(client: Flight) -> None:
        at, count = max(expected.items())
        try:
            assert client.scalar(f"SELECT count(id) FROM t AT (VERSION => {at})") == count
        except CLIENT_ERRORS as error:
            assert_refused(error, "NOT_FOUND", mentions="does not exist")

    with crowd(server, look_back, look_back, lambda client: clean_up(client, "")):
        for n in range(1, 25):
            client.execute(f"DELETE FROM t WHERE id = {2 * n}")
            expected[snapshots(client)[-1]] = 1001 - 2 * n
            client.execute(f"DELETE FROM t WHERE id = {2 * n + 1}")
            client.query(EXPIRE)


def test_compaction_lets_slow_transactions_commit(make_server):
    """Nobody else changes their rows; others only add some, which are flushed and compacted."""
    server = make_server(settings={**BUSY, "QUIVER_COMPACTION__BYTES_PER_SECOND_MAX": "0"}).start()
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT)")
        with crowd(server, lambda other: other.execute("INSERT INTO t VALUES (1)") and time.sleep(0.01)):
            time.sleep(0.2)
            transaction(client, "DELETE FROM t", attempts=4, pause=1)


def test_housekeeping_disturbs_nobody_and_survives_crashes(make_server):
    """Rows that are added and changed, money that moves, and who looks at them; compaction, expiry and
    cleaning all the time, until the server is killed."""
    server, rng = make_server(settings=NO_BACKGROUND).start(), random.Random(6)
    sent = acknowledged = 0
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE counter (n BIGINT) SORTED BY (n)")
        client.execute("INSERT INTO counter VALUES (0)")
        client.execute("CREATE TABLE log (id BIGINT)")
        client.execute("CREATE TABLE accounts (id BIGINT, n BIGINT)")
        client.execute("INSERT INTO accounts SELECT value, 10 FROM generate_series(0, 49)")

    def count(client: Flight) -> None:
        nonlocal sent, acknowledged
        sent += 1
        assert client.execute(f"INSERT INTO log VALUES ({sent})") == 1
        assert client.execute("UPDATE counter SET n = n + 1") == 1
        acknowledged += 1

    def transfer(client: Flight) -> None:
        rows = [f"WHERE id = {rng.randrange(50)}" for _ in range(2)]
        transaction(client, *(f"UPDATE accounts SET n = n {x} 1 {row}" for x, row in zip("+-", rows)))

    def look(client: Flight) -> None:
        least, sums = acknowledged, "SELECT count(*), sum(n), (SELECT sum(id) FROM log) FROM accounts"
        client.execute("BEGIN")
        seen = client.rows(sums)
        ((rows, different),) = client.rows("SELECT count(*), count(DISTINCT id) FROM log")
        assert least <= client.scalar("SELECT n FROM counter") <= rows == different <= sent
        assert seen[0][:2] == (50, 500) and client.rows(sums) == seen
        client.execute("COMMIT")

    def tidy(client: Flight) -> None:
        client.query("CALL system.expire_snapshots(keep => 5)")
        clean_up(client)

    for _ in range(3):
        assert server.stop() == 0
        server.settings |= BUSY
        with crowd(server.start(), count, transfer, look, tidy) as over:
            over.wait(0.8 + rng.random())
            over.set()
            server.kill9()
        server.settings |= NO_BACKGROUND
        with Flight(server.start().uri) as client:
            look(client)
            clean_up(client)
            assert files(server) == needed(server) and not scheduled(server)


def test_housekeeping_is_no_part_of_a_transaction(flight):
    flight.execute("BEGIN")
    for call in ("compact()", "pause_compaction()", "resume_compaction()", "expire_snapshots(keep => 9)",
                 "cleanup_files()", "name_snapshot('a')", "forget_snapshot_name('a')"):
        assert_refused_call(flight, f"CALL system.{call}", "FAILED_PRECONDITION", "end the transaction first")
    flight.execute("COMMIT")
