//! Why settings were refused, in one line that names the key and what to do.

use std::path::PathBuf;

/// A setting that cannot be used. Nothing was started or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The settings file cannot be read.
    #[error(
        "cannot read the settings file {}: {source}; check the path given by --config",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not valid TOML (line {line}): {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What is wrong there, on one line.
        message: String,
    },
    /// No setting has this name.
    #[error("unknown setting {name} in {layer}{}", hint(nearest.as_deref()))]
    Unknown {
        /// The name as it was written.
        name: String,
        /// Where it was written.
        layer: String,
        /// The known name nearest to it, spelled as that layer spells it.
        nearest: Option<String>,
    },
    /// The value has the wrong type or does not parse.
    #[error("setting {key} in {layer} is not usable: {message}")]
    Value {
        /// The setting.
        key: String,
        /// Where the value came from.
        layer: String,
        /// What is wrong with it.
        message: String,
    },
    /// The value parses but is not allowed, alone or next to another one.
    #[error("setting {key} is {value}, but {allowed}")]
    NotAllowed {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed, or what to do.
        allowed: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => "; quiver serve --print-settings shows all names".to_owned(),
    }
}
