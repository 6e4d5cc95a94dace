#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{ControlCatalog, NewUser};
use crate::{ErrorKind, SystemClock, TenantId, User, UserId};

async fn open(folder: &Path) -> ControlCatalog {
    ControlCatalog::open(folder.join("control.sqlite"), Arc::new(SystemClock))
        .await
        .unwrap()
}

fn user(tenant_id: TenantId, name: &str) -> NewUser {
    NewUser {
        tenant_id,
        name: name.to_owned(),
        password: "secret".to_owned(),
        node_admin: false,
    }
}

#[tokio::test]
async fn everything_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let acme = control.create_tenant("Acme").await.unwrap();
    let admin = NewUser {
        node_admin: true,
        ..user(acme.id, "Ann")
    };
    let ann = control.create_user(admin).await.unwrap();
    let bob = control.create_user(user(acme.id, "bob")).await.unwrap();
    control.set_setting("colour", "red").await.unwrap();
    control.set_setting("colour", "blue").await.unwrap();
    control.close().await.unwrap();

    let control = open(folder.path()).await;
    assert_eq!(
        control.tenants().await.unwrap(),
        std::slice::from_ref(&acme)
    );
    assert_eq!(
        control.tenant_by_name("ACME").await.unwrap(),
        Some(acme.clone())
    );
    assert_eq!(control.users(acme.id).await.unwrap(), [ann.clone(), bob]);
    assert_eq!(control.user_by_id(ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(
        control.user_by_name(acme.id, "ann").await.unwrap(),
        Some(ann.clone())
    );
    assert_eq!(
        control.setting("colour").await.unwrap().as_deref(),
        Some("blue")
    );
    assert_eq!(control.setting("size").await.unwrap(), None);
    assert_eq!(
        control
            .verify_password("acme", "ANN", "secret")
            .await
            .unwrap(),
        ann
    );
}

#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    control.create_tenant("a").await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn names_are_unique_without_regard_to_case() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let acme = control.create_tenant("acme").await.unwrap();
    let other = control.create_tenant("other").await.unwrap();
    let taken = control.create_tenant("ACME").await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    control.create_user(user(acme.id, "ann")).await.unwrap();
    let taken = control.create_user(user(acme.id, "ANN")).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    control.create_user(user(other.id, "ann")).await.unwrap();
    let bad = control.create_tenant("a/b").await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::InvalidArgument);
    let unknown = control
        .create_user(user(TenantId(99), "ann"))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn ids_and_directories_are_never_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let first = control.create_tenant("acme").await.unwrap();
    assert_eq!(first.directory, "acme");
    let ann = control.create_user(user(first.id, "ann")).await.unwrap();
    control.drop_tenant("Acme").await.unwrap();
    assert_eq!(control.tenant_by_id(first.id).await.unwrap(), None);
    assert_eq!(control.user_by_id(ann.id).await.unwrap(), None);
    let again = control.drop_tenant("acme").await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    control.close().await.unwrap();

    let control = open(folder.path()).await;
    assert_eq!(control.dropped_tenants(), std::slice::from_ref(&first));
    let second = control.create_tenant("acme").await.unwrap();
    assert!(second.id > first.id);
    assert_eq!(second.directory, format!("acme-{}", second.id));
    // Another tenant may have been named like that folder.
    control.drop_tenant("acme").await.unwrap();
    let squatter = control
        .create_tenant(&format!("acme-{}", second.id.0 + 2))
        .await
        .unwrap();
    let third = control.create_tenant("acme").await.unwrap();
    assert_eq!(third.id.0, second.id.0 + 2);
    assert_ne!(third.directory, squatter.directory);
    let bob = control.create_user(user(third.id, "bob")).await.unwrap();
    assert!(bob.id > ann.id);
}

