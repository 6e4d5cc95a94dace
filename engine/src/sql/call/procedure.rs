//! What can be called, and with which arguments.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Value};

use crate::error::{EngineError, Result};
use crate::sql::names::parsed_name;
use crate::sql::parser::CallArgument;

/// A procedure with its arguments.
#[derive(Debug, Clone)]
pub(super) enum Procedure {
    Flush,
    /// Of one table, or of all.
    Compact(Option<ObjectName>),
    /// Whether compaction in the background rests.
    SetPaused(bool),
    ExpireSnapshots {
        older_than: Option<Expr>,
        keep: Option<u64>,
    },
    CleanUpFiles {
        older_than: Option<Expr>,
    },
    NameSnapshot {
        name: String,
        version: Option<Expr>,
    },
    ForgetSnapshotName {
        name: String,
    },
    RollbackTo {
        table: ObjectName,
        version: Expr,
    },
    Undrop {
        table: ObjectName,
        name: Option<String>,
    },
}

impl Procedure {
    pub(super) fn of(procedure: &[String], arguments: &[CallArgument]) -> Result<Self> {
        let full_name = procedure.join(".");
        let name = full_name.strip_prefix("system.").unwrap_or(&full_name);
        let usage = match name {
            "flush" => "()",
            "compact" => "('table'), ('schema.table') or () for all",
            "pause_compaction" | "resume_compaction" => "()",
            "expire_snapshots" => {
                "(older_than => INTERVAL '7 days', keep => 10), with either or both"
            }
            "cleanup_files" => "() or (older_than => INTERVAL '1 hour')",
            "name_snapshot" => "('name') or ('name', snapshot_id)",
            "forget_snapshot_name" => "('name')",
            "rollback_to" => "('table', snapshot_id), or with the name of a snapshot, or a time",
            "undrop" => "('table') or ('table', 'new_name')",
            _ => {
                let what = format!("procedure {full_name}");
                return Err(EngineError::NotFound { what });
            }
        };
        let mut arguments = Arguments {
            name,
            usage,
            left: arguments.to_vec(),
        };
        let procedure = match name {
            "flush" => Self::Flush,
            "compact" => Self::Compact(arguments.table("table")?),
            "pause_compaction" => Self::SetPaused(true),
            "resume_compaction" => Self::SetPaused(false),
            "expire_snapshots" => {
                let (older_than, keep) = (arguments.take("older_than"), arguments.count("keep")?);
                if older_than.is_none() && keep.is_none() {
                    return Err(arguments.refused());
                }
                Self::ExpireSnapshots { older_than, keep }
            }
            "cleanup_files" => Self::CleanUpFiles {
                older_than: arguments.take("older_than"),
            },
            "name_snapshot" => Self::NameSnapshot {
                name: arguments.name("name")?,
                version: arguments.take("version"),
            },
            "rollback_to" => {
                let (table, version) = (arguments.table("table")?, arguments.take("version"));
                let (Some(table), Some(version)) = (table, version) else {
                    return Err(arguments.refused());
                };
                Self::RollbackTo { table, version }
            }
            "undrop" => {
                let table = arguments.table("table")?;
                let Some(table) = table else {
                    return Err(arguments.refused());
                };
                Self::Undrop {
                    table,
                    name: match arguments.left.is_empty() {
                        true => None,
                        false => Some(arguments.name("name")?),
                    },
                }
            }
            _ => Self::ForgetSnapshotName {
                name: arguments.name("name")?,
            },
        };
        match arguments.left.is_empty() {
            true => Ok(procedure),
            false => Err(arguments.refused()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Compact(_) => "compact",
            Self::SetPaused(true) => "pause_compaction",
            Self::SetPaused(false) => "resume_compaction",
            Self::ExpireSnapshots { .. } => "expire_snapshots",
            Self::CleanUpFiles { .. } => "cleanup_files",
            Self::NameSnapshot { .. } => "name_snapshot",
            Self::ForgetSnapshotName { .. } => "forget_snapshot_name",
            Self::RollbackTo { .. } => "rollback_to",
            Self::Undrop { .. } => "undrop",
        }
    }

    /// Schema of what it returns.
    pub(super) fn schema(&self) -> SchemaRef {
        use DataType::{Boolean, Int64, UInt64, Utf8};
        let fields: &[(&str, DataType)] = match self {
            Self::Flush => &[
                ("snapshot_id", Int64),
                ("segment_count", UInt64),
                ("record_count", UInt64),
            ],
            Self::Compact(_) => &[
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("segments_before", UInt64),
                ("segments_after", UInt64),
                ("record_count", UInt64),
                ("bytes_before", UInt64),
                ("bytes_after", UInt64),
                ("snapshot_id", Int64),
            ],
            Self::SetPaused(_) => &[("paused", Boolean)],
            Self::ExpireSnapshots { .. } => &[("snapshot_id", Int64)],
            Self::CleanUpFiles { .. } => &[
                ("deleted_count", UInt64),
                ("waiting_count", UInt64),
                ("orphan_count", UInt64),
            ],
            Self::NameSnapshot { .. } => &[("name", Utf8), ("snapshot_id", Int64)],
            Self::ForgetSnapshotName { .. } => &[("name", Utf8)],
            Self::RollbackTo { .. } | Self::Undrop { .. } => &[
                ("schema_name", Utf8),
                ("table_name", Utf8),
                ("record_count", UInt64),
                ("snapshot_id", Int64),
            ],
        };
        let fields = fields.iter();
        let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Arguments that nobody has taken yet: named ones in any order, the others in theirs.
struct Arguments<'a> {
    name: &'a str,
    usage: &'static str,
    left: Vec<CallArgument>,
}

impl Arguments<'_> {
    fn refused(&self) -> EngineError {
        let (name, usage) = (self.name, self.usage);
        EngineError::invalid(format!("write CALL system.{name}{usage}"))
    }

    fn take(&mut self, name: &str) -> Option<Expr> {
        let is_named = |argument: &CallArgument| argument.name.as_deref() == Some(name);
        let at = self.left.iter().position(is_named);
        let at = at.or_else(|| self.left.iter().position(|left| left.name.is_none()))?;
        Some(self.left.remove(at).value)
    }

    /// A text, if it is there.
    fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Expr::Value(value)) => match value.value {
                Value::SingleQuotedString(text) => Ok(Some(text)),
                _ => Err(self.refused()),
            },
            Some(_) => Err(self.refused()),
        }
    }

    fn name(&mut self, name: &str) -> Result<String> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| self.refused())?;
        if text.len() > 255 || text.chars().any(char::is_control) {
            return Err(EngineError::invalid(
                "a name has at most 255 bytes and no control characters",
            ));
        }
        Ok(text)
    }

    /// The name of a table, if one is there.
    fn table(&mut self, name: &str) -> Result<Option<ObjectName>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        parsed_name(&text).map(Some)
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => {
                let count = value.to_string().parse().ok().filter(|count| *count > 0);
                count.map(Some).ok_or_else(|| self.refused())
            }
        }
    }
}
