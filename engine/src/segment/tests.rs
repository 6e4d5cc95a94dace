#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::compute::{concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use quiver_catalog::{Column, NewSegment, SortColumn, assign_columns, columns_to_schema};
use uuid::Uuid;

use crate::storage_fs::{Folders, LocalFs};

use super::testing::{columns_of, nested_types, random_batch, scalar_types, seeded};
use super::{SegmentOptions, check_rows, check_storable, write_segment};
use crate::error::EngineError;

/// The name of a segment.
fn name(number: u128) -> String {
    format!("{}.parquet", Uuid::from_u128(number))
}

/// The root is above all temporary directories.
fn folders() -> Folders {
    Folders::new(Arc::new(LocalFs), std::env::temp_dir())
}

fn schema_of(columns: &[Column]) -> SchemaRef {
    Arc::new(columns_to_schema(columns))
}

fn write(directory: &Path, columns: &[Column], batches: &[RecordBatch]) -> NewSegment {
    let options = SegmentOptions {
        row_group_rows: 700,
        ..SegmentOptions::default()
    };
    write_segment(
        &folders(),
        directory,
        columns,
        &[],
        batches,
        &name(1),
        &options,
    )
    .unwrap()
}

fn read(directory: &Path, segment: &NewSegment) -> RecordBatch {
    let file = File::open(directory.join(&segment.path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn metadata(directory: &Path, segment: &NewSegment) -> ParquetMetaData {
    let file = File::open(directory.join(&segment.path)).unwrap();
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .unwrap()
}

fn single(name: &str, values: ArrayRef) -> (Vec<Column>, RecordBatch) {
    let field = Field::new(name, values.data_type().clone(), true);
    let columns = assign_columns(&Schema::new(vec![field])).unwrap();
    let batch = RecordBatch::try_new(schema_of(&columns), vec![values]).unwrap();
    (columns, batch)
}

#[test]
fn every_type_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let types = [scalar_types(), nested_types()].concat();
    for (at, (name, data_type)) in types.into_iter().enumerate() {
        let columns = columns_of(&[(name, data_type.clone())]);
        let schema = schema_of(&columns);
        let mut rng = seeded(at as u64);
        let batches: Vec<_> = [5, 0, 1000, 300]
            .iter()
            .map(|n| random_batch(&schema, *n, 100, &mut rng))
            .collect();
        let directory = directory.path().join(name);
        let segment = write(&directory, &columns, &batches);
        let given = concat_batches(&schema, &batches).unwrap();
        let found = read(&directory, &segment);
        assert_eq!(segment.record_count, 1305);
        let column = if data_type == *found.schema().field(0).data_type() {
            Arc::clone(found.column(0))
        } else {
            // Seconds come back as milliseconds, and Parquet calls a list's child `element`; the
            // scan turns them back.
            arrow::compute::cast(found.column(0), &data_type).unwrap()
        };
        assert_eq!(given.column(0), &column, "{name}");
        let text = format!("{data_type:?}");
        if !text.contains("Second") && !text.contains("List") {
            assert_eq!(found.schema(), schema, "{name}");
        }
    }
}

#[test]
fn fields_carry_the_column_ids_at_every_depth() {
    let directory = tempfile::tempdir().unwrap();
    let columns = columns_of(&nested_types());
    let batch = random_batch(&schema_of(&columns), 10, 5, &mut seeded(7));
    let segment = write(directory.path(), &columns, &[batch]);
    let metadata = metadata(directory.path(), &segment);
    let leaves: Vec<i64> = columns
        .iter()
        .flat_map(Column::leaves)
        .map(|column| column.id.0)
        .collect();
    let found: Vec<i64> = metadata
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|leaf| i64::from(leaf.self_type().get_basic_info().id()))
        .collect();
    assert_eq!(found, leaves);
    let named: Vec<i64> = segment
        .column_stats
        .iter()
        .map(|stats| stats.column_id.0)
        .collect();
    assert_eq!(named, leaves);
}

#[test]
fn a_uuid_column_is_marked_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let columns = columns_of(&[("u", DataType::FixedSizeBinary(16))]);
    let batch = random_batch(&schema_of(&columns), 10, 5, &mut seeded(7));
    let segment = write(directory.path(), &columns, &[batch]);
    let metadata = metadata(directory.path(), &segment);
    let leaf = metadata.file_metadata().schema_descr().column(0);
    assert_eq!(
        leaf.logical_type_ref(),
        Some(&parquet::basic::LogicalType::Uuid)
    );
}

