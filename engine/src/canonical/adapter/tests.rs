#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Int32Type, TimeUnit};

use super::*;

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let field =
        |(name, t, nullable): &(&str, DataType, bool)| Field::new(*name, t.clone(), *nullable);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// Adapts one column `x`.
fn adapt(column: ArrayRef, to: DataType) -> Result<ArrayRef> {
    let incoming = schema(&[("x", column.data_type().clone(), true)]);
    let adapter = Adapter::new(&incoming, &schema(&[("x", to, true)]))?;
    Ok(Arc::clone(
        adapter.adapt(batch(&incoming, vec![column]))?.column(0),
    ))
}

fn message<T>(result: Result<T>) -> String {
    let message = result.err().unwrap().to_string();
    assert!(!message.contains('\n') && message.len() < 600, "{message}");
    message
}

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

#[test]
fn equal_types_are_not_copied() {
    let column = ints(vec![Some(1), None]);
    let same = adapt(Arc::clone(&column), DataType::Int64).unwrap();
    assert_eq!(
        same.to_data().buffers()[0].as_ptr(),
        column.to_data().buffers()[0].as_ptr()
    );
}

#[test]
fn columns_match_by_name_without_regard_to_case() {
    let incoming = schema(&[("B", DataType::Int64, true), ("a", DataType::Int32, true)]);
    let table = schema(&[
        ("a", DataType::Int64, true),
        ("b", DataType::Int64, true),
        ("missing", DataType::Utf8, true),
    ]);
    let adapter = Adapter::new(&incoming, &table).unwrap();
    assert!(!adapter.is_identity());
    let columns = vec![
        ints(vec![Some(7)]),
        Arc::new(Int32Array::from(vec![8])) as ArrayRef,
    ];
    let adapted = adapter.adapt(batch(&incoming, columns)).unwrap();
    assert_eq!(adapted.schema_ref(), &table);
    assert_eq!(adapted.column(0), &ints(vec![Some(8)]));
    assert_eq!(adapted.column(1), &ints(vec![Some(7)]));
    assert_eq!(adapted.column(2).null_count(), 1);
}

