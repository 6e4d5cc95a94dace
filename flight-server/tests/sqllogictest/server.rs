//! The server under test: the real binary over an empty folder.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::client::Client;

const START_SECONDS_MAX: u64 = 60;

pub(crate) struct Server {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (flight, http) = free_ports();
        let process = Command::new(env!("CARGO_BIN_EXE_quiver"))
            .args(["serve", "--dev", "--data-dir"])
            .arg(folder.path())
            .args(["--flight-addr", &format!("127.0.0.1:{flight}")])
            .args(["--http-addr", &format!("127.0.0.1:{http}")])
            .env("QUIVER_LOG__FILTER", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            process,
            port: flight,
            _folder: folder,
        };
        let reachable = async {
            while TcpStream::connect(("127.0.0.1", flight)).is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = Duration::from_secs(START_SECONDS_MAX);
        let started = tokio::time::timeout(limit, reachable).await;
        started.expect("the server starts");
        server
    }

    /// A client in a tenant of its own.
    pub(crate) async fn tenant(&self, name: &str) -> Client {
        let mut admin = Client::connect(self.port, "admin", "quiver").await;
        for sql in [
            format!("CREATE TENANT {name}"),
            format!("CREATE USER tester IN TENANT {name} PASSWORD 'a long password'"),
        ] {
            admin
                .query(&sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        Client::connect(self.port, &format!("tester@{name}"), "a long password").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Two ports that nothing listens on.
fn free_ports() -> (u16, u16) {
    let probe = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let probes = (probe(), probe());
    let port = |probe: &TcpListener| probe.local_addr().unwrap().port();
    (port(&probes.0), port(&probes.1))
}
