//! The leaf columns of a table by id: tables may have thousands, segments likewise.

use std::collections::HashMap;

use crate::column::Column;
use crate::ids::ColumnId;

/// A column that holds values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) column: &'a Column,
    /// Whether each row has exactly one value or null of it.
    pub(crate) is_top_level: bool,
}

/// Built once per table, then asked for every segment.
#[derive(Debug)]
pub(crate) struct LeafIndex<'a>(HashMap<ColumnId, Leaf<'a>>);

impl<'a> LeafIndex<'a> {
    pub(crate) fn new(columns: &'a [Column]) -> Self {
        let leaves = columns.iter().flat_map(|top| {
            let is_top_level = top.is_leaf();
            top.leaves().into_iter().map(move |column| {
                (
                    column.id,
                    Leaf {
                        column,
                        is_top_level,
                    },
                )
            })
        });
        Self(leaves.collect())
    }

    pub(crate) fn get(&self, id: ColumnId) -> Option<Leaf<'a>> {
        self.0.get(&id).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.0.keys().copied()
    }
}