#[test]
fn counts_are_those_of_the_parquet_levels() {
    let directory = tempfile::tempdir().unwrap();
    let types = [scalar_types(), nested_types()].concat();
    let columns = columns_of(&types);
    let schema = schema_of(&columns);
    let mut rng = seeded(3);
    let batches: Vec<_> = (0..3)
        .map(|_| random_batch(&schema, 500, 50, &mut rng))
        .collect();
    let segment = write(directory.path(), &columns, &batches);
    let metadata = metadata(directory.path(), &segment);
    for (leaf, stats) in segment.column_stats.iter().enumerate() {
        let chunks = || metadata.row_groups().iter().map(|group| group.column(leaf));
        let levels: i64 = chunks().map(|chunk| chunk.num_values()).sum();
        assert_eq!(
            stats.value_count + stats.null_count,
            levels as u64,
            "leaf {leaf}"
        );
        let nulls: Option<u64> = chunks()
            .map(|chunk| chunk.statistics().and_then(|s| s.null_count_opt()))
            .sum();
        if let Some(nulls) = nulls {
            assert_eq!(stats.null_count, nulls, "leaf {leaf}");
        }
        assert!(stats.column_size_bytes > 0);
    }
    assert_eq!(segment.footer_size + 8, {
        let bytes = std::fs::read(directory.path().join(&segment.path)).unwrap();
        assert_eq!(bytes.len() as u64, segment.file_size_bytes);
        let at = bytes.len() - 8;
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())) + 8
    });
}

#[test]
fn nan_is_left_out_of_bounds_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let values = Float64Array::from(vec![Some(1.5), Some(f64::NAN), None, Some(-2.0)]);
    let (columns, batch) = single("x", Arc::new(values));
    let segment = write(directory.path(), &columns, &[batch]);
    let stats = &segment.column_stats[0];
    assert_eq!(stats.min.as_deref(), Some("-2.0"));
    assert_eq!(stats.max.as_deref(), Some("1.5"));
    assert_eq!(stats.contains_nan, Some(true));
    assert_eq!((stats.value_count, stats.null_count), (3, 1));
    let metadata = metadata(directory.path(), &segment);
    assert!(metadata.row_group(0).column(0).statistics().is_none());
}

#[test]
fn long_strings_have_short_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let low = "é".repeat(200);
    let high = format!("{}z", "\u{10FFFF}".repeat(64));
    let values = StringArray::from(vec![low.as_str(), high.as_str()]);
    let (columns, batch) = single("s", Arc::new(values));
    let segment = write(directory.path(), &columns, &[batch]);
    let stats = &segment.column_stats[0];
    assert_eq!(stats.min.as_deref(), Some("é".repeat(128).as_str()));
    assert_eq!(
        stats.max, None,
        "no string lies above one that starts with the last characters"
    );
}