#[tokio::test]
async fn credentials_are_checked_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let acme = control.create_tenant("acme").await.unwrap();
    let other = control.create_tenant("other").await.unwrap();
    let ann: User = control.create_user(user(acme.id, "ann")).await.unwrap();
    control
        .create_user(NewUser {
            password: "x".into(),
            ..user(other.id, "ann")
        })
        .await
        .unwrap();
    assert_eq!(
        control
            .verify_password("acme", "ann", "secret")
            .await
            .unwrap(),
        ann
    );
    let long = "x".repeat(10_000);
    for (tenant, name, password) in [
        ("acme", "ann", "Secret"),
        ("acme", "ann", ""),
        ("acme", "bob", "secret"),
        ("other", "ann", "secret"),
        ("nobody", "ann", "secret"),
        ("acme", "ann", long.as_str()),
    ] {
        let error = control
            .verify_password(tenant, name, password)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(error.to_string(), "wrong user name or password");
    }
}

#[tokio::test]
async fn passwords_and_users_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let acme = control.create_tenant("acme").await.unwrap();
    let ann = control.create_user(user(acme.id, "ann")).await.unwrap();
    control.set_password(ann.id, "other").await.unwrap();
    assert!(
        control
            .verify_password("acme", "ann", "secret")
            .await
            .is_err()
    );
    assert!(
        control
            .verify_password("acme", "ann", "other")
            .await
            .is_ok()
    );
    let empty = control.set_password(ann.id, "").await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidArgument);
    let unknown = control.set_password(UserId(77), "x").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    control.drop_user(ann.id).await.unwrap();
    assert!(
        control
            .verify_password("acme", "ann", "other")
            .await
            .is_err()
    );
    assert_eq!(
        control.drop_user(ann.id).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_cancelled_call_leaves_memory_and_file_in_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    for polls in 0..12 {
        let name = format!("t{polls}");
        poll_times(control.create_tenant(&name), polls).await;
        // The next call finds out what became of the abandoned one.
        control.set_setting("k", "v").await.unwrap();
        let in_memory = control.tenants().await.unwrap();
        let mut connection = crate::sqlite::connect(&folder.path().join("control.sqlite"), false)
            .await
            .unwrap();
        let on_disk: i64 = sqlx::query_scalar("SELECT count(*) FROM tenant")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(
            i64::try_from(in_memory.len()).unwrap(),
            on_disk,
            "after {polls} polls"
        );
    }
}

/// Polls a future so often, then drops it.
async fn poll_times<F: Future>(future: F, polls: usize) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let once = futures::poll!(future.as_mut());
        if once.is_ready() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_micros(300)).await;
    }
}

#[test]
fn debug_output_holds_no_password() {
    let shown = format!("{:?}", user(TenantId(1), "ann"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn closing_leaves_one_file_and_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let control = open(folder.path()).await;
    let acme = control.create_tenant("acme").await.unwrap();
    control.close().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["control.sqlite"]);
    control.create_user(user(acme.id, "ann")).await.unwrap();
    control.close().await.unwrap();
}

#[tokio::test]
async fn a_control_catalog_of_format_1_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sqlite");
    let control = open(folder.path()).await;
    let acme = control.create_tenant("acme").await.unwrap();
    let ann = control.create_user(user(acme.id, "ann")).await.unwrap();
    control.close().await.unwrap();
    let mut connection = crate::sqlite::connect(&path, false).await.unwrap();
    let to_format_1 = "ALTER TABLE user DROP COLUMN password_version;
        UPDATE control_meta SET value = '1' WHERE key = 'format'";
    let downgraded = sqlx::raw_sql(to_format_1).execute(&mut connection).await;
    downgraded.unwrap();
    sqlx::Connection::close(connection).await.unwrap();

    let control = open(folder.path()).await;
    assert_eq!(control.user_by_id(ann.id).await.unwrap(), Some(ann.clone()));
    control.set_password(ann.id, "other").await.unwrap();
    let versions = async |control: &ControlCatalog| {
        let user = control.user_by_id(ann.id).await.unwrap().unwrap();
        user.password_version
    };
    assert_eq!((ann.password_version, versions(&control).await), (1, 2));
    control.close().await.unwrap();
    assert_eq!(versions(&open(folder.path()).await).await, 2);
}
