#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::*;

use super::*;
use crate::error::{EngineError, Result};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("in.txt");
        fs::write(&path, content).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields
        .iter()
        .map(|(name, t)| Field::new(*name, t.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn read_all(path: &Path, options: &CopyOptions, table: Option<&SchemaRef>) -> Result<RecordBatch> {
    let (schema, batches) = open(path, options, table.map(Arc::clone))?;
    let batches = batches.collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn refused(path: &Path, options: &CopyOptions, table: Option<&SchemaRef>) -> String {
    let message = read_all(path, options, table).unwrap_err().to_string();
    assert!(!message.contains('\n') && message.len() < 500, "{message}");
    assert!(
        !message.contains(path.parent().unwrap().to_str().unwrap()),
        "{message}"
    );
    message
}

fn write_all(path: &Path, options: &CopyOptions, batches: &[RecordBatch]) -> Result<u64> {
    let mut writer = FileWriter::create(path, batches[0].schema_ref(), options)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

fn csv() -> CopyOptions {
    CopyOptions::new(FileFormat::Csv)
}

fn json() -> CopyOptions {
    CopyOptions::new(FileFormat::NdJson)
}

/// One row of every leaf type that a table can have, one of NULLs, one of other values.
fn leaves() -> RecordBatch {
    let micros = vec![Some(1_700_000_000_123_456), None, Some(-1)];
    let decimals = Decimal128Array::from(vec![Some(12_345), None, Some(-1)]);
    let uuids = vec![Some([7_u8; 16]), None, Some([255_u8; 16])];
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "bool",
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ),
        (
            "int8",
            Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)])),
        ),
        (
            "int64",
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN)])),
        ),
        (
            "uint64",
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
        ),
        (
            "float32",
            Arc::new(Float32Array::from(vec![Some(0.1), None, Some(-1e30)])),
        ),
        (
            "float64",
            Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e300)])),
        ),
        (
            "decimal",
            Arc::new(decimals.with_precision_and_scale(9, 2).unwrap()),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some("a,\"b\"\nc ß"),
                None,
                Some(" x "),
            ])),
        ),
        (
            "binary",
            Arc::new(BinaryArray::from(vec![
                Some(&b"\0\xff"[..]),
                None,
                Some(b"a"),
            ])),
        ),
        ("uuid", Arc::new(uuids.unwrap())),
        (
            "date",
            Arc::new(Date32Array::from(vec![Some(19_000), None, Some(-1)])),
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(86_399_999_999),
                None,
                Some(0),
            ])),
        ),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(micros.clone())),
        ),
        (
            "tz",
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("Europe/Berlin")),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn nested() -> RecordBatch {
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    let field = Arc::new(Field::new("name", DataType::Utf8, true));
    let structs: ArrayRef = Arc::new(StructArray::from(vec![(field, inner)]));
    let columns = [("list", lists, true), ("struct", structs, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn every_format_keeps_every_value() {
    let folder = Folder::new();
    let formats = [
        FileFormat::Parquet,
        FileFormat::Csv,
        FileFormat::NdJson,
        FileFormat::ArrowFile,
        FileFormat::ArrowStream,
    ];
    for format in formats {
        for batch in [leaves(), nested()] {
            if format == FileFormat::Csv && batch.column(0).data_type().is_nested() {
                continue;
            }
            let path = folder.path("out/of/reach");
            let options = CopyOptions::new(format);
            let batches = [batch.clone(), batch.clone()];
            assert_eq!(write_all(&path, &options, &batches).unwrap(), 6);
            let table = batch.schema();
            let found = read_all(&path, &options, Some(&table)).unwrap();
            assert_eq!(
                found.columns(),
                concat_batches(&table, &batches).unwrap().columns()
            );
        }
    }
}

#[test]
fn compression_is_read_back_or_refused() {
    use FileCompression as C;
    let folder = Folder::new();
    let batch = leaves();
    let all = [C::None, C::Snappy, C::Gzip, C::Lz4, C::Zstd];
    let accepted = |format| {
        let works = |compression: &C| {
            let options = CopyOptions {
                compression: Some(*compression),
                ..CopyOptions::new(format)
            };
            let path = folder.path("file");
            match write_all(&path, &options, std::slice::from_ref(&batch)) {
                Ok(_) => {
                    let found = read_all(&path, &options, Some(&batch.schema())).unwrap();
                    assert_eq!(found.columns(), batch.columns());
                    true
                }
                Err(error) => {
                    assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
                    false
                }
            }
        };
        all.into_iter().filter(works).collect::<Vec<_>>()
    };
    assert_eq!(accepted(FileFormat::Parquet), all);
    assert_eq!(accepted(FileFormat::ArrowFile), [C::None, C::Lz4, C::Zstd]);
    assert_eq!(
        accepted(FileFormat::ArrowStream),
        [C::None, C::Lz4, C::Zstd]
    );
    assert_eq!(accepted(FileFormat::Csv), [C::None]);
    assert_eq!(accepted(FileFormat::NdJson), [C::None]);
}

#[test]
fn failed_copies_leave_no_file() {
    let folder = Folder::new();
    let batch = leaves();
    let mut writer =
        FileWriter::create(&folder.path("a.parquet"), batch.schema_ref(), &csv()).unwrap();
    writer.write(&batch).unwrap();
    assert_eq!(folder.names().len(), 1);
    assert!(writer.write(&nested()).is_err());
    drop(writer);
    assert!(folder.names().is_empty());

    let lists = nested();
    let error = FileWriter::create(&folder.path("x.csv"), lists.schema_ref(), &csv()).unwrap_err();
    assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
    let blocked = folder.path("blocked");
    fs::create_dir(&blocked).unwrap();
    let error = write_all(&blocked, &csv(), &[batch])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "cannot finish blocked");
    assert_eq!(folder.names(), ["blocked"]);
}

#[test]
fn finished_files_replace_older_ones() {
    let folder = Folder::new();
    let path = folder.path("a.csv");
    fs::write(&path, "old").unwrap();
    let batch = RecordBatch::try_from_iter([("x", Arc::new(Int8Array::from(vec![1])) as ArrayRef)]);
    write_all(&path, &csv(), &[batch.unwrap()]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "x\n1\n");
    assert_eq!(folder.names(), ["a.csv"]);
}

#[test]
fn empty_results_are_files_too() {
    let folder = Folder::new();
    let empty = leaves().slice(0, 0);
    for format in [
        FileFormat::Parquet,
        FileFormat::Csv,
        FileFormat::NdJson,
        FileFormat::ArrowFile,
    ] {
        let (path, options) = (folder.path("empty"), CopyOptions::new(format));
        for batches in [&[][..], std::slice::from_ref(&empty)] {
            let mut writer = FileWriter::create(&path, empty.schema_ref(), &options).unwrap();
            batches
                .iter()
                .for_each(|batch| writer.write(batch).unwrap());
            assert_eq!(writer.finish().unwrap(), 0);
            let found = read_all(&path, &options, Some(&empty.schema())).unwrap();
            assert_eq!(found.num_rows(), 0, "{format:?}");
            let header = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(header.starts_with("bool,int8"), format == FileFormat::Csv);
            assert!(header.matches("bool").count() <= 1 || format != FileFormat::Csv);
        }
    }
}

#[test]
fn csv_columns_follow_the_header() {
    let folder = Folder::new();
    let table = schema(&[
        ("id", DataType::Int32),
        ("Name", DataType::Utf8),
        ("z", DataType::Int8),
    ]);
    let path = folder.file("\u{feff}name, ID\r\n\"a\nb\",1\r\n,2");
    let found = read_all(&path, &csv(), Some(&table)).unwrap();
    assert_eq!(found.schema().field(0).name(), "Name");
    let names: &StringArray = found.column(0).as_string();
    assert_eq!((names.value(0), names.is_null(1)), ("a\nb", true));
    assert_eq!(
        found.column(1).as_primitive::<Int32Type>().values(),
        &[1, 2]
    );

    let path = folder.file("id,wrong\n1,2\n");
    let message = refused(&path, &csv(), Some(&table));
    assert!(
        message.contains("file 'in.txt' has the column 'wrong'"),
        "{message}"
    );
}

#[test]
fn csv_without_header_goes_by_place() {
    let folder = Folder::new();
    let table = schema(&[("a", DataType::Int32), ("b", DataType::Utf8)]);
    let options = CopyOptions {
        header: false,
        delimiter: b'|',
        quote: b'\'',
        ..csv()
    };
    let path = folder.file("1|'x|y'\n2|z\n");
    let found = read_all(&path, &options, Some(&table)).unwrap();
    let texts: &StringArray = found.column(1).as_string();
    assert_eq!((texts.value(0), texts.value(1)), ("x|y", "z"));
    let message = refused(&folder.file("1|x\n2|y|z\n"), &options, Some(&table));
    assert!(
        message.contains("for line 2, expected 2 got 3"),
        "{message}"
    );
    let guessed = read_all(&folder.file("1|x\n2|y\n"), &options, None).unwrap();
    assert_eq!(guessed.schema().field(0).name(), "column_1");
    assert_eq!(guessed.schema().field(0).data_type(), &DataType::Int64);
}

#[test]
fn csv_nulls_are_what_the_options_say() {
    let folder = Folder::new();
    let table = schema(&[("n", DataType::Int32), ("t", DataType::Utf8)]);
    let path = folder.file("n,t\nNA,NA\n1,\n");
    let options = CopyOptions {
        null_value: "NA".into(),
        ..csv()
    };
    let found = read_all(&path, &options, Some(&table)).unwrap();
    assert!(found.column(0).is_null(0) && found.column(1).is_null(0));
    assert_eq!(found.column(1).as_string::<i32>().value(1), "");
    let message = refused(&path, &csv(), Some(&table));
    assert_eq!(
        message,
        "file 'in.txt', line 2: column 'n': 'NA' is not a value of type Int32"
    );
}

#[test]
fn bad_texts_are_refused_with_their_line() {
    let folder = Folder::new();
    let table = schema(&[
        ("t", DataType::Utf8),
        ("n", DataType::Int32),
        ("b", DataType::Binary),
        ("l", DataType::new_list(DataType::Int32, true)),
    ]);
    let table_of = [
        (
            "t,n\nx,1\n\"a\nb\",2\ny,2.5\n",
            "line 5: column 'n': '2.5' is not a value",
        ),
        (
            "t,n\nx,99999999999\n",
            "line 2: column 'n': '99999999999' is not a value",
        ),
        (
            "t,b\nx,0g\n",
            "line 2: column 'b': '0g' is not a row of hexadecimal digits",
        ),
        ("t,n\nx,1\nx\n", "for line 3, expected 2 got 1"),
        ("t,l\nx,1\n", "reading column 'l' of type List"),
    ];
    for (content, wanted) in table_of {
        let message = refused(&folder.file(content), &csv(), Some(&table));
        assert!(message.contains(wanted), "{message}");
    }
    let message = refused(&folder.file(b"t,n\nx,1\n\xff,2\n"), &csv(), Some(&table));
    assert!(
        message.contains("invalid UTF-8 data for line 3"),
        "{message}"
    );
    let json_table = [
        (
            "{\"n\":1}\n\n{\"n\":2.5}\n",
            "line 3: column 'n': '2.5' is not a value",
        ),
        ("{\"n\":1}\n{\"n\":\n", "line 2"),
        ("{\"n\":1}\n{\"n\" 1}\n{}\n", "line 2"),
        ("{\"n\":1}\n{\"wrong\":1}\n{}\n", "line 2"),
        ("{\"n\":1}\n{\"t\":{\"a\":1}}\n{}\n", "line 2"),
        ("{\"l\":[1]}\n{\"l\":[1,\"x\"]}\n", "line 2: column 'l'"),
        ("{\"n\":1}\n[1]\n", "line 2"),
    ];
    for (content, wanted) in json_table {
        let message = refused(&folder.file(content), &json(), Some(&table));
        assert!(
            message.starts_with("file 'in.txt', ") && message.contains(wanted),
            "{message}"
        );
    }
}

#[test]
fn json_is_read_with_types_or_without() {
    let folder = Folder::new();
    let path = folder.file(
        "{\"id\":9007199254740993,\"d\":1.10,\"t\":\"x\",\"l\":[1,null],\"s\":{\"a\":\"b\"}}\n\
         \n{\"id\":null,\"t\":null}",
    );
    let table = schema(&[
        ("t", DataType::Utf8),
        ("id", DataType::Int64),
        ("new", DataType::Int8),
    ]);
    assert!(refused(&path, &json(), Some(&table)).contains("line 1"));
    let guessed = read_all(&path, &json(), None).unwrap();
    assert_eq!(guessed.num_rows(), 2);
    let id = guessed
        .column_by_name("id")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!((id.value(0), id.is_null(1)), (9_007_199_254_740_993, true));
    let table = schema(&[
        ("d", DataType::Decimal128(10, 3)),
        ("t", DataType::Utf8),
        ("id", DataType::Int64),
        ("l", DataType::new_list(DataType::Int16, true)),
        (
            "s",
            guessed
                .schema()
                .field_with_name("s")
                .unwrap()
                .data_type()
                .clone(),
        ),
        ("new", DataType::Int8),
    ]);
    let typed = read_all(&path, &json(), Some(&table)).unwrap();
    assert_eq!(typed.schema().fields(), table.fields());
    assert_eq!(
        typed.column(0).as_primitive::<Decimal128Type>().value(0),
        1_100
    );
    assert_eq!(typed.column(5).null_count(), 2);
}

#[test]
fn other_files_are_refused_by_name() {
    let folder = Folder::new();
    for format in [
        FileFormat::Parquet,
        FileFormat::ArrowFile,
        FileFormat::ArrowStream,
    ] {
        for content in [
            "",
            "PAR1",
            "this is not a file of that format at all, not even nearly",
        ] {
            let path = folder.file(content);
            let message = refused(&path, &CopyOptions::new(format), None);
            assert!(
                message.starts_with("file 'in.txt' cannot be read as "),
                "{message}"
            );
        }
    }
    let gone = open(&folder.path("gone"), &csv(), None).err().unwrap();
    assert_eq!(gone.to_string(), "file 'gone' not found");
}

#[test]
fn many_rows_come_in_several_batches() {
    let folder = Folder::new();
    let table = schema(&[("n", DataType::Int32)]);
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let path = folder.file(format!("n\n{lines}x\n"));
    let (_, batches) = open(&path, &csv(), Some(table)).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = batches.partition(Result::is_ok);
    assert_eq!(good.len(), 2);
    assert_eq!(bad.len(), 1);
    let message = bad[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("line 20002: column 'n': 'x'"), "{message}");
}
