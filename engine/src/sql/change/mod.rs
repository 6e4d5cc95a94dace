//! `DELETE`, `UPDATE`, `MERGE` and `TRUNCATE`.
//!
//! A change is a query that returns, for each row to be changed, where it lies and what it becomes.
//! The rows that go are marked in lists of deleted rows, those that come go to segments; both take
//! effect in one commit. A row that is updated keeps its row id.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::{filter_record_batch, is_not_null, not};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{ObjectName, Statement as AstStatement};
use futures::TryStreamExt;
use quiver_catalog::{Change as CatalogChange, TableId, TableVersion};
use roaring::RoaringTreemap;

use self::query::{Action, Clause, change_query};
use super::context::StatementContext;
use super::names::{TableName, check_writable};
use super::parser::Change;
use super::planning::{plan_statement, with_types};
use super::query::{analyzed, parameter_schema, row_parameters, run, verify_read_only};
use crate::canonical::Adapter;
use crate::commit::CommitRequest;
use crate::error::{EngineError, Result};
use crate::row_changes::RowChange;
use crate::scan::{DeletedRows, all_rows};
use crate::segment::{RowPlaces, SegmentSink, UnregisteredSegments, check_rows, with_row_ids};
use crate::transaction::Transaction;

mod merge;
mod query;

/// The columns that say which row is meant, and what happens to it.
const CLAUSE: usize = 0;
const SEGMENT: usize = 1;
const POSITION: usize = 2;
const ROW_ID: usize = 3;
/// Columns before the values.
const PLACE_COLUMNS: usize = 4;

impl StatementContext {
    /// Changes rows; returns how many.
    pub(crate) async fn change_rows(
        &self,
        change: &Change,
        parameters: Option<&RecordBatch>,
    ) -> Result<u64> {
        let own = match &self.transaction {
            Some(transaction) => Arc::clone(transaction),
            None => Transaction::of_statement(&self.engine, &self.tenant, self.user_id, None),
        };
        let name = self.change_target(change)?;
        let catalog = self.catalog().await?;
        let table = catalog.table(&name.schema, &name.table);
        let table_id = table.ok_or_else(|| missing(&name))?.id;
        let view = own.change_view(table_id).await?.with_target(table_id);
        let table = view.catalog().table_by_id(table_id);
        let table = Arc::clone(table.ok_or_else(|| missing(&name))?);

        let query = change_query(change, &name, &table)?;
        let session = self.session(&view);
        let plan = plan_change(&session, &query.statement, &table).await?;
        let plan = match parameters {
            Some(values) => plan.with_param_values(row_parameters(values, 0)?)?,
            None => plan,
        };
        let plan = with_types(analyzed(&session, plan)?, &query.types)?;
        let mut rows = run(&session, plan).await?;
        let mut changed = ChangedRows::new(self, &table, query.clauses, change)?;
        while let Some(batch) = rows.stream.try_next().await? {
            changed.add(&batch).await?;
        }
        let (row_count, request) = changed.finish().await?;
        if row_count > 0 {
            own.stage(request).await?;
        }
        if self.transaction.is_none() {
            own.commit().await?;
        }
        Ok(row_count)
    }

    /// Schema of the parameters of a change.
    pub(crate) async fn change_parameters(
        &self,
        change: &Change,
        placeholders: usize,
    ) -> Result<SchemaRef> {
        let name = self.change_target(change)?;
        let view = self.read_view().await?;
        let table = view.catalog().table(&name.schema, &name.table);
        let table = Arc::clone(table.ok_or_else(|| missing(&name))?);
        let query = change_query(change, &name, &table)?;
        let session = self.session(&view.with_target(table.id));
        let plan = plan_change(&session, &query.statement, &table).await?;
        let plan = query::with_parameter_types(plan, &query.types)?;
        parameter_schema(&plan, placeholders)
    }

    fn change_target(&self, change: &Change) -> Result<TableName> {
        let name = self.table_name(query::target_name(change)?)?;
        check_writable(&name.schema)?;
        Ok(name)
    }

