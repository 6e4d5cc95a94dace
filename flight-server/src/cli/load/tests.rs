#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use arrow_flight::sql::TableExistsOption;
use clap::Parser;
use tempfile::TempDir;
use tonic::Code;

use super::*;
use crate::cli::tests::stub::{self, Stub};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: LoadArgs,
}

async fn run(stub: &Stub, directory: &Path, line: &str) -> Result<Outcome, String> {
    let mut words = vec!["load".to_owned()];
    for word in line.split(' ') {
        let is_file = word.contains('.') && !word.contains('=');
        let path = directory.join(word).display().to_string();
        words.push(if is_file { path } else { word.to_owned() });
    }
    words.extend(["--table".to_owned(), "t".to_owned()]);
    let Line { arguments } = Line::parse_from(words);
    let outcome = load(arguments, stub.target()).await;
    outcome.map_err(|error| {
        error
            .line()
            .replace(&format!("{}/", directory.display()), "")
    })
}

fn csv_files(count: i64, rows: i64) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in 0..count {
        let lines = (0..rows).map(|row| format!("{},{row}\n", file * rows + row));
        let text: String = std::iter::once("id,n\n".to_owned()).chain(lines).collect();
        fs::write(directory.path().join(format!("{file}.csv")), text).unwrap();
    }
    directory
}

fn rows(stub: &Stub) -> i64 {
    stub.state
        .lock()
        .tables
        .get("t")
        .map_or(0, |table| table.rows)
}

