"""Transactions as ADBC opens them: all or nothing, own writes visible, an ingest inside belongs."""

from __future__ import annotations

import threading
import time

import pyarrow as pa
import pytest

from quiver_testing import adbc, flightsql
from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight


@pytest.fixture
def manual(server):
    """ADBC with autocommit off: a transaction is always open."""
    with adbc.connect(server.uri, autocommit=False) as connection:
        yield connection


@pytest.fixture
def table(flight, name) -> str:
    flight.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    return name


def count(client: Flight, table: str) -> int:
    return client.scalar(f"SELECT count(*) FROM {table}")


def test_committed_rows_appear_together(manual, flight, table):
    adbc.ingest(manual, table, numbered(0, 10), mode="append")
    assert adbc.execute(manual, f"INSERT INTO {table} VALUES (100, 'x'), (101, 'y')") == 2
    assert count(flight, table) == 0
    manual.commit()
    assert count(flight, table) == 12


def test_a_transaction_sees_its_own_writes(manual, flight, table):
    adbc.ingest(manual, table, numbered(0, 10), mode="append")
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 10
    adbc.execute(manual, f"INSERT INTO {table} VALUES (100, 'x')")
    assert adbc.scalar(manual, f"SELECT max(id) FROM {table}") == 100
    manual.rollback()
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 0
    assert count(flight, table) == 0


def test_rollback_leaves_nothing(manual, flight, table):
    adbc.ingest(manual, table, numbered(0, 1000), mode="append")
    manual.rollback()
    manual.commit()
    assert count(flight, table) == 0


def test_closing_without_commit_leaves_nothing(server, flight, table):
    with adbc.connect(server.uri, autocommit=False) as connection:
        adbc.ingest(connection, table, numbered(0, 10), mode="append")
    assert count(flight, table) == 0


def test_a_transaction_reads_one_state(manual, flight, table):
    """The read view is taken at the first statement and held."""
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 0
    flight.put(table, numbered(0, 10))
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 0
    flight.query("CALL system.flush()")
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 0
    manual.commit()
    assert adbc.scalar(manual, f"SELECT count(*) FROM {table}") == 10


def test_two_tables_commit_as_one(manual, flight, table, schema):
    flight.execute(f"CREATE TABLE {schema}.other (id BIGINT NOT NULL, payload VARCHAR)")
    adbc.ingest(manual, table, numbered(0, 5), mode="append")
    adbc.ingest(manual, "other", numbered(0, 5), mode="append", schema=schema)
    manual.commit()
    both = f"SELECT (SELECT count(*) FROM {table}) AS a, (SELECT count(*) FROM {schema}.other) AS b"
    assert flight.rows(both) == [(5, 5)]


def test_create_inside_a_transaction(manual, flight, name):
    """A table that a rolled-back transaction created was never there; a committed one stays."""
    adbc.ingest(manual, name, numbered(0, 10), mode="create")
    assert adbc.scalar(manual, f"SELECT count(*) FROM {name}") == 10
    manual.rollback()
    with pytest.raises(CLIENT_ERRORS) as caught:
        count(flight, name)
    assert_refused(caught.value, "NOT_FOUND")
    adbc.ingest(manual, name, numbered(0, 7), mode="create")
    manual.commit()
    assert count(flight, name) == 7


def test_an_error_inside_does_not_end_the_transaction_silently(manual, flight, table):
    """After a failing statement a commit either keeps what came before or says that it does not."""
    adbc.ingest(manual, table, numbered(0, 10), mode="append")
    with pytest.raises(CLIENT_ERRORS):
        adbc.query(manual, "SELECT * FROM no_such_table")
    try:
        manual.commit()
    except CLIENT_ERRORS as error:
        assert_refused(error, "ABORTED", "FAILED_PRECONDITION")
        assert count(flight, table) == 0
    else:
        assert count(flight, table) == 10


