//! Relations of one input.

use std::collections::{HashMap, HashSet};

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::find_window_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use quiver_proto::substrait::{
    Expression, FilterRel, ProjectRel, Rel, RelCommon, RelType, SortField, SortKind, SortRel,
};

use super::expressions::Scope;
use super::tables::Tables;
use super::{SubstraitPlan, invalid, need, unsupported};
use crate::error::{EngineError, Result};

/// Columns of all relations of a plan together, as they are on their way.
const COLUMNS_MAX: usize = 50_000;
/// What an expression may grow to when computed columns are replaced by what they are made of.
const EXPANDED_MAX: u64 = 100_000;

/// A relation: its columns by position.
pub(super) struct Relation {
    pub(super) plan: LogicalPlan,
    /// Each is found in the plan; the plan may have others, and one may stand here twice.
    pub(super) columns: Vec<Column>,
}

/// Makes a logical plan of a Substrait plan.
pub(super) struct Consumer<'a> {
    pub(super) session: &'a SessionState,
    pub(super) plan: &'a SubstraitPlan,
    pub(super) tables: Tables,
    /// Of what was named so far.
    names: usize,
    columns: usize,
    /// Nodes of computed columns when all they are made of is put in their place.
    expanded: HashMap<String, u64>,
}

impl<'a> Consumer<'a> {
    pub(super) fn new(session: &'a SessionState, plan: &'a SubstraitPlan, tables: Tables) -> Self {
        Self {
            session,
            plan,
            tables,
            names: 0,
            columns: 0,
            expanded: HashMap::new(),
        }
    }

    /// A relation; `outer` is what a subquery may refer to.
    pub(super) fn rel(&mut self, rel: &Rel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let (relation, common) = match &rel.rel {
            Some(RelType::Read(rel)) => (self.read(rel, outer)?, &rel.common),
            Some(RelType::Filter(rel)) => (self.filter(rel, outer)?, &rel.common),
            Some(RelType::Fetch(rel)) => (self.fetch(rel, outer)?, &rel.common),
            Some(RelType::Aggregate(rel)) => (self.aggregate(rel, outer)?, &rel.common),
            Some(RelType::Sort(rel)) => (self.sort(rel, outer)?, &rel.common),
            Some(RelType::Join(rel)) => (self.join(rel, outer)?, &rel.common),
            Some(RelType::Project(rel)) => (self.project(rel, outer)?, &rel.common),
            Some(RelType::Set(rel)) => (self.set(rel, outer)?, &rel.common),
            Some(RelType::Cross(rel)) => (self.cross(rel, outer)?, &rel.common),
            _ => return Err(unsupported("rel of an unknown kind")),
        };
        self.columns += relation.columns.len() + relation.plan.schema().fields().len();
        if self.columns > COLUMNS_MAX {
            return Err(EngineError::invalid(format!(
                "the relations of the Substrait plan have more than {COLUMNS_MAX} columns \
                 together; split it"
            )));
        }
        emit(relation, common.as_ref())
    }

    pub(super) fn input(
        &mut self,
        rel: Option<&Rel>,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        self.rel(need(rel, "an input of a relation")?, outer)
    }

    /// A name that no other column has.
    pub(super) fn fresh(&mut self) -> String {
        self.names += 1;
        format!("#{}", self.names)
    }

    fn filter(&mut self, rel: &FilterRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let input = self.input(rel.input.as_ref(), outer)?;
        let condition = need(rel.condition.as_ref(), "the condition of a FilterRel")?;
        self.filtered(input, condition, outer)
    }

