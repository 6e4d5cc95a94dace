//! SQL of one tenant: parsing, planning, execution.
//!
//! A statement is parsed once ([`parse`]), and then either planned and streamed
//! ([`StatementContext::plan`], [`StatementContext::rows`]) or executed for its effect
//! ([`StatementContext::update`], [`StatementContext::call`]). Planning happens in a session that
//! holds one read view of one tenant and nothing else.

mod alter;
mod call;
mod change;
mod cheap_first;
mod constant_rows;
mod context;
mod cooperative_joins;
mod copy_statement;
mod ddl;
mod exists_values;
mod filters_by_name;
mod functions;
mod information_schema;
mod insert;
mod interval_order;
mod join_filters;
mod known_query;
mod lease;
mod like_escape;
mod mixed_numbers;
mod names;
pub(crate) mod parser;
mod planning;
mod progress;
mod provider;
mod query;
mod repeated_names;
mod rewrite;
mod session;
mod show;
mod statement_cache;
mod statement_time;
mod substrait;
mod system_tables;
mod table_changes;
mod table_versions;
mod time_patterns;
mod types;

pub use call::procedure_schema;
pub use context::StatementContext;
pub use lease::QueryLease;
pub use parser::{
    AdminStatement, ParseError, ParsedStatement, SqlText, Statement, StatementText, parse, redact,
};
pub use progress::Progress;
pub use query::{QueryPlan, QueryRows};
pub(crate) use session::QueryTemplate;
pub(crate) use statement_cache::StatementCache;
pub use substrait::parse_plan;
pub use system_tables::{SystemTable, SystemTables};