def test_protocol_transaction_by_id(flight, table):
    transaction = flight.begin()
    insert = f"INSERT INTO {table} VALUES (1, 'a')"
    assert flight.update("CommandStatementUpdate", query=insert, transaction_id=transaction) == 1
    put = flightsql.ingest(table, "append", transaction_id=transaction)
    assert flight.put(put, numbered(10, 5)) == 5
    inside = flight.command(
        "CommandStatementQuery", query=f"SELECT count(*) FROM {table}", transaction_id=transaction
    )
    assert inside.column(0)[0].as_py() == 6
    assert count(flight, table) == 0
    flight.end(transaction, commit=True)
    assert count(flight, table) == 6


def test_two_protocol_transactions_are_apart(flight, table):
    first, second = flight.begin(), flight.begin()
    for transaction, start in ((first, 0), (second, 100)):
        put = flightsql.ingest(table, "append", transaction_id=transaction)
        flight.put(put, numbered(start, 10))
    # Without an id it would have to guess which of the two is meant.
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.put(flightsql.ingest(table, "append"), numbered(1000, 10))
    assert_refused(caught.value, "FAILED_PRECONDITION")
    flight.end(first, commit=False)
    flight.end(second, commit=True)
    assert flight.scalar(f"SELECT min(id) FROM {table}") == 100
    assert count(flight, table) == 10


def test_a_transaction_ends_once(flight, table):
    transaction = flight.begin()
    flight.end(transaction, commit=True)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end(transaction, commit=True)
    assert_refused(caught.value, "NOT_FOUND", "ABORTED", "FAILED_PRECONDITION")
    flight.end(transaction, commit=False)  # a rollback of any authentic id is fine


def test_sql_begin_and_commit(flight, server, table):
    flight.execute("BEGIN")
    assert flight.execute(f"INSERT INTO {table} VALUES (1, 'a')") == 1
    assert count(flight, table) == 1
    with Flight(server.uri) as other:
        assert count(other, table) == 0
        flight.execute("COMMIT")
        assert count(other, table) == 1
    flight.execute("BEGIN")
    flight.execute(f"INSERT INTO {table} VALUES (2, 'b')")
    flight.execute("ROLLBACK")
    assert count(flight, table) == 1


def test_sql_savepoints(flight, server, table):
    """As in PostgreSQL: going back keeps the savepoint, and names hide those before them."""

    def insert(first: int) -> None:
        flight.execute(f"INSERT INTO {table} VALUES ({first}, 'x'), ({first + 1}, 'y')")

    flight.execute("BEGIN")
    insert(0)
    flight.execute("SAVEPOINT a")
    insert(10)
    flight.execute("SAVEPOINT A")
    insert(20)
    assert count(flight, table) == 6
    flight.execute("ROLLBACK TO SAVEPOINT a")
    assert count(flight, table) == 4
    insert(30)
    flight.execute("ROLLBACK TO a")
    assert flight.scalar(f"SELECT max(id) FROM {table}") == 11
    flight.execute("RELEASE SAVEPOINT a")
    flight.execute("ROLLBACK WORK TO SAVEPOINT a")
    assert flight.scalar(f"SELECT max(id) FROM {table}") == 1
    insert(40)
    flight.execute("RELEASE a")
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.execute("ROLLBACK TO a")
    assert_refused(caught.value, "NOT_FOUND")
    with Flight(server.uri) as other:
        assert count(other, table) == 0
        flight.execute("COMMIT")
        assert other.rows(f"SELECT id FROM {table} ORDER BY id") == [(0,), (1,), (40,), (41,)]


