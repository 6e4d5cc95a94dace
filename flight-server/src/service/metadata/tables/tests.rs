#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::{Array, AsArray};
use arrow_ipc::convert::try_schema_from_ipc_buffer;

use super::super::fixture::{Fixture, columns};
use super::*;

fn ask(fixture: &Fixture, command: &CommandGetTables) -> RecordBatch {
    let batch = tables(command, &fixture.source()).unwrap();
    assert_eq!(batch.schema(), tables_schema(command));
    batch
}

/// `schema.table` of each row.
fn names(fixture: &Fixture, command: &CommandGetTables) -> Vec<String> {
    let batch = ask(fixture, command);
    let column = |index: usize| batch.column(index).as_string::<i32>().clone();
    let (schemas, tables) = (column(1), column(2));
    (0..batch.num_rows())
        .map(|row| format!("{}.{}", schemas.value(row), tables.value(row)))
        .collect()
}

fn patterns(schema: Option<&str>, table: Option<&str>) -> CommandGetTables {
    CommandGetTables {
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        ..Default::default()
    }
}

#[tokio::test]
async fn without_filters_everything_by_name() {
    let fixture = Fixture::new().await;
    let expected = [
        "Raw.a_b",
        "information_schema.tables",
        "main.T",
        "main.a_b",
        "main.axb",
        "system.queries",
    ];
    assert_eq!(names(&fixture, &CommandGetTables::default()), expected);
    let batch = ask(&fixture, &CommandGetTables::default());
    assert_eq!(batch.num_columns(), 4);
    let catalogs = batch.column(0).as_string::<i32>();
    let types = batch.column(3).as_string::<i32>();
    assert!(catalogs.iter().all(|name| name == Some("acme")));
    let types: Vec<_> = types.iter().flatten().collect();
    assert_eq!(
        types,
        ["TABLE", "VIEW", "TABLE", "TABLE", "TABLE", "SYSTEM TABLE"]
    );
}

#[tokio::test]
async fn exact_matches_come_first() {
    let fixture = Fixture::new().await;
    // Without that, `main.axb` could be taken for `a_b` by whoever reads only the first row.
    let command = patterns(Some("main"), Some("a_b"));
    assert_eq!(names(&fixture, &command), ["main.a_b", "main.axb"]);
    let command = patterns(None, Some("a_b"));
    assert_eq!(
        names(&fixture, &command),
        ["Raw.a_b", "main.a_b", "main.axb"]
    );
    let command = patterns(Some("main"), Some(r"a\_b"));
    assert_eq!(names(&fixture, &command), ["main.a_b"]);
}

#[tokio::test]
async fn patterns_and_types_and_catalog_filter() {
    let fixture = Fixture::new().await;
    assert_eq!(
        names(&fixture, &patterns(Some("sys%"), None)),
        ["system.queries"]
    );
    assert!(names(&fixture, &patterns(Some(""), None)).is_empty());
    assert!(names(&fixture, &patterns(None, Some("t"))).is_empty());

    let of = |types: &[&str]| CommandGetTables {
        table_types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let views = ["information_schema.tables", "system.queries"];
    assert_eq!(names(&fixture, &of(&["VIEW", "SYSTEM TABLE"])), views);
    assert!(names(&fixture, &of(&["view"])).is_empty());

    let catalog = |name: &str| CommandGetTables {
        catalog: Some(name.to_owned()),
        ..Default::default()
    };
    assert_eq!(names(&fixture, &catalog("acme")).len(), 6);
    for other in ["", "default", "ac%"] {
        assert!(names(&fixture, &catalog(other)).is_empty(), "{other}");
    }
}

#[tokio::test]
async fn schemas_are_included_on_request_with_sql_types() {
    let fixture = Fixture::new().await;
    let mut command = patterns(Some("main"), Some("T"));
    command.include_schema = true;
    let batch = ask(&fixture, &command);
    let encoded = batch.column(4).as_binary::<i32>();
    assert_eq!((encoded.len(), encoded.null_count()), (1, 0));
    let schema = try_schema_from_ipc_buffer(encoded.value(0)).unwrap();
    for (found, expected) in schema.fields().iter().zip(columns().fields()) {
        assert_eq!(
            (found.name(), found.data_type()),
            (expected.name(), expected.data_type())
        );
        assert_eq!(found.is_nullable(), expected.is_nullable());
    }
    let metadata = |column: usize, key: &str| {
        schema.field(column).metadata()[&format!("ARROW:FLIGHT:SQL:{key}")].clone()
    };
    assert_eq!(metadata(1, "PRECISION"), "10");
    assert_eq!(metadata(1, "SCALE"), "2");
    assert_eq!(metadata(0, "TABLE_NAME"), "T");
    assert_eq!(metadata(0, "IS_READ_ONLY"), "0");
}

#[tokio::test]
async fn nothing_that_matches_still_has_its_columns() {
    let fixture = Fixture::new().await;
    for include_schema in [false, true] {
        let command = CommandGetTables {
            include_schema,
            ..patterns(None, Some("missing"))
        };
        let batch = ask(&fixture, &command);
        assert_eq!(batch.num_rows(), 0);
        assert_eq!(batch.num_columns(), 4 + usize::from(include_schema));
    }
}
