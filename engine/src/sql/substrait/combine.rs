//! Relations of several inputs, and groups.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Union};
use quiver_proto::substrait::{AggregateRel, CrossRel, JoinRel, Measure, SetRel};

use super::expressions::Scope;
use super::relations::{Consumer, Relation};
use super::{invalid, need, unsupported};
use crate::error::Result;

impl Consumer<'_> {
    pub(super) fn join(&mut self, rel: &JoinRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let kind = join_type(rel.kind)?;
        if kind != JoinType::Inner && rel.post_join_filter.is_some() {
            return Err(unsupported("post_join_filter of a join that is not inner"));
        }
        let left = self.input(rel.left.as_ref(), outer)?;
        let right = self.input(rel.right.as_ref(), outer)?;
        let both = [left.columns.as_slice(), &right.columns].concat();
        let schema = left.plan.schema().join(right.plan.schema())?;
        let on = need(rel.expression.as_ref(), "the expression of a JoinRel")?;
        let on = self.expr(on, &Scope::new(&both, &schema, outer))?;
        let columns = match kind {
            JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
            JoinType::RightSemi | JoinType::RightAnti => right.columns,
            _ => both,
        };
        let plan = LogicalPlanBuilder::from(left.plan)
            .join_on(right.plan, kind, [on])?
            .build()?;
        let joined = Relation { plan, columns };
        match &rel.post_join_filter {
            Some(filter) => self.filtered(joined, filter, outer),
            None => Ok(joined),
        }
    }

    pub(super) fn cross(&mut self, rel: &CrossRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let left = self.input(rel.left.as_ref(), outer)?;
        let right = self.input(rel.right.as_ref(), outer)?;
        let plan = LogicalPlanBuilder::from(left.plan)
            .cross_join(right.plan)?
            .build()?;
        let columns = [left.columns, right.columns].concat();
        Ok(Relation { plan, columns })
    }

    pub(super) fn aggregate(
        &mut self,
        rel: &AggregateRel,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let input = self.input(rel.input.as_ref(), outer)?;
        let grouping = match rel.groupings.as_slice() {
            [] => None,
            [grouping] => Some(grouping),
            _ => {
                return Err(unsupported(
                    "grouping sets: an AggregateRel of several groupings",
                ));
            }
        };
        let scope = Scope::of(&input, outer);
        let mut keys = vec![];
        if let Some(grouping) = grouping {
            // Some producers write both forms, for old and for new consumers.
            let mut references = grouping.expression_references.clone();
            references.sort_unstable();
            if references.is_empty() {
                keys = self.exprs(&grouping.grouping_expressions, &scope)?;
            } else if references
                .into_iter()
                .eq(0..rel.grouping_expressions.len() as u32)
            {
                keys = self.exprs(&rel.grouping_expressions, &scope)?;
            } else {
                return Err(invalid(
                    "an AggregateRel does not group by each of its expressions once",
                ));
            }
        }
        let measures = rel
            .measures
            .iter()
            .map(|measure| self.measure(measure, &scope));
        let measures = measures.collect::<Result<Vec<_>>>()?;
        self.grouped(input, keys, measures)
    }

    fn measure(&mut self, measure: &Measure, scope: &Scope<'_>) -> Result<Expr> {
        let call = need(measure.measure.as_ref(), "the function of a measure")?;
        let filter = match &measure.filter {
            Some(filter) => Some(self.expr(filter, scope)?),
            None => None,
        };
        self.aggregate_call(call, filter, scope)
    }

    fn grouped(
        &mut self,
        input: Relation,
        keys: Vec<Expr>,
        measures: Vec<Expr>,
    ) -> Result<Relation> {
        if keys.is_empty() && measures.is_empty() {
            return Err(invalid("an AggregateRel without keys and measures"));
        }
        let (input, keys) = self.with_computed(input, keys)?;
        let mut distinct_keys: Vec<_> = keys.clone();
        distinct_keys.sort();
        distinct_keys.dedup();
        let group_by = distinct_keys.iter().cloned().map(Expr::Column);
        // The same measure twice is one column.
        let mut own = HashMap::new();
        let mut calls = vec![];
        let mut outputs = vec![];
        let mut columns = keys;
        for call in measures {
            // The whole of it: names leave out casts, and two measures of one name are refused.
            let whole = format!("{call:?}");
            let output = match own.get(&whole) {
                Some(output) => Column::clone(output),
                None => {
                    let output = Column::new_unqualified(self.fresh());
                    let name = call.schema_name().to_string();
                    outputs.push(Expr::Column(Column::new_unqualified(&name)).alias(output.name()));
                    own.insert(whole, output.clone());
                    calls.push(call);
                    output
                }
            };
            columns.push(output);
        }
        let plan = LogicalPlanBuilder::from(input.plan).aggregate(group_by, calls)?;
        let kept = distinct_keys.into_iter().map(Expr::Column);
        let plan = plan.project(kept.chain(outputs))?.build()?;
        Ok(Relation { plan, columns })
    }

    pub(super) fn set(&mut self, rel: &SetRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let mut inputs = vec![];
        let mut width = None;
        for input in &rel.inputs {
            let input = self.rel(input, outer)?;
            if *width.get_or_insert(input.columns.len()) != input.columns.len() {
                return Err(invalid(
                    "inputs of a SetRel with different numbers of columns",
                ));
            }
            inputs.push(self.named(input)?);
        }
        if inputs.len() < 2 {
            return Err(invalid("a SetRel of fewer than two inputs"));
        }
        let plan = match rel.op {
            1 => except(inputs)?,
            3 => intersect_any(inputs)?,
            4 => intersect_all(inputs)?,
            5 => LogicalPlan::Distinct(Distinct::All(union(inputs)?)),
            6 => Arc::unwrap_or_clone(union(inputs)?),
            2 => return Err(unsupported("set operation MINUS_MULTISET")),
            7 => return Err(unsupported("set operation MINUS_PRIMARY_ALL")),
            8 => return Err(unsupported("set operation INTERSECTION_MULTISET_ALL")),
            _ => return Err(unsupported("set operation of an unknown kind")),
        };
        let columns = plan.schema().columns();
        Ok(Relation { plan, columns })
    }

    /// Exactly the columns of the relation, by names that no other has.
    pub(super) fn named(&mut self, relation: Relation) -> Result<Arc<LogicalPlan>> {
        let columns = relation.columns.into_iter();
        let columns = columns.map(|column| Expr::Column(column).alias(self.fresh()));
        let columns: Vec<_> = columns.collect();
        if columns.is_empty() {
            return Err(invalid("a relation without columns where they are needed"));
        }
        let plan = LogicalPlanBuilder::from(relation.plan).project(columns)?;
        Ok(Arc::new(plan.build()?))
    }
}

