//! What each refused statement is answered with.

use quiver_catalog::ErrorKind;

use super::super::{ParseError, parse};

fn error(sql: &str) -> ParseError {
    match parse(sql) {
        Err(error) => error,
        Ok(parsed) => unreachable!("{sql} was parsed into {parsed:?}"),
    }
}

#[test]
fn statements_that_do_not_exist_are_named() {
    for (sql, what) in [
        ("update t set a = 1 returning a", "UPDATE … RETURNING"),
        ("update t set a = 1 limit 3", "UPDATE … LIMIT"),
        ("update or ignore t set a = 1", "UPDATE OR …"),
        ("delete from t returning *", "DELETE … RETURNING"),
        ("delete from t order by a limit 1", "DELETE … ORDER BY"),
        ("delete from t limit 1", "DELETE … LIMIT"),
        (
            "delete from t at (version => 3)",
            "a change of anything but a table as it is now",
        ),
        (
            "merge into t using u on a = b when matched then update set a = 1 where b = 2",
            "WHERE in UPDATE of MERGE",
        ),
        ("replace into t values (1)", "REPLACE"),
        ("alter tenant acme set (x = 1)", "ALTER TENANT"),
        ("alter role r rename to s", "ALTER ROLE"),
        ("grant select on t to bob", "GRANT"),
        ("revoke select on t from bob", "REVOKE"),
        ("kill query 'x'", "KILL"),
        ("prepare p as select 1", "PREPARE"),
        ("execute p", "EXECUTE"),
        ("deallocate p", "DEALLOCATE"),
        ("load 'x'", "LOAD"),
        ("install x", "INSTALL"),
        ("attach 'x' as y", "ATTACH"),
        ("vacuum", "VACUUM"),
        ("create view v as select 1", "CREATE VIEW"),
        (
            "create or replace view v as select 1",
            "CREATE OR REPLACE VIEW",
        ),
        (
            "create materialized view v as select 1",
            "CREATE MATERIALIZED VIEW",
        ),
        (
            "create function f() returns int return 1",
            "CREATE FUNCTION",
        ),
        ("create unique index i on t (a)", "CREATE UNIQUE INDEX"),
        ("create database d", "CREATE DATABASE"),
        ("create role r", "CREATE ROLE"),
        ("create policy p on t to r using (a = 1)", "CREATE POLICY"),
        ("create or replace schema s", "CREATE OR REPLACE SCHEMA"),
        ("create temporary table t (a int)", "CREATE TEMPORARY TABLE"),
        (
            "create external table t stored as csv location '/etc/passwd'",
            "CREATE EXTERNAL TABLE",
        ),
        (
            "create unbounded external table t stored as csv location 'x'",
            "CREATE UNBOUNDED EXTERNAL TABLE",
        ),
        ("drop view v", "DROP VIEW"),
        ("drop function f", "DROP FUNCTION"),
        ("show databases", "SHOW DATABASES"),
        ("set local x = 1", "SET LOCAL"),
        ("set role r", "SET ROLE"),
        (
            "set transaction isolation level serializable",
            "SET TRANSACTION",
        ),
        ("set session authorization bob", "SET SESSION"),
        ("start transaction read only", "a READ ONLY transaction"),
    ] {
        let error = error(sql);
        assert_eq!(
            error.to_string(),
            format!("{what} is not supported yet"),
            "{sql}"
        );
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn a_refusal_says_what_to_do_where_there_is_something() {
    for (sql, message) in [
        (
            "show create table t",
            "SHOW CREATE is not supported yet; describe the table with DESCRIBE",
        ),
        (
            "select 1 from t where a not similar to 'x%'",
            "SIMILAR TO is not supported yet; write LIKE, or ~ with a regular expression",
        ),
        (
            "begin isolation level serializable",
            "ISOLATION LEVEL SERIALIZABLE is not supported yet; use REPEATABLE READ: a transaction \
             reads one snapshot",
        ),
        (
            "commit and chain",
            "AND CHAIN is not supported yet; send BEGIN afterwards",
        ),
        (
            "explain update t set a = 1",
            "EXPLAIN of UPDATE is not supported yet; explain a query",
        ),
        (
            "explain explain select 1",
            "EXPLAIN of EXPLAIN is not supported yet; explain a query",
        ),
        (
            "explain (analyze) insert into t select 1",
            "EXPLAIN of INSERT is not supported yet; explain a query",
        ),
        (
            "describe update t set a = 1",
            "DESCRIBE UPDATE is not supported yet; describe a table or a query",
        ),
        (
            "copy t from stdin",
            "COPY with STDIN is not supported yet; write a file name in quotes",
        ),
        (
            "copy into t from 'x'",
            "COPY INTO is not supported yet; write COPY t FROM 'file'",
        ),
    ] {
        assert_eq!(error(sql).to_string(), message, "{sql}");
    }
}

/// Clauses that sqlparser reads and DataFusion passes over, and writes inside of queries.
#[test]
fn clauses_that_would_be_passed_over_are_named() {
    for (query, what) in [
        ("select * from t for update", "SELECT … FOR UPDATE"),
        ("select * into u from t", "SELECT … INTO"),
        ("select * from t tablesample (10 percent)", "TABLESAMPLE"),
        (
            "select * from (select 1) tablesample (10 percent)",
            "TABLESAMPLE",
        ),
        ("select a from t group by a with rollup", "GROUP BY … WITH"),
        ("select a from t settings x = 1", "SELECT … SETTINGS"),
        ("select a from t format json", "SELECT … FORMAT"),
        ("select a from t prewhere b = 1", "PREWHERE"),
        ("select a from f(1) with ordinality", "WITH ORDINALITY"),
        ("select a from t connect by a = b", "CONNECT BY"),
    ] {
        let message = format!("{what} is not supported yet");
        for sql in [
            query.to_owned(),
            format!("explain {query}"),
            format!("select * from ({query})"),
            format!("select 1 where a in ({query})"),
            format!("with x as ({query}) select 1"),
            format!("insert into t {query}"),
            format!("create table t as {query}"),
            format!("copy ({query}) to 'f.csv'"),
            format!("call f(({query}))"),
        ] {
            assert_eq!(error(&sql).to_string(), message, "{sql}");
        }
    }
    for sql in [
        "with x as (select 1) insert into t select * from x",
        "with x as (insert into t select 1) select * from x",
        "select * from (insert into t select 1)",
        "explain with x as (select 1) delete from t",
        "with x as (select 1) update t set a = 1",
    ] {
        assert!(
            error(sql)
                .to_string()
                .contains("inside a query is not supported"),
            "{sql}"
        );
    }
}

#[test]
fn clauses_of_inserts_and_tables() {
    for (sql, what) in [
        (
            "insert into t default values",
            "INSERT without VALUES or a query",
        ),
        (
            "insert into t values (1) on conflict do nothing",
            "INSERT … ON CONFLICT",
        ),
        ("insert into t values (1) returning a", "INSERT … RETURNING"),
        ("insert or replace into t values (1)", "INSERT OR …"),
        ("insert ignore into t values (1)", "INSERT IGNORE"),
        ("insert overwrite t select 1", "INSERT OVERWRITE"),
        (
            "insert into t partition (a = 1) values (1)",
            "INSERT … PARTITION",
        ),
        ("create table t (a int unique)", "UNIQUE"),
        ("create table t (a int, unique (a))", "UNIQUE"),
        ("create table t (a int check (a > 1))", "CHECK"),
        ("create table t (a int, check (a > 1))", "CHECK"),
        ("create table t (a int references u)", "REFERENCES"),
        (
            "create table t (a int, foreign key (a) references u (b))",
            "FOREIGN KEY",
        ),
        (
            "copy t to 'x.parquet' partitioned by (a)",
            "COPY … PARTITIONED BY",
        ),
        ("copy t from 'x.csv' where a = 1", "COPY … WHERE"),
    ] {
        assert_eq!(
            error(sql).to_string(),
            format!("{what} is not supported yet"),
            "{sql}"
        );
    }
}

#[test]
fn not_exactly_one_statement() {
    for sql in [
        "",
        "  \n\t",
        ";",
        " ;; ; ",
        "-- only this",
        "/* only this */;",
    ] {
        assert_eq!(error(sql), ParseError::Empty, "{sql}");
    }
    for sql in [
        "select 1; select 2",
        "begin; commit",
        "select 1; garbage",
        "a;b;c",
    ] {
        assert_eq!(error(sql), ParseError::MultipleStatements, "{sql}");
    }
}

#[test]
fn placeholders_without_a_number() {
    for sql in ["select ?, $1", "select $1 from t where a = ?"] {
        assert!(error(sql).to_string().contains("mixes ? and $1"), "{sql}");
    }
    for sql in [
        "select $name",
        "select :name",
        "select :1",
        "select ?1",
        "select $0",
        "select $01",
    ] {
        assert!(
            error(sql).to_string().contains("write ? or $1, $2"),
            "{sql}"
        );
    }
    let highest = "select $99999999999999999999999999";
    assert!(error(highest).to_string().contains("write ? or $1, $2"));
    assert!(
        error("select $65536")
            .to_string()
            .contains("more than 65535 parameters")
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn syntax_errors_name_the_place() {
    for (sql, message) in [
        (
            "foo bar",
            "at line 1, column 1: expected a statement such as SELECT, INSERT or CREATE TABLE, found foo",
        ),
        (
            "select 1 1",
            "at line 1, column 10: expected the end of the statement, found 1",
        ),
        (
            "select\n  (1",
            "at line 2, column 3: ( is never closed; add the closing one",
        ),
        (
            "select 1]",
            "at line 1, column 9: ] closes nothing; remove it",
        ),
        (
            "select (1]",
            "at line 1, column 10: ] closes nothing; remove it",
        ),
        (
            "select 'abc",
            "at line 1, column 8: Unterminated string literal",
        ),
        ("select", ": expected an expression, but the statement ends"),
        (
            "create",
            ": expected TABLE, SCHEMA, USER or TENANT, but the statement ends",
        ),
        (
            "create foo",
            "at line 1, column 8: expected TABLE, SCHEMA, USER or TENANT",
        ),
        ("create table t", ": expected at least one column"),
        ("create table t ()", ": expected at least one column"),
        (
            "create table t (a int) partition by (a)",
            "column 24: expected PARTITIONED BY (…), SORTED BY (…)",
        ),
        (
            "create table t (a int) partitioned by (b int)",
            "column 42: expected ), found int",
        ),
        (
            "create table t (a int) partitioned by (lower(b))",
            "column 40: expected a column, year(column)",
        ),
        (
            "create table t (a int) partitioned by (bucket(0, a))",
            "expected the number of buckets",
        ),
        (
            "create table t (a int) partitioned by (a) partitioned by (a)",
            "PARTITIONED BY only once",
        ),
        (
            "create table t (a int primary key) primary key (a)",
            "PRIMARY KEY only once",
        ),
        (
            "create table t (a int primary key, b int primary key)",
            "PRIMARY KEY only once",
        ),
        (
            "create table t (a int) with (x = 1, X = 2)",
            "option x only once",
        ),
        ("create table t (a int) with (x)", "expected =, found )"),
        (
            "create or replace table if not exists t (a int)",
            "expected either OR REPLACE or IF NOT EXISTS",
        ),
        (
            "create table a.b.c.d (a int)",
            "tenant.schema.table at most",
        ),
        (
            "create schema s authorization bob",
            "expected the end of the statement, found authorization",
        ),
        (
            "drop table",
            ": expected the name of the table, but the statement ends",
        ),
        (
            "copy t",
            ": expected FROM 'file' or TO 'file', but the statement ends",
        ),
        ("copy t from f", "expected a file name in quotes, found f"),
        ("copy t from ''", "expected a file name that is not empty"),
        (
            "copy t from 'f'",
            "expected a known extension or the format",
        ),
        ("copy t from 'f.parquet' (header)", "with FORMAT csv only"),
        (
            "copy t from 'f.csv' (encoding 'utf8')",
            "expected FORMAT, HEADER",
        ),
        (
            "copy t from 'f.csv' (delimiter 'ab')",
            "expected one ASCII character in quotes",
        ),
        (
            "copy t from 'f.csv' (header maybe)",
            "expected true or false",
        ),
        (
            "copy t from 'f' (format avro)",
            "expected parquet, csv, json or arrow instead of avro",
        ),
        (
            "copy (select 1) from 'f.json'",
            "expected a table before FROM",
        ),
        (
            "copy (insert into t select 1) to 'f.json'",
            "expected a query that begins with",
        ),
        ("call f(a => 1, a => 2)", "expected each argument only once"),
        (
            "call f(a => 1, 2)",
            "expected the arguments without a name first",
        ),
        ("call f(1", "( is never closed"),
        ("set x", ": expected = or TO, but the statement ends"),
        (
            "set x = ",
            ": expected a string, a number, true or false, but the statement ends",
        ),
        ("rollback x", "expected CHAIN, found x"),
        (
            "begin immediate",
            "expected ISOLATION LEVEL …, READ WRITE or the end",
        ),
    ] {
        let error = error(sql);
        let text = error.to_string();
        assert!(
            text.starts_with("syntax error") && text.contains(message),
            "{sql}: {text}"
        );
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{sql}");
    }
}

#[test]
fn messages_are_short_and_on_one_line() {
    let long = "x".repeat(100_000);
    for sql in [
        format!("select 1 2 '{long}'"),
        format!("select 1 {long} {long}"),
        format!("{long} 1"),
        format!("select ${long}"),
        format!("explain {long}"),
        format!("create table t (a int {long} {long})"),
        format!("copy t from 'f' (format '{long}')"),
        "select 1 x 'a\nb\u{7}c'".to_owned(),
    ] {
        let text = error(&sql).to_string();
        assert!(text.chars().count() < 400, "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
}
