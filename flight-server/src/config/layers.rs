//! Puts file, environment and flags on top of the defaults, one leaf at a time.
//!
//! The defaults, written out as a document, are the list of known keys and of their types; no
//! second list can drift from the structs. Every leaf is tried on its own, so that a mistake is
//! reported with its key and the place it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ConfigError, Settings};

/// Prefix of environment variables.
const PREFIX: &str = "QUIVER_";
/// Names further from every known name than this get no suggestion.
const SUGGESTION_DISTANCE_MAX: usize = 6;

/// One value given on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// The flag as the user knows it, such as `--data-dir`.
    pub(crate) flag: String,
    /// The setting's key, such as `server.data_dir`.
    pub(crate) key: String,
    /// The value as text.
    pub(crate) value: String,
}

/// The three layers above the defaults.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// TOML file.
    pub(crate) file: Option<PathBuf>,
    /// Environment variables, all of them; only settings are looked at.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags, in order; the last one of a key counts.
    pub(crate) flags: Vec<Flag>,
}

impl Layers {
    /// Merges the layers and validates the outcome.
    ///
    /// # Errors
    /// The first unknown name, unusable value or forbidden combination, naming its key.
    pub(crate) fn load(&self) -> Result<Settings, ConfigError> {
        let mut document = Document::new();
        if let Some(path) = &self.file {
            document.apply_file(path)?;
        }
        document.apply_environment(&self.environment)?;
        for flag in &self.flags {
            document.apply_text(&flag.key, &flag.key, &flag.value, &flag.flag)?;
        }
        let settings = document.settings;
        settings.validate()?;
        Ok(settings)
    }
}

/// The merged values so far: as a document (to change a leaf) and as settings (proven usable).
struct Document {
    values: Value,
    settings: Settings,
    defaults: BTreeMap<String, Value>,
}

impl Document {
    fn new() -> Self {
        let settings = Settings::default();
        let values = serde_json::to_value(&settings).expect("plain data always serialises");
        let defaults = leaves(&values).into_iter().collect();
        Self {
            values,
            settings,
            defaults,
        }
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let values: Value = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        let layer = format!("the settings file {}", path.display());
        for (key, value) in leaves(&values) {
            if !self.defaults.contains_key(&key) {
                let nearest = nearest(&key, self.defaults.keys().map(String::as_str));
                return Err(ConfigError::Unknown {
                    name: key,
                    layer,
                    nearest,
                });
            }
            self.set(&key, value, &layer)?;
        }
        Ok(())
    }

    fn apply_environment(&mut self, variables: &[(String, String)]) -> Result<(), ConfigError> {
        let names: BTreeMap<String, String> = self
            .defaults
            .keys()
            .map(|key| (variable(key), key.clone()))
            .collect();
        for (name, value) in variables {
            if let Some(key) = names.get(name) {
                self.apply_text(key, name, value, &format!("the environment ({name})"))?;
            } else if let Some(nearest) = misspelt(name, &names) {
                let nearest = nearest.map(|known| format!("{known} ({})", names[&known]));
                return Err(ConfigError::Unknown {
                    name: name.clone(),
                    layer: "the environment".to_owned(),
                    nearest,
                });
            }
        }
        Ok(())
    }

    /// Sets `key` from text, reading the text as the type the default has.
    fn apply_text(
        &mut self,
        key: &str,
        name: &str,
        text: &str,
        layer: &str,
    ) -> Result<(), ConfigError> {
        let Some(default) = self.defaults.get(key) else {
            return Err(ConfigError::Unknown {
                name: name.to_owned(),
                layer: layer.to_owned(),
                nearest: nearest(key, self.defaults.keys().map(String::as_str)),
            });
        };
        let value = match default {
            Value::Number(_) | Value::Bool(_) => {
                serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text))
            }
            _ => Value::from(text),
        };
        self.set(key, value, layer)
    }

    fn set(&mut self, key: &str, value: Value, layer: &str) -> Result<(), ConfigError> {
        let mut node = &mut self.values;
        for part in key.split('.') {
            node = &mut node[part];
        }
        *node = value;
        self.settings = Settings::deserialize_from(&self.values).map_err(|error| {
            let (key, layer) = (key.to_owned(), layer.to_owned());
            ConfigError::Value {
                key,
                layer,
                message: error.to_string(),
            }
        })?;
        Ok(())
    }
}

impl Settings {
    fn deserialize_from(values: &Value) -> Result<Self, serde_json::Error> {
        serde::Deserialize::deserialize(values)
    }
}

/// All leaves of a document with dotted keys; an empty table has none.
fn leaves(values: &Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let key = if prefix.is_empty() {
                        name.clone()
                    } else {
                        format!("{prefix}.{name}")
                    };
                    walk(&key, field, out);
                }
            }
            leaf => out.push((prefix.to_owned(), leaf.clone())),
        }
    }
    let mut out = Vec::new();
    walk("", values, &mut out);
    out
}

/// `server.tls.cert_file` as an environment variable.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Whether a variable that is no setting was meant to be one; then with the nearest known name.
///
/// `QUIVER_URI`, `QUIVER_PASSWORD` and variables of other tools share the prefix, so a name
/// without the section separator is refused only when it is a setting's name but for that
/// separator or its section.
fn misspelt(name: &str, names: &BTreeMap<String, String>) -> Option<Option<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    if rest.contains("__") {
        return Some(nearest(name, names.keys().map(String::as_str)));
    }
    let meant = names.keys().find(|known| {
        known.rsplit("__").next() == Some(rest)
            || known
                .strip_prefix(PREFIX)
                .is_some_and(|known| known.replace("__", "_") == rest)
    });
    meant.map(|known| Some(known.clone()))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let leaf = |name: &str| name.rsplit(['.']).next().unwrap_or(name).to_owned();
    known
        .map(|candidate| {
            // The right key in the wrong section is the likeliest mistake.
            let same_leaf = candidate.contains('.') && leaf(candidate) == leaf(name);
            let distance = strsim::damerau_levenshtein(name, candidate);
            (if same_leaf { 0 } else { distance }, candidate)
        })
        .min()
        .filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE_MAX)
        .map(|(_, candidate)| candidate.to_owned())
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1;
    let message = error.message().replace('\n', ", ");
    ConfigError::Syntax {
        path: path.to_owned(),
        line,
        message,
    }
}