    /// Removes all rows of tables.
    pub(crate) async fn truncate(&self, names: &[ObjectName], if_exists: bool) -> Result<u64> {
        let catalog = self.catalog().await?;
        let mut tables = vec![];
        for name in names {
            let name = self.table_name(name)?;
            check_writable(&name.schema)?;
            match catalog.table(&name.schema, &name.table) {
                Some(table) => tables.push(table.id),
                None if if_exists => {}
                None => return Err(missing(&name)),
            }
        }
        tables.sort_unstable();
        tables.dedup();
        let of_client = |transaction: &&Arc<Transaction>| transaction.is_of_client();
        if let Some(transaction) = self.transaction.as_ref().filter(of_client) {
            for table_id in tables {
                self.delete_all(transaction, table_id).await?;
            }
            return Ok(0);
        }
        let truncate = |table_id| CatalogChange::Truncate { table_id };
        let changes: Vec<_> = tables.into_iter().map(truncate).collect();
        if !changes.is_empty() {
            self.apply(CommitRequest::of_changes(changes)).await?;
        }
        Ok(0)
    }

    /// Removes the rows that a transaction sees. Those that others add before it commits stay.
    async fn delete_all(&self, transaction: &Arc<Transaction>, table_id: TableId) -> Result<()> {
        let view = transaction.change_view(table_id).await?;
        let Some(table) = view.catalog().table_by_id(table_id) else {
            return Ok(());
        };
        let reading = self.tenant.reading();
        let store = reading.runtime.object_store(&reading.store_url)?;
        let store = (&reading.store_url, &store);
        let own = view.deleted(table_id);
        let mut deleted = DeletedRows::new();
        for segment in table.segments.iter() {
            let mut rows = all_rows(segment);
            let lists = &reading.scan_options.delete_files;
            if let Some(known) = lists.of_segment(store, table, segment, None).await? {
                rows -= known.as_ref();
            }
            if let Some(own) = own.get(&segment.path) {
                rows -= own;
            }
            if !rows.is_empty() {
                deleted.insert(segment.path.clone(), rows);
            }
        }
        if deleted.is_empty() {
            return Ok(());
        }
        let change = RowChange { table_id, deleted };
        let request = CommitRequest {
            row_changes: vec![change],
            ..CommitRequest::of_changes(vec![])
        };
        transaction.stage(request).await
    }
}

async fn plan_change(
    session: &SessionState,
    statement: &AstStatement,
    table: &TableVersion,
) -> Result<LogicalPlan> {
    let statement = DfStatement::Statement(Box::new(statement.clone()));
    let plan = plan_statement(session, statement).await?;
    verify_read_only(&plan)?;
    if let LogicalPlan::Projection(Projection { expr, .. }) = &plan
        && expr.first().is_some_and(Expr::is_volatile)
    {
        return Err(EngineError::Unsupported {
            what: "a condition of MERGE that is another each time, as random() is".to_owned(),
        });
    }
    debug_assert!(
        plan.schema().fields().len() >= PLACE_COLUMNS,
        "a change of {} says which rows it is about",
        table.name
    );
    Ok(plan)
}

fn missing(name: &TableName) -> EngineError {
    EngineError::NotFound {
        what: format!("table {}.{}", name.schema, name.table),
    }
}

/// What a change has found so far.
struct ChangedRows {
    table: Arc<TableVersion>,
    clauses: Vec<Clause>,
    /// Whether a row that is found twice is an error.
    refuses_repeated: bool,
    /// By place of the segment.
    deleted: BTreeMap<usize, RoaringTreemap>,
    adapter: Adapter,
    incoming: SchemaRef,
    updated: SegmentSink,
    inserted: SegmentSink,
    row_count: u64,
}

impl ChangedRows {
    fn new(
        context: &StatementContext,
        table: &Arc<TableVersion>,
        clauses: Vec<Clause>,
        change: &Change,
    ) -> Result<Self> {
        let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
        let fields: Vec<Field> = table.arrow_schema.fields().iter().map(nullable).collect();
        let incoming = Schema::new(fields);
        let (node, tenant) = (context.engine.node(), &context.tenant);
        Ok(Self {
            clauses,
            refuses_repeated: matches!(change, Change::Merge(_)),
            deleted: BTreeMap::new(),
            adapter: Adapter::new(&incoming, &table.arrow_schema)?,
            incoming: Arc::new(incoming),
            updated: SegmentSink::new(node, tenant, table, true),
            inserted: SegmentSink::new(node, tenant, table, false),
            row_count: 0,
            table: Arc::clone(table),
        })
    }

