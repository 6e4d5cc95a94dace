//! Functions beside those of DataFusion: names that PostgreSQL has for the same, and who we are.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Documentation, Volatility, create_udf};

use super::{like_escape, statement_time};

/// What `version()` answers.
const VERSION: &str = concat!("Quiver ", env!("CARGO_PKG_VERSION"));

/// Other names of functions that DataFusion has.
const SCALAR_ALIASES: [(&str, &[&str]); 2] = [
    ("arrow_typeof", &["pg_typeof", "typeof"]),
    ("uuid", &["gen_random_uuid"]),
];
const AGGREGATE_ALIASES: [(&str, &str); 3] = [
    ("bool_and", "every"),
    ("var_samp", "variance"),
    ("approx_distinct", "approx_count_distinct"),
];

/// A function as `SHOW FUNCTIONS` lists it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListedFunction {
    pub(crate) name: String,
    /// `SCALAR`, `AGGREGATE`, `WINDOW` or `TABLE`.
    pub(crate) kind: &'static str,
    pub(crate) syntax: Option<String>,
    pub(crate) description: Option<String>,
}

/// Adds our functions to a session.
pub(crate) fn register(state: &mut SessionState) -> DataFusionResult<()> {
    for (name, aliases) in SCALAR_ALIASES {
        if let Some(function) = state.scalar_functions().get(name).cloned() {
            let named = function
                .as_ref()
                .clone()
                .with_aliases(aliases.iter().copied());
            state.register_udf(Arc::new(named))?;
        }
    }
    for (name, alias) in AGGREGATE_ALIASES {
        if let Some(function) = state.aggregate_functions().get(name).cloned() {
            let named = function.as_ref().clone().with_aliases([alias]);
            state.register_udaf(Arc::new(named))?;
        }
    }
    let documented = |name: &str| {
        let function = state.scalar_functions().get(name)?;
        function.documentation().cloned()
    };
    for function in statement_time::functions(documented) {
        state.register_udf(Arc::new(function))?;
    }
    state.register_udf(Arc::new(like_escape::function()))?;
    let version = |_: &[ColumnarValue]| {
        let version = ScalarValue::Utf8(Some(VERSION.to_owned()));
        Ok(ColumnarValue::Scalar(version))
    };
    let version = create_udf(
        "version",
        vec![],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(version),
    );
    state.register_udf(Arc::new(version))?;
    Ok(())
}

/// All functions of a session, by name.
pub(crate) fn list(state: &SessionState) -> Vec<ListedFunction> {
    let listed = |name: &String, kind, documentation: Option<&Documentation>| ListedFunction {
        name: name.clone(),
        kind,
        syntax: documentation.map(|doc| doc.syntax_example.trim().to_owned()),
        description: documentation.map(|doc| doc.description.trim().to_owned()),
    };
    let scalar = state.scalar_functions().iter();
    let scalar = scalar.map(|(name, udf)| listed(name, "SCALAR", udf.documentation()));
    let aggregate = state.aggregate_functions().iter();
    let aggregate = aggregate.map(|(name, udf)| listed(name, "AGGREGATE", udf.documentation()));
    let window = state.window_functions().iter();
    let window = window.map(|(name, udf)| listed(name, "WINDOW", udf.documentation()));
    let table = state.table_functions().keys();
    let table = table.map(|name| listed(name, "TABLE", None));
    let mut all: Vec<_> = scalar.chain(aggregate).chain(window).chain(table).collect();
    all.sort();
    all
}
