//! `GetSqlInfo`: what the server can do, in the numbering and the union members of
//! `FlightSql.proto`.
//!
//! Two clients set the rules. The Go driver enables transactions only if id 8 is an `int32`. The
//! JDBC driver asks for everything at once, casts each value to the Java type it expects, and dies
//! of an id that its enumeration does not have; so an empty request is answered with the ids that
//! every version of it knows, and the newer ones are told only to who asks for them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetSqlInfo, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction, SqlTransactionIsolationLevel,
};

use super::{bug, conversions, functions};
use crate::status::Failure;

/// Version of the Arrow columnar format.
const ARROW_FORMAT_VERSION: &str = "1.5";

/// Longest name of a tenant, schema, table or user, in bytes.
const NAME_BYTES_MAX: i64 = 128;

/// No limit, or none that is known.
const UNLIMITED: i64 = 0;

static INFO: LazyLock<SqlInfoData> = LazyLock::new(|| {
    let mut builder = SqlInfoDataBuilder::new();
    for (info, value) in server()
        .into_iter()
        .chain(syntax())
        .chain(capabilities())
        .chain(limits())
    {
        value.append(&mut builder, info);
    }
    builder
        .build()
        .expect("values of constant types always fit their union")
});

pub(super) fn sql_info_schema() -> SchemaRef {
    INFO.schema()
}

/// The infos asked for; ids that there is nothing to say about are left out.
pub(super) fn sql_info(command: &CommandGetSqlInfo) -> Result<RecordBatch, Failure> {
    if command.info.is_empty() {
        return INFO.record_batch((0..=9).chain(500..=576)).map_err(bug);
    }
    let mut ids: Vec<u32> = command
        .info
        .iter()
        .copied()
        .filter(|id| *id < 1_000)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(RecordBatch::new_empty(sql_info_schema()));
    }
    INFO.record_batch(ids).map_err(bug)
}

type Info = (SqlInfo, Value);

