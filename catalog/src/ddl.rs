//! The tables of a catalog database.
//!
//! The `ducklake_*` tables are those of DuckLake 1.0 in the types that DuckDB itself uses in
//! `SQLite`. Their columns are fixed: DuckDB inserts by position, so one column more would break
//! it. What is ours alone stands in `quiver_*` tables of the same database, so one transaction
//! covers both.

/// The catalog format that is written and read.
pub(crate) const DUCKLAKE_VERSION: &str = "1.0";
/// The format of the `quiver_*` tables.
pub(crate) const QUIVER_FORMAT: &str = "1";

/// Creates what DuckLake 1.0 prescribes.
pub(crate) const DUCKLAKE_TABLES: &str = "
CREATE TABLE ducklake_column (column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT,
  table_id BIGINT, column_order BIGINT, column_name VARCHAR, column_type VARCHAR,
  initial_default VARCHAR, default_value VARCHAR, nulls_allowed BIGINT, parent_column BIGINT,
  default_value_type VARCHAR, default_value_dialect VARCHAR);
CREATE TABLE ducklake_column_mapping (mapping_id BIGINT, table_id BIGINT, \"type\" VARCHAR);
CREATE TABLE ducklake_column_tag (table_id BIGINT, column_id BIGINT, begin_snapshot BIGINT,
  end_snapshot BIGINT, \"key\" VARCHAR, \"value\" VARCHAR);
CREATE TABLE ducklake_data_file (data_file_id BIGINT PRIMARY KEY, table_id BIGINT,
  begin_snapshot BIGINT, end_snapshot BIGINT, file_order BIGINT, path VARCHAR,
  path_is_relative BIGINT, file_format VARCHAR, record_count BIGINT, file_size_bytes BIGINT,
  footer_size BIGINT, row_id_start BIGINT, partition_id BIGINT, encryption_key VARCHAR,
  mapping_id BIGINT, partial_max BIGINT);
CREATE TABLE ducklake_delete_file (delete_file_id BIGINT PRIMARY KEY, table_id BIGINT,
  begin_snapshot BIGINT, end_snapshot BIGINT, data_file_id BIGINT, path VARCHAR,
  path_is_relative BIGINT, format VARCHAR, delete_count BIGINT, file_size_bytes BIGINT,
  footer_size BIGINT, encryption_key VARCHAR, partial_max BIGINT);
CREATE TABLE ducklake_file_column_stats (data_file_id BIGINT, table_id BIGINT, column_id BIGINT,
  column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR,
  max_value VARCHAR, contains_nan BIGINT, extra_stats VARCHAR);
CREATE TABLE ducklake_file_partition_value (data_file_id BIGINT, table_id BIGINT,
  partition_key_index BIGINT, partition_value VARCHAR);
CREATE TABLE ducklake_file_variant_stats (data_file_id BIGINT, table_id BIGINT, column_id BIGINT,
  variant_path VARCHAR, shredded_type VARCHAR, column_size_bytes BIGINT, value_count BIGINT,
  null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BIGINT,
  extra_stats VARCHAR);
CREATE TABLE ducklake_files_scheduled_for_deletion (data_file_id BIGINT, path VARCHAR,
  path_is_relative BIGINT, schedule_start VARCHAR);
CREATE TABLE ducklake_inlined_data_tables (table_id BIGINT, table_name VARCHAR,
  schema_version BIGINT);
CREATE TABLE ducklake_macro (schema_id BIGINT, macro_id BIGINT, macro_name VARCHAR,
  begin_snapshot BIGINT, end_snapshot BIGINT);
CREATE TABLE ducklake_macro_impl (macro_id BIGINT, impl_id BIGINT, dialect VARCHAR, \"sql\" VARCHAR,
  \"type\" VARCHAR);
CREATE TABLE ducklake_macro_parameters (macro_id BIGINT, impl_id BIGINT, column_id BIGINT,
  parameter_name VARCHAR, parameter_type VARCHAR, default_value VARCHAR,
  default_value_type VARCHAR);
CREATE TABLE ducklake_metadata (\"key\" VARCHAR NOT NULL, \"value\" VARCHAR NOT NULL,
  \"scope\" VARCHAR, scope_id BIGINT);
CREATE TABLE ducklake_name_mapping (mapping_id BIGINT, column_id BIGINT, source_name VARCHAR,
  target_field_id BIGINT, parent_column BIGINT, is_partition BIGINT);
CREATE TABLE ducklake_partition_column (partition_id BIGINT, table_id BIGINT,
  partition_key_index BIGINT, column_id BIGINT, \"transform\" VARCHAR);
CREATE TABLE ducklake_partition_info (partition_id BIGINT, table_id BIGINT, begin_snapshot BIGINT,
  end_snapshot BIGINT);
CREATE TABLE ducklake_schema (schema_id BIGINT PRIMARY KEY, schema_uuid VARCHAR,
  begin_snapshot BIGINT, end_snapshot BIGINT, schema_name VARCHAR, path VARCHAR,
  path_is_relative BIGINT);
CREATE TABLE ducklake_schema_versions (begin_snapshot BIGINT, schema_version BIGINT,
  table_id BIGINT);
CREATE TABLE ducklake_snapshot (snapshot_id BIGINT PRIMARY KEY, snapshot_time VARCHAR,
  schema_version BIGINT, next_catalog_id BIGINT, next_file_id BIGINT);
CREATE TABLE ducklake_snapshot_changes (snapshot_id BIGINT PRIMARY KEY, changes_made VARCHAR,
  author VARCHAR, commit_message VARCHAR, commit_extra_info VARCHAR);
CREATE TABLE ducklake_sort_expression (sort_id BIGINT, table_id BIGINT, sort_key_index BIGINT,
  expression VARCHAR, dialect VARCHAR, sort_direction VARCHAR, null_order VARCHAR);
CREATE TABLE ducklake_sort_info (sort_id BIGINT, table_id BIGINT, begin_snapshot BIGINT,
  end_snapshot BIGINT);
CREATE TABLE ducklake_table (table_id BIGINT, table_uuid VARCHAR, begin_snapshot BIGINT,
  end_snapshot BIGINT, schema_id BIGINT, table_name VARCHAR, path VARCHAR,
  path_is_relative BIGINT);
CREATE TABLE ducklake_table_column_stats (table_id BIGINT, column_id BIGINT, contains_null BIGINT,
  contains_nan BIGINT, min_value VARCHAR, max_value VARCHAR, extra_stats VARCHAR);
CREATE TABLE ducklake_table_stats (table_id BIGINT, record_count BIGINT, next_row_id BIGINT,
  file_size_bytes BIGINT);
CREATE TABLE ducklake_tag (object_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT,
  \"key\" VARCHAR, \"value\" VARCHAR);
CREATE TABLE ducklake_view (view_id BIGINT, view_uuid VARCHAR, begin_snapshot BIGINT,
  end_snapshot BIGINT, schema_id BIGINT, view_name VARCHAR, dialect VARCHAR, \"sql\" VARCHAR,
  column_aliases VARCHAR);
";

/// Creates what is ours, where it is missing. Without the indexes a look-up reads whole tables.
pub(crate) const QUIVER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS quiver_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quiver_table (table_id INTEGER PRIMARY KEY,
  flushed_sequence INTEGER NOT NULL DEFAULT 0, dropped_sequence INTEGER);
CREATE TABLE IF NOT EXISTS quiver_column (table_id INTEGER NOT NULL, column_id INTEGER NOT NULL,
  arrow_type TEXT NOT NULL, PRIMARY KEY (table_id, column_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quiver_commit (commit_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL,
  snapshot_id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quiver_idempotency (user_id INTEGER NOT NULL, table_id INTEGER NOT NULL,
  key TEXT NOT NULL, mode TEXT NOT NULL, record_count INTEGER NOT NULL, digest BLOB NOT NULL,
  sequence INTEGER NOT NULL, created_micros INTEGER NOT NULL,
  PRIMARY KEY (user_id, table_id, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quiver_idempotency_age
  ON quiver_idempotency (created_micros, sequence);
CREATE TABLE IF NOT EXISTS quiver_producer (table_id INTEGER NOT NULL, producer TEXT NOT NULL,
  epoch INTEGER NOT NULL, producer_sequence INTEGER NOT NULL, sequence INTEGER NOT NULL,
  updated_micros INTEGER NOT NULL, PRIMARY KEY (table_id, producer)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quiver_snapshot_name (name TEXT PRIMARY KEY,
  snapshot_id INTEGER NOT NULL, created_micros INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quiver_data_file_table
  ON ducklake_data_file (table_id, begin_snapshot, end_snapshot);
CREATE INDEX IF NOT EXISTS quiver_file_column_stats_column
  ON ducklake_file_column_stats (table_id, column_id, data_file_id);
CREATE INDEX IF NOT EXISTS quiver_file_column_stats_file
  ON ducklake_file_column_stats (data_file_id);
CREATE INDEX IF NOT EXISTS quiver_delete_file_segment
  ON ducklake_delete_file (data_file_id);
CREATE INDEX IF NOT EXISTS quiver_scheduled_file
  ON ducklake_files_scheduled_for_deletion (data_file_id);
CREATE INDEX IF NOT EXISTS quiver_delete_file_table
  ON ducklake_delete_file (table_id, begin_snapshot, end_snapshot);
CREATE INDEX IF NOT EXISTS quiver_file_partition_value_table
  ON ducklake_file_partition_value (table_id, partition_key_index, data_file_id);
CREATE INDEX IF NOT EXISTS quiver_column_table
  ON ducklake_column (table_id, begin_snapshot, end_snapshot);
CREATE INDEX IF NOT EXISTS quiver_table_id ON ducklake_table (table_id);
CREATE INDEX IF NOT EXISTS quiver_table_stats_table ON ducklake_table_stats (table_id);
CREATE INDEX IF NOT EXISTS quiver_table_column_stats_table
  ON ducklake_table_column_stats (table_id, column_id);
CREATE INDEX IF NOT EXISTS quiver_sort_info_table ON ducklake_sort_info (table_id);
";