    pub(super) fn filtered(
        &mut self,
        input: Relation,
        condition: &Expression,
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation> {
        let condition = self.expr(condition, &Scope::of(&input, outer))?;
        self.expansion(&condition)?;
        let Relation { plan, columns } = input;
        let plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
        Ok(Relation { plan, columns })
    }

    fn project(&mut self, rel: &ProjectRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let input = self.input(rel.input.as_ref(), outer)?;
        let scope = Scope::of(&input, outer).with_windows();
        let expressions = rel.expressions.iter().map(|expr| self.expr(expr, &scope));
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        let (relation, added) = self.with_computed(input, expressions)?;
        let Relation { plan, mut columns } = relation;
        columns.extend(added);
        Ok(Relation { plan, columns })
    }

    /// The relation with computed columns beside its own, and which columns these are. What is a
    /// column already is not computed.
    pub(super) fn with_computed(
        &mut self,
        input: Relation,
        expressions: Vec<Expr>,
    ) -> Result<(Relation, Vec<Column>)> {
        let Relation { mut plan, columns } = input;
        let windows = find_window_exprs(&expressions);
        let (mut added, mut computed) = (vec![], vec![]);
        for expression in expressions {
            let column = match expression {
                Expr::Column(column) => column,
                expression => {
                    let name = self.fresh();
                    let size = self.expansion(&expression)?;
                    self.expanded.insert(name.clone(), size);
                    computed.push(without_windows(expression)?.alias(name.as_str()));
                    Column::new_unqualified(name)
                }
            };
            added.push(column);
        }
        if !computed.is_empty() {
            if !windows.is_empty() {
                plan = LogicalPlanBuilder::window_plan(plan, windows)?;
            }
            let mut seen = HashSet::new();
            let used = columns.iter().chain(&added);
            let used =
                used.filter(|column| plan.schema().has_column(column) && seen.insert(*column));
            let kept: Vec<_> = used.cloned().map(Expr::Column).chain(computed).collect();
            plan = LogicalPlanBuilder::from(plan).project(kept)?.build()?;
        }
        Ok((Relation { plan, columns }, added))
    }

    /// How many nodes an expression has once rules of the optimizer put computed columns' own
    /// expressions in their place, which doubles at each step where a column is used twice.
    fn expansion(&self, expression: &Expr) -> Result<u64> {
        let mut size = 0_u64;
        expression.apply(|node| {
            let own = match node {
                Expr::Column(column) => self.expanded.get(column.name()).copied().unwrap_or(1),
                _ => 1,
            };
            size = size.saturating_add(own);
            Ok(TreeNodeRecursion::Continue)
        })?;
        match size > EXPANDED_MAX {
            true => Err(EngineError::invalid(
                "an expression of the Substrait plan uses computed columns over and over and \
                 would become too large; split the plan",
            )),
            false => Ok(size),
        }
    }

    fn sort(&mut self, rel: &SortRel, outer: Option<&Scope<'_>>) -> Result<Relation> {
        let input = self.input(rel.input.as_ref(), outer)?;
        let sorts = self.sorts(&rel.sorts, &Scope::of(&input, outer))?;
        if sorts.is_empty() {
            return Err(invalid("a SortRel without keys"));
        }
        let Relation { plan, columns } = input;
        let plan = LogicalPlanBuilder::from(plan).sort(sorts)?.build()?;
        Ok(Relation { plan, columns })
    }

    pub(super) fn sorts(&mut self, sorts: &[SortField], scope: &Scope<'_>) -> Result<Vec<Sort>> {
        let sort = |field: &SortField| {
            let expr = self.expr(need(field.expr.as_ref(), "the key of a sort")?, scope)?;
            let (asc, nulls_first) = match field.kind {
                Some(SortKind::Direction(1)) => (true, true),
                Some(SortKind::Direction(2)) => (true, false),
                Some(SortKind::Direction(3)) => (false, true),
                Some(SortKind::Direction(4)) => (false, false),
                Some(SortKind::Direction(5)) => return Err(unsupported("sort that is clustered")),
                Some(SortKind::ComparisonFunction(_)) => {
                    return Err(unsupported("sort by a comparison function"));
                }
                _ => return Err(unsupported("sort without a known direction")),
            };
            Ok(expr.sort(asc, nulls_first))
        };
        sorts.iter().map(sort).collect()
    }
}

/// The columns a relation hands on.
fn emit(relation: Relation, common: Option<&RelCommon>) -> Result<Relation> {
    let Some(emit) = common.and_then(|common| common.emit.as_ref()) else {
        return Ok(relation);
    };
    let Relation { plan, columns } = relation;
    let mapping = emit.output_mapping.iter();
    let columns = mapping.map(|position| column_at(&columns, *position));
    let columns = columns.collect::<Result<_>>()?;
    Ok(Relation { plan, columns })
}

/// The column at a position.
pub(super) fn column_at(columns: &[Column], position: i32) -> Result<Column> {
    let column = usize::try_from(position).ok();
    let column = column.and_then(|position| columns.get(position));
    column.cloned().ok_or_else(|| {
        invalid(format_args!(
            "there is no column {position} where there are {}",
            columns.len()
        ))
    })
}

/// Window functions are columns of the plan below.
fn without_windows(expression: Expr) -> Result<Expr> {
    let replaced = expression.transform_down(|node| match &node {
        Expr::WindowFunction(_) => {
            let column = Column::new_unqualified(node.schema_name().to_string());
            Ok(Transformed::yes(Expr::Column(column)))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}
