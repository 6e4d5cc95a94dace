//! What an engine can be told: plain data, validated once by whoever reads it from a file.

use std::path::PathBuf;

/// Settings of an [`crate::Engine`]. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Holds `wal/`, `control.sqlite` and `tenants/`.
    pub data_dir: PathBuf,
    /// Size of one WAL file.
    pub wal_file_bytes: u64,
    /// Appends wait, then fail, while the log holds more than this.
    pub wal_bytes_max: u64,
    /// Bytes that may queue before the log's writer.
    pub wal_queue_bytes_max: usize,
    /// Cuts a log that was found corrupt instead of refusing to start.
    pub wal_repair: bool,
    /// Rows not yet in segments, committed or not, over all tenants.
    pub buffer_bytes_max: u64,
    /// The same, for one tenant.
    pub buffer_tenant_bytes_max: u64,
    /// A tenant with more committed bytes than this is flushed at once.
    pub flush_bytes: u64,
    /// A tenant whose oldest row is older than this is flushed.
    pub flush_interval_ms: u64,
    /// How long an append waits for memory before it is refused.
    pub append_wait_ms: u64,
    /// Memory of all queries together.
    pub query_memory_bytes_max: usize,
    /// The same, for one tenant.
    pub query_tenant_memory_bytes_max: usize,
    /// Partitions of a query plan; 0 means one per core.
    pub query_partitions: usize,
    /// Rows of a batch inside a query.
    pub query_batch_rows: usize,
    /// Longest idle time of a transaction that wrote something.
    pub transaction_timeout_ms: u64,
    /// The same for a transaction that wrote nothing, which a client may hold for as long as it is
    /// logged in.
    pub reading_transaction_timeout_ms: u64,
    /// Open transactions of one tenant; further ones are refused.
    pub tenant_transactions_max: usize,
    /// How long an idempotency key is kept: a repetition within this time is recognised, unless
    /// the tenant has used more than `idempotency_keys_max` keys since.
    pub idempotency_ttl_ms: u64,
    /// How many idempotency keys a tenant keeps; beyond it the oldest are forgotten.
    pub idempotency_keys_max: u64,
    /// Whether segments are compacted without anybody asking for it.
    pub compaction: bool,
    /// How often tables are looked at for that.
    pub compaction_interval_ms: u64,
    /// Compactions of different tenants at the same time.
    pub compactions_max: usize,
    /// Bytes that a compaction reads in a second at most; 0 for as many as it can.
    pub compaction_bytes_per_second_max: u64,
    /// Snapshots that are older are forgotten; 0 for never. Those with names stay.
    pub snapshot_max_age_ms: u64,
    /// This many of the newest snapshots stay, however old they are.
    pub snapshots_min: u64,
    /// How long files stay that no snapshot needs any more.
    pub cleanup_grace_ms: u64,
    /// Connections to the tenants' catalog files that may be open at a time, over all tenants. Each
    /// costs a thread and three file descriptors; those used longest ago are closed first.
    pub catalogs_open_max: usize,
}

impl EngineSettings {
    /// Defaults for a node with its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            wal_file_bytes: 128 << 20,
            wal_bytes_max: 8 << 30,
            wal_queue_bytes_max: 64 << 20,
            wal_repair: false,
            buffer_bytes_max: 4 << 30,
            buffer_tenant_bytes_max: 4 << 30,
            flush_bytes: 1 << 30,
            flush_interval_ms: 30_000,
            append_wait_ms: 20_000,
            query_memory_bytes_max: 4 << 30,
            query_tenant_memory_bytes_max: 4 << 30,
            query_partitions: 0,
            query_batch_rows: 8192,
            transaction_timeout_ms: 600_000,
            reading_transaction_timeout_ms: 3_600_000,
            tenant_transactions_max: 1_000,
            idempotency_ttl_ms: 7 * 24 * 3_600_000,
            idempotency_keys_max: 100_000,
            compaction: true,
            compaction_interval_ms: 10_000,
            compactions_max: 1,
            compaction_bytes_per_second_max: 0,
            snapshot_max_age_ms: 7 * 24 * 3_600_000,
            snapshots_min: 10,
            cleanup_grace_ms: 3_600_000,
            catalogs_open_max: 128,
        }
    }
}