fn join_type(kind: i32) -> Result<JoinType> {
    Ok(match kind {
        1 => JoinType::Inner,
        2 => JoinType::Full,
        3 => JoinType::Left,
        4 => JoinType::Right,
        5 => JoinType::LeftSemi,
        6 => JoinType::LeftAnti,
        8 => JoinType::RightSemi,
        9 => JoinType::RightAnti,
        7 | 10 => return Err(unsupported("join of a single match")),
        11 | 12 => return Err(unsupported("join that marks matches")),
        _ => return Err(unsupported("join of an unknown type")),
    })
}

fn union(inputs: Vec<Arc<LogicalPlan>>) -> Result<Arc<LogicalPlan>> {
    let union = Union::try_new_with_loose_types(inputs)?;
    Ok(Arc::new(LogicalPlan::Union(union)))
}

/// The first input and all others as one.
fn first_and_rest(mut inputs: Vec<Arc<LogicalPlan>>) -> Result<(LogicalPlan, LogicalPlan)> {
    let first = Arc::unwrap_or_clone(inputs.remove(0));
    let rest = match inputs.pop() {
        Some(only) if inputs.is_empty() => only,
        last => {
            inputs.extend(last);
            union(inputs)?
        }
    };
    Ok((first, Arc::unwrap_or_clone(rest)))
}

/// Rows of the first input that no other has, each once.
fn except(inputs: Vec<Arc<LogicalPlan>>) -> Result<LogicalPlan> {
    let (first, rest) = first_and_rest(inputs)?;
    Ok(LogicalPlanBuilder::except(first, rest, false)?)
}

/// Rows of the first input that any other has, each once.
fn intersect_any(inputs: Vec<Arc<LogicalPlan>>) -> Result<LogicalPlan> {
    let (first, rest) = first_and_rest(inputs)?;
    Ok(LogicalPlanBuilder::intersect(first, rest, false)?)
}

/// Rows that every input has, each once.
fn intersect_all(inputs: Vec<Arc<LogicalPlan>>) -> Result<LogicalPlan> {
    let plans = inputs
        .into_iter()
        .map(|plan| Ok(Arc::unwrap_or_clone(plan)));
    let both = |left: Result<_>, right: Result<_>| {
        Ok(LogicalPlanBuilder::intersect(left?, right?, false)?)
    };
    plans
        .reduce(both)
        .unwrap_or_else(|| Err(invalid("a SetRel without inputs")))
}
