//! Wiring of the server and its life from start to drained stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use quiver_catalog::{CatalogError, Clock, ControlCatalog, ErrorKind, NewUser, SystemClock};
use quiver_engine::{Engine, EngineError, EngineSettings, task};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::admission::AdmissionLayer;
use crate::auth::{AuthSettings, Authenticator, Keys, KeysError, random};
use crate::banner;
use crate::config::Settings;
use crate::connections::{Acceptor, ConnectionLimits};
use crate::data_dir::{ADMIN_PASSWORD_FILE, DataDir, DataDirError};
use crate::http::{HttpState, Readiness, serve_http};
use crate::login::LoginLayer;
use crate::metrics::Metrics;
use crate::queries::Queries;
use crate::request_body::{BodyLimits, RequestBodyLayer};
use crate::service::{
    HandleLimits, PolledStatements, PreparedStatements, QuiverFlightService, Shares,
    StatementRecords,
};
use crate::session_transactions::{MarkLimits, SessionTransactions};
use crate::sessions::{SessionLimits, Sessions};
use crate::shared::{Shared, place};

/// HTTP/2 windows and frames that let an upload run at wire speed.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const FRAME_BYTES: u32 = 1 << 20;
/// Calls that one connection may have open; a client waits with further ones.
const CONNECTION_CALLS_MAX: u32 = 256;
/// What a request may have beside its SQL, in bytes: a little more SQL than is allowed, too, which
/// then is refused by name.
const REQUEST_BYTES: usize = 16 << 20;
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often idle state is looked for.
const SWEEP: Duration = Duration::from_secs(5);
const ADMIN: &str = "admin";
const DEFAULT_TENANT: &str = "default";

