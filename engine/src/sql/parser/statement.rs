//! What a parsed statement is: one variant for each thing the engine can do.
//!
//! The types carry what the text says and nothing more: names are not resolved, rights are not
//! checked, column types are as written. Variants that DataFusion plans keep its syntax tree;
//! the others are small trees of our own, in which every field has a meaning.

use std::fmt;

use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, DataType, Delete, Expr, Ident, Insert, Merge, ObjectName, Query, Update, Value,
};

use super::super::substrait::SubstraitPlan;
use super::sql_text::StatementText;

/// One statement and what the caller needs beside it.
///
/// Not `Clone`: cloning a deep tree takes many times the stack that parsing it again takes.
#[derive(Debug)]
pub struct ParsedStatement {
    /// The statement.
    pub statement: Statement,
    /// As it came.
    pub text: StatementText,
    /// As it may be recorded and shown: passwords are `'***'`, of a plan the tables are named.
    pub redacted: String,
    /// How many parameters the statement takes: its `?`, or the highest `$n`.
    pub placeholders: usize,
}

/// A statement the engine knows how to execute.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`, `VALUES`, `WITH`, `SHOW`, `DESCRIBE`, `EXPLAIN` of a query: no side effects
    /// anywhere inside. Or a Substrait plan.
    Query(QueryForm),
    /// `INSERT INTO t [(columns)] VALUES …` or a query: the table is a name, there is a source,
    /// and no other clause of `ast::Insert` is set.
    Insert(Box<Insert>),
    /// `DELETE`, `UPDATE`, `MERGE`.
    Change(Change),
    /// `TRUNCATE`.
    Truncate {
        /// At least one.
        names: Vec<ObjectName>,
        /// Whether a missing table is no error.
        if_exists: bool,
    },
    /// `CREATE TABLE`.
    CreateTable(Box<CreateTable>),
    /// `DROP TABLE`.
    DropTable {
        /// At least one.
        names: Vec<ObjectName>,
        /// Whether a missing table is no error.
        if_exists: bool,
    },
    /// `CREATE SCHEMA`.
    CreateSchema {
        /// The schema, possibly with its tenant.
        name: ObjectName,
        /// Whether an existing schema is no error.
        if_not_exists: bool,
    },
    /// `DROP SCHEMA`.
    DropSchema {
        /// The schema, possibly with its tenant.
        name: ObjectName,
        /// Whether a missing schema is no error.
        if_exists: bool,
        /// Whether its tables go with it.
        cascade: bool,
    },
    /// `ALTER TABLE`.
    AlterTable {
        /// The table, possibly with schema and tenant.
        name: ObjectName,
        /// Whether a missing table is no error.
        if_exists: bool,
        /// What changes.
        action: Box<AlterAction>,
    },
    /// `COPY t FROM 'file'`.
    CopyFrom {
        /// The table to append to.
        table: ObjectName,
        /// The columns that are filled; empty means all, in the table's order.
        columns: Vec<Ident>,
        /// As written; where it may point to is decided by the engine.
        path: String,
        /// How the file is read.
        options: CopyOptions,
    },
    /// `COPY t TO 'file'` or `COPY (query) TO 'file'`.
    CopyTo {
        /// The rows to write.
        source: CopySource,
        /// As written; where it may point to is decided by the engine.
        path: String,
        /// How the file is written.
        options: CopyOptions,
    },
    /// `CALL procedure(…)`.
    Call {
        /// Parts of the name, in lower case unless they were quoted: `["system", "flush"]`.
        procedure: Vec<String>,
        /// In the order they were written.
        arguments: Vec<CallArgument>,
    },
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `ROLLBACK TO [SAVEPOINT] name`.
    RollbackTo(String),
    /// `RELEASE [SAVEPOINT] name`.
    ReleaseSavepoint(String),
    /// `SET name = value`; which names exist is decided by the session.
    Set {
        /// In lower case, parts joined by dots; `SET TIME ZONE` is `timezone`.
        name: String,
        /// The value's text without quotes; a list is joined by `, `.
        value: String,
    },
    /// `RESET name`, `SET name TO DEFAULT`.
    Reset {
        /// As in `Set`, or `all`.
        name: String,
    },
    /// Users and tenants.
    Admin(AdminStatement),
}