def test_back_to_before_a_drop_or_a_create(flight, name):
    """Tables and their rows come back, and what was made since is gone; nothing leaks out."""
    flight.execute(f"CREATE TABLE {name} AS SELECT 1 AS id")
    flight.execute("BEGIN")
    flight.execute(f"INSERT INTO {name} VALUES (2)")
    flight.execute("SAVEPOINT s")
    flight.execute(f"DROP TABLE {name}")
    flight.execute(f"CREATE TABLE {name} AS SELECT 'other' AS text")
    flight.execute(f"CREATE TABLE {name}_new AS SELECT 3 AS id")
    assert flight.scalar(f"SELECT text FROM {name}") == "other"
    flight.execute("ROLLBACK TO s")
    assert flight.rows(f"SELECT id FROM {name} ORDER BY id") == [(1,), (2,)]
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.query(f"SELECT * FROM {name}_new")
    assert_refused(caught.value, "NOT_FOUND")
    flight.execute("COMMIT")
    assert flight.rows(f"SELECT id FROM {name} ORDER BY id") == [(1,), (2,)]


def test_a_savepoint_gives_back_keys_and_numbers(flight, table):
    """What was undone may be sent again under its key, and as the same number of its producer."""
    transaction = flight.begin()
    savepoint = flight.begin_savepoint(transaction, "first")
    put = flightsql.ingest(table, "append", transaction_id=transaction)
    key = [("x-idempotency-key", f"{table} key")]
    step = [("x-quiver-producer", "p"), ("x-quiver-sequence", "1")]
    for _ in range(3):
        assert flight.put(put, numbered(0, 5), headers=key) == 5
        assert flight.put(put, numbered(5, 5), headers=step) == 5
        inside = flight.command(
            "CommandStatementQuery", query=f"SELECT count(*) FROM {table}",
            transaction_id=transaction,
        )
        assert inside.column(0)[0].as_py() == 10
        flight.end_savepoint(savepoint, release=False)
    assert flight.put(put, numbered(0, 5), headers=key) == 5
    flight.end_savepoint(savepoint, release=True)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end_savepoint(savepoint, release=False)
    assert_refused(caught.value, "NOT_FOUND")
    flight.end(transaction, commit=True)
    assert count(flight, table) == 5
    assert flight.rows(f"SELECT * FROM system.producers WHERE table_name = '{table}'") == []


def test_savepoints_that_are_not_there(flight, server, table):
    for sql in ("SAVEPOINT a", "ROLLBACK TO a", "RELEASE a"):
        with pytest.raises(CLIENT_ERRORS) as caught:
            flight.execute(sql)
        assert_refused(caught.value, "FAILED_PRECONDITION")
    transaction = flight.begin()
    savepoint = flight.begin_savepoint(transaction)
    for wrong in (b"", b"x", transaction, savepoint[:-1], savepoint + b"x", b"x" * len(savepoint)):
        with pytest.raises(CLIENT_ERRORS) as caught:
            flight.end_savepoint(wrong, release=True)
        assert_refused(caught.value, "INVALID_ARGUMENT", "NOT_FOUND")
    with Flight(server.uri) as other:
        other_savepoint = other.begin_savepoint(other.begin())
        assert other_savepoint != savepoint
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.begin_savepoint(transaction, "x" * 300)
    assert_refused(caught.value, "INVALID_ARGUMENT")
    for _ in range(999):
        flight.begin_savepoint(transaction, "same")
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.begin_savepoint(transaction, "one too many")
    assert_refused(caught.value, "RESOURCE_EXHAUSTED")
    flight.end_savepoint(savepoint, release=True)
    flight.end(transaction, commit=False)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end_savepoint(savepoint, release=True)
    assert_refused(caught.value, "ABORTED", "NOT_FOUND")


def test_sql_begin_inside_a_protocol_transaction_is_refused(manual):
    with pytest.raises(CLIENT_ERRORS) as caught:
        adbc.execute(manual, "BEGIN")
    assert_refused(caught.value, "FAILED_PRECONDITION", "INVALID_ARGUMENT")


@pytest.fixture
def impatient_server(make_server):
    """Transactions with writes expire after a second."""
    server = make_server(settings={"QUIVER_SESSION__TRANSACTION_TIMEOUT_MS": "1000"}).start()
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT NOT NULL, payload VARCHAR)")
    return server


