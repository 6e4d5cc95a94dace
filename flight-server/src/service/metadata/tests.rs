#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandGetXdbcTypeInfo, CommandStatementQuery,
};

use super::fixture::Fixture;
use super::*;

fn all_commands() -> Vec<Command> {
    let tables = |include_schema| CommandGetTables {
        include_schema,
        ..Default::default()
    };
    vec![
        Command::CommandGetCatalogs(CommandGetCatalogs::default()),
        Command::CommandGetDbSchemas(CommandGetDbSchemas::default()),
        Command::CommandGetTables(tables(false)),
        Command::CommandGetTables(tables(true)),
        Command::CommandGetTableTypes(CommandGetTableTypes::default()),
        Command::CommandGetSqlInfo(CommandGetSqlInfo::default()),
        Command::CommandGetXdbcTypeInfo(CommandGetXdbcTypeInfo::default()),
        Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys::default()),
        Command::CommandGetExportedKeys(CommandGetExportedKeys::default()),
        Command::CommandGetImportedKeys(CommandGetImportedKeys::default()),
        Command::CommandGetCrossReference(CommandGetCrossReference::default()),
    ]
}

fn column(batch: &RecordBatch, index: usize) -> Vec<String> {
    batch
        .column(index)
        .as_string::<i32>()
        .iter()
        .map(|name| name.unwrap().to_owned())
        .collect()
}

async fn ask(command: Command) -> RecordBatch {
    let fixture = Fixture::new().await;
    answer(&command, &fixture.source()).unwrap().unwrap()
}

#[tokio::test]
async fn what_is_announced_is_what_is_sent() {
    let fixture = Fixture::new().await;
    for command in all_commands() {
        let batch = answer(&command, &fixture.source()).unwrap().unwrap();
        assert_eq!(Some(batch.schema()), schema(&command), "{command:?}");
    }
}

#[tokio::test]
async fn other_commands_are_not_answered() {
    let fixture = Fixture::new().await;
    let command = Command::CommandStatementQuery(CommandStatementQuery::default());
    assert_eq!(schema(&command), None);
    assert_eq!(answer(&command, &fixture.source()).unwrap(), None);
}

#[tokio::test]
async fn the_catalogs_are_the_own_tenant() {
    let batch = ask(Command::CommandGetCatalogs(CommandGetCatalogs::default())).await;
    assert_eq!(column(&batch, 0), ["acme"]);
}

#[tokio::test]
async fn schemas_with_those_of_virtual_tables() {
    let of = |catalog: Option<&str>, pattern: Option<&str>| {
        let command = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        async move { column(&ask(Command::CommandGetDbSchemas(command)).await, 1) }
    };
    let all = ["Raw", "information_schema", "main", "system"];
    assert_eq!(of(None, None).await, all);
    assert_eq!(of(Some("acme"), Some("%")).await, all);
    assert_eq!(of(None, Some("m%")).await, ["main"]);
    assert_eq!(
        of(None, Some(r"information\_schema")).await,
        ["information_schema"]
    );
    for (catalog, pattern) in [(Some("default"), None), (Some(""), None), (None, Some(""))] {
        assert!(of(catalog, pattern).await.is_empty());
    }
}

#[tokio::test]
async fn the_table_types() {
    let batch = ask(Command::CommandGetTableTypes(
        CommandGetTableTypes::default(),
    ))
    .await;
    assert_eq!(column(&batch, 0), ["SYSTEM TABLE", "TABLE", "VIEW"]);
}

/// Clients compare these schemas field by field.
#[test]
fn nullability_is_as_specified() {
    let shape = |command: Command| {
        let schema = schema(&command).unwrap();
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.is_nullable()))
            .collect::<Vec<_>>()
    };
    let named = |fields: &[(&str, bool)]| {
        fields
            .iter()
            .map(|(name, nullable)| ((*name).to_owned(), *nullable))
            .collect::<Vec<_>>()
    };
    let mut commands = all_commands().into_iter();
    let mut next = || shape(commands.next().unwrap());
    assert_eq!(next(), named(&[("catalog_name", false)]));
    assert_eq!(
        next(),
        named(&[("catalog_name", true), ("db_schema_name", false)])
    );
    let tables = [
        ("catalog_name", true),
        ("db_schema_name", true),
        ("table_name", false),
        ("table_type", false),
        ("table_schema", false),
    ];
    assert_eq!(next(), named(&tables[..4]));
    assert_eq!(next(), named(&tables));
    assert_eq!(next(), named(&[("table_type", false)]));
    assert_eq!(next(), named(&[("info_name", false), ("value", false)]));
    let info = schema(&Command::CommandGetSqlInfo(CommandGetSqlInfo::default())).unwrap();
    assert_eq!(info.field(0).data_type(), &DataType::UInt32);
}
