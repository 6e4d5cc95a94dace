//! `quiver tenant` and `quiver user`: a few SQL statements for the running server.
//!
//! Names are quoted and passwords escaped, so that neither can become SQL. A password is never an
//! argument, where other users of the machine could read it.

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rand::distr::{Alphanumeric, SampleString};

use super::client::FlightClient;
use super::connection::{ConnectionArgs, ask, first_line};
use super::error::CliError;
use super::sql::{Destination, Format, Session};

/// Letters and digits of a generated password: more than 140 bits.
const PASSWORD_LETTERS: usize = 24;

const TENANT_EXAMPLES: &str = "Examples:
  quiver tenant create acme
  quiver tenant list --format json
  quiver tenant drop acme

Only administrators of the node may do this.";

const USER_EXAMPLES: &str = "Examples:
  quiver user create bob --tenant acme            makes a password and prints it once
  quiver user create bob --tenant acme --new-password-file bob.txt
  quiver user password bob --tenant acme --ask
  quiver user list
  quiver user drop bob --tenant acme";

#[derive(Debug, Args)]
#[command(after_help = TENANT_EXAMPLES)]
pub(crate) struct TenantArgs {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Create a tenant
    #[command(after_help = "Example:\n  quiver tenant create acme")]
    Create {
        /// Its name
        name: String,
        /// Do nothing when it exists
        #[arg(long)]
        if_not_exists: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Drop a tenant with all its data
    #[command(after_help = "Example:\n  quiver tenant drop acme")]
    Drop {
        /// Its name
        name: String,
        /// Do nothing when it does not exist
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// List all tenants
    #[command(after_help = "Example:\n  quiver tenant list --format csv")]
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = USER_EXAMPLES)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create a user
    #[command(after_help = "Example:\n  quiver user create bob --tenant acme")]
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: UserTenant,
        #[command(flatten)]
        password: NewPassword,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Set a new password
    #[command(after_help = "Example:\n  quiver user password bob --tenant acme --ask")]
    Password {
        /// The user's name
        name: String,
        #[command(flatten)]
        tenant: UserTenant,
        #[command(flatten)]
        password: NewPassword,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Drop a user
    #[command(after_help = "Example:\n  quiver user drop bob --tenant acme")]
    Drop {
        /// Its name
        name: String,
        #[command(flatten)]
        tenant: UserTenant,
        /// Do nothing when it does not exist
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// List users
    #[command(after_help = "Example:\n  quiver user list --format csv")]
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// How rows are written
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct UserTenant {
    /// The user's tenant [default: the one of --user]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

/// Where the user's new password comes from; without a flag one is made and printed once.
#[derive(Debug, Args)]
struct NewPassword {
    /// Take the user's password from the first line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "ask")]
    new_password_file: Option<PathBuf>,
    /// Ask for the user's password
    #[arg(long)]
    ask: bool,
}

/// Runs `quiver tenant`.
///
/// # Errors
/// No connection, or what the server answered.
pub(crate) async fn tenant(arguments: TenantArgs) -> Result<(), CliError> {
    match arguments.command {
        TenantCommand::Create {
            name,
            if_not_exists,
            connection,
        } => {
            let clause = if if_not_exists { "IF NOT EXISTS " } else { "" };
            change(
                &connection,
                &format!("CREATE TENANT {clause}{}", identifier(&name)),
            )
            .await?;
            tell(&format!(
                "tenant {name} is there; give it a user: quiver user create NAME --tenant {name}"
            ))
        }
        TenantCommand::Drop {
            name,
            if_exists,
            connection,
        } => {
            let clause = if if_exists { "IF EXISTS " } else { "" };
            change(
                &connection,
                &format!("DROP TENANT {clause}{}", identifier(&name)),
            )
            .await?;
            tell(&format!("tenant {name} is gone"))
        }
        TenantCommand::List(arguments) => list(&arguments, "SELECT * FROM system.tenants").await,
    }
}

/// Runs `quiver user`.
///
/// # Errors
/// No connection, no password, or what the server answered.
pub(crate) async fn user(arguments: UserArgs) -> Result<(), CliError> {
    match arguments.command {
        UserCommand::Create {
            name,
            tenant,
            password,
            connection,
        } => {
            let password = password.get()?;
            let (tenant, secret) = (tenant.clause(), literal(&password.text));
            let sql = format!(
                "CREATE USER {}{tenant} PASSWORD {secret}",
                identifier(&name)
            );
            change(&connection, &sql).await?;
            password.tell(&format!("user {name} is there"))
        }
        UserCommand::Password {
            name,
            tenant,
            password,
            connection,
        } => {
            let password = password.get()?;
            let (tenant, secret) = (tenant.clause(), literal(&password.text));
            let sql = format!("ALTER USER {}{tenant} PASSWORD {secret}", identifier(&name));
            change(&connection, &sql).await?;
            password.tell(&format!("user {name} has a new password"))
        }
        UserCommand::Drop {
            name,
            tenant,
            if_exists,
            connection,
        } => {
            let clause = if if_exists { "IF EXISTS " } else { "" };
            let sql = format!("DROP USER {clause}{}{}", identifier(&name), tenant.clause());
            change(&connection, &sql).await?;
            tell(&format!("user {name} is gone"))
        }
        UserCommand::List(arguments) => list(&arguments, "SELECT * FROM system.users").await,
    }
}

impl UserTenant {
    fn clause(&self) -> String {
        let tenant = self.tenant.as_deref();
        tenant
            .map(|name| format!(" IN TENANT {}", identifier(name)))
            .unwrap_or_default()
    }
}

/// A password for a user, and whether we made it.
struct Password {
    text: String,
    is_made: bool,
}

impl NewPassword {
    fn get(&self) -> Result<Password, CliError> {
        if let Some(path) = &self.new_password_file {
            return Ok(Password {
                text: first_line(path)?,
                is_made: false,
            });
        }
        if self.ask {
            if !std::io::stdin().is_terminal() {
                let message = "--ask needs a terminal; use --new-password-file FILE".to_owned();
                return Err(CliError::Usage { message });
            }
            let text = ask("New password: ")?;
            if text.is_empty() || text != ask("Again: ")? {
                let message = "the two passwords differ or are empty; try again".to_owned();
                return Err(CliError::Usage { message });
            }
            return Ok(Password {
                text,
                is_made: false,
            });
        }
        let text = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LETTERS);
        Ok(Password {
            text,
            is_made: true,
        })
    }
}

impl Password {
    /// A made password goes to standard output alone, so that a script can keep it.
    fn tell(&self, done: &str) -> Result<(), CliError> {
        if !self.is_made {
            return tell(done);
        }
        tell(&format!("{done}; the password is shown only now:"))?;
        let written = writeln!(std::io::stdout().lock(), "{}", self.text);
        written.map_err(|source| CliError::Io {
            action: "print the password".to_owned(),
            source,
        })
    }
}

async fn change(connection: &ConnectionArgs, sql: &str) -> Result<(), CliError> {
    let mut client = connect(connection).await?;
    client.execute(sql).await?;
    Ok(())
}

async fn list(arguments: &ListArgs, sql: &str) -> Result<(), CliError> {
    let client = connect(&arguments.connection).await?;
    let mut session = Session::new(client, arguments.format);
    session.execute(sql, &Destination::Stdout).await
}

async fn connect(connection: &ConnectionArgs) -> Result<FlightClient, CliError> {
    Ok(FlightClient::connect(&connection.target(None)?).await?)
}

fn tell(text: &str) -> Result<(), CliError> {
    let written = writeln!(std::io::stderr().lock(), "{text}");
    written.map_err(|source| CliError::Io {
        action: "report".to_owned(),
        source,
    })
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
