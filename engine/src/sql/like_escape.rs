//! `LIKE … ESCAPE`: patterns with another escape than the backslash, which is the only one that
//! DataFusion executes.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_string_array;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, Value, ValueWithSpan,
};

use crate::error::{EngineError, Result};

const FUNCTION: &str = "like_pattern";

/// Takes the escape out of a `LIKE`, whose pattern then has backslashes in its place.
///
/// # Errors
/// `InvalidArgument` for more than one character.
pub(super) fn without_escape(
    pattern: &mut Box<Expr>,
    escape: &mut Option<ValueWithSpan>,
) -> Result<()> {
    let Some(Value::SingleQuotedString(character)) = escape.as_ref().map(|value| &value.value)
    else {
        return Ok(());
    };
    if character.chars().nth(1).is_some() {
        return Err(EngineError::invalid(
            "ESCAPE takes one character, or none for a pattern without an escape",
        ));
    }
    if character == "\\" {
        return Ok(());
    }
    let character = Expr::Value(Value::SingleQuotedString(character.clone()).into());
    let argument = |expr: Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    **pattern = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(pattern.as_ref().clone()), argument(character)],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    });
    *escape = None;
    Ok(())
}

/// `like_pattern(pattern, escape)`.
pub(super) fn function() -> ScalarUDF {
    let invoke = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let (patterns, escapes) = (as_string_array(&arrays[0])?, arrays[1].as_string::<i32>());
        let translated: StringArray = patterns
            .iter()
            .zip(escapes)
            .map(|(pattern, escape)| Some(translated(pattern?, escape?)))
            .collect();
        let is_one = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(_));
        Ok(match arguments.iter().all(is_one) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&translated, 0)?),
            false => ColumnarValue::Array(Arc::new(translated)),
        })
    };
    create_udf(
        FUNCTION,
        vec![DataType::Utf8, DataType::Utf8],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(invoke),
    )
}

/// The pattern with backslashes where it has `escape`.
fn translated(pattern: &str, escape: &str) -> String {
    let escape = escape.chars().next();
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            translated.push('\\');
            translated.extend(characters.next());
        } else {
            if character == '\\' {
                translated.push('\\');
            }
            translated.push(character);
        }
    }
    translated
}
