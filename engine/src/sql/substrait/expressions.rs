//! Expressions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, ExprSchema};
use datafusion::logical_expr::expr::{Case, InList, Placeholder};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, cast, exists, in_subquery, lit, scalar_subquery, try_cast,
};
use quiver_proto::substrait::{
    Cast, DynamicParameter, Expression, FieldReference, IfThen, InPredicate, Literal,
    ReferenceType, Rel, RexType, RootType, SegmentType, SingularOrList, StructField, Subquery,
    SubqueryType, Switch,
};

use super::relations::{Consumer, Relation, column_at};
use super::types::arrow_type;
use super::{invalid, literals, need, unsupported};
use crate::error::Result;

/// The columns that an expression can refer to.
pub(super) struct Scope<'s> {
    columns: &'s [Column],
    pub(super) schema: &'s DFSchema,
    outer: Option<&'s Scope<'s>>,
    /// Whether window functions may stand here.
    pub(super) has_windows: bool,
}

impl<'s> Scope<'s> {
    pub(super) fn new(
        columns: &'s [Column],
        schema: &'s DFSchema,
        outer: Option<&'s Scope<'s>>,
    ) -> Self {
        Self {
            columns,
            schema,
            outer,
            has_windows: false,
        }
    }

    /// Inside a relation over `input`.
    pub(super) fn of(input: &'s Relation, outer: Option<&'s Scope<'s>>) -> Self {
        Self::new(&input.columns, input.plan.schema(), outer)
    }

    pub(super) fn with_windows(self) -> Self {
        Self {
            has_windows: true,
            ..self
        }
    }

    pub(super) fn without_windows(&self) -> Scope<'s> {
        Self {
            has_windows: false,
            ..*self
        }
    }

    /// As many subqueries out; 0 is the scope itself.
    fn out(&self, steps: u32) -> Option<&Scope<'s>> {
        let mut scope = self;
        for _ in 0..steps {
            scope = scope.outer?;
        }
        Some(scope)
    }
}

