//! `now()` and `current_time`: when a statement began, in microseconds as PostgreSQL has it.
//!
//! DataFusion's own have nanoseconds, which a column of the open catalog cannot keep, so that a table
//! could not be made of them, and which Python's `datetime` does not know.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

const DAY_MICROS: i64 = 86_400_000_000;

/// The functions, with what is documented of those whose place they take.
pub(crate) fn functions(documented: impl Fn(&str) -> Option<Documentation>) -> Vec<ScalarUDF> {
    let utc = Some(Arc::from("UTC"));
    let now = StatementTime {
        name: "now",
        aliases: vec!["current_timestamp".to_owned()],
        data_type: DataType::Timestamp(TimeUnit::Microsecond, utc),
        signature: Signature::nullary(Volatility::Stable),
        documentation: documented("now"),
    };
    let time = StatementTime {
        name: "current_time",
        aliases: vec![],
        data_type: DataType::Time64(TimeUnit::Microsecond),
        signature: Signature::nullary(Volatility::Stable),
        documentation: documented("current_time"),
    };
    vec![now.into(), time.into()]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StatementTime {
    name: &'static str,
    aliases: Vec<String>,
    data_type: DataType,
    signature: Signature,
    documentation: Option<Documentation>,
}

impl StatementTime {
    fn value(&self, began: DateTime<Utc>) -> ScalarValue {
        let micros = began.timestamp_micros();
        match &self.data_type {
            DataType::Timestamp(_, zone) => {
                ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
            }
            _ => ScalarValue::Time64Microsecond(Some(micros.rem_euclid(DAY_MICROS))),
        }
    }
}

impl ScalarUDFImpl for StatementTime {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is a value before a statement is executed", self.name)
    }

    fn simplify(
        &self,
        arguments: Vec<Expr>,
        context: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        let Some(began) = context.query_execution_start_time() else {
            return Ok(ExprSimplifyResult::Original(arguments));
        };
        let value = Expr::Literal(self.value(began), None);
        Ok(ExprSimplifyResult::Simplified(value))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation.as_ref()
    }
}
