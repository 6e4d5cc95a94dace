//! One walk over a plan before anything is made of it: bounds, unknown relations, the tables read.
//!
//! The decoder bounds how deep messages are nested (100), which bounds every recursion here and in
//! the planner. What is wide is bounded here.

use std::collections::HashSet;

use quiver_proto::substrait::{
    AdvancedExtension, ArgumentType, Expression, FunctionArgument, ReadRel, ReadType, Rel,
    RelCommon, RelRoot, RelType, RexType, SortField, SubqueryType,
};

use super::{dotted, invalid, need, unsupported};
use crate::error::Result;

/// Relations, expressions and constants in one plan.
const NODES_MAX: usize = 50_000;
/// Tables that are read, as in SQL.
const READS_MAX: usize = 1000;
/// Inputs of all unions, intersections and differences together.
const SET_INPUTS_MAX: usize = 128;
/// Expressions and output columns of one relation or function.
const PARTS_MAX: usize = 2048;
/// Subqueries inside each other: the optimizer takes twice as long for each level.
const SUBQUERY_LEVELS_MAX: usize = 10;
/// As in SQL.
const PARAMETERS_MAX: usize = 65_535;

/// What a plan reads and needs.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) tables: Vec<Vec<String>>,
    pub(super) parameters: usize,
    known: HashSet<Vec<String>>,
    nodes: usize,
    reads: usize,
    set_inputs: usize,
    subquery_levels: usize,
}

/// What a relation or expression is made of.
#[derive(Default)]
struct Parts<'a> {
    rels: Vec<&'a Rel>,
    exprs: Vec<&'a Expression>,
}

impl Survey {
    pub(super) fn of(root: &RelRoot) -> Result<Self> {
        let mut survey = Self::default();
        bound(root.names.len(), NODES_MAX, "names")?;
        survey.rel(need(root.input.as_ref(), "the input of the root")?)?;
        Ok(survey)
    }

    fn rel(&mut self, rel: &Rel) -> Result<()> {
        let kind = match &rel.rel {
            Some(kind) => kind,
            None => return Err(unsupported("rel of an unknown kind")),
        };
        let (common, extension) = head(kind)?;
        refuse_enhancement(extension)?;
        let mut parts = Parts::default();
        let mut width = 0;
        if let Some(common) = common {
            refuse_enhancement(common.advanced_extension.as_ref())?;
            width += common
                .emit
                .as_ref()
                .map_or(0, |emit| emit.output_mapping.len());
        }
        match kind {
            RelType::Read(read) => self.read(read, &mut parts)?,
            RelType::Set(set) => {
                self.set_inputs += set.inputs.len();
                bound(self.set_inputs, SET_INPUTS_MAX, "inputs of set relations")?;
                parts.rels.extend(&set.inputs);
            }
            kind => parts.add(kind),
        }
        // Cells of a table in the plan are bounded with all nodes.
        if !matches!(kind, RelType::Read(_)) {
            width += parts.exprs.len();
        }
        bound(
            width,
            PARTS_MAX,
            "expressions and output columns of one relation",
        )?;
        self.go_on(parts)
    }

