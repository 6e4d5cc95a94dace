//! Scalar functions: standard names, and those that DataFusion's producer writes for the same.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Like, ScalarFunction as ScalarCall};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast, lit};
use quiver_proto::substrait::{
    ArgumentType, FunctionArgument, FunctionOption, Opaque, ScalarFunction,
};

use super::expressions::Scope;
use super::relations::Consumer;
use super::{invalid, unsupported};
use crate::error::Result;

/// Options that ask for what happens anyway.
const OPTIONS: [(&str, &str); 5] = [
    ("case_sensitivity", "CASE_SENSITIVE"),
    ("char_set", "UTF8"),
    ("null_handling", "ACCEPT_NULLS"),
    ("overflow", "SILENT"),
    ("rounding", "TIE_TO_EVEN"),
];

/// `round` rounds otherwise than arithmetic does.
const ROUND_OPTIONS: [(&str, &str); 1] = [("rounding", "TIE_AWAY_FROM_ZERO")];

/// Functions of the session by their name in plans, where both mean the same.
const CALLS: [(&str, &str); 52] = [
    ("abs", "abs"),
    ("acos", "acos"),
    ("asin", "asin"),
    ("atan", "atan"),
    ("atan2", "atan2"),
    ("bit_length", "bit_length"),
    ("btrim", "btrim"),
    ("ceil", "ceil"),
    ("char_length", "character_length"),
    ("character_length", "character_length"),
    ("coalesce", "coalesce"),
    ("contains", "contains"),
    ("cos", "cos"),
    ("date_part", "date_part"),
    ("date_trunc", "date_trunc"),
    ("degrees", "degrees"),
    ("ends_with", "ends_with"),
    ("exp", "exp"),
    ("floor", "floor"),
    ("initcap", "initcap"),
    ("left", "left"),
    ("length", "character_length"),
    ("ln", "ln"),
    ("log10", "log10"),
    ("log2", "log2"),
    ("lower", "lower"),
    ("lpad", "lpad"),
    ("ltrim", "ltrim"),
    ("md5", "md5"),
    ("nullif", "nullif"),
    ("octet_length", "octet_length"),
    ("pow", "power"),
    ("power", "power"),
    ("radians", "radians"),
    ("repeat", "repeat"),
    ("replace", "replace"),
    ("reverse", "reverse"),
    ("right", "right"),
    ("round", "round"),
    ("rpad", "rpad"),
    ("rtrim", "rtrim"),
    ("sign", "signum"),
    ("signum", "signum"),
    ("sin", "sin"),
    ("sqrt", "sqrt"),
    ("starts_with", "starts_with"),
    ("strpos", "strpos"),
    ("substr", "substr"),
    ("substring", "substr"),
    ("tan", "tan"),
    ("trim", "btrim"),
    ("upper", "upper"),
];

/// Parts of points in time that EXTRACT means the same by as SQL.
const PARTS: [(&str, &str); 8] = [
    ("YEAR", "year"),
    ("QUARTER", "quarter"),
    ("MONTH", "month"),
    ("DAY", "day"),
    ("DAY_OF_YEAR", "doy"),
    ("HOUR", "hour"),
    ("MINUTE", "minute"),
    ("ISO_WEEK", "week"),
];

