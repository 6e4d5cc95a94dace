#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use super::*;
use crate::storage_fs::LocalFs;

#[test]
fn positions_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::new(Arc::new(LocalFs), folder.path());
    let many: RoaringTreemap = (0..200_000).filter(|row| row % 3 == 0).collect();
    for deleted in [RoaringTreemap::from_iter([7]), many] {
        let file = write_delete_file(&folders, folder.path(), "main/t/s.parquet", &deleted);
        let file = file.unwrap();
        assert_eq!(file.delete_count, deleted.len());
        let bytes = fs::read(folder.path().join(&file.path)).unwrap();
        assert_eq!(bytes.len() as u64, file.file_size_bytes);
        assert_eq!(read_delete_file(bytes.into(), None).unwrap(), deleted);
    }
}

#[test]
fn deletions_of_later_snapshots_do_not_count() {
    let schema = Arc::new(Schema::new(vec![
        Field::new(PATH_COLUMN, DataType::Utf8, false),
        Field::new(POSITION_COLUMN, DataType::Int64, false),
        Field::new(SNAPSHOT_COLUMN, DataType::Int64, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["s"; 3])),
        Arc::new(Int64Array::from(vec![5, 1, 9])),
        Arc::new(Int64Array::from(vec![3, 4, 5])),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut bytes = vec![];
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = Bytes::from(bytes);
    for (at, expected) in [
        (None, vec![1, 5, 9]),
        (Some(SnapshotId(2)), vec![]),
        (Some(SnapshotId(4)), vec![1, 5]),
    ] {
        let deleted = read_delete_file(bytes.clone(), at).unwrap();
        assert_eq!(deleted.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_is_no_delete_file_is_refused() {
    assert!(read_delete_file(Bytes::from_static(b"PAR1"), None).is_err());
}
