//! Offsets and numbers of rows.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use quiver_proto::substrait::{Expression, FetchRel, RexType};

use super::expressions::Scope;
use super::relations::{Consumer, Relation};
use super::{invalid, literals, unsupported};
use crate::error::Result;

impl Consumer<'_> {
    pub(super) fn fetch(&mut self, rel: &FetchRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let input = self.input(rel.input.as_ref(), outer)?;
        let skip = self.row_count(rel.offset, rel.offset_expr.as_ref(), 0)?;
        let fetch = match (
            rel.count,
            &rel.count_expr,
            self.plan.takes_all_without_count,
        ) {
            (None, None, Some(true)) => None,
            (None, None, Some(false)) => Some(lit(0_i64)),
            (None, None, None) => {
                return Err(invalid(
                    "what a FetchRel without count means depends on the version, and there is none",
                ));
            }
            // Once the way to say all.
            (count, expr, _) => self.row_count(count, expr.as_ref(), -1)?,
        };
        let Relation { plan, columns } = input;
        let plan = LogicalPlanBuilder::from(plan)
            .limit_by_expr(skip, fetch)?
            .build()?;
        Ok(Relation { plan, columns })
    }

    /// A number of rows; `none` stands for none given, as NULL does.
    fn row_count(
        &mut self,
        old: Option<i64>,
        new: Option<&Expression>,
        none: i64,
    ) -> Result<Option<Expr>> {
        let rows = match (old, new) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(invalid("a FetchRel that says twice how many rows")),
            (Some(rows), None) => rows,
            (None, Some(expr)) => match &expr.rex {
                Some(RexType::Literal(value)) => {
                    let value = literals::scalar(value)?;
                    if !value.data_type().is_integer() {
                        return Err(invalid("a FetchRel whose number of rows is no integer"));
                    }
                    match value.cast_to(&DataType::Int64)? {
                        ScalarValue::Int64(Some(rows)) if rows >= 0 => rows,
                        ScalarValue::Int64(None) => return Ok(None),
                        _ => return Err(invalid("a FetchRel of a negative number of rows")),
                    }
                }
                Some(RexType::DynamicParameter(_)) => {
                    let nothing = DFSchema::empty();
                    let rows = self.expr(expr, &Scope::new(&[], &nothing, None))?;
                    return Ok(Some(rows));
                }
                _ => return Err(unsupported("fetch of a computed number of rows")),
            },
        };
        match rows {
            rows if rows == none => Ok(None),
            0.. => Ok(Some(lit(rows))),
            _ => Err(invalid("a FetchRel of a negative number of rows")),
        }
    }
}
