//! The flags by which every client command finds the server and logs in.

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{Secret, Target};
use super::error::CliError;
use crate::banner::DEV_PASSWORD;
use crate::data_dir::{ADMIN_PASSWORD_FILE, DEV_MARK};

/// Port of a URI that has none.
const DEFAULT_PORT: u16 = 50051;
/// Environment variable with the password.
const PASSWORD_VARIABLE: &str = "QUIVER_PASSWORD";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Server: grpc://HOST:PORT, or grpc+tls://HOST:PORT with TLS
    #[arg(
        long,
        env = "QUIVER_URI",
        value_name = "URI",
        default_value = "grpc://127.0.0.1:50051"
    )]
    pub(crate) uri: String,
    /// User, or USER@TENANT
    #[arg(
        long,
        env = "QUIVER_USER",
        value_name = "USER",
        default_value = "admin"
    )]
    pub(crate) user: String,
    /// File with the password on its first line
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The server's data directory on this machine: takes the password from DIR/admin-password,
    /// where it lies until it is changed
    #[arg(long, value_name = "DIR", conflicts_with = "password_file")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Certificate authority to trust (PEM), needed with grpc+tls
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca_file: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Where to connect and who to be.
    ///
    /// # Errors
    /// Unusable flags or no password.
    pub(crate) fn target(&self, tenant: Option<&str>) -> Result<Target, CliError> {
        let (uri, tls) = parse_uri(&self.uri)?;
        let ca_pem = match (&self.tls_ca_file, tls) {
            (Some(path), true) => Some(read(path)?),
            (None, true) => {
                let message = format!(
                    "{} needs --tls-ca-file FILE, the authority to trust",
                    self.uri
                );
                return Err(CliError::Usage { message });
            }
            (Some(_), false) => {
                let message = "--tls-ca-file is for TLS; write --uri grpc+tls://…".to_owned();
                return Err(CliError::Usage { message });
            }
            (None, false) => None,
        };
        let password = self.password(std::env::var(PASSWORD_VARIABLE).ok())?;
        Ok(Target {
            uri,
            shown: self.uri.clone(),
            ca_pem,
            user: self.user.clone(),
            password: Secret(password),
            tenant: tenant.map(str::to_owned),
        })
    }

    fn password(&self, variable: Option<String>) -> Result<String, CliError> {
        if let Some(path) = &self.password_file {
            return first_line(path);
        }
        if let Some(directory) = &self.data_dir {
            if directory.join(DEV_MARK).exists() {
                return Ok(DEV_PASSWORD.to_owned());
            }
            return first_line(&directory.join(ADMIN_PASSWORD_FILE));
        }
        if let Some(password) = variable {
            return Ok(password);
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            let message = format!(
                "no password for user {}: set {PASSWORD_VARIABLE}, or give --password-file FILE or \
                 --data-dir DIR",
                self.user
            );
            return Err(CliError::Usage { message });
        }
        ask(&format!("Password for {}: ", self.user))
    }
}

/// Asks on the terminal without showing what is typed.
///
/// # Errors
/// When there is no terminal or it is closed.
pub(crate) fn ask(question: &str) -> Result<String, CliError> {
    rpassword::prompt_password(question).map_err(|source| CliError::Io {
        action: "read the password".to_owned(),
        source,
    })
}

/// The first line of a file with a password, without its line ending.
///
/// # Errors
/// When it cannot be read, is not text, or is empty.
pub(crate) fn first_line(path: &Path) -> Result<String, CliError> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(CliError::Usage {
            message: format!("{} has no password on its first line", path.display()),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::Io {
        action: format!("read {}", path.display()),
        source,
    })
}

/// The URI in tonic's terms, and whether it is TLS.
fn parse_uri(text: &str) -> Result<(String, bool), CliError> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("grpc", text));
    let tls = match scheme {
        "grpc" | "grpc+tcp" => false,
        "grpc+tls" => true,
        _ => return Err(bad_uri(text)),
    };
    let authority: http::uri::Authority = rest
        .trim_end_matches('/')
        .parse()
        .map_err(|_| bad_uri(text))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(bad_uri(text));
    }
    let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
    let scheme = if tls { "https" } else { "http" };
    Ok((format!("{scheme}://{}:{port}", authority.host()), tls))
}

fn bad_uri(text: &str) -> CliError {
    let message = format!("{text} is not a server; write grpc://HOST:PORT or grpc+tls://HOST:PORT");
    CliError::Usage { message }
}