def test_an_abandoned_transaction_with_writes_expires(impatient_server):
    with Flight(impatient_server.uri) as client:
        with adbc.connect(impatient_server.uri, autocommit=False) as connection:
            adbc.ingest(connection, "t", numbered(0, 10), mode="append")
            time.sleep(3)
            with pytest.raises(CLIENT_ERRORS) as caught:
                adbc.execute(connection, "INSERT INTO t VALUES (100, 'x')")
            assert_refused(caught.value, "ABORTED")
            connection.rollback()  # gets the connection going again
            adbc.ingest(connection, "t", numbered(0, 3), mode="append")
            connection.commit()
        assert count(client, "t") == 3


def test_a_commit_after_expiry_is_refused(impatient_server):
    with Flight(impatient_server.uri) as client:
        with adbc.connect(impatient_server.uri, autocommit=False) as connection:
            adbc.ingest(connection, "t", numbered(0, 10), mode="append")
            time.sleep(3)
            with pytest.raises(CLIENT_ERRORS) as caught:
                connection.commit()
            assert_refused(caught.value, "ABORTED")
            with pytest.raises(CLIENT_ERRORS) as caught:
                adbc.ingest(connection, "t", numbered(100, 10), mode="append")
            assert_refused(caught.value, "ABORTED")
        assert count(client, "t") == 0


def test_an_ingest_after_expiry_does_not_commit_by_itself(impatient_server):
    """The driver sends no transaction id with an ingest, and believes to be in a transaction."""
    with Flight(impatient_server.uri) as client:
        with adbc.connect(impatient_server.uri, autocommit=False) as connection:
            adbc.ingest(connection, "t", numbered(0, 10), mode="append")
            time.sleep(3)
            with pytest.raises(CLIENT_ERRORS) as caught:
                adbc.ingest(connection, "t", numbered(100, 10), mode="append")
            assert_refused(caught.value, "ABORTED")
            assert count(client, "t") == 0
            connection.rollback()
            adbc.ingest(connection, "t", numbered(0, 3), mode="append")
            connection.commit()
        assert count(client, "t") == 3


def test_a_transaction_that_only_read_does_not_expire(impatient_server):
    with adbc.connect(impatient_server.uri, autocommit=False) as connection:
        assert adbc.scalar(connection, "SELECT count(*) FROM t") == 0
        time.sleep(3)
        assert adbc.scalar(connection, "SELECT count(*) FROM t") == 0
        adbc.ingest(connection, "t", numbered(0, 3), mode="append")
        connection.commit()
        assert adbc.scalar(connection, "SELECT count(*) FROM t") == 3


def test_rollback_of_an_authentic_id_works_after_a_restart(make_server):
    server = make_server().start()
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT NOT NULL, payload VARCHAR)")
        transaction = client.begin()
        client.put(flightsql.ingest("t", "append", transaction_id=transaction), numbered(0, 3))
    server.kill9()
    server.start()
    with Flight(server.uri) as client:
        with pytest.raises(CLIENT_ERRORS) as caught:
            client.end(transaction, commit=True)
        assert_refused(caught.value, "ABORTED")
        client.end(transaction, commit=False)
        assert count(client, "t") == 0
    assert server.stop() == 0


