//! The records of one file.

use std::collections::BTreeSet;
use std::path::Path;

use sqllogictest::{
    Normalizer, QueryExpect, Record, Runner, StatementExpect, parse_file, strict_column_validator,
};

use super::cells::CellType;
use super::server::Server;

type TestRecord = Record<CellType>;

/// How the client shows that the server does not do something, and says so.
const REFUSED: &str = "Operation is not implemented or not supported";
/// Marks what differs from run to run.
const IGNORE: &str = "<slt:ignore>";

pub(crate) struct FileResult {
    pub(crate) file: String,
    /// Statements and queries that were run.
    pub(crate) records: usize,
    /// Others that the server does not do, and says so.
    pub(crate) refused: usize,
    pub(crate) failures: Vec<RecordFailure>,
}

impl FileResult {
    pub(crate) fn passed(&self) -> usize {
        self.records - self.failures.len()
    }
}

pub(crate) struct RecordFailure {
    /// The record's line, or `INCLUDED:LINE`.
    pub(crate) place: String,
    pub(crate) message: String,
}

pub(crate) async fn run_file(server: &Server, folder: &Path, file: &str) -> FileResult {
    let mut result = FileResult {
        file: file.to_owned(),
        records: 0,
        refused: 0,
        failures: vec![],
    };
    let records = parse_file::<CellType>(folder.join(file));
    let records = records.unwrap_or_else(|error| panic!("{file}: {error}"));
    let tenant: String = file
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let tenant = format!("slt_{}", tenant.to_lowercase());
    let mut runner = Runner::new(|| async { Ok(server.tenant(&tenant).await) });
    runner.with_column_validator(strict_column_validator);
    runner.with_normalizer(|value| value.trim_end().to_owned());
    let mut scope = Scope::default();
    for record in records {
        if let Record::Halt { .. } = record {
            break;
        }
        let Some((record, place)) = scope.applicable(record, file) else {
            continue;
        };
        let Some(place) = place else {
            drop(runner.run_async(record).await);
            continue;
        };
        let sql = sql_of(&record).unwrap_or_default().to_owned();
        runner.with_validator(if asks_for_order(&sql) {
            in_order
        } else {
            in_any_order
        });
        let message = match runner.run_async(record).await {
            Ok(_) => {
                result.records += 1;
                continue;
            }
            Err(error) => error.display(false).to_string(),
        };
        scope.is_not_made(&sql);
        if message.contains(REFUSED) {
            result.refused += 1;
        } else {
            result.records += 1;
            result.failures.push(RecordFailure { place, message });
        }
    }
    result
}

/// What a file's records are about.
#[derive(Default)]
struct Scope {
    /// Tables that could not be made, or are made by what is left out.
    absent: BTreeSet<String>,
    /// Settings by which SQL means something else for now.
    foreign: BTreeSet<String>,
}

impl Scope {
    /// Whether a record is left out: because it shows plans, which are those of DataFusion's own
    /// tables; because it changes settings of DataFusion, which Quiver decides itself; because it is
    /// about files of the machine or functions and views, which Quiver's SQL does not make; because
    /// it is in another dialect of SQL; or because it reads a table that is not there, so that what
    /// made it counts once.
    fn leaves_out(&mut self, sql: &str) -> bool {
        let words = words(sql);
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let reads_absent = texts.iter().any(|word| {
            let mut parts = word.split('.');
            self.absent.contains(*word) || parts.any(|part| self.absent.contains(part))
        });
        let is_left_out = match texts.as_slice() {
            [
                "explain" | "copy" | "prepare" | "execute" | "deallocate",
                ..,
            ]
            | ["create" | "drop", "external" | "view" | "function", ..] => true,
            ["set" | "reset", what, value @ ..] if what.starts_with("datafusion.sql_parser.") => {
                match value {
                    [] | [.., "generic" | "nulls_max" | "true"] => self.foreign.remove(*what),
                    _ => self.foreign.insert((*what).to_owned()),
                };
                true
            }
            ["set" | "reset" | "show", what, ..] => what.starts_with("datafusion."),
            ["create", "table", name, ..] if self.foreign.is_empty() => {
                let again = self.absent.remove(*name);
                reads_absent && !again
            }
            _ => reads_absent || !self.foreign.is_empty(),
        };
        if is_left_out {
            self.is_not_made(sql);
        }
        is_left_out
    }

