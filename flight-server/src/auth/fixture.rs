//! A control catalog with two tenants and a clock that stands still, for the tests of this module.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use quiver_catalog::{Clock, ControlCatalog, NewUser, Tenant, User};
use tempfile::TempDir;

use super::{AuthSettings, Authenticator, Keys};

#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn advance(&self, duration: Duration) {
        self.0.fetch_add(
            i64::try_from(duration.as_micros()).unwrap(),
            Ordering::Relaxed,
        );
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Fixture {
    pub(crate) home: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) control: Arc<ControlCatalog>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) acme: Tenant,
    /// `bob@acme`, password `pw`.
    pub(crate) bob: User,
    /// `bob` of tenant `default`, password `pw`.
    pub(crate) other_bob: User,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let home = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(1_700_000_000_000_000)));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let path = home.path().join("control.sqlite");
        let control = ControlCatalog::open(path, Arc::clone(&shared))
            .await
            .unwrap();
        let default = tenant(&control, "default").await;
        let acme = tenant(&control, "acme").await;
        let bob = user(&control, &acme, "bob", "pw").await;
        let other_bob = user(&control, &default, "bob", "pw").await;
        let control = Arc::new(control);
        let keys = Keys::load_or_create(&home.path().join("keys")).unwrap();
        let authenticator =
            Authenticator::new(Arc::clone(&control), keys, shared, AuthSettings::default());
        Self {
            home,
            clock,
            control,
            authenticator: Arc::new(authenticator),
            acme,
            bob,
            other_bob,
        }
    }

    /// An authenticator of the same server after a restart.
    pub(crate) fn restarted(&self) -> Authenticator {
        let keys = Keys::load_or_create(&self.home.path().join("keys")).unwrap();
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        Authenticator::new(
            Arc::clone(&self.control),
            keys,
            clock,
            AuthSettings::default(),
        )
    }
}

/// The tenant of that name, made if the control catalog does not begin with it.
async fn tenant(control: &ControlCatalog, name: &str) -> Tenant {
    match control.tenant_by_name(name).await.unwrap() {
        Some(tenant) => tenant,
        None => control.create_tenant(name).await.unwrap(),
    }
}

pub(crate) async fn user(
    control: &ControlCatalog,
    tenant: &Tenant,
    name: &str,
    password: &str,
) -> User {
    let new = NewUser {
        tenant_id: tenant.id,
        name: name.to_owned(),
        password: password.to_owned(),
        node_admin: false,
    };
    control.create_user(new).await.unwrap()
}

pub(crate) fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in entries {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    map
}

pub(crate) fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}
