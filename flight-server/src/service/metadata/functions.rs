//! The names of functions and reserved words, taken from what is compiled in.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::functions;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER,
    RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_TABLE_FACTOR,
};

pub(super) fn numeric() -> Vec<String> {
    names(functions::math::functions())
}

pub(super) fn string() -> Vec<String> {
    let all = functions::string::functions().into_iter();
    let all = all
        .chain(functions::unicode::functions())
        .chain(functions::regex::functions());
    names(
        all.chain(functions::encoding::functions())
            .chain(functions::crypto::functions()),
    )
}

pub(super) fn datetime() -> Vec<String> {
    names(functions::datetime::functions())
}

pub(super) fn system() -> Vec<String> {
    names(functions::core::functions())
}

/// Words that cannot be used as names without quotes.
pub(super) fn reserved_words() -> Vec<String> {
    let reserved = [
        RESERVED_FOR_TABLE_ALIAS,
        RESERVED_FOR_COLUMN_ALIAS,
        RESERVED_FOR_TABLE_FACTOR,
        RESERVED_FOR_IDENTIFIER,
    ];
    let is_reserved = |keyword: &Keyword| reserved.iter().any(|list| list.contains(keyword));
    let words: BTreeSet<&str> = ALL_KEYWORDS_INDEX
        .iter()
        .zip(ALL_KEYWORDS)
        .filter(|(keyword, _)| is_reserved(keyword))
        .map(|(_, word)| *word)
        .collect();
    words.into_iter().map(str::to_owned).collect()
}

/// Names and other names, sorted.
fn names(functions: impl IntoIterator<Item = Arc<ScalarUDF>>) -> Vec<String> {
    let mut all = BTreeSet::new();
    for function in functions {
        all.insert(function.name().to_owned());
        all.extend(function.aliases().iter().cloned());
    }
    all.into_iter().collect()
}