impl Consumer<'_> {
    pub(super) fn expr(&mut self, expr: &Expression, scope: &Scope<'_>) -> Result<Expr> {
        match &expr.rex {
            Some(RexType::Literal(value)) => literal(value),
            Some(RexType::Selection(reference)) => self.field(reference, scope),
            Some(RexType::ScalarFunction(call)) => self.scalar_call(call, scope),
            Some(RexType::WindowFunction(call)) => self.window_call(call, scope),
            Some(RexType::IfThen(choice)) => self.if_then(choice, scope),
            Some(RexType::Switch(choice)) => self.switch(choice, scope),
            Some(RexType::SingularOrList(list)) => self.in_list(list, scope),
            Some(RexType::Cast(cast)) => self.cast(cast, scope),
            Some(RexType::Subquery(subquery)) => self.subquery(subquery, scope),
            Some(RexType::DynamicParameter(parameter)) => placeholder(parameter),
            Some(RexType::MultiOrList(_)) => Err(unsupported("expression MultiOrList")),
            Some(RexType::Enum(_)) => Err(unsupported("expression Enum")),
            Some(RexType::Nested(_)) => Err(unsupported("expression Nested")),
            Some(RexType::Lambda(_)) => Err(unsupported("expression Lambda")),
            Some(RexType::LambdaInvocation(_)) => Err(unsupported("expression LambdaInvocation")),
            Some(RexType::ExecutionContextVariable(_)) => {
                Err(unsupported("expression ExecutionContextVariable"))
            }
            None => Err(unsupported("expression of an unknown kind")),
        }
    }

    pub(super) fn exprs(&mut self, exprs: &[Expression], scope: &Scope<'_>) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr, scope)).collect()
    }

    /// An expression that must be there.
    fn part(&mut self, expr: Option<&Expression>, what: &str, scope: &Scope<'_>) -> Result<Expr> {
        self.expr(need(expr, what)?, scope)
    }

    fn field(&self, reference: &FieldReference, scope: &Scope<'_>) -> Result<Expr> {
        let segment = match &reference.reference {
            Some(ReferenceType::Direct(segment)) => &segment.segment,
            Some(ReferenceType::Masked(_)) => return Err(unsupported("masked reference")),
            None => return Err(unsupported("field reference of an unknown kind")),
        };
        let field = match segment {
            Some(SegmentType::StructField(field)) => field,
            Some(SegmentType::MapKey(_)) => return Err(unsupported("reference by map key")),
            Some(SegmentType::ListElement(_)) => {
                return Err(unsupported("reference to a list element"));
            }
            None => return Err(unsupported("field reference of an unknown kind")),
        };
        let steps = match &reference.root {
            Some(RootType::Root(_)) => 0,
            Some(RootType::Outer(outer)) if outer.rel_reference.is_some() => {
                return Err(unsupported("outer reference by rel_reference"));
            }
            Some(RootType::Outer(outer)) if outer.steps_out > 0 => outer.steps_out,
            Some(RootType::Outer(_)) => return Err(invalid("an outer reference of no steps")),
            Some(RootType::Expression(_)) => {
                return Err(unsupported("reference into an expression"));
            }
            Some(RootType::LambdaParameter(_)) => {
                return Err(unsupported("reference to a lambda parameter"));
            }
            None => return Err(unsupported("field reference without a known root")),
        };
        let from = need(
            scope.out(steps),
            "the query around that a field is taken from",
        )?;
        let column = column_at(from.columns, field.field)?;
        let root = match steps {
            0 => Expr::Column(column),
            _ => {
                let outer = from.schema.field_from_column(&column)?;
                Expr::OuterReferenceColumn(Arc::clone(outer), column)
            }
        };
        self.nested_field(root, field, from)
    }

    fn nested_field(&self, root: Expr, field: &StructField, from: &Scope<'_>) -> Result<Expr> {
        let (mut value, mut field) = (root, field);
        while let Some(child) = field.child.as_deref() {
            let Some(SegmentType::StructField(inner)) = &child.segment else {
                return Err(unsupported("reference that is not to a field of a struct"));
            };
            let DataType::Struct(fields) = value.get_type(from.schema)? else {
                return Err(invalid("a field of what is no struct"));
            };
            let name = usize::try_from(inner.field).ok();
            let name = name
                .and_then(|position| fields.get(position))
                .map(|field| field.name().as_str());
            let name = need(name, "a field of a struct")?.to_owned();
            value = self.session_call("get_field", vec![value, lit(name)])?;
            field = inner;
        }
        Ok(value)
    }

    fn if_then(&mut self, choice: &IfThen, scope: &Scope<'_>) -> Result<Expr> {
        let mut branches = vec![];
        for clause in &choice.ifs {
            let when = self.part(
                clause.condition.as_ref(),
                "the condition of an IfThen",
                scope,
            )?;
            let then = self.part(clause.then.as_ref(), "the value of an IfThen", scope)?;
            branches.push((Box::new(when), Box::new(then)));
        }
        self.case(None, branches, choice.otherwise.as_deref(), scope)
    }

    fn switch(&mut self, choice: &Switch, scope: &Scope<'_>) -> Result<Expr> {
        let value = self.part(choice.value.as_deref(), "the value of a Switch", scope)?;
        let mut branches = vec![];
        for clause in &choice.ifs {
            let when = literal(need(clause.value.as_ref(), "the constant of a Switch")?)?;
            let then = self.part(clause.then.as_ref(), "a result of a Switch", scope)?;
            branches.push((Box::new(when), Box::new(then)));
        }
        self.case(Some(value), branches, choice.otherwise.as_deref(), scope)
    }

    fn case(
        &mut self,
        value: Option<Expr>,
        branches: Vec<(Box<Expr>, Box<Expr>)>,
        otherwise: Option<&Expression>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        if branches.is_empty() {
            return Err(invalid("a choice without branches"));
        }
        let otherwise = match otherwise {
            Some(otherwise) => Some(Box::new(self.expr(otherwise, scope)?)),
            None => None,
        };
        Ok(Expr::Case(Case::new(
            value.map(Box::new),
            branches,
            otherwise,
        )))
    }

    fn in_list(&mut self, list: &SingularOrList, scope: &Scope<'_>) -> Result<Expr> {
        let value = self.part(
            list.value.as_deref(),
            "the value of a SingularOrList",
            scope,
        )?;
        let options = self.exprs(&list.options, scope)?;
        Ok(Expr::InList(InList::new(Box::new(value), options, false)))
    }

    fn cast(&mut self, call: &Cast, scope: &Scope<'_>) -> Result<Expr> {
        let to = arrow_type(need(call.to.as_ref(), "the type of a Cast")?)?;
        let input = self.part(call.input.as_deref(), "the input of a Cast", scope)?;
        match call.failure_behavior {
            0 | 2 => Ok(cast(input, to)),
            1 => Ok(try_cast(input, to)),
            _ => Err(unsupported("cast with an unknown failure_behavior")),
        }
    }

    fn subquery(&mut self, subquery: &Subquery, scope: &Scope<'_>) -> Result<Expr> {
        match &subquery.kind {
            Some(SubqueryType::Scalar(scalar)) => {
                let (plan, width) = self.inner(scalar.input.as_deref(), scope)?;
                match width {
                    1 => Ok(scalar_subquery(plan)),
                    _ => Err(invalid("a scalar subquery that has not one column")),
                }
            }
            Some(SubqueryType::InPredicate(predicate)) => self.in_predicate(predicate, scope),
            Some(SubqueryType::SetPredicate(set)) if set.op == 1 => {
                Ok(exists(self.inner(set.tuples.as_deref(), scope)?.0))
            }
            Some(SubqueryType::SetPredicate(_)) => {
                Err(unsupported("subquery predicate other than EXISTS"))
            }
            Some(SubqueryType::SetComparison(_)) => Err(unsupported("subquery SetComparison")),
            None => Err(unsupported("subquery of an unknown kind")),
        }
    }

    fn in_predicate(&mut self, predicate: &InPredicate, scope: &Scope<'_>) -> Result<Expr> {
        let [needle] = predicate.needles.as_slice() else {
            return Err(unsupported("subquery predicate IN of other than one value"));
        };
        let needle = self.expr(needle, scope)?;
        let (plan, width) = self.inner(predicate.haystack.as_deref(), scope)?;
        match width {
            1 => Ok(in_subquery(needle, plan)),
            _ => Err(invalid("an IN subquery that has not one column")),
        }
    }

    /// The plan of a subquery and how many columns it has.
    fn inner(&mut self, rel: Option<&Rel>, scope: &Scope<'_>) -> Result<(Arc<LogicalPlan>, usize)> {
        let relation = self.rel(need(rel, "the relation of a subquery")?, Some(scope))?;
        let width = relation.columns.len();
        Ok((self.named(relation)?, width))
    }
}

fn literal(value: &Literal) -> Result<Expr> {
    Ok(lit(literals::scalar(value)?))
}

fn placeholder(parameter: &DynamicParameter) -> Result<Expr> {
    let kind = arrow_type(need(parameter.kind.as_ref(), "the type of a parameter")?)?;
    let number = u64::from(parameter.reference) + 1;
    let field = Arc::new(Field::new("", kind.clone(), true));
    let placeholder = Placeholder::new_with_field(format!("${number}"), Some(field));
    // Whatever is bound to it is computed with as the plan says.
    Ok(cast(Expr::Placeholder(placeholder), kind))
}
