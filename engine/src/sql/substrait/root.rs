//! The root of a plan, which names its columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ExprSchema;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use quiver_proto::substrait::RelRoot;

use super::super::repeated_names::marked_name;
use super::relations::Consumer;
use super::{invalid, need, unsupported};
use crate::error::Result;

impl Consumer<'_> {
    /// The plan, its columns named as the root says.
    pub(super) fn root(mut self, root: &RelRoot) -> Result<LogicalPlan> {
        let input = need(root.input.as_ref(), "the input of the root")?;
        let relation = self.rel(input, None)?;
        let schema = Arc::clone(relation.plan.schema());
        let mut names = RootNames::new(&root.names);
        let mut seen = HashSet::new();
        let mut output = Vec::with_capacity(relation.columns.len());
        for (position, column) in relation.columns.into_iter().enumerate() {
            let name = names.next()?;
            let nested = schema.field_from_column(&column)?.data_type().clone();
            names.pass_nested(&nested)?;
            let name = match seen.insert(name) {
                true => name.to_owned(),
                false => marked_name(name, position),
            };
            output.push(Expr::Column(column).alias(name));
        }
        names.finish(output.len())?;
        Ok(LogicalPlanBuilder::from(relation.plan)
            .project(output)?
            .build()?)
    }
}

/// The names of the root, depth first.
struct RootNames<'a> {
    names: std::slice::Iter<'a, String>,
    count: usize,
}

impl<'a> RootNames<'a> {
    fn new(names: &'a [String]) -> Self {
        Self {
            names: names.iter(),
            count: names.len(),
        }
    }

    fn next(&mut self) -> Result<&'a str> {
        let name = self.names.next().map(String::as_str);
        name.ok_or_else(|| {
            invalid(format_args!(
                "the root has {} names, and its input has more columns",
                self.count
            ))
        })
    }

    /// Fields of a struct keep their names.
    fn pass_nested(&mut self, data_type: &DataType) -> Result<()> {
        match data_type {
            DataType::Struct(fields) => {
                for field in fields {
                    if self.next()? != field.name() {
                        return Err(unsupported("root that renames fields of a struct"));
                    }
                    self.pass_nested(field.data_type())?;
                }
                Ok(())
            }
            DataType::List(item) => self.pass_nested(item.data_type()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => fields
                    .iter()
                    .try_for_each(|field| self.pass_nested(field.data_type())),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn finish(mut self, columns: usize) -> Result<()> {
        match self.names.next() {
            Some(_) => Err(invalid(format_args!(
                "the root has {} names, and its input has {columns} columns",
                self.count
            ))),
            None => Ok(()),
        }
    }
}
