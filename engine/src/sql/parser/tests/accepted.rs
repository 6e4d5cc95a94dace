//! What each accepted statement is parsed into.

use super::super::{QueryForm, Statement, parse};
use super::brief;

fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(brief(sql), *expected, "{sql}");
    }
}

#[test]
fn queries_stay_as_they_are() {
    for sql in [
        "SELECT 1",
        "SELECT a, b FROM t WHERE c = 'x' ORDER BY a DESC LIMIT 3",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT a, sum(b) FROM t GROUP BY ROLLUP (a)",
        "SELECT * FROM t AT(VERSION => 5)",
        "SELECT * FROM acme.main.t AT(TIMESTAMP => '2024-01-01') JOIN u ON true",
        "SELECT * FROM t VERSION AS OF 5",
        "SHOW TABLES",
        "SHOW timezone",
        "SHOW ALL",
        "SHOW COLUMNS FROM t",
        "SHOW SCHEMAS",
        "DESCRIBE t",
        "DESCRIBE SELECT 1",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN VERBOSE SELECT 1",
        "EXPLAIN (SELECT 1)",
    ] {
        assert_eq!(brief(sql), format!("query {sql}"));
    }
    check(&[
        ("FROM t SELECT a", "query FROM t SELECT a"),
        (
            "explain (analyze, format tree) select 1",
            "query EXPLAIN ANALYZE FORMAT tree SELECT 1",
        ),
        ("desc t", "query DESC t"),
        ("describe table t", "query DESCRIBE t"),
        ("desc table", "query DESC table"),
        ("table t order by 1", "query SELECT * FROM t ORDER BY 1"),
        (
            "with x as materialized (select 1), y as not materialized (select 2) select 3",
            "query WITH x AS (SELECT 1), y AS (SELECT 2) SELECT 3",
        ),
        ("select 1 as materialized", "query SELECT 1 AS materialized"),
    ]);
}

#[test]
fn a_table_version_is_in_the_tree() {
    use datafusion::sql::parser::Statement as Df;
    use datafusion::sql::sqlparser::ast::{SetExpr, Statement as Ast, TableFactor, TableVersion};

    let parsed = parse("SELECT * FROM t AT (VERSION => 5)").unwrap();
    let Statement::Query(QueryForm::Sql(statement)) = parsed.statement else {
        unreachable!("a query")
    };
    let Df::Statement(statement) = *statement else {
        unreachable!("a query")
    };
    let Ast::Query(query) = *statement else {
        unreachable!("a query")
    };
    let SetExpr::Select(select) = *query.body else {
        unreachable!("a select")
    };
    let TableFactor::Table { version, .. } = &select.from[0].relation else {
        unreachable!("a table")
    };
    assert!(matches!(version, Some(TableVersion::Function(_))));
}

#[test]
fn comments_and_semicolons_around_a_statement() {
    for sql in [
        "SELECT 1;",
        " ;; SELECT 1 ; ; ",
        "/* a; b */ SELECT 1 -- ; c",
        "SELECT /* x */ 1",
    ] {
        assert_eq!(brief(sql), "query SELECT 1");
    }
}

