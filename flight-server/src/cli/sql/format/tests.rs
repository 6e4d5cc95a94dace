#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Cursor;

use arrow::array::{Array, Int32Array, ListArray, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::*;

fn batch() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a,b", "c"]));
    let lists =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let lists: ArrayRef = Arc::new(lists);
    RecordBatch::try_from_iter_with_nullable([
        ("n", numbers, true),
        ("t", texts, true),
        ("l", lists, true),
    ])
    .unwrap()
}

fn written(format: Format, batches: &[RecordBatch], is_file: bool) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = Box::new(file.reopen().unwrap());
    let mut writer = RowWriter::new(format, &batch().schema(), out, is_file).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(file.path()).unwrap()
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches, false)).unwrap()
}

#[test]
fn text_formats() {
    assert_eq!(
        text(Format::Csv, &[batch()]),
        "n,t,l\n1,\"a,b\",\"[1, ]\"\n,c,\n"
    );
    let row = r#"{"n":1,"t":"a,b","l":[1,null]}"#;
    let last = r#"{"n":null,"t":"c","l":null}"#;
    assert_eq!(text(Format::Ndjson, &[batch()]), format!("{row}\n{last}\n"));
    assert_eq!(text(Format::Json, &[batch()]), format!("[{row},{last}]\n"));
}

#[test]
fn results_without_rows_are_still_valid() {
    assert_eq!(text(Format::Csv, &[]), "n,t,l\n");
    assert_eq!(text(Format::Ndjson, &[]), "");
    assert_eq!(text(Format::Json, &[]), "[]\n");
    let bytes = written(Format::Arrow, &[], false);
    let reader = arrow::ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(reader.schema(), batch().schema());
    let bytes = written(Format::Parquet, &[], true);
    assert_eq!(
        ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 8)
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn binary_formats_hold_the_same_rows() {
    let bytes = written(Format::Arrow, &[batch(), batch()], false);
    let stream = arrow::ipc::reader::StreamReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(
        stream.collect::<Result<Vec<_>, _>>().unwrap(),
        [batch(), batch()]
    );
    let bytes = written(Format::Arrow, &[batch()], true);
    let file = arrow::ipc::reader::FileReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(file.collect::<Result<Vec<_>, _>>().unwrap(), [batch()]);
    let bytes = bytes::Bytes::from(written(Format::Parquet, &[batch()], true));
    let rows: Vec<_> = ParquetRecordBatchReader::try_new(bytes, 8)
        .unwrap()
        .collect();
    assert_eq!(rows[0].as_ref().unwrap().column(2).len(), 2);
    assert_eq!(rows[0].as_ref().unwrap().column(0), batch().column(0));
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_pipe_is_recognised_in_every_format() {
    use Format::{Arrow, Csv, Json, Ndjson, Parquet, Table};
    for format in [Table, Csv, Json, Ndjson, Arrow, Parquet] {
        let all = || -> Result<(), FormatError> {
            let schema = batch().schema();
            let mut writer = RowWriter::new(format, &schema, Box::new(Closed), false)?;
            writer.write(&batch())?;
            writer.finish()?;
            Ok(())
        };
        let error = crate::cli::error::CliError::from(all().unwrap_err());
        assert!(error.is_broken_pipe(), "{format:?}: {error:?}");
    }
}