    fn read<'a>(&mut self, read: &'a ReadRel, parts: &mut Parts<'a>) -> Result<()> {
        self.reads += 1;
        bound(self.reads, READS_MAX, "reads")?;
        parts.exprs.extend(&read.filter);
        let mask = read
            .projection
            .as_ref()
            .and_then(|mask| mask.select.as_ref());
        bound(
            mask.map_or(0, |mask| mask.items.len()),
            PARTS_MAX,
            "columns of a mask",
        )?;
        match &read.read {
            Some(ReadType::NamedTable(table)) => {
                refuse_enhancement(table.advanced_extension.as_ref())?;
                if table.names.is_empty() || table.names.len() > 3 {
                    return Err(invalid(format_args!(
                        "table '{}' has {} names, and a table is table, schema.table or \
                         tenant.schema.table",
                        dotted(&table.names),
                        table.names.len()
                    )));
                }
                if self.known.insert(table.names.clone()) {
                    self.tables.push(table.names.clone());
                }
                Ok(())
            }
            Some(ReadType::VirtualTable(table)) => {
                let constants = table.values.iter().map(|row| row.fields.len() + 1);
                self.count(constants.sum::<usize>() + table.expressions.len())?;
                parts
                    .exprs
                    .extend(table.expressions.iter().flat_map(|row| &row.fields));
                Ok(())
            }
            Some(ReadType::LocalFiles(_)) => Err(unsupported("read of LocalFiles")),
            Some(ReadType::ExtensionTable(_)) => Err(unsupported("read of an ExtensionTable")),
            Some(ReadType::IcebergTable(_)) => Err(unsupported("read of an IcebergTable")),
            None => Err(unsupported("read of an unknown kind")),
        }
    }

    fn expr(&mut self, expr: &Expression) -> Result<()> {
        let mut parts = Parts::default();
        match &expr.rex {
            Some(RexType::DynamicParameter(parameter)) => {
                let count = usize::try_from(parameter.reference).unwrap_or(usize::MAX);
                let count = count.saturating_add(1);
                bound(count, PARAMETERS_MAX, "parameters")?;
                self.parameters = self.parameters.max(count);
            }
            Some(kind) => parts.add_of_expression(kind),
            None => return Err(unsupported("expression of an unknown kind")),
        }
        bound(parts.exprs.len(), PARTS_MAX, "arguments of one expression")?;
        let levels = usize::from(!parts.rels.is_empty());
        self.subquery_levels += levels;
        bound(
            self.subquery_levels,
            SUBQUERY_LEVELS_MAX,
            "subqueries inside each other",
        )?;
        self.go_on(parts)?;
        self.subquery_levels -= levels;
        Ok(())
    }

    fn go_on(&mut self, parts: Parts<'_>) -> Result<()> {
        self.count(parts.rels.len() + parts.exprs.len())?;
        for rel in parts.rels {
            self.rel(rel)?;
        }
        for expr in parts.exprs {
            self.expr(expr)?;
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        bound(
            self.nodes,
            NODES_MAX,
            "relations, expressions and constants",
        )
    }
}

impl<'a> Parts<'a> {
    fn add(&mut self, kind: &'a RelType) {
        match kind {
            RelType::Filter(rel) => {
                self.rels.extend(&rel.input);
                self.exprs.extend(&rel.condition);
            }
            RelType::Fetch(rel) => {
                self.rels.extend(&rel.input);
                self.exprs
                    .extend(rel.offset_expr.iter().chain(&rel.count_expr));
            }
            RelType::Aggregate(rel) => {
                self.rels.extend(&rel.input);
                self.exprs.extend(&rel.grouping_expressions);
                for grouping in &rel.groupings {
                    self.exprs.extend(&grouping.grouping_expressions);
                }
                for measure in &rel.measures {
                    self.exprs.extend(&measure.filter);
                    if let Some(call) = &measure.measure {
                        self.add_call(&call.arguments, &call.sorts);
                    }
                }
            }
            RelType::Sort(rel) => {
                self.rels.extend(&rel.input);
                self.add_call(&[], &rel.sorts);
            }
            RelType::Join(rel) => {
                self.rels.extend(rel.left.iter().chain(&rel.right));
                self.exprs
                    .extend(rel.expression.iter().chain(&rel.post_join_filter));
            }
            RelType::Cross(rel) => self.rels.extend(rel.left.iter().chain(&rel.right)),
            RelType::Project(rel) => {
                self.rels.extend(&rel.input);
                self.exprs.extend(&rel.expressions);
            }
            _ => {}
        }
    }

