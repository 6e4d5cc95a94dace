//! What the tab key offers, and when typed text is complete.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rustyline::completion::Completer;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::split;
use crate::cli::client::TableInfo;

const KEYWORDS: &[&str] = &[
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "AT",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CALL",
    "CASE",
    "CAST",
    "COMMIT",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "PASSWORD",
    "PRIMARY KEY",
    "RIGHT",
    "ROLLBACK",
    "SCHEMA",
    "SELECT",
    "SET",
    "SORTED",
    "SUM",
    "TABLE",
    "TENANT",
    "THEN",
    "TRUE",
    "UNION",
    "UPDATE",
    "USER",
    "USING",
    "VALUES",
    "VERSION",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Commands of the prompt itself, with what they do.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("\\?", "this list"),
    ("\\d", "tables and views; \\d NAME: the columns of one"),
    ("\\dt", "tables"),
    ("\\dn", "schemas"),
    ("\\l", "the tenant of this session"),
    ("\\format", "table, csv, json or ndjson"),
    ("\\timing", "times on or off"),
    ("\\c", "connect again"),
    ("\\q", "leave (or Ctrl-D)"),
];

/// Knows the words of SQL and of the tenant's tables.
#[derive(Helper, Hinter, Highlighter)]
pub(crate) struct SqlHelper {
    words: BTreeSet<String>,
}

impl SqlHelper {
    /// Knows keywords only.
    pub(crate) fn new() -> Self {
        Self {
            words: BTreeSet::new(),
        }
    }

    /// Replaces the known tables and columns.
    pub(crate) fn learn(&mut self, tables: &[TableInfo]) {
        self.words.clear();
        for table in tables {
            self.words.insert(quoted(&table.schema));
            self.words.insert(quoted(&table.name));
            self.words
                .insert(format!("{}.{}", quoted(&table.schema), quoted(&table.name)));
            self.words.extend(
                table
                    .columns
                    .fields()
                    .iter()
                    .map(|field| quoted(field.name())),
            );
        }
    }

    fn candidates(&self, word: &str) -> Vec<String> {
        if word.is_empty() {
            return Vec::new();
        }
        if word.starts_with('\\') {
            let names = COMMANDS.iter().map(|(name, _)| (*name).to_owned());
            return names.filter(|name| name.starts_with(word)).collect();
        }
        let lower = word.to_lowercase();
        let fits = |known: &&String| known.to_lowercase().starts_with(&lower);
        let mut found: Vec<_> = self.words.iter().filter(fits).cloned().collect();
        let is_lower = word.chars().all(|letter| !letter.is_uppercase());
        let keywords = KEYWORDS
            .iter()
            .filter(|known| known.starts_with(&word.to_uppercase()));
        found.extend(keywords.map(|known| match is_lower {
            true => known.to_lowercase(),
            false => (*known).to_owned(),
        }));
        found
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let is_part = |letter: char| letter.is_alphanumeric() || "_.\"\\".contains(letter);
        let start = before.rfind(|letter| !is_part(letter)).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        Ok((start, self.candidates(&before[start..])))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

/// Words that people type to get out or on, and that begin no statement.
pub(super) fn plain_command(text: &str) -> Option<&'static str> {
    match text.trim().trim_end_matches(';').to_lowercase().as_str() {
        "exit" | "quit" => Some("q"),
        "help" => Some("?"),
        _ => None,
    }
}

/// Whether Enter runs the text rather than starting another line.
fn is_complete(text: &str) -> bool {
    plain_command(text).is_some() || text.trim_start().starts_with('\\') || split::is_complete(text)
}

/// A name as SQL wants it: in quotes unless it is a plain lower-case word.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