    async fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let clauses = numbers(batch, CLAUSE)?;
        for at in 0..self.clauses.len() {
            let wanted = |row: usize| clauses.is_valid(row) && clauses.value(row) == at as i64;
            let of_clause: BooleanArray = (0..batch.num_rows()).map(|r| Some(wanted(r))).collect();
            if of_clause.true_count() > 0 {
                let rows = filter_record_batch(batch, &of_clause)?;
                self.add_clause(at, rows).await?;
            }
        }
        Ok(())
    }

    async fn add_clause(&mut self, at: usize, mut rows: RecordBatch) -> Result<()> {
        let action = self.clauses[at].action;
        if action != Action::Insert {
            rows = self.delete(&rows)?;
        }
        self.row_count += rows.num_rows() as u64;
        if action == Action::Delete || rows.num_rows() == 0 {
            return Ok(());
        }
        let values = self.values(at, &rows)?;
        if action == Action::Insert {
            return self.inserted.push(values).await;
        }
        let ids = places(&rows)?.row_ids(&self.table)?;
        let has_id = is_not_null(&ids)?;
        // Rows that the transaction has added itself are new to all others.
        let own = filter_record_batch(&values, &not(&has_id)?)?;
        self.inserted.push(own).await?;
        let values = filter_record_batch(&with_row_ids(&values, ids)?, &has_id)?;
        self.updated.push(values).await
    }

    /// Marks the rows as deleted; returns those that were not before.
    fn delete(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let places = places(rows)?;
        let is_new = (0..rows.num_rows()).map(|row| {
            let (segment, position) = places.of(row)?;
            Ok(self.deleted.entry(segment).or_default().insert(position))
        });
        let is_new = is_new.collect::<Result<Vec<bool>>>()?;
        if is_new.iter().all(|is_new| *is_new) {
            return Ok(rows.clone());
        }
        if self.refuses_repeated {
            return Err(EngineError::invalid(
                "MERGE would change a row twice: more than one row of the source matches it",
            ));
        }
        Ok(filter_record_batch(rows, &is_new.into())?)
    }

    /// What the rows become, in the table's schema.
    fn values(&self, at: usize, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.clauses[at].values.iter().zip(self.incoming.fields());
        let columns = columns.map(|(column, field)| match column {
            Some(column) => Arc::clone(rows.column(PLACE_COLUMNS + column)),
            None => new_null_array(field.data_type(), rows.num_rows()),
        });
        let values = RecordBatch::try_new(Arc::clone(&self.incoming), columns.collect())?;
        let values = self.adapter.adapt(values)?;
        check_rows(&values)?;
        Ok(values)
    }

    /// How many rows are changed, and what changes them.
    async fn finish(self) -> Result<(u64, CommitRequest)> {
        let segments = [self.updated.finish().await?, self.inserted.finish().await?];
        let has_rows = |segments: &UnregisteredSegments| !segments.segments().is_empty();
        let deleted: DeletedRows = self
            .deleted
            .into_iter()
            .map(|(place, rows)| (self.table.segments[place].path.clone(), rows))
            .collect();
        let row_change = RowChange {
            table_id: self.table.id,
            deleted,
        };
        let request = CommitRequest {
            segments: segments.into_iter().filter(has_rows).collect(),
            row_changes: vec![row_change],
            ..CommitRequest::of_changes(vec![])
        };
        Ok((self.row_count, request))
    }
}

fn numbers(rows: &RecordBatch, column: usize) -> Result<&Int64Array> {
    let column = rows.column(column).as_primitive_opt::<Int64Type>();
    column.ok_or_else(|| EngineError::internal("the place of a row is a number"))
}

fn places(rows: &RecordBatch) -> Result<RowPlaces<'_>> {
    Ok(RowPlaces {
        segments: numbers(rows, SEGMENT)?,
        positions: numbers(rows, POSITION)?,
        in_file: numbers(rows, ROW_ID)?,
    })
}

/// Types of the columns that come before the values.
fn place_types() -> Vec<DataType> {
    vec![DataType::Int64; PLACE_COLUMNS]
}
