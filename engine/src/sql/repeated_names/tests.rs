#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::ast::SelectItem;

use super::{for_each_select, mark_repeated, outermost, rename, restore_name};
use crate::sql::parser::{QueryForm, Statement, parse};

/// The names of the columns after marking, `|` for the mark; nothing for an untouched one.
fn marked(sql: &str, wildcards: &[&str]) -> Vec<String> {
    let Statement::Query(QueryForm::Sql(mut query)) = parse(sql).unwrap().statement else {
        unreachable!("a query")
    };
    let mut names = vec![];
    for_each_select(&mut outermost(&mut query).unwrap().body, &mut |select| {
        let seen: HashSet<_> = wildcards.iter().map(|name| (*name).to_owned()).collect();
        mark_repeated(select, seen);
        names.extend(select.projection.iter().map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.replace('\u{1f}', "|"),
            _ => String::new(),
        }));
    });
    names
}

#[test]
fn the_first_of_each_name_stays_and_expressions_are_marked() {
    assert_eq!(marked("SELECT a.id, b.id FROM a, b", &[]), ["", "id|1"]);
    assert_eq!(
        marked("SELECT id AS x, n AS X, n FROM t", &[]),
        ["x", "x|1", ""]
    );
    assert_eq!(marked("SELECT 1, 1", &[]), ["1|0", "1|1"]);
    assert_eq!(
        marked("SELECT t.*, t.id, n FROM t", &["id"]),
        ["", "id|1", ""]
    );
    assert_eq!(
        marked("SELECT 1, 1 UNION (SELECT 2, 2)", &[]),
        ["1|0", "1|1", "2|0", "2|1"]
    );
    assert_eq!(marked("EXPLAIN SELECT a, a FROM t", &[]), ["", "a|1"]);
}

#[test]
fn the_mark_comes_off() {
    let field = |name: &str| Arc::new(Field::new(name, DataType::Int8, true));
    for (name, restored) in [
        ("id\u{1f}12", "id"),
        ("a\u{1f}b\u{1f}0", "a\u{1f}b"),
        ("id", "id"),
        ("id\u{1f}x", "id\u{1f}x"),
    ] {
        assert_eq!(restore_name(&field(name)).name(), restored);
    }
}

#[test]
fn expressions_get_the_name_the_planner_gave() {
    let Statement::Query(QueryForm::Sql(mut query)) =
        parse("SELECT sum(n), sum(n) FROM t").unwrap().statement
    else {
        unreachable!("a query")
    };
    let given = HashMap::from([("sum(n)\u{1f}1".to_owned(), "sum(t.n)".to_owned())]);
    for_each_select(&mut outermost(&mut query).unwrap().body, &mut |select| {
        mark_repeated(select, HashSet::new());
        rename(select, &given);
    });
    assert!(query.to_string().contains("sum(t.n)\u{1f}1"));
}
