#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::{Array, AsArray, UnionArray};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};

use super::*;

const TEXT: i8 = 0;
const BOOL: i8 = 1;
const BIGINT: i8 = 2;
const INT32: i8 = 3;
const TEXT_LIST: i8 = 4;
const LIST_MAP: i8 = 5;

fn ask(info: Vec<u32>) -> RecordBatch {
    sql_info(&CommandGetSqlInfo { info }).unwrap()
}

fn ids(batch: &RecordBatch) -> Vec<u32> {
    batch
        .column(0)
        .as_primitive::<UInt32Type>()
        .values()
        .to_vec()
}

fn values(batch: &RecordBatch) -> &UnionArray {
    batch.column(1).as_any().downcast_ref().unwrap()
}

#[test]
fn everything_is_what_old_jdbc_drivers_know() {
    let batch = ask(vec![]);
    let expected: Vec<u32> = (0..=9).chain(500..=576).collect();
    assert_eq!(ids(&batch), expected);
    assert_eq!(batch.schema(), sql_info_schema());
}

#[test]
fn newer_and_unknown_ids_on_request() {
    assert_eq!(ids(&ask(vec![11, 10])), [10, 11]);
    assert_eq!(ids(&ask(vec![8, 8, 10_000, 499])), [8]);
    let nothing = ask(vec![10_000, u32::MAX]);
    assert_eq!(nothing.num_rows(), 0);
    assert_eq!(nothing.schema(), sql_info_schema());
    // A request for very many ids is no way to keep the server busy.
    assert_eq!(ids(&ask((0..1_000_000).collect())).len(), 10 + 2 + 77);
}

/// The member of the union that the JDBC driver casts each id to.
#[test]
fn each_id_has_the_type_that_drivers_cast_to() {
    let expected = |id: u32| match id {
        0..=2 | 6 | 7 | 504 | 513 | 514 | 529..=531 => TEXT,
        8 | 503 | 505 | 507 | 522 | 525 | 526 | 528 | 533..=535 | 538 | 540 => INT32,
        564 | 567..=571 => INT32,
        508..=512 => TEXT_LIST,
        517 => LIST_MAP,
        541..=555 | 557..=562 => BIGINT,
        _ => BOOL,
    };
    let batch = ask(vec![]);
    for (row, id) in ids(&batch).into_iter().enumerate() {
        assert_eq!(values(&batch).type_id(row), expected(id), "id {id}");
    }
}

#[test]
fn the_go_driver_finds_transactions() {
    let batch = ask(vec![8]);
    assert_eq!(values(&batch).type_id(0), INT32);
    assert_eq!(
        values(&batch).value(0).as_primitive::<Int32Type>().value(0),
        2
    );
}

#[test]
fn identity_and_names() {
    let batch = ask(vec![0, 1, 504, 559]);
    let text = |row: usize| {
        values(&batch)
            .value(row)
            .as_string::<i32>()
            .value(0)
            .to_owned()
    };
    assert_eq!(text(0), "Quiver");
    assert_eq!(text(1), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(2), "\"");
    assert_eq!(
        values(&batch).value(3).as_primitive::<Int64Type>().value(0),
        128
    );
}

#[test]
fn function_lists_name_what_is_compiled_in() {
    let batch = ask((508..=512).collect());
    let list = |row: usize| {
        let list = values(&batch).value(row);
        let list = list.as_list::<i32>().value(0);
        let list = list.as_string::<i32>();
        (0..list.len())
            .map(|index| list.value(index).to_owned())
            .collect::<Vec<_>>()
    };
    for (row, name) in [
        (0, "SELECT"),
        (1, "abs"),
        (2, "lower"),
        (3, "coalesce"),
        (4, "date_trunc"),
    ] {
        let names = list(row);
        assert!(names.contains(&name.to_owned()), "{name} in {names:?}");
        assert!(names.is_sorted());
    }
}