impl<'a> Consumer<'a> {
    /// The name of a function without its signature.
    pub(super) fn function(&self, anchor: u32) -> Result<&'a str> {
        let name = self.plan.functions.get(&anchor).map(String::as_str);
        name.ok_or_else(|| invalid(format_args!("no function is declared with anchor {anchor}")))
    }

    pub(super) fn scalar_call(&mut self, call: &ScalarFunction, scope: &Scope<'_>) -> Result<Expr> {
        let name = self.function(call.function_reference)?;
        refuse_old_arguments(name, &call.args)?;
        let fulfilled: &[_] = match name {
            "round" => &ROUND_OPTIONS,
            _ => &OPTIONS,
        };
        check_options(name, &call.options, fulfilled)?;
        if name == "extract" {
            return self.extract(&call.arguments, scope);
        }
        let arguments = self.values(name, &call.arguments, scope)?;
        self.scalar(name, arguments)
    }

    fn scalar(&self, name: &str, mut arguments: Vec<Expr>) -> Result<Expr> {
        if let Some(operator) = operator(name) {
            let is_chain = matches!(
                operator,
                Operator::And | Operator::Or | Operator::StringConcat
            );
            return match arguments.len() {
                2 => Ok(balanced(arguments, operator)),
                1.. if is_chain => Ok(balanced(arguments, operator)),
                count => Err(wrong_count(name, count)),
            };
        }
        let count = arguments.len();
        let mut next = || {
            arguments
                .pop()
                .map(Box::new)
                .ok_or_else(|| wrong_count(name, count))
        };
        let last = |made| match arguments_are_used(name, count) {
            true => Ok(made),
            false => Err(wrong_count(name, count)),
        };
        match name {
            "not" => last(Expr::Not(next()?)),
            "negate" | "negative" => last(Expr::Negative(next()?)),
            "is_null" => last(Expr::IsNull(next()?)),
            "is_not_null" => last(Expr::IsNotNull(next()?)),
            "is_true" => last(Expr::IsTrue(next()?)),
            "is_not_true" => last(Expr::IsNotTrue(next()?)),
            "is_false" => last(Expr::IsFalse(next()?)),
            "is_not_false" => last(Expr::IsNotFalse(next()?)),
            "like" => {
                let (pattern, value) = (next()?, next()?);
                last(Expr::Like(Like::new(false, value, pattern, None, false)))
            }
            "between" => {
                let (high, low, value) = (next()?, next()?, next()?);
                last(Expr::Between(Between::new(value, false, low, high)))
            }
            _ => match CALLS.iter().find(|(own, _)| *own == name) {
                Some((_, target)) => self.session_call(target, arguments),
                None => Err(unsupported(format_args!("function {name}"))),
            },
        }
    }

    /// A function of the session by its name there.
    pub(super) fn session_call(&self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        let function = self.session.scalar_functions().get(name).cloned();
        let function = function.ok_or_else(|| unsupported(format_args!("function {name}")))?;
        Ok(Expr::ScalarFunction(ScalarCall::new_udf(
            function, arguments,
        )))
    }

    /// `extract(part, [indexing,] value)`: whole numbers, as the specification says.
    fn extract(&mut self, arguments: &[FunctionArgument], scope: &Scope<'_>) -> Result<Expr> {
        let (part, value) = match arguments {
            [part, value] => (part, value),
            [part, indexing, value] if word(indexing) == Some("ONE") => (part, value),
            _ => return Err(unsupported("function extract with these arguments")),
        };
        let part = word(part).ok_or_else(|| invalid("extract without a component"))?;
        let Some((_, part)) = PARTS.iter().find(|(own, _)| *own == part) else {
            return Err(unsupported(format_args!("component {part} of extract")));
        };
        let value = self.values("extract", std::slice::from_ref(value), scope)?;
        let arguments = std::iter::once(lit(*part)).chain(value).collect();
        Ok(cast(
            self.session_call("date_part", arguments)?,
            DataType::Int64,
        ))
    }

    /// Arguments that are all values.
    pub(super) fn values(
        &mut self,
        name: &str,
        arguments: &[FunctionArgument],
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>> {
        let value = |argument: &FunctionArgument| match &argument.argument {
            Some(ArgumentType::Value(value)) => self.expr(value, scope),
            Some(ArgumentType::Enum(_)) => Err(unsupported(format_args!(
                "enum argument of function {name}"
            ))),
            Some(ArgumentType::Type(_)) => Err(unsupported(format_args!(
                "type argument of function {name}"
            ))),
            None => Err(unsupported(format_args!(
                "unknown argument of function {name}"
            ))),
        };
        arguments.iter().map(value).collect()
    }
}

/// Each option must leave room for what happens anyway.
pub(super) fn check_options(
    function: &str,
    options: &[FunctionOption],
    fulfilled: &[(&str, &str)],
) -> Result<()> {
    for option in options {
        let mut preferences = option.preference.iter().map(String::as_str);
        let is_fulfilled =
            preferences.any(|wish| fulfilled.contains(&(option.name.as_str(), wish)));
        if !is_fulfilled {
            let (name, wishes) = (&option.name, option.preference.join(", "));
            return Err(unsupported(format_args!(
                "option {name} ({wishes}) of function {function}"
            )));
        }
    }
    Ok(())
}

pub(super) fn refuse_old_arguments(function: &str, arguments: &[Opaque]) -> Result<()> {
    match arguments.is_empty() {
        true => Ok(()),
        false => Err(unsupported(format_args!(
            "function {function} with arguments in the form before 0.56"
        ))),
    }
}

/// An enum argument, once an option or a string constant.
fn word(argument: &FunctionArgument) -> Option<&str> {
    match &argument.argument {
        Some(ArgumentType::Enum(word)) => Some(word),
        _ => None,
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "equal" => Operator::Eq,
        // Of truth values.
        "not_equal" | "xor" => Operator::NotEq,
        "lt" => Operator::Lt,
        "lte" => Operator::LtEq,
        "gt" => Operator::Gt,
        "gte" => Operator::GtEq,
        "is_distinct_from" => Operator::IsDistinctFrom,
        "is_not_distinct_from" => Operator::IsNotDistinctFrom,
        "and" => Operator::And,
        "or" => Operator::Or,
        "add" => Operator::Plus,
        "subtract" => Operator::Minus,
        "multiply" => Operator::Multiply,
        "divide" => Operator::Divide,
        "modulus" | "mod" => Operator::Modulo,
        "bitwise_and" => Operator::BitwiseAnd,
        "bitwise_or" => Operator::BitwiseOr,
        "bitwise_xor" => Operator::BitwiseXor,
        // NULL when any part is, as the specification wants it.
        "concat" => Operator::StringConcat,
        _ => return None,
    })
}

/// A chain of an operator, no deeper than it must be.
fn balanced(mut arguments: Vec<Expr>, operator: Operator) -> Expr {
    while arguments.len() > 1 {
        let mut pairs = Vec::with_capacity(arguments.len().div_ceil(2));
        let mut rest = arguments.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
                }
                None => left,
            });
        }
        arguments = pairs;
    }
    arguments.pop().unwrap_or_else(|| lit(ScalarValue::Null))
}

/// Whether as many arguments are what the function takes.
fn arguments_are_used(name: &str, count: usize) -> bool {
    match name {
        "like" => count == 2,
        "between" => count == 3,
        _ => count == 1,
    }
}

fn wrong_count(name: &str, count: usize) -> crate::error::EngineError {
    invalid(format_args!("function {name} has {count} arguments"))
}
