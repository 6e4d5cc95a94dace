//! Random and hostile texts: an answer, in time, and never a panic.

use std::time::Duration;

use tokio::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::redact;
use super::super::tokens::SQL_BYTES_MAX;
use super::limits::on_small_stack;

/// Pieces of which hostile texts are made: all our words, brackets, and beginnings of everything.
const PIECES: &[&str] = &[
    "select",
    "from",
    "where",
    "with",
    "as",
    "values",
    "insert",
    "into",
    "create",
    "table",
    "or",
    "replace",
    "if",
    "not",
    "exists",
    "drop",
    "schema",
    "user",
    "tenant",
    "password",
    "in",
    "copy",
    "to",
    "stored",
    "options",
    "format",
    "csv",
    "header",
    "delimiter",
    "call",
    "begin",
    "commit",
    "rollback",
    "work",
    "and",
    "chain",
    "no",
    "set",
    "time",
    "zone",
    "reset",
    "all",
    "explain",
    "analyze",
    "describe",
    "show",
    "tables",
    "union",
    "except",
    "join",
    "on",
    "left",
    "lateral",
    "group",
    "by",
    "order",
    "partitioned",
    "sorted",
    "primary",
    "key",
    "bucket",
    "year",
    "asc",
    "desc",
    "nulls",
    "first",
    "at",
    "version",
    "timestamp",
    "interval",
    "case",
    "when",
    "then",
    "else",
    "end",
    "cast",
    "array",
    "struct",
    "map",
    "int",
    "text",
    "between",
    "is",
    "null",
    "like",
    "a",
    "b",
    "t",
    "\"Q\"",
    "'s'",
    "E'\\n'",
    "$$d$$",
    "1",
    "2.5",
    "1e9",
    "?",
    "$1",
    "$x",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ">>",
    ",",
    ";",
    ".",
    "::",
    ":",
    "=",
    "=>",
    ":=",
    "+",
    "-",
    "*",
    "/",
    "||",
    "->",
    "--",
    "/*",
    "*/",
    "'",
    "\"",
    "`",
    "@",
    "#",
    "\\",
    "\n",
    "é",
    "\u{0}",
    "pivot",
    "unpivot",
    "for",
    "tablesample",
    "match_recognize",
    "over",
    "window",
    "rows",
    "|>",
    "limit",
    "fetch",
    "grant",
    "update",
    "kill",
    "distinct",
    "exclude",
    "filter",
    "within",
    "unnest",
];

fn unquoted(piece: &&'static str) -> bool {
    !piece.contains(['\'', '"', '`', '$'])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn token_soup_gets_an_answer(
        head in select(PIECES),
        soup in vec(select(PIECES), 0..60),
        blank in select(&["", " "][..]),
    ) {
        let sql = format!("{head} {}", soup.join(blank));
        drop(on_small_stack(sql.clone()));
        drop(redact(&sql));
    }

    #[test]
    fn repeated_soup_gets_an_answer(
        head in vec(select(PIECES), 0..4),
        soup in vec(select(PIECES), 1..5),
        times in select(&[10_usize, 45, 300, 2000][..]),
    ) {
        let sql = format!("{} {}", head.join(" "), format!("{} ", soup.join(" ")).repeat(times));
        let start = Instant::now();
        drop(on_small_stack(sql.clone()));
        prop_assert!(start.elapsed() < Duration::from_secs(5), "{}", &sql[..100]);
    }

    #[test]
    fn any_text_gets_an_answer(sql in ".{0,200}") {
        drop(on_small_stack(sql.clone()));
        drop(redact(&sql));
    }

    #[test]
    fn a_password_never_shows(
        before in vec(select(PIECES).prop_filter("a quote swallows the rest", unquoted), 0..6),
        after in vec(select(PIECES).prop_filter("a quote swallows the rest", unquoted), 0..6),
    ) {
        let sql = format!(
            "{} CREATE USER bob {} PASSWORD 'hunter2' {}",
            before.join(" "), after.join(" "), after.join(" "),
        );
        prop_assert!(!redact(&sql).contains("hunter2"), "{}", redact(&sql));
        if before.is_empty() {
            let answer = format!("{:?}", super::super::parse(&sql));
            prop_assert!(!answer.contains("hunter2"));
        }
    }
}

#[test]
fn a_mebibyte_of_anything_is_answered_quickly() {
    for piece in PIECES.iter().step_by(4) {
        for head in ["", "select "] {
            let piece = format!("{piece} ");
            let sql = format!("{head}{}", piece.repeat((SQL_BYTES_MAX - 30) / piece.len()));
            let start = Instant::now();
            drop(on_small_stack(sql));
            let elapsed = start.elapsed();
            assert!(
                elapsed < Duration::from_secs(20),
                "{head}{piece}: {elapsed:?}"
            );
        }
    }
}

/// Many parts of one statement, each of which is compared with others.
#[test]
fn a_mebibyte_of_parts_is_answered_quickly() {
    let parts = |head: &str, part: fn(usize) -> String| {
        let mut sql = head.to_owned();
        let mut number = 0;
        while sql.len() < SQL_BYTES_MAX - 40 {
            sql.push_str(&part(number));
            number += 1;
        }
        sql
    };
    for sql in [
        parts("select 1", |_| ", call a".to_owned()),
        parts("create table t (a int) with (k = 1", |n| {
            format!(", k{n} = 1")
        }) + ")",
        parts("call p(k => 1", |n| format!(", k{n} => 1")) + ")",
    ] {
        let start = Instant::now();
        let shown = sql[..40].to_owned();
        drop(on_small_stack(sql));
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(20), "{shown}: {elapsed:?}");
    }
}

/// Texts in which the parser goes back and tries again at every level.
#[test]
fn going_back_does_not_multiply() {
    for levels in [10, 25, 45] {
        for (open, middle, close) in [
            ("(", "t x y z", ")"),
            ("(", "t", " join t on a)"),
            ("(select * from (", "t x y z", "))"),
            ("(", "select 1 1", ")"),
            ("a in (", "1 1", ")"),
            ("f(", "1 1", ")"),
            ("(case when ", "1 1", " then 1 end)"),
            ("cast(", "1 1", " as int)"),
            ("{a: ", "1 1", "}"),
            ("array<", "1 1", ">"),
            ("lateral (", "1 1", ")"),
            ("(values (", "1 1", "))"),
            ("position(", "1", ")"),
            ("position(", "1 1", ")"),
            ("a in ((select ", "1 1", "))"),
            ("((select 1 from ", "t x y z", "))"),
            ("trim(", "1 1", ")"),
            ("substring(", "1 1", ")"),
            ("(a, ", "1 1", ")"),
            ("interval (", "1 1", ")"),
        ] {
            for head in [
                "select * from ",
                "select ",
                "create table t as select * from ",
                "call f(",
            ] {
                let sql = format!(
                    "{head}{}{middle}{}",
                    open.repeat(levels),
                    close.repeat(levels)
                );
                let start = Instant::now();
                drop(on_small_stack(sql.clone()));
                assert!(start.elapsed() < Duration::from_secs(5), "{sql}");
            }
        }
    }
}