/// A change of rows that are there. The target is a plain table, possibly with an alias, and no clause
/// is set that nothing here executes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `DELETE FROM t [AS a] [USING …] [WHERE …]`.
    Delete(Box<Delete>),
    /// `UPDATE t [AS a] SET … [FROM …] [WHERE …]`.
    Update(Box<Update>),
    /// `MERGE INTO t [AS a] USING … ON … WHEN …`; each INSERT has one row of values.
    Merge(Box<Merge>),
}

/// What `ALTER TABLE` does. Paths name a column, or a field of one by way of the columns above it.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `ADD [COLUMN]`.
    AddColumn {
        /// Whether it is no error when it is there.
        if_not_exists: bool,
        /// The column, and the fields below it, that the new field is part of; empty for a column.
        parents: Vec<Ident>,
        /// Name, type, NOT NULL and DEFAULT.
        column: ColumnDef,
    },
    /// `DROP [COLUMN]`.
    DropColumn {
        /// Whether it is no error when it is not there.
        if_exists: bool,
        /// The column.
        path: Vec<Ident>,
    },
    /// `RENAME [COLUMN] … TO …`.
    RenameColumn {
        /// The column.
        path: Vec<Ident>,
        /// Its new name.
        to: Ident,
    },
    /// `RENAME TO …`.
    RenameTable {
        /// Its new name, in the same schema.
        to: Ident,
    },
    /// `ALTER [COLUMN] … [SET DATA] TYPE …`.
    SetType {
        /// The column.
        path: Vec<Ident>,
        /// Its new type.
        data_type: DataType,
    },
    /// `ALTER [COLUMN] … SET | DROP NOT NULL`.
    SetNullable {
        /// The column.
        path: Vec<Ident>,
        /// Whether values may be missing.
        nullable: bool,
    },
    /// `ALTER [COLUMN] … SET DEFAULT … | DROP DEFAULT`.
    SetDefault {
        /// The column.
        path: Vec<Ident>,
        /// A constant.
        value: Option<Expr>,
    },
    /// `SET SORTED BY (…)`, `RESET SORTED BY`.
    SetSortedBy {
        /// Empty for no order.
        sorted_by: Vec<SortBy>,
    },
}

/// How a query is written.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryForm {
    /// SQL, planned by DataFusion as it is.
    Sql(Box<DfStatement>),
    /// Planned by [`super::super::substrait`].
    Plan(Box<SubstraitPlan>),
}

/// `CREATE TABLE name (columns) [clauses] [AS query]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table, possibly with schema and tenant.
    pub name: ObjectName,
    /// Whether an existing table is no error.
    pub if_not_exists: bool,
    /// Whether an existing table is replaced.
    pub or_replace: bool,
    /// The columns; empty only with a query. Of the column options only `NOT NULL`, `NULL`,
    /// `DEFAULT` and `COMMENT` are left; a column's `PRIMARY KEY` is in `primary_key`.
    pub columns: Vec<ColumnDef>,
    /// Columns of the primary key, wherever it was written; empty means none.
    pub primary_key: Vec<Ident>,
    /// `PARTITIONED BY`, in order.
    pub partitioned_by: Vec<PartitionTransform>,
    /// `SORTED BY`, in order.
    pub sorted_by: Vec<SortBy>,
    /// `WITH (…)`: keys in lower case, each once. A bare word is a single-quoted string.
    pub options: Vec<(String, Value)>,
    /// `AS query`.
    pub query: Option<Box<Query>>,
}

