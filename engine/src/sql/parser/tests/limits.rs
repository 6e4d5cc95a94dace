//! Limits: what is just allowed, what is just refused, and that nothing in between overflows the
//! stack of a worker, also when DataFusion clones, compares or prints the tree.

use super::super::query::RELATIONS_MAX;
use super::super::tokens::{DEPTH_MAX, NESTING_MAX, SQL_BYTES_MAX};
use super::super::{ParseError, QueryForm, Statement, parse};

/// Parses, and uses the tree, with the stack a worker thread has.
pub(super) fn on_small_stack(sql: String) -> Result<usize, ParseError> {
    let work = move || {
        let parsed = parse(&sql)?;
        if let Statement::Query(QueryForm::Sql(query)) = &parsed.statement {
            let copy = query.clone();
            assert!(copy == *query);
            assert!(!copy.to_string().is_empty() && !format!("{copy:?}").is_empty());
        }
        Ok(parsed.placeholders)
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn a_statement_has_at_most_a_mebibyte() {
    let fill = "x".repeat(SQL_BYTES_MAX - "SELECT ''".len());
    assert!(parse(&format!("SELECT '{fill}'")).is_ok());
    let too_long = ParseError::TooLong {
        bytes: SQL_BYTES_MAX + 1,
        bytes_max: SQL_BYTES_MAX,
    };
    assert_eq!(parse(&format!("SELECT '{fill}x'")).unwrap_err(), too_long);
}

#[test]
fn nesting() {
    for (open, close, levels) in [
        ("(", ")", NESTING_MAX),
        ("[", "]", NESTING_MAX),
        ("f(", ")", NESTING_MAX),
        ("case when ", " then 1 end", NESTING_MAX),
        ("(select ", ")", DEPTH_MAX / 20),
    ] {
        let nested = |levels| format!("SELECT {}1{}", open.repeat(levels), close.repeat(levels));
        assert!(on_small_stack(nested(levels)).is_ok(), "{open}");
        assert!(on_small_stack(nested(1000)).is_err(), "{open}");
    }
    for levels in [NESTING_MAX + 1, 300_000] {
        for sql in [
            "(",
            "SELECT (",
            "SELECT * FROM (",
            "SELECT [",
            "SELECT 1::ARRAY<",
        ] {
            let (head, open) = sql.split_at(sql.rfind([' ', ':']).map_or(0, |blank| blank + 1));
            let sql = format!("{head}{}", open.repeat(levels.min(120_000)));
            assert_eq!(
                on_small_stack(sql),
                Err(ParseError::TooDeep),
                "{head}{open}"
            );
        }
    }
}

#[test]
fn words_that_the_parser_descends_into() {
    for word in [
        "interval ",
        "explain ",
        "describe ",
        "case ",
        "select ",
        "not ",
        "prior ",
    ] {
        for head in ["", "select "] {
            let sql = format!("{head}{}1", word.repeat(100_000));
            assert!(on_small_stack(sql).is_err(), "{head}{word}");
        }
    }
}

#[test]
fn long_chains() {
    let ok = DEPTH_MAX - 10;
    for (operator, count) in [
        ("+1", ok),
        (" or a = 1 + 2 * 3", ok),
        (" and (a = 1 or b is null)", ok),
        ("[]", ok),
        (" union select 1, 2", DEPTH_MAX / 5),
    ] {
        let head = if operator.starts_with(" union") {
            "SELECT 1, 2"
        } else {
            "SELECT 1::int"
        };
        let chain = |count| format!("{head}{}", operator.repeat(count));
        assert_eq!(on_small_stack(chain(count)), Ok(0), "{operator}");
        let too_complex = ParseError::TooComplex {
            levels_max: DEPTH_MAX,
        };
        assert_eq!(
            on_small_stack(chain(DEPTH_MAX + 1)),
            Err(too_complex.clone()),
            "{operator}"
        );
        assert_eq!(
            on_small_stack(chain(40_000)),
            Err(too_complex),
            "{operator}"
        );
    }
}

/// Each level adds to the depth of the ones in it, also where `and` is a name.
#[test]
fn chains_of_chains() {
    for (open, close) in [
        ("(", ")+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1"),
        (
            "case when ",
            "+1+1+1+1+1+1+1+1 and a then 1 end+1+1+1+1+1+1+1",
        ),
        ("(", " union select 1 union select 1 union select 1)"),
    ] {
        let start = if close.contains("union") {
            "select 1"
        } else {
            "1"
        };
        let tree = |levels| format!("{}{start}{}", open.repeat(levels), close.repeat(levels));
        for levels in [10, 20, 30, 40, NESTING_MAX] {
            let sql = if start == "1" {
                format!("select {}", tree(levels))
            } else {
                tree(levels)
            };
            drop(on_small_stack(sql));
        }
    }
    let names = format!("select a{}", " + and + 1 + 1 + 1 + 1".repeat(400));
    assert!(on_small_stack(names).is_err());
}

#[test]
fn many_tables() {
    let tables = |count| format!("SELECT 1 FROM t{}", ", t".repeat(count - 1));
    assert!(on_small_stack(tables(RELATIONS_MAX)).is_ok());
    let too_many = ParseError::TooManyRelations {
        relations_max: RELATIONS_MAX,
    };
    assert_eq!(on_small_stack(tables(RELATIONS_MAX + 1)), Err(too_many));
}

#[test]
fn long_lists_are_fine() {
    let values = format!(
        "INSERT INTO t VALUES (?, 'a', -2.5){}",
        ", (?, 'b', NULL)".repeat(20_000)
    );
    assert_eq!(on_small_stack(values), Ok(20_001));
    let list = format!("SELECT * FROM t WHERE a IN (1{})", ", 2".repeat(100_000));
    assert_eq!(on_small_stack(list), Ok(0));
    let columns = (0..2000)
        .map(|n| format!("c{n} BIGINT NOT NULL"))
        .collect::<Vec<_>>();
    assert_eq!(
        on_small_stack(format!("CREATE TABLE t ({})", columns.join(", "))),
        Ok(0)
    );
}
