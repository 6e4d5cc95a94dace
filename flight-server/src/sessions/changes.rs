//! What one `SetSessionOptions` asks for, split into what can be done and what cannot.

use std::collections::HashMap;

use quiver_proto::session::OptionValue;
use quiver_proto::{
    SessionOptionError, SessionOptionErrorValue, SessionOptionValue, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};

use super::{CATALOG, SCHEMA, SessionNames, State};

/// What a valid part of a request does to one option.
enum Change {
    Keep,
    Erase,
    Set(String),
}

/// The valid part of a request.
pub(super) struct Changes {
    catalog: Change,
    schema: Change,
}

impl Changes {
    /// Splits a request into what can be done and what cannot.
    pub(super) fn validate(
        request: &SetSessionOptionsRequest,
        names: &dyn SessionNames,
    ) -> (Self, SetSessionOptionsResult) {
        let mut changes = Self {
            catalog: Change::Keep,
            schema: Change::Keep,
        };
        let mut errors = HashMap::new();
        for (name, value) in &request.session_options {
            let valid = match name.as_str() {
                CATALOG => change(value, |text| names.catalog(text)).map(|c| changes.catalog = c),
                SCHEMA => change(value, |text| names.schema(text)).map(|c| changes.schema = c),
                _ => Err(SessionOptionErrorValue::InvalidName),
            };
            if let Err(error) = valid {
                errors.insert(
                    name.clone(),
                    SessionOptionError {
                        value: error.into(),
                    },
                );
            }
        }
        (changes, SetSessionOptionsResult { errors })
    }

    /// Whether a session without state needs one to take the changes.
    pub(super) fn sets_something(&self) -> bool {
        matches!(self.catalog, Change::Set(_)) || matches!(self.schema, Change::Set(_))
    }

    /// Makes the changes.
    pub(super) fn apply(self, state: &mut State) {
        for (change, option) in [
            (self.catalog, &mut state.catalog),
            (self.schema, &mut state.schema),
        ] {
            match change {
                Change::Keep => {}
                Change::Erase => *option = None,
                Change::Set(name) => *option = Some(name),
            }
        }
    }
}

/// Both options are names: text, or a list of exactly one text, which is how some clients send it.
fn change(
    value: &SessionOptionValue,
    spelled: impl FnOnce(&str) -> Option<String>,
) -> Result<Change, SessionOptionErrorValue> {
    let text = match &value.option_value {
        None => return Ok(Change::Erase),
        Some(OptionValue::String(text)) => text,
        Some(OptionValue::StringList(list)) if list.values.len() == 1 => &list.values[0],
        Some(_) => return Err(SessionOptionErrorValue::InvalidValue),
    };
    spelled(text)
        .map(Change::Set)
        .ok_or(SessionOptionErrorValue::InvalidValue)
}
