#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicI64, Ordering};

use quiver_proto::session::OptionValue;
use quiver_proto::{SessionOptionError, SessionOptionErrorValue, StringListValue};

use super::*;

const TENANT: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);

#[derive(Debug, Default)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn advance(&self, duration: Duration) {
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

/// A tenant `Acme` with the schemas `main` and `Raw`.
struct Names;

impl SessionNames for Names {
    fn catalog(&self, name: &str) -> Option<String> {
        name.eq_ignore_ascii_case("Acme").then(|| "Acme".to_owned())
    }

    fn schema(&self, name: &str) -> Option<String> {
        ["main", "Raw"]
            .into_iter()
            .find(|s| s.eq_ignore_ascii_case(name))
            .map(str::to_owned)
    }
}

struct Fixture {
    sessions: Sessions,
    clock: Arc<ManualClock>,
}

fn fixture(per_tenant_max: usize) -> Fixture {
    let clock = Arc::new(ManualClock::default());
    let limits = SessionLimits {
        idle_max: Duration::from_secs(60),
        per_tenant_max,
    };
    let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    Fixture {
        sessions: Sessions::new(limits, shared),
        clock,
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn request(options: &[(&str, Option<OptionValue>)]) -> SetSessionOptionsRequest {
    let session_options = options.iter().map(|(name, value)| {
        (
            (*name).to_owned(),
            SessionOptionValue {
                option_value: value.clone(),
            },
        )
    });
    SetSessionOptionsRequest {
        session_options: session_options.collect(),
    }
}

fn text(value: &str) -> Option<OptionValue> {
    Some(OptionValue::String(value.to_owned()))
}

impl Fixture {
    fn set(
        &self,
        session: Uuid,
        options: &[(&str, Option<OptionValue>)],
    ) -> Result<HashMap<String, SessionOptionErrorValue>, SessionError> {
        let result = self
            .sessions
            .set_in(session, TENANT, &request(options), &Names)?;
        let code = |error: SessionOptionError| error.value();
        Ok(result
            .errors
            .into_iter()
            .map(|(name, error)| (name, code(error)))
            .collect())
    }

    fn options(&self, session: Uuid) -> (String, String) {
        let options = self.sessions.options_of(session, TENANT, "Acme");
        (options.catalog, options.schema)
    }
}

fn pair(catalog: &str, schema: &str) -> (String, String) {
    (catalog.to_owned(), schema.to_owned())
}

#[test]
fn a_session_without_state_has_the_defaults() {
    assert_eq!(fixture(9).options(id(1)), pair("Acme", "main"));
}

#[test]
fn options_are_set_as_the_catalog_spells_them() {
    let fixture = fixture(9);
    let options = [("catalog", text("ACME")), ("schema", text("raw"))];
    assert!(fixture.set(id(1), &options).unwrap().is_empty());
    assert_eq!(fixture.options(id(1)), pair("Acme", "Raw"));
    assert_eq!(fixture.options(id(2)), pair("Acme", "main"));
}

#[test]
fn an_option_without_value_is_erased() {
    let fixture = fixture(9);
    fixture.set(id(1), &[("schema", text("Raw"))]).unwrap();
    assert!(fixture.set(id(1), &[("schema", None)]).unwrap().is_empty());
    assert_eq!(fixture.options(id(1)), pair("Acme", "main"));
}

#[test]
fn what_cannot_be_set_is_named_and_the_rest_is_set() {
    use SessionOptionErrorValue as E;
    let fixture = fixture(9);
    let errors = fixture
        .set(
            id(1),
            &[
                ("schema", text("raw")),
                ("catalog", text("other")),
                ("timeout", text("5")),
                ("unknown", None),
            ],
        )
        .unwrap();
    let expected = [
        ("catalog".to_owned(), E::InvalidValue),
        ("timeout".to_owned(), E::InvalidName),
        ("unknown".to_owned(), E::InvalidName),
    ];
    assert_eq!(errors, expected.into());
    assert_eq!(fixture.options(id(1)), pair("Acme", "Raw"));
}

#[test]
fn only_text_is_a_name() {
    let fixture = fixture(9);
    let list = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Some(OptionValue::StringList(StringListValue { values }))
    };
    for value in [
        Some(OptionValue::Bool(true)),
        Some(OptionValue::Int64(1)),
        Some(OptionValue::Double(1.0)),
        list(&[]),
        list(&["main", "Raw"]),
        text(""),
        text("missing"),
    ] {
        let errors = fixture.set(id(1), &[("schema", value)]).unwrap();
        assert_eq!(errors["schema"], SessionOptionErrorValue::InvalidValue);
    }
    assert_eq!(fixture.sessions.count(TENANT), 0);
    assert!(
        fixture
            .set(id(1), &[("schema", list(&["raw"]))])
            .unwrap()
            .is_empty()
    );
    assert_eq!(fixture.options(id(1)), pair("Acme", "Raw"));
}

#[test]
fn erasing_in_a_session_without_state_makes_none() {
    let fixture = fixture(9);
    assert!(fixture.set(id(1), &[("schema", None)]).unwrap().is_empty());
    assert_eq!(fixture.sessions.count(TENANT), 0);
}

#[test]
fn the_number_of_sessions_is_bounded_per_tenant() {
    let fixture = fixture(2);
    let raw = [("schema", text("raw"))];
    fixture.set(id(1), &raw).unwrap();
    fixture.set(id(2), &raw).unwrap();
    assert_eq!(
        fixture.set(id(3), &raw),
        Err(SessionError::TooMany { max: 2 })
    );
    // Those that exist, and other tenants, are not affected.
    fixture.set(id(1), &[("schema", text("main"))]).unwrap();
    fixture
        .sessions
        .set_in(id(4), OTHER, &request(&raw), &Names)
        .unwrap();
    // An idle one makes room.
    fixture.clock.advance(Duration::from_secs(40));
    fixture.options(id(1));
    fixture.clock.advance(Duration::from_secs(40));
    assert_eq!(fixture.sessions.count(TENANT), 1);
    fixture.set(id(3), &raw).unwrap();
    assert_eq!(fixture.sessions.count(TENANT), 2);
}

#[test]
fn a_request_is_bounded() {
    let fixture = fixture(9);
    let names: Vec<String> = (0..=OPTIONS_PER_REQUEST_MAX)
        .map(|n| format!("o{n}"))
        .collect();
    let options: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
    let error = fixture.set(id(1), &options).unwrap_err();
    assert_eq!(
        error,
        SessionError::TooManyOptions {
            count: OPTIONS_PER_REQUEST_MAX + 1
        }
    );
}

#[test]
fn state_ends_when_idle_and_use_keeps_it() {
    let fixture = fixture(9);
    fixture.set(id(1), &[("schema", text("raw"))]).unwrap();
    for _ in 0..3 {
        fixture.clock.advance(Duration::from_secs(59));
        assert_eq!(fixture.options(id(1)), pair("Acme", "Raw"));
    }
    fixture.clock.advance(Duration::from_secs(61));
    assert_eq!(fixture.options(id(1)), pair("Acme", "main"));
    // Nor does old state come back with a new option.
    fixture.set(id(1), &[("catalog", text("acme"))]).unwrap();
    assert_eq!(fixture.options(id(1)), pair("Acme", "main"));
}

#[test]
fn another_tenant_with_the_same_id_sees_nothing() {
    let fixture = fixture(9);
    fixture.set(id(1), &[("schema", text("raw"))]).unwrap();
    let options = fixture.sessions.options_of(id(1), OTHER, "Other");
    assert_eq!((options.catalog, options.schema), pair("Other", "main"));
    let closed = fixture.sessions.close_one(Some(id(1)), OTHER, false);
    assert_eq!(closed, Err(SessionError::NotFound));
    assert_eq!(fixture.options(id(1)), pair("Acme", "Raw"));
}

#[test]
fn closing() {
    let fixture = fixture(9);
    let close = |session, more| {
        fixture
            .sessions
            .close_one(session, TENANT, more)
            .map(|result| result.status())
    };
    fixture.set(id(1), &[("schema", text("raw"))]).unwrap();
    assert_eq!(close(Some(id(1)), false), Ok(CloseSessionStatus::Closed));
    assert_eq!(fixture.options(id(1)), pair("Acme", "main"));
    assert_eq!(close(Some(id(1)), false), Err(SessionError::NotFound));
    assert_eq!(close(Some(id(2)), true), Ok(CloseSessionStatus::Closed));
    assert_eq!(close(None, false), Ok(CloseSessionStatus::NotCloseable));
    assert_eq!(close(None, true), Ok(CloseSessionStatus::NotCloseable));
}

#[test]
fn errors_have_their_kinds() {
    assert_eq!(
        SessionError::TooMany { max: 1 }.kind(),
        ErrorKind::Overloaded
    );
    assert_eq!(
        SessionError::TooManyOptions { count: 1 }.kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(SessionError::NotFound.kind(), ErrorKind::NotFound);
}