/// Why the server could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The control catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The engine cannot start, or could not flush at the end.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address")]
    Listen {
        /// The address.
        address: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("TLS: cannot read {}: {source}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The Flight service failed.
    #[error("the Flight service failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The log failed: nothing more can be made durable.
    #[error("the write-ahead log failed: free or repair the disk, then start again")]
    LogPoisoned,
}

/// Runs the server until `shutdown` is cancelled and everything is drained and flushed.
///
/// # Errors
/// See [`ServeError`].
pub(crate) async fn serve(
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let limits = ConnectionLimits::of_flight(settings.server.connections_max);
    let data_dir = DataDir::open(&settings.server.data_dir, settings.server.dev)?;
    let flight = listen(settings.server.flight_addr).await?;
    let http = listen(settings.server.http_addr).await?;
    let (ready, readiness) = watch::channel(Readiness::Starting);
    let metrics = Arc::new(Metrics::new());
    let http_state = HttpState {
        ready: readiness,
        metrics: Arc::clone(&metrics),
    };
    let http_stop = CancellationToken::new();
    let bound = banner::Bound {
        flight: local_address(&flight)?,
        http: local_address(&http)?,
    };
    let flight = Acceptor::new(flight, limits, Arc::clone(&metrics));
    let help = "Connections of Flight clients";
    metrics.gauge("connections", help, flight.count());
    let http = Acceptor::new(http, ConnectionLimits::of_http(), Arc::clone(&metrics));
    let http_task = task::spawn(serve_http(http, http_state, http_stop.clone()));

    let (shared, password_file) = start(&settings, Arc::clone(&metrics)).await?;
    register_gauges(&metrics, &shared);
    ready.send_replace(Readiness::Ready);
    banner::print(&settings, bound, password_file.as_deref());

    let stop = CancellationToken::new();
    let sweeper = task::spawn(sweep(Arc::clone(&shared), stop.clone(), shutdown.clone()));
    let served = serve_flight(&settings, Arc::clone(&shared), flight, ready, shutdown).await;
    stop.cancel();
    // The sweeper ends by itself.
    let _ended = sweeper.await;
    let poisoned = shared.engine.is_poisoned();
    let closed = shared.engine.close().await;
    let control_closed = shared.control.close().await;
    http_stop.cancel();
    // Scrapes that still run do not keep the data open.
    let _ended = http_task.await;
    drop(data_dir);
    served?;
    if poisoned {
        return Err(ServeError::LogPoisoned);
    }
    closed?;
    control_closed?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens everything; recovery happens here.
async fn start(
    settings: &Settings,
    metrics: Arc<Metrics>,
) -> Result<(Arc<Shared>, Option<PathBuf>), ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let directory = &settings.server.data_dir;
    let keys = Keys::load_or_create(&directory.join("keys"))?;
    let control =
        ControlCatalog::open(&directory.join("control.sqlite"), Arc::clone(&clock)).await?;
    let control = Arc::new(control);
    let password_file = first_start(&control, settings).await?;
    let tenants: Vec<_> = control.tenants().await?.iter().map(place).collect();
    let dropped: Vec<_> = control.dropped_tenants().iter().map(place).collect();
    let settings_of_engine = engine_settings(settings);
    let engine = Engine::open(settings_of_engine, Arc::clone(&clock), &tenants, &dropped).await?;
    let auth_settings = AuthSettings {
        token_ttl: Duration::from_secs(settings.auth.token_ttl_s),
        password_remember: Duration::from_millis(settings.auth.password_cache_ttl_ms),
        ..AuthSettings::default()
    };
    let auth = Authenticator::new(
        Arc::clone(&control),
        keys,
        Arc::clone(&clock),
        auth_settings,
    );
    let limits = SessionLimits {
        idle_max: Duration::from_millis(settings.session.idle_timeout_ms),
        per_tenant_max: settings.session.tenant_sessions_max,
    };
    let mark_limits = MarkLimits {
        idle_max: auth_settings.token_ttl,
        per_tenant_max: settings.session.tenant_sessions_max,
    };
    let marks = SessionTransactions::load(Arc::clone(&control), Arc::clone(&clock), mark_limits);
    let session_transactions = marks.await?;
    let handle_limits = HandleLimits {
        count_max: settings.session.tenant_statements_max,
        bytes_max: settings.session.tenant_statement_bytes_max,
    };
    let statements = StatementRecords::new("tickets", handle_limits, Arc::clone(&clock));
    let shares = Shares::new("endpoints", handle_limits, Arc::clone(&clock));
    let what = "prepared statements";
    let prepared = PreparedStatements::new(what, handle_limits, Arc::clone(&clock));
    let polls = PolledStatements::new("polled statements", handle_limits, Arc::clone(&clock));
    let shared = Shared {
        settings: settings.clone(),
        control,
        engine,
        auth: Arc::new(auth),
        sessions: Sessions::new(limits, Arc::clone(&clock)),
        statements,
        shares,
        prepared,
        polls,
        running: Arc::default(),
        session_transactions,
        queries: Queries::new(Arc::clone(&clock)),
        metrics,
        clock,
    };
    Ok((Arc::new(shared), password_file))
}

/// Makes tenant `default` and user `admin` when there is nobody yet; where the password lies.
async fn first_start(
    control: &ControlCatalog,
    settings: &Settings,
) -> Result<Option<PathBuf>, ServeError> {
    let file = settings.server.data_dir.join(ADMIN_PASSWORD_FILE);
    let tenant = match control.tenant_by_name(DEFAULT_TENANT).await? {
        Some(tenant) => tenant,
        None => control.create_tenant(DEFAULT_TENANT).await?,
    };
    let exists = control
        .users(tenant.id)
        .await?
        .iter()
        .any(|user| user.name == ADMIN);
    if !exists {
        let password = match settings.server.dev {
            true => banner::DEV_PASSWORD.to_owned(),
            false => {
                let password = random_password();
                DataDir::write_secret(&file, &password)?;
                password
            }
        };
        let user = NewUser {
            tenant_id: tenant.id,
            name: ADMIN.to_owned(),
            password,
            node_admin: true,
        };
        let created = control.create_user(user).await;
        match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    Ok((!settings.server.dev && file.exists()).then_some(file))
}

fn random_password() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random::bytes::<18>())
}

fn engine_settings(settings: &Settings) -> EngineSettings {
    EngineSettings {
        wal_file_bytes: settings.wal.file_bytes,
        wal_bytes_max: settings.wal.bytes_max,
        wal_queue_bytes_max: settings.wal.queue_bytes_max as usize,
        wal_repair: settings.wal.repair,
        catalogs_open_max: settings.server.catalogs_open_max,
        idempotency_ttl_ms: settings.session.idempotency_ttl_ms,
        idempotency_keys_max: settings.session.idempotency_keys_max,
        buffer_bytes_max: settings.write_buffer.bytes_max,
        buffer_tenant_bytes_max: settings.write_buffer.tenant_bytes_max,
        flush_bytes: settings.write_buffer.flush_bytes,
        flush_interval_ms: settings.write_buffer.flush_interval_ms,
        compaction: settings.compaction.enabled,
        compaction_interval_ms: settings.compaction.interval_ms,
        compactions_max: settings.compaction.jobs_max,
        compaction_bytes_per_second_max: settings.compaction.bytes_per_second_max,
        snapshot_max_age_ms: settings.retention.snapshot_max_age_ms,
        snapshots_min: settings.retention.snapshots_min,
        cleanup_grace_ms: settings.retention.cleanup_grace_ms,
        query_memory_bytes_max: settings.query.memory_bytes_max as usize,
        query_tenant_memory_bytes_max: settings.query.tenant_memory_bytes_max as usize,
        query_partitions: settings.query.target_partitions,
        query_batch_rows: settings.query.batch_rows,
        transaction_timeout_ms: settings.session.transaction_timeout_ms,
        // Without a call, the token it was begun with is not valid any more by then.
        reading_transaction_timeout_ms: settings.auth.token_ttl_s * 1000,
        tenant_transactions_max: settings.session.tenant_transactions_max,
        ..EngineSettings::new(&settings.server.data_dir)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            address: address.to_string(),
            source,
        })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|source| ServeError::Listen {
        address: "the given address".to_owned(),
        source,
    })
}