/// How a column's values are turned into a partition value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionTransform {
    /// The value itself.
    Identity {
        /// The column.
        column: Ident,
    },
    /// The year of a date or timestamp.
    Year {
        /// The column.
        column: Ident,
    },
    /// The month of a date or timestamp.
    Month {
        /// The column.
        column: Ident,
    },
    /// The day of a date or timestamp.
    Day {
        /// The column.
        column: Ident,
    },
    /// The hour of a timestamp.
    Hour {
        /// The column.
        column: Ident,
    },
    /// One of a fixed number of hash buckets.
    Bucket {
        /// How many; at least 1.
        buckets: u32,
        /// The column.
        column: Ident,
    },
}

impl PartitionTransform {
    /// The column the transform reads.
    pub fn column(&self) -> &Ident {
        match self {
            Self::Identity { column }
            | Self::Year { column }
            | Self::Month { column }
            | Self::Day { column }
            | Self::Hour { column }
            | Self::Bucket { column, .. } => column,
        }
    }
}

/// One key of a sort order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortBy {
    /// The column.
    pub column: Ident,
    /// Whether large values come first.
    pub descending: bool,
    /// Where NULLs go. Unsaid, they count as larger than everything, as in PostgreSQL.
    pub nulls_first: bool,
}

/// What `COPY … TO` writes.
#[derive(Debug, Clone, PartialEq)]
pub enum CopySource {
    /// All rows of a table.
    Table {
        /// The table.
        name: ObjectName,
        /// The columns to write; empty means all.
        columns: Vec<Ident>,
    },
    /// The result of a query without side effects.
    Query(Box<Query>),
}

/// A file format of `COPY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, or with another delimiter.
    Csv,
    /// One JSON object a line.
    Json,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// Options of `COPY`; what was not written is `None` and takes the format's default. An option that
/// the format does not have is refused by the parser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// As written, or from the file's extension.
    pub format: CopyFormat,
    /// CSV: whether the first line holds the column names.
    pub header: Option<bool>,
    /// CSV: the byte between values.
    pub delimiter: Option<u8>,
    /// CSV: the byte around values.
    pub quote: Option<u8>,
    /// CSV: the byte before a quote inside a value.
    pub escape: Option<u8>,
    /// CSV: the text that stands for NULL.
    pub null: Option<String>,
    /// Name of a codec, in lower case; which ones exist is decided by the format's writer.
    pub compression: Option<String>,
}

impl CopyOptions {
    /// The defaults of a format.
    pub(crate) fn new(format: CopyFormat) -> Self {
        Self {
            format,
            header: None,
            delimiter: None,
            quote: None,
            escape: None,
            null: None,
            compression: None,
        }
    }
}

/// One argument of `CALL`.
#[derive(Debug, Clone, PartialEq)]
pub struct CallArgument {
    /// Of `name => value`, in lower case unless it was quoted.
    pub name: Option<String>,
    /// An expression without columns: constants, parameters, functions of them.
    pub value: Expr,
}

/// Statements about users and tenants. Names are in lower case unless they were quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminStatement {
    /// `CREATE TENANT`.
    CreateTenant {
        /// The tenant.
        name: String,
        /// Whether an existing tenant is no error.
        if_not_exists: bool,
    },
    /// `DROP TENANT`.
    DropTenant {
        /// The tenant.
        name: String,
        /// Whether a missing tenant is no error.
        if_exists: bool,
    },
    /// `CREATE USER`.
    CreateUser {
        /// The user.
        name: String,
        /// `IN TENANT`; none means the session's tenant.
        tenant: Option<String>,
        /// Never empty.
        password: Password,
        /// Whether an existing user is no error.
        if_not_exists: bool,
    },
    /// `ALTER USER … PASSWORD`.
    AlterUser {
        /// The user.
        name: String,
        /// `IN TENANT`; none means the session's tenant.
        tenant: Option<String>,
        /// Never empty.
        password: Password,
    },
    /// `DROP USER`.
    DropUser {
        /// The user.
        name: String,
        /// `IN TENANT`; none means the session's tenant.
        tenant: Option<String>,
        /// Whether a missing user is no error.
        if_exists: bool,
    },
}

/// A password from a statement. It cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The password itself, for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}