/// A value, by the member of the union that it belongs to.
enum Value {
    Text(&'static str),
    Bool(bool),
    BigInt(i64),
    Int32(i32),
    TextList(Vec<String>),
    ListMap(BTreeMap<i32, Vec<i32>>),
}

impl Value {
    fn append(self, builder: &mut SqlInfoDataBuilder, info: SqlInfo) {
        match self {
            Self::Text(value) => builder.append(info, value),
            Self::Bool(value) => builder.append(info, value),
            Self::BigInt(value) => builder.append(info, value),
            Self::Int32(value) => builder.append(info, value),
            Self::TextList(value) => builder.append(info, value),
            Self::ListMap(value) => builder.append(info, value),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// An `int32` with these bits set, counted from 0.
fn bits(positions: impl IntoIterator<Item = i32>) -> Value {
    Value::Int32(
        positions
            .into_iter()
            .fold(0, |mask, position| mask | 1 << position),
    )
}

fn server() -> Vec<Info> {
    use SqlInfo as I;
    vec![
        (I::FlightSqlServerName, Value::Text("Quiver")),
        (
            I::FlightSqlServerVersion,
            Value::Text(env!("CARGO_PKG_VERSION")),
        ),
        (
            I::FlightSqlServerArrowVersion,
            Value::Text(ARROW_FORMAT_VERSION),
        ),
        (I::FlightSqlServerReadOnly, false.into()),
        (I::FlightSqlServerSql, true.into()),
        (I::FlightSqlServerSubstrait, true.into()),
        (I::FlightSqlServerSubstraitMinVersion, Value::Text("0.56.0")),
        (I::FlightSqlServerSubstraitMaxVersion, Value::Text("0.85.0")),
        (
            I::FlightSqlServerTransaction,
            Value::Int32(SqlSupportedTransaction::Savepoint as i32),
        ),
        (I::FlightSqlServerCancel, true.into()),
        (I::FlightSqlServerBulkIngestion, true.into()),
        (I::FlightSqlServerIngestTransactionsSupported, true.into()),
    ]
}

fn syntax() -> Vec<Info> {
    use SqlInfo as I;
    let lower_case = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32;
    let nulls_high = SqlNullOrdering::SqlNullsSortedHigh as i32;
    let insensitive = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
    vec![
        (I::SqlIdentifierCase, Value::Int32(lower_case)),
        (I::SqlIdentifierQuoteChar, Value::Text("\"")),
        (I::SqlQuotedIdentifierCase, Value::Int32(insensitive)),
        (I::SqlNullOrdering, Value::Int32(nulls_high)),
        (I::SqlKeywords, Value::TextList(functions::reserved_words())),
        (
            I::SqlNumericFunctions,
            Value::TextList(functions::numeric()),
        ),
        (I::SqlStringFunctions, Value::TextList(functions::string())),
        (I::SqlSystemFunctions, Value::TextList(functions::system())),
        (
            I::SqlDatetimeFunctions,
            Value::TextList(functions::datetime()),
        ),
        (I::SqlSearchStringEscape, Value::Text("\\")),
        (I::SqlExtraNameCharacters, Value::Text("$")),
        (I::SqlSchemaTerm, Value::Text("schema")),
        (I::SqlProcedureTerm, Value::Text("procedure")),
        (I::SqlCatalogTerm, Value::Text("catalog")),
        (I::SqlCatalogAtStart, true.into()),
    ]
}

fn capabilities() -> Vec<Info> {
    use SqlInfo as I;
    let isolation = SqlTransactionIsolationLevel::SqlTransactionRepeatableRead as i32;
    vec![
        (I::SqlDdlCatalog, false.into()),
        (I::SqlDdlSchema, true.into()),
        (I::SqlDdlTable, true.into()),
        (I::SqlAllTablesAreSelectable, true.into()),
        (I::SqlSupportsColumnAliasing, true.into()),
        (I::SqlNullPlusNullIsNull, true.into()),
        (
            I::SqlSupportsConvert,
            Value::ListMap(conversions::conversions()),
        ),
        (I::SqlSupportsTableCorrelationNames, true.into()),
        (I::SqlSupportsDifferentTableCorrelationNames, false.into()),
        (I::SqlSupportsExpressionsInOrderBy, true.into()),
        (I::SqlSupportsOrderByUnrelated, true.into()),
        // Columns outside the select list, and more than the select list has.
        (I::SqlSupportedGroupBy, bits([0, 1])),
        (I::SqlSupportsLikeEscapeClause, false.into()),
        (I::SqlSupportsNonNullableColumns, true.into()),
        // Minimum and core; of the extended grammar, cursors and positioned updates are missing.
        (I::SqlSupportedGrammar, bits([0, 1])),
        (I::SqlAnsi92SupportedLevel, bits([0])),
        (I::SqlSupportsIntegrityEnhancementFacility, false.into()),
        // The proto calls it an ordinal, the JDBC driver tests bits: limited and full.
        (I::SqlOuterJoinsSupportLevel, bits([1, 2])),
        (I::SqlSchemasSupportedActions, bits([])),
        (I::SqlCatalogsSupportedActions, bits([])),
        (I::SqlSupportedPositionedCommands, bits([])),
        (I::SqlSelectForUpdateSupported, false.into()),
        (I::SqlStoredProceduresSupported, false.into()),
        // In comparisons, in EXISTS, in IN.
        (I::SqlSupportedSubqueries, bits([0, 1, 2])),
        (I::SqlCorrelatedSubqueriesSupported, true.into()),
        (I::SqlSupportedUnions, bits([0, 1])),
        // The proto calls it an int32, the JDBC driver casts it to a Java Long.
        (
            I::SqlDefaultTransactionIsolation,
            Value::BigInt(isolation.into()),
        ),
        (I::SqlTransactionsSupported, true.into()),
        (
            I::SqlSupportedTransactionsIsolationLevels,
            bits([isolation]),
        ),
        (I::SqlDataDefinitionCausesTransactionCommit, false.into()),
        (I::SqlDataDefinitionsInTransactionsIgnored, false.into()),
        // Forward only, read only.
        (I::SqlSupportedResultSetTypes, bits([1])),
        (
            I::SqlSupportedConcurrenciesForResultSetUnspecified,
            bits([1]),
        ),
        (
            I::SqlSupportedConcurrenciesForResultSetForwardOnly,
            bits([1]),
        ),
        (
            I::SqlSupportedConcurrenciesForResultSetScrollSensitive,
            bits([]),
        ),
        (
            I::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
            bits([]),
        ),
        (I::SqlBatchUpdatesSupported, true.into()),
        (I::SqlSavepointsSupported, true.into()),
        (I::SqlNamedParametersSupported, false.into()),
        (I::SqlLocatorsUpdateCopy, false.into()),
        (I::SqlStoredFunctionsUsingCallSyntaxSupported, false.into()),
    ]
}

fn limits() -> Vec<Info> {
    use SqlInfo as I;
    let unlimited = [
        I::SqlMaxBinaryLiteralLength,
        I::SqlMaxCharLiteralLength,
        I::SqlMaxColumnNameLength,
        I::SqlMaxColumnsInGroupBy,
        I::SqlMaxColumnsInIndex,
        I::SqlMaxColumnsInOrderBy,
        I::SqlMaxColumnsInSelect,
        I::SqlMaxColumnsInTable,
        I::SqlMaxConnections,
        I::SqlMaxCursorNameLength,
        I::SqlMaxIndexLength,
        I::SqlMaxProcedureNameLength,
        I::SqlMaxRowSize,
        I::SqlMaxStatementLength,
        I::SqlMaxStatements,
        I::SqlMaxTablesInSelect,
    ];
    let names = [
        I::SqlDbSchemaNameLength,
        I::SqlMaxCatalogNameLength,
        I::SqlMaxTableNameLength,
        I::SqlMaxUsernameLength,
    ];
    let mut limits: Vec<Info> = unlimited
        .into_iter()
        .map(|info| (info, Value::BigInt(UNLIMITED)))
        .collect();
    limits.extend(
        names
            .into_iter()
            .map(|info| (info, Value::BigInt(NAME_BYTES_MAX))),
    );
    limits.push((I::SqlMaxRowSizeIncludesBlobs, true.into()));
    limits
}

#[cfg(test)]
mod tests;
