//! How rows become durable and are read back.

mod sql;
mod storage_fs;
mod wal;
