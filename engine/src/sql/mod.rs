//! SQL of one tenant: parsing, planning, execution.
//!
//! A statement is parsed once ([`parse`]), and then either planned and streamed
//! ([`StatementContext::plan`], [`StatementContext::rows`]) or executed for its effect
//! ([`StatementContext::update`], [`StatementContext::call`]). Planning happens in a session that
//! holds one read view of one tenant and nothing else.

mod call;
mod context;
mod copy_statement;
mod ddl;
mod insert;
mod names;
pub(crate) mod parser;
mod provider;
mod query;
mod session;
mod system_tables;

pub use context::StatementContext;
pub use parser::{AdminStatement, ParseError, ParsedStatement, Statement, parse};
pub use query::{QueryPlan, QueryRows};
pub(crate) use session::QueryTemplate;
pub use system_tables::{SystemTable, SystemTables};