def test_the_same_text_goes_on_in_the_next_transaction(server, name):
    """ADBC keeps the prepared statement of a cursor over the end of the transaction it was prepared in."""
    with adbc.connect(server.uri) as connection:
        adbc.rows(connection, f"CREATE TABLE {name} (id BIGINT)")
    with adbc.connect(server.uri, autocommit=False) as connection, connection.cursor() as cursor:
        insert, select = f"INSERT INTO {name} VALUES (?)", f"SELECT count(*) FROM {name}"
        for id in range(3):
            cursor.execute(insert, (id,))
            connection.commit()
        cursor.execute(insert, (3,))
        connection.rollback()
        for _ in range(2):
            cursor.execute(select)
            assert cursor.fetchone() == (3,)
            connection.rollback()
        cursor.executemany(insert, [(4,), (5,)])
        cursor.execute(select)
        assert cursor.fetchone() == (5,)
        with adbc.connect(server.uri) as other:
            assert adbc.rows(other, select) == [(3,)], "not committed yet"
        connection.commit()
    with adbc.connect(server.uri) as other:
        assert adbc.rows(other, select) == [(5,)]


# A server that ends inside a transaction


def refused(action, code: str, mentions: str = "") -> None:
    with pytest.raises(CLIENT_ERRORS) as caught:
        action()
    assert_refused(caught.value, code, mentions=mentions)


def crash(server) -> None:
    server.kill9()
    server.start()


@pytest.fixture
def mortal(make_server, name):
    """A server of the test's own, with a table."""
    server = make_server().start()
    with Flight(server.uri) as client:
        client.execute(f"CREATE TABLE {name} (id BIGINT NOT NULL, payload VARCHAR)")
    return server


def test_no_part_of_a_lost_transaction_commits_by_itself(mortal, name):
    """The driver sends no id with an ingest; the session's mark tells that it had a transaction."""
    with adbc.connect(mortal.uri, autocommit=False) as connection:
        ingest = lambda start: adbc.ingest(  # noqa: E731
            connection, name, numbered(start, 10), mode="append"
        )
        ingest(0)
        crash(mortal)
        refused(lambda: ingest(10), "ABORTED", mentions="roll it back")
        connection.rollback()
        ingest(20)
        connection.commit()
        # It is in the next transaction already, and nothing was done in it yet.
        crash(mortal)
        refused(lambda: ingest(30), "ABORTED")
        # The driver takes a transaction for over once it has sent a commit, whatever the answer.
        refused(connection.commit, "ABORTED")
        refused(lambda: ingest(40), "ABORTED")
    with adbc.connect(mortal.uri) as connection:
        assert adbc.rows(connection, f"SELECT count(*), min(id) FROM {name}") == [(10, 20)]


def test_no_part_of_a_lost_sql_transaction_commits_by_itself(mortal, name):
    with adbc.connect(mortal.uri) as connection:
        for statement in ("BEGIN", f"INSERT INTO {name} VALUES (1, 'a')"):
            adbc.execute(connection, statement)
        crash(mortal)
        insert = f"INSERT INTO {name} VALUES (2, 'b')"
        refused(lambda: adbc.execute(connection, insert), "ABORTED", mentions="roll it back")
        refused(
            lambda: adbc.ingest(connection, name, numbered(10, 10), mode="append"), "ABORTED"
        )
        refused(lambda: adbc.execute(connection, "COMMIT"), "ABORTED")
        adbc.execute(connection, "ROLLBACK")
        assert adbc.scalar(connection, f"SELECT count(*) FROM {name}") == 0
        for statement in ("BEGIN", insert, "COMMIT"):
            adbc.execute(connection, statement)
        # Nothing is open any more, so another crash is nothing to this session, once it is noted.
        time.sleep(2.5)
        crash(mortal)
        adbc.execute(connection, f"INSERT INTO {name} VALUES (3, 'c')")
        assert adbc.rows(connection, f"SELECT id FROM {name} ORDER BY id") == [(2,), (3,)]


def test_a_session_without_a_transaction_outlives_the_server(mortal, name):
    with adbc.connect(mortal.uri) as connection:
        adbc.ingest(connection, name, numbered(0, 10), mode="append")
        crash(mortal)
        adbc.ingest(connection, name, numbered(10, 10), mode="append")
        assert adbc.scalar(connection, f"SELECT count(*) FROM {name}") == 20