fn loaded(files: usize, rows: u64, duplicate_files: usize, duplicate_rows: u64) -> String {
    let mut outcome = Outcome::default();
    for _ in 0..files {
        outcome.add(upload::Loaded {
            rows: rows / files as u64,
            rows_before: 0,
            duplicate: false,
        });
    }
    for _ in 0..duplicate_files {
        outcome.add(upload::Loaded {
            rows: 0,
            rows_before: duplicate_rows / duplicate_files as u64,
            duplicate: true,
        });
    }
    format!("{outcome:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_loaded_once_however_often_it_runs() {
    let (stub, files) = (stub::start().await, csv_files(5, 100));
    let line = "0.csv 1.csv 2.csv --parallel 3";
    let first = run(&stub, files.path(), line).await.unwrap();
    assert_eq!(format!("{first:?}"), loaded(3, 300, 0, 0));
    let line = "0.csv 1.csv 2.csv 3.csv 4.csv";
    let second = run(&stub, files.path(), line).await.unwrap();
    assert_eq!(format!("{second:?}"), loaded(2, 200, 3, 300));
    assert_eq!(rows(&stub), 500);
    let summary = second.summary(std::time::Duration::from_secs(2));
    let expected = "200 rows loaded from 2 files in 2.00 s (100 rows/s); \
                    already loaded: 300 rows of 3 files";
    assert_eq!(summary, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_apply_to_the_first_file_only() {
    let (stub, files) = (stub::start().await, csv_files(3, 10));
    run(&stub, files.path(), "0.csv 1.csv --create")
        .await
        .unwrap();
    let error = run(&stub, files.path(), "2.csv --create")
        .await
        .unwrap_err();
    assert_eq!(
        error,
        "2.csv was not loaded: table t exists (ALREADY_EXISTS)"
    );
    // Replacing works every time, whatever was loaded before.
    for _ in 0..2 {
        run(
            &stub,
            files.path(),
            "0.csv 1.csv 2.csv --replace --parallel 1",
        )
        .await
        .unwrap();
        assert_eq!(rows(&stub), 30);
    }
    let mut seen = stub.state.lock().if_exists.clone();
    seen.drain(..3);
    use TableExistsOption::{Append, Replace};
    assert_eq!(seen, [Replace, Append, Append, Replace, Append, Append]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_server_is_asked_again_and_others_are_not() {
    let (stub, files) = (stub::start().await, csv_files(1, 10));
    stub.state.lock().refusals = vec![Code::ResourceExhausted, Code::Unavailable];
    run(&stub, files.path(), "0.csv").await.unwrap();
    assert_eq!(rows(&stub), 10);
    stub.state.lock().refusals = vec![Code::PermissionDenied];
    let error = run(&stub, files.path(), "0.csv --replace")
        .await
        .unwrap_err();
    assert_eq!(error, "0.csv was not loaded: not now (PERMISSION_DENIED)");
    assert_eq!(rows(&stub), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_in_the_middle_loads_nothing() {
    let (stub, files) = (stub::start().await, csv_files(1, 200_000));
    let path = files.path().join("0.csv");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("not a number,5\n");
    fs::write(&path, text).unwrap();
    let error = run(&stub, files.path(), "0.csv --infer-rows 10")
        .await
        .unwrap_err();
    assert!(error.starts_with("0.csv is not usable: "), "{error}");
    assert!(
        error.contains("line 200001") && error.contains("raise --infer-rows"),
        "{error}"
    );
    assert_eq!(rows(&stub), 0);
    assert!(stub.state.lock().keys.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_are_finished_and_the_rest_is_left_for_the_next_run() {
    let (stub, files) = (stub::start().await, csv_files(4, 10));
    fs::write(files.path().join("1.csv"), "id,n\n1\n").unwrap();
    let line = "0.csv 1.csv 2.csv 3.csv --parallel 1";
    let error = run(&stub, files.path(), line).await.unwrap_err();
    assert!(error.contains("1.csv is not usable"), "{error}");
    assert!(
        error.ends_with(
            "1 of 4 files are loaded, and once this is mended the same command loads the rest"
        ),
        "{error}"
    );
    fs::write(files.path().join("1.csv"), "id,n\n1,1\n").unwrap();
    let outcome = run(&stub, files.path(), line).await.unwrap();
    assert_eq!(rows(&stub), 31);
    assert_eq!(
        outcome
            .summary(std::time::Duration::ZERO)
            .matches("10 rows")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_count_is_not_taken_for_success() {
    let (stub, files) = (stub::start().await, csv_files(1, 10));
    stub.state.lock().miscount = -1;
    let error = run(&stub, files.path(), "0.csv").await.unwrap_err();
    assert!(
        error.contains("10 rows were sent and the server counted 9"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_stay_below_the_size_asked_for() {
    let (stub, files) = (stub::start().await, csv_files(1, 100_000));
    run(&stub, files.path(), "0.csv --batch-bytes 65536")
        .await
        .unwrap();
    assert_eq!(rows(&stub), 100_000);
    let largest = stub.state.lock().message_bytes_max;
    assert!((32_768..=131_072).contains(&largest), "{largest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_named() {
    let (stub, files) = (stub::start().await, csv_files(0, 0));
    fs::write(files.path().join("a.xyz"), "?").unwrap();
    fs::create_dir(files.path().join("d.csv")).unwrap();
    fs::write(files.path().join("e.csv"), "").unwrap();
    for (line, expected) in [
        ("no.csv", "cannot read no.csv: No such file or directory"),
        (
            "a.xyz",
            "a.xyz: the name does not tell what it is; add --format (parquet, arrow, csv",
        ),
        ("d.csv", "d.csv: this is a directory"),
        ("e.csv", "e.csv: the file is empty"),
    ] {
        let error = run(&stub, files.path(), line).await.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn table_names_are_read() {
    let name = |schema: &str, name: &str| TableName {
        schema: schema.into(),
        name: name.into(),
    };
    assert_eq!(parse_table("t").unwrap(), name("main", "t"));
    assert_eq!(parse_table("s.t").unwrap(), name("s", "t"));
    assert_eq!(parse_table("\"S\".\"T\"").unwrap(), name("S", "T"));
    for text in ["", ".", "a.", "a.b.c"] {
        assert!(parse_table(text).is_err(), "{text}");
    }
    assert_eq!(parse_delimiter("\\t"), Ok(b'\t'));
    assert!(parse_delimiter("ü").is_err());
}
