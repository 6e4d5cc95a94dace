//! How rows become durable and are read back.
//!
//! The engine takes a tenant and gives streams. It knows the write-ahead log, memtables, segments,
//! transactions and SQL over one tenant; it knows nothing of Flight, HTTP, users' passwords or
//! rights.

mod batch_bytes;
mod canonical;
mod commit;
mod compaction;
mod copy;
mod engine;
mod error;
mod flush;
mod idempotency;
mod ids;
mod ingest;
mod inlined;
mod log_pins;
#[cfg(feature = "micro")]
#[doc(hidden)]
pub mod micro;
mod node;
mod producers;
mod query_memory;
mod query_runtime;
mod read_view;
mod record;
mod recovery;
mod reservations;
mod restore;
mod retention;
mod row_changes;
mod scan;
mod segment;
mod settings;
#[cfg(test)]
mod simulation;
mod sql;
mod storage_fs;
pub mod task;
mod tenant;
mod tenants;
mod transaction;
mod wal;
mod write_buffer;

pub use batch_bytes::slice_bytes;
pub use engine::Engine;
pub use error::{EngineError, Result};
pub use flush::FlushOutcome;
pub use ingest::{Ingest, IngestMode, IngestOutcome, IngestRequest, TableExists, TableMissing};
pub use producers::ProducerStep;
pub use record::IpcBatch;
pub use settings::EngineSettings;
pub use sql::{
    AdminStatement, ParseError, ParsedStatement, Progress, QueryLease, QueryPlan, QueryRows,
    SqlText, Statement, StatementContext, StatementText, SystemTable, SystemTables, parse,
    parse_plan, procedure_schema, redact,
};
pub use tenant::Tenant;
pub use tenants::TenantPlace;
pub use transaction::{Savepoint, Transaction};
pub use wal::WalError;