#[test]
fn rows_are_written_in_the_order_of_the_sort_key() {
    let directory = tempfile::tempdir().unwrap();
    let columns = columns_of(&[("k", DataType::Int32), ("s", DataType::Utf8)]);
    let schema = schema_of(&columns);
    let mut rng = seeded(11);
    let batches: Vec<_> = [0, 900, 1, 300]
        .iter()
        .map(|n| random_batch(&schema, *n, 20, &mut rng))
        .collect();
    let key = |column: usize, descending| SortColumn {
        column_id: columns[column].id,
        descending,
        nulls_first: !descending,
    };
    let sort_key = [key(0, true), key(1, false)];
    let options = SegmentOptions {
        write_batch_rows: 100,
        ..SegmentOptions::default()
    };
    let segment = write_segment(
        &folders(),
        directory.path(),
        &columns,
        &sort_key,
        &batches,
        &name(2),
        &options,
    )
    .unwrap();
    let found = read(directory.path(), &segment);
    let given = concat_batches(&schema, &batches).unwrap();
    let order: Vec<_> = sort_key
        .iter()
        .enumerate()
        .map(|(at, key)| arrow::compute::SortColumn {
            values: Arc::clone(given.column(at)),
            options: Some(arrow::compute::SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            }),
        })
        .collect();
    let sorted = take_record_batch(&given, &lexsort_to_indices(&order, None).unwrap()).unwrap();
    assert_eq!(found.columns(), sorted.columns());
    let metadata = metadata(directory.path(), &segment);
    let recorded = metadata.row_group(0).sorting_columns().unwrap();
    assert_eq!(recorded.len(), 2);
    assert!(recorded[0].descending && !recorded[0].nulls_first);
}

#[test]
fn missing_directories_are_made_and_a_segment_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("main").join("t");
    let (columns, batch) = single("x", Arc::new(Int32Array::from(vec![1, 2])));
    let segment = write(&deep, &columns, std::slice::from_ref(&batch));
    assert_eq!(segment.path, format!("{}.parquet", Uuid::from_u128(1)));
    let again = write_segment(
        &folders(),
        &deep,
        &columns,
        &[],
        &[batch],
        &name(1),
        &SegmentOptions::default(),
    );
    assert!(
        matches!(
            again,
            Err(EngineError::Io {
                action: "create",
                ..
            })
        ),
        "{again:?}"
    );
    assert_eq!(
        read(&deep, &segment).num_rows(),
        2,
        "the first file is untouched"
    );
}

#[test]
fn intervals_are_refused_by_name() {
    let field = Field::new(
        "every",
        DataType::Interval(IntervalUnit::MonthDayNano),
        true,
    );
    let columns = assign_columns(&Schema::new(vec![field])).unwrap();
    let error = check_storable(&columns).unwrap_err().to_string();
    assert!(
        error.contains("'every'") && error.contains("not supported"),
        "{error}"
    );
}

#[test]
fn seconds_out_of_range_are_an_error_not_another_time() {
    let directory = tempfile::tempdir().unwrap();
    let values = arrow::array::TimestampSecondArray::from(vec![i64::MAX]);
    let (columns, batch) = single("t", Arc::new(values));
    assert_eq!(
        columns[0].data_type,
        DataType::Timestamp(TimeUnit::Second, None)
    );
    let error = check_rows(&batch).unwrap_err();
    assert!(matches!(&error, EngineError::InvalidArgument { message } if message.contains("'t'")));
    let result = write_segment(
        &folders(),
        directory.path(),
        &columns,
        &[],
        &[batch],
        &name(3),
        &SegmentOptions::default(),
    );
    assert!(matches!(result, Err(EngineError::Arrow(_))), "{result:?}");
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn values_of_another_type_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (columns, _) = single("x", Arc::new(Int32Array::from(vec![1])));
    let (_, other) = single("x", Arc::new(StringArray::from(vec!["1"])));
    let options = SegmentOptions::default();
    let id = name(4);
    let result = write_segment(
        &folders(),
        directory.path(),
        &columns,
        &[],
        &[other],
        &id,
        &options,
    );
    assert!(
        matches!(result, Err(EngineError::Internal { .. })),
        "{result:?}"
    );
    let result = write_segment(
        &folders(),
        directory.path(),
        &columns,
        &[],
        &[],
        &id,
        &options,
    );
    assert!(
        matches!(result, Err(EngineError::Internal { .. })),
        "{result:?}"
    );
}
