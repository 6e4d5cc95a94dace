//! The columns of the tables that the engine keeps.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::SystemTable;

/// All of them.
pub(super) fn own_tables() -> Vec<SystemTable> {
    let mut tables = of_data();
    tables.extend(of_work());
    tables
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// What is there.
fn of_data() -> Vec<SystemTable> {
    use DataType::{Int64, UInt64, Utf8};
    vec![
        table(
            "files_scheduled_for_deletion",
            vec![
                ("data_file_id", Int64),
                ("path", Utf8),
                ("schedule_start", time()),
            ],
        ),
        table(
            "dropped_tables",
            vec![
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("dropped_at", time()),
                ("last_snapshot_id", Int64),
            ],
        ),
        table(
            "snapshot_names",
            vec![
                ("name", Utf8),
                ("snapshot_id", Int64),
                ("created_at", time()),
            ],
        ),
        table(
            "snapshots",
            vec![
                ("snapshot_id", Int64),
                ("snapshot_time", time()),
                ("schema_version", Int64),
                ("changes_made", Utf8),
            ],
        ),
        table(
            "segments",
            vec![
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("data_file_id", Int64),
                ("path", Utf8),
                ("record_count", UInt64),
                ("file_size_bytes", UInt64),
                ("begin_snapshot", Int64),
                ("delete_count", UInt64),
            ],
        ),
        table(
            "tables",
            vec![
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("table_id", Int64),
                ("record_count", UInt64),
                ("buffered_record_count", UInt64),
                ("segment_count", UInt64),
                ("file_size_bytes", UInt64),
            ],
        ),
    ]
}

/// What is done with it, and with what.
fn of_work() -> Vec<SystemTable> {
    use DataType::{Boolean, UInt64, Utf8};
    vec![
        table(
            "compactions",
            vec![
                ("compaction_id", UInt64),
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("form", Utf8),
                ("state", Utf8),
                ("record_count", UInt64),
                ("records_done", UInt64),
                ("segments_before", UInt64),
                ("segments_after", UInt64),
                ("bytes_before", UInt64),
                ("bytes_after", UInt64),
                ("started_at", time()),
                ("ended_at", time()),
                ("error", Utf8),
            ],
        ),
        table(
            "functions",
            vec![
                ("function_name", Utf8),
                ("function_type", Utf8),
                ("syntax", Utf8),
                ("description", Utf8),
            ],
        ),
        table(
            "producers",
            vec![
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("producer", Utf8),
                ("epoch", UInt64),
                ("last_sequence", UInt64),
                ("updated_at", time()),
            ],
        ),
        table(
            "wal",
            vec![
                ("table_name", Utf8),
                ("frozen", Boolean),
                ("record_count", UInt64),
                ("memory_bytes", UInt64),
                ("first_lsn", UInt64),
                ("first_time", time()),
            ],
        ),
    ]
}

fn table(name: &'static str, columns: Vec<(&str, DataType)>) -> SystemTable {
    let fields = columns
        .into_iter()
        .map(|(name, kind)| Field::new(name, kind, true));
    SystemTable {
        name,
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
    }
}
