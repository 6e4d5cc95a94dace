//! What a person sees once the server listens: how to connect, ready to be copied.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

use crate::config::Settings;

/// Password of the administrator of a `--dev` server.
pub(crate) const DEV_PASSWORD: &str = "quiver";

/// Addresses that are really listened on (port 0 in the settings takes a free one).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Arrow Flight SQL.
    pub(crate) flight: SocketAddr,
    /// Plain HTTP.
    pub(crate) http: SocketAddr,
}

/// The banner, several lines, ending with a line feed.
///
/// `admin_password_file` is given when the administrator's password is in a file.
pub(crate) fn text(
    settings: &Settings,
    bound: Bound,
    admin_password_file: Option<&Path>,
) -> String {
    let tls = settings.server.tls.files().is_some();
    let scheme = if tls { "grpc+tls" } else { "grpc" };
    let uri = format!("{scheme}://{}", reachable(bound.flight));
    let data = settings.server.data_dir.display();
    let login = Login::new(settings.server.dev, admin_password_file);
    let Login {
        password, option, ..
    } = &login;
    let (jdbc, http) = (reachable(bound.flight), reachable(bound.http));
    let ca = if tls { " --tls-ca-file ca.pem" } else { "" };
    let mut out =
        format!("Quiver is ready: Flight SQL {uri}, HTTP http://{http}, data in {data}\n");
    out.push_str(&login.notice);
    out.push_str(&format!(
        "
  quiver sql   {prefix}quiver sql --uri {uri}{ca}{option}
  Python       pip install adbc-driver-flightsql pyarrow
               import adbc_driver_flightsql.dbapi as flightsql
               login = {{\"username\": \"admin\", \"password\": {password}}}
               db = flightsql.connect(\"{uri}\", db_kwargs=login, autocommit=True)
  JDBC         jdbc:arrow-flight-sql://{jdbc}/?useEncryption={tls}&user=admin&password={shown}
",
        prefix = login.prefix,
        shown = login.shown,
    ));
    out
}

/// Prints the banner on standard output, where scripts may wait for it.
///
/// A closed standard output is not a reason to stop the server, so a failed write is ignored.
pub(crate) fn print(settings: &Settings, bound: Bound, admin_password_file: Option<&Path>) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let text = text(settings, bound, admin_password_file);
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How the administrator's password appears in the examples.
struct Login {
    notice: String,
    prefix: &'static str,
    option: String,
    password: String,
    shown: &'static str,
}

impl Login {
    fn new(dev: bool, file: Option<&Path>) -> Self {
        if dev {
            return Self {
                notice: format!(
                    "DEVELOPMENT SERVER: user admin, password {DEV_PASSWORD}, known to everybody. \
                     Loopback only. Never keep real data here.\n"
                ),
                prefix: "QUIVER_PASSWORD=quiver ",
                option: String::new(),
                password: format!("\"{DEV_PASSWORD}\""),
                shown: DEV_PASSWORD,
            };
        }
        match file {
            Some(path) => Self {
                notice: format!("User admin; the password is in {}\n", path.display()),
                prefix: "",
                option: format!(" --password-file {}", path.display()),
                password: format!("open(\"{}\").read().strip()", path.display()),
                shown: "PASSWORD",
            },
            None => Self {
                notice: String::new(),
                prefix: "",
                option: String::new(),
                password: "\"PASSWORD\"".to_owned(),
                shown: "PASSWORD",
            },
        }
    }
}

/// An address a client on this machine can use: every interface means this machine, too.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let mut addr = addr;
    if addr.ip().is_unspecified() {
        match addr {
            SocketAddr::V4(_) => addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => addr.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
    }
    addr
}