#[test]
fn streams_that_do_not_fit_are_refused_at_once() {
    let table = schema(&[
        ("id", DataType::Int32, false),
        ("name", DataType::Utf8, true),
    ]);
    let refuse = |fields| message(Adapter::new(&schema(fields), &table));
    let table = [
        (
            refuse(&[("name", DataType::Utf8, true)]),
            "'id' is NOT NULL but missing",
        ),
        (
            refuse(&[("id", DataType::Int32, true), ("z", DataType::Utf8, true)]),
            "'z' is not in",
        ),
        (
            refuse(&[("id", DataType::Int32, true), ("ID", DataType::Int32, true)]),
            "twice",
        ),
        (
            refuse(&[("id", DataType::Int64, true)]),
            "'id' has type Int64 in the data and Int32",
        ),
        (refuse(&[("id", DataType::Utf8, true)]), "cast it first"),
    ];
    for (message, wanted) in table {
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn only_types_that_keep_every_value_are_taken() {
    use DataType as T;
    use TimeUnit::{Microsecond, Second};
    let fits = |from: &T, to: &T| {
        let incoming = schema(&[("x", from.clone(), true)]);
        Adapter::new(&incoming, &schema(&[("x", to.clone(), true)])).is_ok()
    };
    let zone = || Some(Arc::from("UTC"));
    let taken = [
        (T::UInt8, T::Int16),
        (T::Int16, T::Float32),
        (T::Int32, T::Float64),
        (T::UInt64, T::Decimal128(20, 0)),
        (T::Int8, T::Decimal128(5, 2)),
        (T::Decimal128(10, 2), T::Decimal128(12, 4)),
        (T::Decimal256(38, 10), T::Decimal128(38, 10)),
        (T::Date32, T::Timestamp(Second, None)),
        (
            T::Timestamp(Second, Some("Europe/Berlin".into())),
            T::Timestamp(Microsecond, zone()),
        ),
        (T::Null, T::Int8),
    ];
    for (from, to) in taken {
        assert!(fits(&from, &to), "{from} to {to}");
    }
    let refused = [
        (T::Int16, T::UInt32),
        (T::UInt32, T::Int32),
        (T::Int32, T::Float32),
        (T::Int64, T::Float64),
        (T::Int64, T::Decimal128(18, 0)),
        (T::Float64, T::Float32),
        (T::Decimal128(10, 2), T::Decimal128(12, 5)),
        (T::Decimal128(10, 2), T::Decimal128(10, 1)),
        (T::Decimal256(50, 20), T::Decimal128(38, 20)),
        (T::Date32, T::Timestamp(Second, zone())),
        (T::Timestamp(Second, None), T::Timestamp(Second, zone())),
        (T::Timestamp(Second, None), T::Date32),
        (T::Utf8, T::Binary),
        (T::Binary, T::Utf8),
        (T::Utf8, T::Int64),
        (T::Boolean, T::Int8),
    ];
    for (from, to) in refused {
        assert!(!fits(&from, &to), "{from} to {to}");
    }
}

#[test]
fn nulls_are_refused_with_the_row_of_the_stream() {
    let incoming = schema(&[("id", DataType::Int64, true)]);
    let table = schema(&[("id", DataType::Int64, false)]);
    let adapter = Adapter::new(&incoming, &table).unwrap();
    assert!(adapter.is_identity());
    adapter
        .adapt(batch(&incoming, vec![ints(vec![Some(1); 10])]))
        .unwrap();
    let second = batch(&incoming, vec![ints(vec![Some(1), None])]);
    assert_eq!(
        message(adapter.adapt(second)),
        "column 'id', row 12: is NOT NULL, but the value is NULL"
    );
    let nulls = schema(&[("id", DataType::Null, true)]);
    let adapter = Adapter::new(&nulls, &table).unwrap();
    let all_null = batch(&nulls, vec![Arc::new(NullArray::new(3))]);
    assert!(message(adapter.adapt(all_null)).contains("row 1: is NOT NULL"));
}

#[test]
fn digits_are_never_lost() {
    let to = |unit| DataType::Timestamp(unit, None);
    let nanos =
        |values: Vec<Option<i64>>| Arc::new(TimestampNanosecondArray::from(values)) as ArrayRef;
    let exact = adapt(nanos(vec![Some(-5_000), None]), to(TimeUnit::Microsecond)).unwrap();
    assert_eq!(
        exact
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
            .value(0),
        -5
    );
    let refused = adapt(nanos(vec![None, Some(5_001)]), to(TimeUnit::Microsecond));
    assert!(message(refused).contains("column 'x', row 2: has digits that"));
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    assert!(message(adapt(far, to(TimeUnit::Nanosecond))).contains("outside the range"));
    let noon: ArrayRef = Arc::new(Date64Array::from(vec![43_200_000]));
    assert!(message(adapt(noon, DataType::Date32)).contains("has digits"));
}

#[test]
fn decimals_keep_their_declared_precision() {
    let wide = Decimal128Array::from(vec![Some(99_999), None, Some(100_000)]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(6, 2).unwrap());
    assert!(adapt(Arc::clone(&wide), DataType::Decimal128(6, 2)).is_ok());
    // Nothing checks a message's decimals before us; Parquet would cut this one silently.
    let data = wide
        .to_data()
        .into_builder()
        .data_type(DataType::Decimal128(5, 2));
    let liar = make_array(data.build().unwrap());
    let message = message(adapt(liar, DataType::Decimal128(5, 2)));
    assert!(
        message.contains("row 3: has more than 5 digits"),
        "{message}"
    );
}

#[test]
fn null_lists_may_hide_what_is_refused_elsewhere() {
    let nested =
        |nullable| DataType::List(Arc::new(Field::new("element", DataType::Int32, nullable)));
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let hidden = |nulls: Vec<bool>| -> ArrayRef {
        Arc::new(ListArray::new(
            Arc::new(Field::new("item", DataType::Int32, true)),
            OffsetBuffer::new(vec![0, 1, 2, 3].into()),
            Arc::clone(&values),
            Some(NullBuffer::from(nulls)),
        ))
    };
    let adapted = adapt(hidden(vec![true, false, true]), nested(false)).unwrap();
    let lists = adapted.as_list::<i32>();
    assert_eq!(lists.values().as_primitive::<Int32Type>().values(), &[1, 3]);
    let refused = message(adapt(hidden(vec![true, true, true]), nested(false)));
    assert_eq!(
        refused,
        "column 'x.element', row 2: is NOT NULL, but the value is NULL"
    );
    let incoming = schema(&[("x", hidden(vec![true; 3]).data_type().clone(), true)]);
    let is_identity = |to| {
        Adapter::new(&incoming, &schema(&[("x", to, true)]))
            .unwrap()
            .is_identity()
    };
    assert!(is_identity(nested(true)));
    assert!(!is_identity(nested(false)));
}

#[test]
fn structs_are_adapted_field_by_field() {
    let inner =
        |fields: &[(&str, DataType, bool)]| DataType::Struct(schema(fields).fields().clone());
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None]));
    let DataType::Struct(fields) = inner(&[("a", DataType::Int32, true)]) else {
        unreachable!()
    };
    let of = |nulls| -> ArrayRef {
        Arc::new(StructArray::new(
            fields.clone(),
            vec![Arc::clone(&values)],
            Some(nulls),
        ))
    };
    let to = inner(&[("b", DataType::Utf8, true), ("a", DataType::Int64, false)]);
    let adapted = adapt(of(NullBuffer::from(vec![true, false, false])), to.clone()).unwrap();
    assert_eq!(adapted.data_type(), &to);
    let refused = message(adapt(of(NullBuffer::from(vec![true, false, true])), to));
    assert_eq!(
        refused,
        "column 'x.a', row 3: is NOT NULL, but the value is NULL"
    );
    let unknown = inner(&[("z", DataType::Int32, true)]);
    assert!(message(adapt(of(NullBuffer::new_valid(3)), unknown)).contains("'x.a' is not in"));
}

