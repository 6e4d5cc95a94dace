#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

fn options() -> TextOptions {
    TextOptions {
        columns: None,
        infer_rows: None,
        delimiter: None,
        has_header: true,
    }
}

fn batch() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap()
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn text(&self, name: &str, text: &str, options: &TextOptions) -> Result<Source, String> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        let kind = FileKind::of(&path, None).unwrap();
        let error = |error: LoadError| error.to_string();
        open(&path, kind, options).map_err(error)
    }
}

fn all(source: Source) -> Result<Vec<RecordBatch>, ArrowError> {
    source.batches.collect()
}

fn types(source: &Source) -> Vec<DataType> {
    source
        .schema
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect()
}

#[test]
fn binary_files_are_read_whatever_their_extension_promises() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let create = |name: &str| File::create(path(name)).unwrap();
    let schema = batch().schema();
    let mut writer = FileWriter::try_new(create("file.arrow"), &schema).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    let mut writer = StreamWriter::try_new(create("stream.arrow"), &schema).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    let mut writer = ArrowWriter::try_new(create("a.parquet"), schema, None).unwrap();
    writer.write(&batch()).unwrap();
    writer.close().unwrap();
    for name in ["file.arrow", "stream.arrow", "a.parquet"] {
        let path = path(name);
        let source = open(&path, FileKind::of(&path, None).unwrap(), &options()).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(source.position.bytes(0, size) <= size);
        let position = source.position.bytes(3, size);
        assert_eq!(all(source).unwrap(), [batch()], "{name}");
        assert!(position > 0, "{name}");
    }
    let error = open(&path("stream.arrow"), FileKind::Parquet, &options())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("is not a usable Parquet file"),
        "{error}"
    );
    let error = open(&path("a.parquet"), FileKind::Arrow, &options())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("a.parquet is not usable"),
        "{error}"
    );
}

#[test]
fn csv_types_are_found_over_the_whole_file() {
    let files = Files::new();
    let text = "i,f,d,t,b,s,none\n1,1,2024-01-02,2024-01-02T03:04:05,true,x,\n2,2.5,,,,,\n";
    let source = files.text("a.csv", text, &options()).unwrap();
    let seconds = DataType::Timestamp(TimeUnit::Second, None);
    use DataType::{Boolean, Date32, Float64, Int64, Utf8};
    assert_eq!(
        types(&source),
        [Int64, Float64, Date32, seconds, Boolean, Utf8, Utf8]
    );
    assert_eq!(all(source).unwrap()[0].num_rows(), 2);
}

#[test]
fn csv_takes_the_tables_types_by_name_or_place() {
    let files = Files::new();
    let table = Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("zip", DataType::Utf8View, true),
    ]);
    let known = TextOptions {
        columns: Some(Arc::new(table)),
        ..options()
    };
    let source = files.text("a.csv", "ZIP,ID\n01234,7\n", &known).unwrap();
    assert_eq!(types(&source), [DataType::Utf8, DataType::Int32]);
    let rows = all(source).unwrap();
    assert_eq!(
        rows[0].column(0).as_ref(),
        &StringArray::from(vec!["01234"]) as &dyn Array
    );
    let error = files
        .text("a.csv", "id,color\n1,red\n", &known)
        .err()
        .unwrap();
    assert!(
        error.ends_with("the table has no column color; it has id, zip"),
        "{error}"
    );
    let bare = TextOptions {
        has_header: false,
        ..known
    };
    let source = files.text("a.csv", "7,01234\n", &bare).unwrap();
    assert_eq!(all(source).unwrap()[0].num_rows(), 1);
    let error = files.text("a.csv", "7\n", &bare).err().unwrap();
    assert!(
        error.contains("the file has 1 columns and the table 2"),
        "{error}"
    );
}

#[test]
fn csv_delimiters_come_from_the_flag_or_the_name() {
    let files = Files::new();
    let source = files.text("a.tsv", "a\tb\n1\t2\n", &options()).unwrap();
    assert_eq!(types(&source).len(), 2);
    let semicolon = TextOptions {
        delimiter: Some(b';'),
        ..options()
    };
    let source = files.text("a.csv", "a;b\n1;2\n", &semicolon).unwrap();
    assert_eq!(types(&source).len(), 2);
}

#[test]
fn ndjson_types_are_found_or_taken_from_the_table() {
    let files = Files::new();
    let text = "{\"a\":1,\"l\":[1]}\n{\"a\":2.5,\"n\":null,\"o\":{\"x\":\"y\"}}\n";
    let source = files.text("a.ndjson", text, &options()).unwrap();
    assert_eq!(types(&source)[0], DataType::Float64);
    assert_eq!(all(source).unwrap()[0].num_rows(), 2);
    let table = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let known = TextOptions {
        columns: Some(Arc::new(table)),
        ..options()
    };
    let rows = all(files.text("a.ndjson", "{\"a\":1}\n{}\n", &known).unwrap()).unwrap();
    assert_eq!(rows[0].num_rows(), 2);
    // A key that is no column is not dropped in silence.
    assert!(all(files.text("a.ndjson", "{\"b\":1}\n", &known).unwrap()).is_err());
    let error = files
        .text("a.json", " [{\"a\":1}]", &options())
        .err()
        .unwrap();
    assert!(error.contains("this is a JSON array"), "{error}");
    let error = files.text("a.json", "", &options()).err().unwrap();
    assert!(
        error.contains("has no rows to take columns from"),
        "{error}"
    );
}