    /// Notes that what a statement would have made is not there.
    fn is_not_made(&mut self, sql: &str) {
        let words = words(sql);
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let made = match texts.as_slice() {
            ["create", "external", "table", name, ..]
            | ["create", "table" | "view" | "function", name, ..]
            | ["insert", "into", name, ..] => Some(*name),
            ["select", rest @ ..] => {
                let into = rest.iter().position(|word| *word == "into");
                into.and_then(|at| rest.get(at + 1)).copied()
            }
            _ => None,
        };
        let made = made.and_then(|name| name.rsplit('.').next());
        self.absent.extend(made.map(str::to_owned));
    }

    /// The record, unless it is left out, and its place when it is one that counts. An error must be
    /// one; its words are Quiver's.
    fn applicable(
        &mut self,
        record: TestRecord,
        file: &str,
    ) -> Option<(TestRecord, Option<String>)> {
        let (Record::Statement { loc, sql, .. } | Record::Query { loc, sql, .. }) = &record else {
            return Some((record, None));
        };
        let sql = sql.clone();
        if self.leaves_out(&sql) {
            // What is there after all must not be in the way of the next.
            let is_drop = sql.trim_start().to_lowercase().starts_with("drop table");
            return is_drop.then_some((record, None));
        }
        let line = loc.line();
        let place = match Path::new(loc.file()).ends_with(file) {
            true => line.to_string(),
            false => {
                let included = loc.file().rsplit('/').next().unwrap_or_default();
                format!("{included}:{line}")
            }
        };
        Some((any_error(record), Some(place)))
    }
}

fn sql_of(record: &TestRecord) -> Option<&str> {
    match record {
        Record::Statement { sql, .. } | Record::Query { sql, .. } => Some(sql),
        _ => None,
    }
}

/// Whether the rows of a query have an order: one within brackets is that of something else.
fn asks_for_order(sql: &str) -> bool {
    let mut depth = 0;
    let outside: String = sql
        .to_lowercase()
        .chars()
        .filter(|c| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        })
        .collect();
    outside.contains("order by")
}

/// The words of a statement in lower case, without those that only say how a thing is made.
fn words(sql: &str) -> Vec<String> {
    let noise = [
        "or",
        "replace",
        "if",
        "not",
        "exists",
        "unbounded",
        "temporary",
    ];
    sql.split(|c: char| !(c.is_alphanumeric() || "_.".contains(c)))
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !noise.contains(&word.as_str()))
        .collect()
}

fn any_error(mut record: TestRecord) -> TestRecord {
    use sqllogictest::ExpectedError;
    match &mut record {
        Record::Statement {
            expected: StatementExpect::Error(error),
            ..
        }
        | Record::Query {
            expected: QueryExpect::Error(error),
            ..
        } => *error = ExpectedError::Empty,
        _ => {}
    }
    record
}

fn in_order(normalizer: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    let (actual, expected) = lines(normalizer, actual, expected);
    is_like(&actual.join("\n"), &expected.join("\n"))
}

/// For queries that ask for no order.
fn in_any_order(normalizer: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    let (mut actual, mut expected) = lines(normalizer, actual, expected);
    let is_same = is_like(&actual.join("\n"), &expected.join("\n"));
    actual.sort();
    expected.sort();
    is_same || actual == expected
}

fn lines(
    normalizer: Normalizer,
    actual: &[Vec<String>],
    expected: &[String],
) -> (Vec<String>, Vec<String>) {
    let actual = actual.iter().map(|row| row.join(" ").trim_end().to_owned());
    (actual.collect(), expected.iter().map(normalizer).collect())
}

/// Whether the text is the expected one but for what is marked.
fn is_like(actual: &str, expected: &str) -> bool {
    let mut parts = expected.split(IGNORE);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = actual.strip_prefix(first) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        let Some(found) = rest.find(part) else {
            return false;
        };
        rest = &rest[found + part.len()..];
        is_open = true;
    }
    is_open || rest.is_empty()
}