/// Serves calls until shutdown, then lets the running ones end for the grace period.
async fn serve_flight(
    settings: &Settings,
    shared: Arc<Shared>,
    acceptor: Acceptor,
    ready: watch::Sender<Readiness>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let login = LoginLayer::new(Arc::clone(&shared.auth), Arc::clone(&shared.metrics));
    let calls_max = settings.server.calls_max;
    let admission = AdmissionLayer::new(calls_max, Arc::clone(&shared.metrics));
    let request_body = RequestBodyLayer::new(BodyLimits {
        idle_max: Duration::from_millis(settings.session.stream_idle_timeout_ms),
        request_bytes_max: (settings.query.sql_bytes_max + REQUEST_BYTES) as u64,
    });
    let service = FlightServiceServer::new(QuiverFlightService::new(shared))
        .max_decoding_message_size(settings.server.message_bytes_max)
        .max_encoding_message_size(usize::MAX);
    let mut server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(Some(CONNECTION_CALLS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE));
    if let (Some(cert), Some(key)) = (
        &settings.server.tls.cert_file,
        &settings.server.tls.key_file,
    ) {
        let identity = Identity::from_pem(read_file(cert)?, read_file(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let grace = Duration::from_millis(settings.server.shutdown_grace_ms);
    let draining = shutdown.clone();
    let serving = server
        .layer(login)
        .layer(admission)
        .layer(request_body)
        .add_service(service)
        .serve_with_incoming_shutdown(acceptor.incoming(), async move {
            draining.cancelled().await;
            ready.send_replace(Readiness::Draining);
            tracing::info!("draining");
        });
    let grace_over = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = grace_over => {
            tracing::warn!("calls still ran after the grace period and were cancelled");
            Ok(())
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, ServeError> {
    std::fs::read(path).map_err(|source| ServeError::Tls {
        path: path.to_owned(),
        source,
    })
}

/// Looks after idle state, and stops the server when the log has failed.
async fn sweep(shared: Arc<Shared>, stop: CancellationToken, shutdown: CancellationToken) {
    let mut since_sweep = Duration::ZERO;
    let tick = Duration::from_millis(500);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(tick) => since_sweep += tick,
        }
        if shared.engine.is_poisoned() {
            tracing::error!("the write-ahead log failed: stopping");
            shutdown.cancel();
            return;
        }
        if let Err(error) = shared.session_transactions.sweep().await {
            tracing::warn!(%error, "marks of sessions stay");
        }
        if since_sweep >= SWEEP {
            since_sweep = Duration::ZERO;
            shared.statements.sweep();
            shared.shares.sweep();
            shared.prepared.sweep();
            shared.polls.sweep();
        }
    }
}

type ReadShared = fn(&Shared) -> usize;

fn register_gauges(metrics: &Metrics, shared: &Arc<Shared>) {
    let engine = &shared.engine;
    let wal = engine.clone();
    metrics.gauge("wal_bytes", "Bytes of the write-ahead log", move || {
        wal.usage_bytes().0 as i64
    });
    let uncommitted = engine.clone();
    metrics.gauge(
        "uncommitted_bytes",
        "Rows of open streams and transactions",
        move || uncommitted.usage_bytes().1 as i64,
    );
    let buffered = engine.clone();
    metrics.gauge(
        "memtable_bytes",
        "Committed rows that are not in segments",
        move || buffered.usage_bytes().2 as i64,
    );
    let kept: [(_, _, ReadShared); 7] = [
        ("transactions", "Open transactions", |s| {
            s.engine.open_transactions()
        }),
        ("tickets", "Tickets kept", |s| s.statements.usage().0),
        ("ticket_bytes", "What tickets stand for", |s| {
            s.statements.usage().1
        }),
        ("endpoints", "Endpoints whose rows are held", |s| {
            s.shares.usage().0
        }),
        ("endpoint_bytes", "What is held for them", |s| {
            s.shares.usage().1
        }),
        ("prepared_statements", "Prepared statements kept", |s| {
            s.prepared.usage().0
        }),
        ("prepared_statement_bytes", "Their texts and values", |s| {
            s.prepared.usage().1
        }),
    ];
    for (name, help, read) in kept {
        // Weak: the metrics are a part of what is shared.
        let shared = Arc::downgrade(shared);
        metrics.gauge(name, help, move || {
            shared.upgrade().map_or(0, |shared| read(&shared) as i64)
        });
    }
}