    fn add_call(&mut self, arguments: &'a [FunctionArgument], sorts: &'a [SortField]) {
        for argument in arguments {
            if let Some(ArgumentType::Value(value)) = &argument.argument {
                self.exprs.push(value);
            }
        }
        self.exprs.extend(sorts.iter().flat_map(|sort| &sort.expr));
    }

    fn add_of_expression(&mut self, kind: &'a RexType) {
        match kind {
            RexType::ScalarFunction(call) => self.add_call(&call.arguments, &[]),
            RexType::WindowFunction(call) => {
                self.add_call(&call.arguments, &call.sorts);
                self.exprs.extend(&call.partitions);
            }
            RexType::IfThen(choice) => {
                for clause in &choice.ifs {
                    self.exprs
                        .extend(clause.condition.iter().chain(&clause.then));
                }
                self.exprs.extend(choice.otherwise.as_deref());
            }
            RexType::Switch(choice) => {
                self.exprs.extend(choice.value.as_deref());
                self.exprs
                    .extend(choice.ifs.iter().flat_map(|clause| &clause.then));
                self.exprs.extend(choice.otherwise.as_deref());
            }
            RexType::SingularOrList(list) => {
                self.exprs.extend(list.value.as_deref());
                self.exprs.extend(&list.options);
            }
            RexType::Cast(cast) => self.exprs.extend(cast.input.as_deref()),
            RexType::Subquery(subquery) => match &subquery.kind {
                Some(SubqueryType::Scalar(scalar)) => self.rels.extend(scalar.input.as_deref()),
                Some(SubqueryType::InPredicate(predicate)) => {
                    self.exprs.extend(&predicate.needles);
                    self.rels.extend(predicate.haystack.as_deref());
                }
                Some(SubqueryType::SetPredicate(set)) => self.rels.extend(set.tuples.as_deref()),
                Some(SubqueryType::SetComparison(_)) | None => {}
            },
            _ => {}
        }
    }
}

type Head<'a> = (Option<&'a RelCommon>, Option<&'a AdvancedExtension>);

/// What all relations have; those that are not supported are refused by name.
fn head(kind: &RelType) -> Result<Head<'_>> {
    let name = match kind {
        RelType::Read(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Filter(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Fetch(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Aggregate(rel) => {
            return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref()));
        }
        RelType::Sort(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Join(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Project(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Set(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::Cross(rel) => return Ok((rel.common.as_ref(), rel.advanced_extension.as_ref())),
        RelType::ExtensionSingle(_) => "ExtensionSingleRel",
        RelType::ExtensionMulti(_) => "ExtensionMultiRel",
        RelType::ExtensionLeaf(_) => "ExtensionLeafRel",
        RelType::HashJoin(_) => "HashJoinRel",
        RelType::MergeJoin(_) => "MergeJoinRel",
        RelType::Exchange(_) => "ExchangeRel",
        RelType::Expand(_) => "ExpandRel",
        RelType::Window(_) => "ConsistentPartitionWindowRel",
        RelType::NestedLoopJoin(_) => "NestedLoopJoinRel",
        RelType::Write(_) => "WriteRel",
        RelType::Ddl(_) => "DdlRel",
        RelType::Reference(_) => "ReferenceRel",
        RelType::Update(_) => "UpdateRel",
        RelType::TopN(_) => "TopNRel",
        RelType::LateralJoin(_) => "LateralJoinRel",
    };
    Err(unsupported(format_args!("rel {name}")))
}

/// An enhancement changes what a relation means.
pub(super) fn refuse_enhancement(extension: Option<&AdvancedExtension>) -> Result<()> {
    match extension.and_then(|extension| extension.enhancement) {
        Some(_) => Err(unsupported("enhancement of an advanced extension")),
        None => Ok(()),
    }
}

fn bound(count: usize, max: usize, what: &str) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(crate::error::EngineError::invalid(format!(
        "the Substrait plan has more than {max} {what}; split it"
    )))
}