#[test]
fn inserts() {
    check(&[
        (
            "insert into t values (1, 'a')",
            "insert INSERT INTO t VALUES (1, 'a')",
        ),
        (
            "insert into a.b.t (x, y) select 1, 2",
            "insert INSERT INTO a.b.t (x, y) SELECT 1, 2",
        ),
        (
            "insert into t with x as (select 1) select * from x",
            "insert INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        ),
    ]);
}

#[test]
fn placeholders_are_numbered_in_the_order_of_the_text() {
    for (sql, count, text) in [
        ("SELECT 1", 0, "SELECT 1"),
        ("SELECT '?', \"?\"", 0, "SELECT '?', \"?\""),
        (
            "SELECT ?, ? FROM t WHERE a = ?",
            3,
            "SELECT $1, $2 FROM t WHERE a = $3",
        ),
        ("SELECT $2, $1, $2", 2, "SELECT $2, $1, $2"),
        ("SELECT $7", 7, "SELECT $7"),
        ("SELECT 1 -- ?", 0, "SELECT 1"),
    ] {
        assert_eq!(parse(sql).unwrap().placeholders, count, "{sql}");
        assert_eq!(brief(sql), format!("query {text}"));
    }
    check(&[
        (
            "insert into t values (?, ?), (?, ?)",
            "insert INSERT INTO t VALUES ($1, $2), ($3, $4)",
        ),
        ("call f(?, x => ?)", "call f($1, x => $2)"),
        (
            "create table t as select ? as a",
            "create table t [] as SELECT $1 AS a",
        ),
    ]);
}

#[test]
fn tables() {
    check(&[
        (
            "create table t (a int, b text not null default 'x' comment 'c')",
            "create table t [a INT, b TEXT NOT NULL DEFAULT 'x' COMMENT 'c']",
        ),
        (
            "create table if not exists s.t (ts timestamp, c text) sorted by (ts desc, c nulls first) \
             with (x = 1, 'Y.z' = 'v', a.b = zstd, t = true, n = -5) \
             partitioned by (day(ts), bucket(16, c), c) primary key (c, ts)",
            "create table s.t [ts TIMESTAMP, c TEXT] if not exists key c, ts by day(ts) \
             by bucket16(c) by identity(c) sort ts desc first sort c asc first \
             x=1 y.z='v' a.b='zstd' t=true n=-5",
        ),
        (
            "create table t (y int) partitioned by (year, year(y), month(y), hour(y), identity(y))",
            "create table t [y INT] by identity(year) by year(y) by month(y) by hour(y) \
             by identity(y)",
        ),
        (
            "create or replace table t (a int)",
            "create table t [a INT] or replace",
        ),
        (
            "create table t (a int primary key)",
            "create table t [a INT] key a",
        ),
        (
            "create table t (a int, primary key (a))",
            "create table t [a INT] key a",
        ),
        (
            "create table t (a int, constraint k primary key (a)) sorted by (a nulls last)",
            "create table t [a INT] key a sort a asc last",
        ),
        (
            "create table t (a struct<x int, y array<array<int>>>) partitioned by (a)",
            "create table t [a STRUCT<x INT, y ARRAY<ARRAY<INT>>>] by identity(a)",
        ),
    ]);
}

#[test]
fn clauses_stand_on_both_sides_of_a_query() {
    let expected = "create table t [] by identity(a) sort a desc first as SELECT 1 AS a";
    for sql in [
        "create table t partitioned by (a) sorted by (a desc) as select 1 as a",
        "create table t partitioned by (a) as select 1 as a sorted by (a desc)",
        "create table t as select 1 as a sorted by (a desc) partitioned by (a)",
        "create table t as partitioned by (a) sorted by (a desc) select 1 as a",
    ] {
        assert_eq!(brief(sql), expected, "{sql}");
    }
    check(&[(
        "create table t as with x as (select 1 as a) select * from (select * from x) with (k = 1)",
        "create table t [] k=1 as WITH x AS (SELECT 1 AS a) SELECT * FROM (SELECT * FROM x)",
    )]);
}

/// Types that DataFusion has to map or to refuse: the parser changes none of them.
#[test]
fn postgresql_type_names_are_left_as_they_are() {
    for name in [
        "TEXT",
        "INT2",
        "INT4",
        "INT8",
        "FLOAT4",
        "FLOAT8",
        "BYTEA",
        "BOOL",
        "DOUBLE PRECISION",
        "NUMERIC",
        "NUMERIC(10,2)",
        "TIMESTAMPTZ",
        "TIMESTAMP(3)",
        "BLOB",
        "STRING",
        "UUID",
        "JSON",
        "VARCHAR(10)",
        "BIGINT UNSIGNED",
        "INT[]",
        "INTERVAL",
        "DATE",
        "TIME",
        "REAL",
        "SMALLINT",
    ] {
        assert_eq!(
            brief(&format!("create table t (a {name})")),
            format!("create table t [a {name}]")
        );
    }
}

#[test]
fn other_definitions() {
    check(&[
        ("drop table t", "drop table t"),
        (
            "drop table if exists a.b, \"C\" cascade",
            "drop table a.b, \"C\" if exists",
        ),
        ("create schema s", "create schema s"),
        (
            "create schema if not exists acme.s",
            "create schema acme.s if not exists",
        ),
        ("drop schema s", "drop schema s"),
        (
            "drop schema if exists s cascade",
            "drop schema s if exists cascade",
        ),
        ("drop schema s restrict", "drop schema s"),
    ]);
}

#[test]
fn copies() {
    check(&[
        ("copy t from 'f.parquet'", "copy t() from f.parquet Parquet"),
        (
            "copy s.t (a, b) from 'd/f.CSV.gz' (header, delimiter ';', null '', quote '''', escape '\\')",
            "copy s.t(a, b) from d/f.CSV.gz Csv header=true delimiter=';' quote='\\'' \
             escape='\\\\' null=\"\" gzip",
        ),
        (
            "copy t from 'f' with (format csv, header false)",
            "copy t() from f Csv header=false",
        ),
        (
            "copy t from 'f' with csv header delimiter as e'\\t'",
            "copy t() from f Csv header=true delimiter='\\t'",
        ),
        (
            "copy t from 'f.tsv'",
            "copy t() from f.tsv Csv delimiter='\\t'",
        ),
        (
            "copy t from 'f.ndjson.zst'",
            "copy t() from f.ndjson.zst Json zstd",
        ),
        (
            "copy t from 'f.arrow' (format json)",
            "copy t() from f.arrow Json",
        ),
        ("copy t to 'f' stored as arrow", "copy t() to f Arrow"),
        (
            "copy t to 'f' stored as parquet options (compression 'ZSTD(3)')",
            "copy t() to f Parquet zstd(3)",
        ),
        (
            "copy t to 'f.csv' options ('format.has_header' 'true')",
            "copy t() to f.csv Csv header=true",
        ),
        (
            "copy (select 1) to 'f.json'",
            "copy (SELECT 1) to f.json Json",
        ),
    ]);
}

#[test]
fn calls() {
    check(&[
        ("call system.flush()", "call system.flush()"),
        ("CALL System.\"Compact\"('t')", "call system.Compact('t')"),
        ("call flush", "call flush()"),
        (
            "call expire_snapshots(5, Older_Than => timestamp '2024-01-01', dry := true)",
            "call expire_snapshots(5, older_than => TIMESTAMP '2024-01-01', dry => true)",
        ),
    ]);
}

#[test]
fn transactions() {
    for sql in [
        "begin",
        "BEGIN WORK",
        "begin transaction isolation level repeatable read, read write",
        "start transaction",
        "begin isolation level read committed",
    ] {
        assert_eq!(brief(sql), "begin", "{sql}");
    }
    for sql in [
        "commit",
        "commit work and no chain",
        "end",
        "end transaction",
    ] {
        assert_eq!(brief(sql), "commit", "{sql}");
    }
    for sql in ["rollback", "rollback transaction", "abort"] {
        assert_eq!(brief(sql), "rollback", "{sql}");
    }
    assert_eq!(brief("SAVEPOINT First"), "savepoint first");
    assert_eq!(brief("savepoint \"First one\""), "savepoint First one");
    for sql in [
        "rollback to a",
        "ROLLBACK TO SAVEPOINT A",
        "rollback work to savepoint a",
        "abort transaction to a",
    ] {
        assert_eq!(brief(sql), "rollback to a", "{sql}");
    }
    for sql in ["release a", "RELEASE SAVEPOINT A"] {
        assert_eq!(brief(sql), "release a", "{sql}");
    }
}

#[test]
fn settings() {
    check(&[
        (
            "set time zone 'Europe/Berlin'",
            "set timezone = Europe/Berlin",
        ),
        ("set time zone to 'UTC'", "set timezone = UTC"),
        ("set time zone -7", "set timezone = -7"),
        ("set time zone local", "reset timezone"),
        ("set TimeZone = utc", "set timezone = utc"),
        (
            "set session search_path to a, \"B\"",
            "set search_path = a, B",
        ),
        ("set x.y = -5", "set x.y = -5"),
        ("set x = on", "set x = on"),
        ("set x to true", "set x = true"),
        ("set x to default", "reset x"),
        ("use Sales", "set schema = sales"),
        ("use schema \"Sales\"", "set schema = Sales"),
        ("reset x.y", "reset x.y"),
        ("reset all", "reset all"),
        ("reset time zone", "reset timezone"),
    ]);
}

#[test]
fn users_and_tenants() {
    check(&[
        (
            "create tenant acme",
            "CreateTenant { name: \"acme\", if_not_exists: false }",
        ),
        (
            "create tenant if not exists \"Acme\"",
            "CreateTenant { name: \"Acme\", if_not_exists: true }",
        ),
        (
            "drop tenant ACME",
            "DropTenant { name: \"acme\", if_exists: false }",
        ),
        (
            "create user bob password 'x'",
            "CreateUser { name: \"bob\", tenant: None, password: Password(***), if_not_exists: false }",
        ),
        (
            "create user if not exists bob in tenant acme with password 'x'",
            "CreateUser { name: \"bob\", tenant: Some(\"acme\"), password: Password(***), \
             if_not_exists: true }",
        ),
        (
            "alter user bob with password = 'x' in tenant acme",
            "AlterUser { name: \"bob\", tenant: Some(\"acme\"), password: Password(***) }",
        ),
        (
            "drop user if exists bob in tenant acme",
            "DropUser { name: \"bob\", tenant: Some(\"acme\"), if_exists: true }",
        ),
    ]);
}

#[test]
fn a_password_can_be_read_on_purpose() {
    use super::super::AdminStatement;

    let parsed = parse("CREATE USER bob PASSWORD 'it''s'").unwrap();
    let Statement::Admin(AdminStatement::CreateUser { password, .. }) = parsed.statement else {
        unreachable!("a user")
    };
    assert_eq!(password.expose(), "it's");
}

#[test]
fn changes_keep_their_clauses() {
    for sql in [
        "DELETE FROM t",
        "DELETE FROM main.t AS q USING u WHERE q.a = u.a",
        "UPDATE t SET a = 1, b = DEFAULT",
        "UPDATE t AS q SET a = u.b FROM u WHERE q.a = u.a",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED AND u.b > 1 THEN DELETE \
         WHEN MATCHED THEN UPDATE SET b = u.b \
         WHEN NOT MATCHED THEN INSERT (a, b) VALUES (u.a, u.b) \
         WHEN NOT MATCHED BY SOURCE THEN DELETE",
    ] {
        assert_eq!(brief(sql), format!("change {sql}"));
    }
    check(&[
        ("truncate t", "truncate t"),
        (
            "truncate table if exists a.t, u restart identity cascade",
            "truncate a.t, u if exists",
        ),
    ]);
}
