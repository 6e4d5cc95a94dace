//! The `quiver` server: Flight SQL and HTTP in front of the engine.
//!
//! Turns calls into (tenant, statement or stream of record batches), asks [`quiver_engine`] to do
//! the work, and turns what comes back into the wire's terms. Holds no storage logic.

mod admission;
mod auth;
mod banner;
pub mod cli;
mod config;
mod connections;
mod data_dir;
mod http;
mod login;
mod method;
mod metrics;
mod queries;
mod request_body;
mod server;
mod service;
mod session_transactions;
mod sessions;
mod shared;
mod status;
mod stop;
mod system_tables;
mod telemetry;
