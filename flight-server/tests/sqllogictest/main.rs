//! DataFusion's own SQL test files, sent to a real server through a Flight SQL client.
//!
//! The files are those of the crate `datafusion-sqllogictest`, which `make test` gets, saying in
//! `QUIVER_SLT_DIR` where they are. `QUIVER_SLT_ONLY` runs only the files whose path contains its
//! text.
//! Each file gets a tenant of its own, so that files neither see nor disturb each other. What is
//! not run, and why, stands in `excluded.txt`; records that fail, and why, in `known.txt`; any
//! other failure fails the test, as does a record in `known.txt` that no longer fails.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod cells;
mod client;
mod lists;
mod records;
mod server;

use std::path::{Path, PathBuf};

use futures::StreamExt;

use lists::Lists;
use records::FileResult;
use server::Server;

/// The crate with the files; `tests/tools/run_tests.py` names it too.
const CRATE: &str = "datafusion-sqllogictest-55.2.0";
/// What must pass of the records in files that are not excluded.
const PASSED_PERCENT_MIN: f64 = 98.0;
/// Files that run at a time.
const FILES_AT_ONCE: usize = 4;

#[test]
fn sql_logic_test_files_pass() {
    let folder = std::env::var_os("QUIVER_SLT_DIR").map_or_else(fetched, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(&folder));
}

async fn run(folder: &Path) {
    let lists = Lists::read();
    let only = std::env::var("QUIVER_SLT_ONLY").ok();
    let files = test_files(folder);
    assert!(!files.is_empty(), "no .slt file below {}", folder.display());
    lists.assert_files_exist(&files);
    let wanted = files.iter().filter(|file| match &only {
        Some(only) => file.contains(only.as_str()),
        None => !lists.is_excluded(file),
    });
    let server = Server::start().await;
    let results: Vec<FileResult> = futures::stream::iter(wanted)
        .map(|file| records::run_file(&server, folder, file))
        .buffered(FILES_AT_ONCE)
        .collect()
        .await;
    report(&results, &lists, only.is_some());
}

fn report(results: &[FileResult], lists: &Lists, is_part: bool) {
    let mut surprises = vec![];
    for result in results {
        let known = |place: &str| lists.is_known(&result.file, place);
        let failures = result.failures.iter();
        surprises.extend(
            failures
                .filter(|failure| !known(&failure.place))
                .map(|failure| format!("{}:{}\n{}", result.file, failure.place, failure.message)),
        );
        for place in lists.known_of(&result.file) {
            if !result.failures.iter().any(|failure| failure.place == place) {
                surprises.push(format!(
                    "{}:{place} is known to fail, but passed",
                    result.file
                ));
            }
        }
        if is_part {
            println!(
                "{}: {} of {} passed",
                result.file,
                result.passed(),
                result.records
            );
        }
    }
    let records: usize = results.iter().map(|result| result.records).sum();
    let passed: usize = results.iter().map(FileResult::passed).sum();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let percent = 100.0 * passed as f64 / records.max(1) as f64;
    let refused: usize = results.iter().map(|result| result.refused).sum();
    println!("{refused} records more ask for what Quiver says it does not do");
    println!(
        "{passed} of {records} records in {} files passed: {percent:.2} %",
        results.len()
    );
    assert!(
        surprises.is_empty(),
        "{} surprises:\n{}",
        surprises.len(),
        surprises.join("\n\n")
    );
    assert!(
        is_part || percent >= PASSED_PERCENT_MIN,
        "below {PASSED_PERCENT_MIN} %"
    );
}

/// Where cargo keeps the files, if they were fetched before.
fn fetched() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.unwrap_or_default().join("registry/src");
    let registries = std::fs::read_dir(sources).into_iter().flatten().flatten();
    let mut folders = registries.map(|registry| registry.path().join(CRATE).join("test_files"));
    let found = folders.find(|folder| folder.is_dir());
    found.expect("the test files are not there: `make test` gets them")
}

/// Paths of the test files below a folder, sorted.
fn test_files(folder: &Path) -> Vec<String> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "slt") {
                let file = path.strip_prefix(folder).unwrap();
                files.push(file.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}