def test_whether_a_commit_whose_answer_was_lost_succeeded(flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    transaction = flight.begin()
    flight.put(flightsql.ingest(name, "append", transaction_id=transaction), pa.table({"id": [1]}))
    flight.end(transaction, commit=True)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end(transaction, commit=True)
    assert_refused(caught.value, "FAILED_PRECONDITION", mentions="committed already")
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 1
    given_up = flight.begin()
    flight.end(given_up, commit=False)
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end(given_up, commit=True)
    assert_refused(caught.value, "ABORTED")


def at_once(server, *works) -> list[BaseException]:
    """What goes wrong when all of it is done again and again at the same time."""
    failures = []

    def go_on(work):
        with adbc.connect(server.uri) as connection:
            for _ in range(20):
                try:
                    work(connection)
                except CLIENT_ERRORS as error:
                    failures.append(error)

    threads = [threading.Thread(target=go_on, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_of_several_who_replace_a_table_the_last_one_wins(server, flight, name):
    def replace(rows: int):
        return lambda connection: adbc.ingest(connection, name, pa.table({"n": [rows] * rows}), mode="replace")

    def replace_as(connection):
        adbc.execute(connection, f"CREATE OR REPLACE TABLE {name} AS SELECT 5 AS n FROM range(0, 5)")

    def replace_empty(connection):
        adbc.execute(connection, f"CREATE OR REPLACE TABLE {name} (n BIGINT)")

    assert not at_once(server, replace(3), replace(4), replace_as, replace_empty)
    rows = flight.rows(f"SELECT * FROM {name}")
    assert rows == [(len(rows),)] * len(rows) and len(rows) in (0, 3, 4, 5), "all rows of one of them"


def test_a_table_that_is_replaced_by_what_was_read_of_it_loses_no_update(server, flight, name):
    flight.execute(f"CREATE TABLE {name} AS SELECT 0 AS n")

    def count_up(connection):
        adbc.execute(connection, f"CREATE OR REPLACE TABLE {name} AS SELECT n + 1 AS n FROM {name}")

    failures = at_once(server, count_up, count_up, count_up)
    assert flight.scalar(f"SELECT n FROM {name}") == 60 - len(failures)


def test_who_asks_for_a_commit_that_is_on_its_way_learns_its_outcome(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (id BIGINT)")
    with Flight(server.uri) as other:
        for number in range(20):
            transaction = flight.begin()
            flight.put(flightsql.ingest(name, "append", transaction_id=transaction), pa.table({"id": [number]}))
            outcomes = []

            def end(client):
                try:
                    client.end(transaction, commit=True)
                    outcomes.append("committed")
                except CLIENT_ERRORS as error:
                    outcomes.append(assert_refused(error, "FAILED_PRECONDITION", mentions="committed already"))

            threads = [threading.Thread(target=end, args=(client,)) for client in (flight, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(outcomes) == 2 and "committed" in outcomes, outcomes
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 20


def test_if_not_exists_and_if_exists_are_content_with_either(server, flight, name):
    def make(connection):
        adbc.execute(connection, f"CREATE TABLE IF NOT EXISTS {name} (n BIGINT)")

    def drop(connection):
        adbc.execute(connection, f"DROP TABLE IF EXISTS {name}")

    assert not at_once(server, make, make, drop, drop)


def test_a_replace_inside_a_transaction_loses_to_another(server, flight, name):
    """There it is what the transaction has seen that is replaced."""
    flight.execute(f"CREATE TABLE {name} AS SELECT 1 AS n")
    transaction = flight.begin()
    flight.put(flightsql.ingest(name, "replace", transaction_id=transaction), pa.table({"n": [2]}))
    with Flight(server.uri) as other:
        other.put(flightsql.ingest(name, "replace"), pa.table({"n": [3]}))
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.end(transaction, commit=True)
    assert_refused(caught.value, "ABORTED")
    assert flight.rows(f"SELECT * FROM {name}") == [(3,)]