#[test]
fn small_messages_cannot_grow_without_bound() {
    let rows = 4_000;
    let text = "x".repeat(1 << 20);
    let values: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    let keys = Int32Array::from(vec![0; rows]);
    let dictionary: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::clone(&values)));
    assert!(message(adapt(dictionary, DataType::Utf8)).contains("grows by more than 256 MiB"));

    let ends = Int64Array::from(vec![rows as i64]);
    let runs: ArrayRef = Arc::new(RunArray::try_new(&ends, &values).unwrap());
    assert!(message(adapt(runs, DataType::Utf8)).contains("grows by more than 256 MiB"));

    let views = StringViewArray::from(vec![text.as_str()]);
    let views = arrow::compute::take(&views, &UInt32Array::from(vec![0; 2_000]), None).unwrap();
    assert!(message(adapt(views, DataType::Utf8)).contains("grows by more than 256 MiB"));

    let child = Arc::new(Field::new("item", DataType::Utf8, true));
    let lists = ListViewArray::new(
        child,
        vec![0; rows].into(),
        vec![1; rows].into(),
        values,
        None,
    );
    let to = DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)));
    assert!(message(adapt(Arc::new(lists), to)).contains("grows by more than 256 MiB"));

    let nothing: ArrayRef = Arc::new(NullArray::new(1 << 40));
    assert!(message(adapt(nothing, DataType::Int64)).contains("grows by more than 256 MiB"));
}

#[test]
fn batches_of_another_schema_are_refused() {
    let incoming = schema(&[("x", DataType::Int64, true)]);
    let adapter = Adapter::new(&incoming, &incoming).unwrap();
    let other = schema(&[("x", DataType::Int32, true)]);
    let other = batch(&other, vec![Arc::new(Int32Array::from(vec![1]))]);
    assert!(message(adapter.adapt(other)).contains("another schema"));
}

#[test]
fn schemas_of_any_size_are_bounded() {
    let table = schema(&[("x", DataType::Int64, true)]);
    let deep = (0..200).fold(DataType::Int8, |inner, _| DataType::new_list(inner, true));
    assert!(message(Adapter::new(&schema(&[("x", deep, true)]), &table)).contains("deeper"));
    let wide: Vec<Field> = (0..20_000)
        .map(|i| Field::new(format!("c{i}"), DataType::Int8, true))
        .collect();
    assert!(message(Adapter::new(&Schema::new(wide), &table)).contains("more than 16384"));
}

#[test]
fn rows_without_columns_become_nulls() {
    let incoming = Arc::new(Schema::empty());
    let table = schema(&[("x", DataType::Utf8, true)]);
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let empty = RecordBatch::try_new_with_options(Arc::clone(&incoming), vec![], &options).unwrap();
    let adapted = Adapter::new(&incoming, &table)
        .unwrap()
        .adapt(empty)
        .unwrap();
    assert_eq!((adapted.num_rows(), adapted.column(0).null_count()), (3, 3));
}
