//! Pruning inside the database: which segments may hold matching rows. Used by tools and tests; the
//! engine prunes in memory with the same statistics.
//!
//! Safety rule: a segment is left out only if its bounds prove that no row matches. Bounds in a
//! form in which the database cannot compare them right (infinities, years beyond 9999) prove
//! nothing.

use arrow::datatypes::DataType;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::error::{CatalogError, Result, storage};
use crate::ids::{ColumnId, SegmentId, TableId};
use crate::stats::is_bound;
use crate::version::CatalogVersion;

/// A condition on one leaf column that is not inside a list or map. Rows with nulls match only
/// `IsNull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPredicate {
    /// The column.
    pub column_id: ColumnId,
    /// The condition; values in DuckLake's text form.
    pub test: ColumnTest,
}

/// What a [`ColumnPredicate`] asks of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnTest {
    /// `= value`
    Equal(String),
    /// `< value`
    Less(String),
    /// `<= value`
    LessOrEqual(String),
    /// `> value`
    Greater(String),
    /// `>= value`
    GreaterOrEqual(String),
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

pub(crate) async fn prune_segments(
    connection: &mut SqliteConnection,
    version: &CatalogVersion,
    table_id: TableId,
    predicates: &[ColumnPredicate],
) -> Result<Vec<SegmentId>> {
    let table = version
        .table_by_id(table_id)
        .ok_or_else(|| CatalogError::not_found("table", &table_id))?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT data_file_id FROM ducklake_data_file f WHERE f.table_id = ",
    );
    query.push_bind(table_id.0);
    query
        .push(" AND f.begin_snapshot <= ")
        .push_bind(version.snapshot_id.0);
    query.push(" AND (f.end_snapshot IS NULL OR f.end_snapshot > ");
    query.push_bind(version.snapshot_id.0).push(")");
    for predicate in predicates {
        let id = predicate.column_id;
        let column = table.column_by_id(id).filter(|column| column.is_leaf());
        let column = column.ok_or_else(|| CatalogError::not_found("column", &id))?;
        // Bounds may be those of singles, which are other numbers.
        let may_be_widened =
            table.altered_snapshot.is_some() && column.data_type == DataType::Float64;
        if !may_be_widened {
            push_predicate(&mut query, table_id, &column.data_type, predicate)?;
        }
    }
    query.push(" ORDER BY data_file_id");
    let ids: Vec<i64> = query
        .build_query_scalar()
        .fetch_all(connection)
        .await
        .map_err(storage("prune segments"))?;
    Ok(ids.into_iter().map(SegmentId).collect())
}

/// Leaves out the segments whose statistics rule the predicate out.
fn push_predicate(
    query: &mut QueryBuilder<Sqlite>,
    table_id: TableId,
    data_type: &DataType,
    predicate: &ColumnPredicate,
) -> Result<()> {
    query.push(" AND NOT EXISTS (SELECT 1 FROM ducklake_file_column_stats s WHERE s.table_id = ");
    query
        .push_bind(table_id.0)
        .push(" AND s.column_id = ")
        .push_bind(predicate.column_id.0);
    query.push(" AND s.data_file_id = f.data_file_id AND (");
    match &predicate.test {
        ColumnTest::IsNull => {
            // Without values either, the writer knew nothing.
            query.push("s.null_count = 0 AND s.value_count > 0");
        }
        ColumnTest::IsNotNull => {
            query.push("s.value_count = 0 AND s.null_count = f.record_count");
        }
        ColumnTest::Equal(value) => {
            push_excludes(query, data_type, "s.min_value", ">", value)?;
            query.push(" OR ");
            push_excludes(query, data_type, "s.max_value", "<", value)?;
        }
        ColumnTest::Less(value) => push_excludes(query, data_type, "s.min_value", ">=", value)?,
        ColumnTest::LessOrEqual(value) => {
            push_excludes(query, data_type, "s.min_value", ">", value)?;
        }
        ColumnTest::Greater(value) => push_excludes(query, data_type, "s.max_value", "<=", value)?,
        ColumnTest::GreaterOrEqual(value) => {
            push_excludes(query, data_type, "s.max_value", "<", value)?;
        }
    }
    query.push("))");
    Ok(())
}

/// How the database compares bounds of a type.
enum Comparison {
    /// As 64-bit integers.
    Integer,
    /// As floating point, which rounds: equal proves nothing.
    Rounded,
    /// As text, four-digit years only.
    Dated,
    /// As text.
    Text,
}

fn comparison(data_type: &DataType) -> Option<Comparison> {
    Some(match data_type {
        DataType::UInt64 | DataType::Decimal128(_, _) => Comparison::Rounded,
        DataType::Float32 | DataType::Float64 => Comparison::Rounded,
        DataType::Boolean => Comparison::Integer,
        DataType::Date32 | DataType::Timestamp(_, _) => Comparison::Dated,
        DataType::Time64(_) | DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_) => {
            Comparison::Text
        }
        integer if integer.is_integer() => Comparison::Integer,
        _ => return None,
    })
}

/// The proof that no value matches: the bound stands in this relation to the value. A NaN is above
/// every number and outside the bounds, so a segment that may hold one is excluded from below only.
fn push_excludes(
    query: &mut QueryBuilder<Sqlite>,
    data_type: &DataType,
    bound: &'static str,
    operator: &'static str,
    value: &str,
) -> Result<()> {
    let Some(comparison) = comparison(data_type) else {
        query.push("0");
        return Ok(());
    };
    if !is_bound(data_type, value) {
        let reason = format!("{value:?} is not a value of type {data_type}");
        return Err(CatalogError::InvalidArgument {
            what: "predicate",
            reason,
        });
    }
    let strict = if operator.starts_with('<') { "<" } else { ">" };
    query.push("(");
    match comparison {
        Comparison::Integer => {
            query.push(format_args!("CAST({bound} AS INTEGER) {operator} CAST("));
            query.push_bind(value.to_owned()).push(" AS INTEGER)");
        }
        Comparison::Rounded => {
            query.push(format_args!("{bound} NOT LIKE '%inf%' AND "));
            query
                .push_bind(value.to_owned())
                .push(" NOT LIKE '%inf%' AND ");
            query.push(format_args!("CAST({bound} AS REAL) {strict} CAST("));
            query.push_bind(value.to_owned()).push(" AS REAL)");
        }
        Comparison::Dated => {
            const PLAIN: &str = "GLOB '[0-9][0-9][0-9][0-9]-*'";
            query.push(format_args!(
                "{bound} {PLAIN} AND {bound} NOT LIKE '%(BC)%' AND "
            ));
            query
                .push_bind(value.to_owned())
                .push(format_args!(" {PLAIN} AND "));
            query
                .push_bind(value.to_owned())
                .push(" NOT LIKE '%(BC)%' AND ");
            query
                .push(format_args!("{bound} {operator} "))
                .push_bind(value.to_owned());
        }
        Comparison::Text => {
            query
                .push(format_args!("{bound} {operator} "))
                .push_bind(value.to_owned());
        }
    }
    if data_type.is_floating() && bound == "s.max_value" {
        query.push(" AND s.contains_nan IS 0");
    }
    query.push(")");
    Ok(())
}
