#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use quiver_catalog::assign_columns;

use super::*;
use crate::scan::testing::TestTable;
use crate::storage_fs::LocalFs;

/// A table, and a piece of it with two rows.
fn piece() -> (TestTable, Piece) {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    let test = TestTable::new(assign_columns(&schema).unwrap());
    let fs: Arc<dyn StorageFs> = Arc::new(LocalFs);
    let root = test.directory.path();
    let folders = Arc::new(Folders::new(fs, root));
    let ids = Arc::new(Int64Array::from(vec![1, 2]));
    let rows = RecordBatch::try_new(Arc::clone(&test.schema), vec![ids]).unwrap();
    let mut pieces = Piece::of_table(&folders, &test.version(), root, vec![rows]);
    let piece = pieces.pop().unwrap();
    (test, piece)
}

fn files(test: &TestTable) -> Vec<String> {
    let entries = std::fs::read_dir(test.directory.path().join("main/t")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_nobody_takes_is_removed() {
    let (test, piece) = piece();
    let written = piece.write_part().unwrap();
    assert_eq!(written.row_count(), 2);
    assert!(files(&test)[0].ends_with(".parquet.part"));
    drop(written);
    assert_eq!(files(&test), Vec::<String>::new());
}

/// A task that ends while the catalog decides must not take files along that it may know by now.
#[test]
fn what_was_offered_to_the_catalog_stays_unless_it_is_withdrawn() {
    for withdrawn in [false, true] {
        let (test, piece) = piece();
        let mut written = piece.write_part().unwrap();
        written.name_files().unwrap();
        let names = files(&test);
        let Change::AppendSegments { segments, .. } = written.change() else {
            unreachable!("segments are appended");
        };
        assert_eq!(names, [segments[0].path.clone()]);
        let offered = written.offer();
        match withdrawn {
            false => drop(offered),
            true => offered.withdraw(),
        }
        assert_eq!(files(&test).len(), usize::from(!withdrawn));
    }
}

#[test]
fn only_parts_are_taken_for_leftovers() {
    let (test, part) = piece();
    let written = part.write_part().unwrap().offer();
    drop(written);
    std::fs::write(test.directory.path().join("main/t/a.parquet"), b"").unwrap();
    remove_parts(&LocalFs, test.directory.path()).unwrap();
    assert_eq!(files(&test), ["a.parquet"]);
}
