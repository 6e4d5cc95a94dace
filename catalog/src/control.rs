//! The control catalog: the node's tenants, users, settings and marks of sessions, in one `SQLite`
//! file of mode 0600.
//!
//! Tenants and users are also held in memory, so the checks that every request makes do not
//! touch the database. Ids and directories are never used again; a dropped tenant stays as a
//! tombstone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{CatalogError, Result, storage};
use crate::ids::{TenantId, UserId};
use crate::names::check_principal_name;
use crate::sqlite;

mod directory;
mod password;
mod principals;
mod session_mark;
mod store;

#[cfg(test)]
mod tests;

use directory::Directory;
use password::Hasher;
pub use principals::{NewUser, Tenant, User};
pub use session_mark::{BegunBy, SessionMark};

/// The node's tenants, users and settings.
#[derive(Debug)]
pub struct ControlCatalog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    directory: RwLock<Directory>,
    /// Absent after a failed or cancelled statement.
    connection: Mutex<Option<SqliteConnection>>,
    hasher: Hasher,
}

impl ControlCatalog {
    /// Opens the control catalog, or makes an empty one.
    ///
    /// # Errors
    /// `Unavailable` if the file system refuses, `Unsupported` if a newer version wrote it,
    /// `Corruption` if it is damaged.
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        store::create_private_file(&path).await?;
        let mut connection = sqlite::connect(&path, false).await?;
        store::prepare(&mut connection, &path).await?;
        let directory = store::load(&mut connection).await?;
        Ok(Self {
            path,
            clock,
            directory: RwLock::new(directory),
            connection: Mutex::new(Some(connection)),
            hasher: Hasher::new().await?,
        })
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name, `AlreadyExists` for a taken one.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant> {
        check_principal_name("tenant", name)?;
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        if self.directory.read().tenant_by_name(name).is_some() {
            return Err(CatalogError::AlreadyExists {
                what: "tenant",
                name: name.to_owned(),
            });
        }
        let mut connection = self.take(&mut slot)?;
        let id = store::next_tenant_id(&mut connection).await?;
        let folder = self.directory.read().free_folder(name, id);
        let created_micros = self.clock.now_micros();
        let tenant = Tenant {
            id,
            name: name.to_owned(),
            directory: folder,
            created_micros,
        };
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::insert_tenant(&mut transaction, &tenant).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        self.directory.write().add_tenant(tenant.clone());
        Ok(tenant)
    }

    /// Drops a tenant and its users. Its files stay until the caller removes them; its id and
    /// directory are never used again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drop_tenant(&self, name: &str) -> Result<Tenant> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let tenant = self.directory.read().tenant_by_name(name).cloned();
        let tenant = tenant.ok_or_else(|| CatalogError::not_found("tenant", &name))?;
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::drop_tenant(&mut transaction, tenant.id, self.clock.now_micros()).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        self.directory.write().drop_tenant(tenant.id);
        Ok(tenant)
    }

    /// All tenants, by id.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn tenants(&self) -> Result<Vec<Tenant>> {
        Ok(self.directory.read().tenants())
    }

    /// A tenant by name; case does not count.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn tenant_by_name(&self, name: &str) -> Result<Option<Tenant>> {
        Ok(self.directory.read().tenant_by_name(name).cloned())
    }

    /// A tenant by id; `None` if it never was or is dropped.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>> {
        Ok(self.directory.read().tenant_by_id(id).cloned())
    }

    /// The tenants that were ever dropped, by id: rows of theirs in the log are to be skipped, and
    /// what a crash left of their folders is to be removed.
    pub fn dropped_tenants(&self) -> Vec<Tenant> {
        self.directory.read().dropped_tenants()
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name or password, `NotFound` for an unknown tenant,
    /// `AlreadyExists` for a taken name.
    pub async fn create_user(&self, user: NewUser) -> Result<User> {
        check_principal_name("user", &user.name)?;
        let password_hash = self.hasher.hash(user.password).await?;
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        {
            let directory = self.directory.read();
            if directory.tenant_by_id(user.tenant_id).is_none() {
                return Err(CatalogError::not_found("tenant", &user.tenant_id));
            }
            if directory.user_by_name(user.tenant_id, &user.name).is_some() {
                return Err(CatalogError::AlreadyExists {
                    what: "user",
                    name: user.name,
                });
            }
        }
        let mut connection = self.take(&mut slot)?;
        let user = User {
            id: store::next_user_id(&mut connection).await?,
            tenant_id: user.tenant_id,
            name: user.name,
            node_admin: user.node_admin,
            password_version: 1,
            created_micros: self.clock.now_micros(),
        };
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::insert_user(&mut transaction, &user, &password_hash).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        self.directory.write().add_user(user.clone(), password_hash);
        Ok(user)
    }

    /// Removes a user.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drop_user(&self, id: UserId) -> Result<User> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let user = self.directory.read().user_by_id(id).cloned();
        let user = user.ok_or_else(|| CatalogError::not_found("user", &id))?;
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::delete_user(&mut transaction, id).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        self.directory.write().drop_user(id);
        Ok(user)
    }

    /// Gives a user another password, and a new [`User::password_version`].
    ///
    /// # Errors
    /// `InvalidArgument` for a bad password, `NotFound`.
    pub async fn set_password(&self, id: UserId, password: &str) -> Result<()> {
        let password_hash = self.hasher.hash(password.to_owned()).await?;
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        if self.directory.read().user_by_id(id).is_none() {
            return Err(CatalogError::not_found("user", &id));
        }
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::update_password(&mut transaction, id, &password_hash).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        self.directory.write().set_password_hash(id, password_hash);
        Ok(())
    }

    /// The users of a tenant, by name.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn users(&self, tenant_id: TenantId) -> Result<Vec<User>> {
        Ok(self.directory.read().users(tenant_id))
    }

    /// A user by id.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn user_by_id(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.directory.read().user_by_id(id).cloned())
    }

    /// A user by name; case does not count.
    ///
    /// # Errors
    /// None at present; other stores may have to ask.
    pub async fn user_by_name(&self, tenant_id: TenantId, name: &str) -> Result<Option<User>> {
        Ok(self.directory.read().user_by_name(tenant_id, name).cloned())
    }

    /// The user with this name and password. Unknown tenants and users take as long as wrong
    /// passwords.
    ///
    /// # Errors
    /// `Unauthenticated` without saying what is wrong.
    pub async fn verify_password(
        &self,
        tenant_name: &str,
        user_name: &str,
        password: &str,
    ) -> Result<User> {
        let found = self.directory.read().credentials(tenant_name, user_name);
        let (user, password_hash) = found.unzip();
        let matches = self
            .hasher
            .verify(password.to_owned(), password_hash)
            .await?;
        // A user dropped in the meantime is refused by whoever looks its id up.
        user.filter(|_| matches)
            .ok_or(CatalogError::WrongCredentials)
    }

    /// A setting; `None` if it was never set.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let mut connection = self.take(&mut slot)?;
        let value = store::setting(&mut connection, key).await?;
        *slot = Some(connection);
        Ok(value)
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn set_setting(&self, key: &str, value: &str) -> Result<()> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::set_setting(&mut transaction, key, value).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        Ok(())
    }

    /// The sessions that are marked.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be read.
    pub async fn marked_sessions(&self) -> Result<Vec<SessionMark>> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let mut connection = self.take(&mut slot)?;
        let marks = store::session_marks(&mut connection).await?;
        *slot = Some(connection);
        Ok(marks)
    }

    /// Marks a session, durably; an earlier mark of it is replaced.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn mark_session(&self, mark: SessionMark) -> Result<()> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        store::insert_session_mark(&mut transaction, mark).await?;
        commit(transaction).await?;
        *slot = Some(connection);
        Ok(())
    }

    /// Removes marks; sessions without one count for nothing.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be written.
    pub async fn unmark_sessions(&self, session_ids: &[Uuid]) -> Result<()> {
        let mut slot = self.connection.lock().await;
        self.refresh_if_unsure(&mut slot).await?;
        let mut connection = self.take(&mut slot)?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        for session_id in session_ids {
            store::delete_session_mark(&mut transaction, *session_id).await?;
        }
        commit(transaction).await?;
        *slot = Some(connection);
        Ok(())
    }

    /// Closes the database file; a later call opens it again.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be closed; everything is durable anyway.
    pub async fn close(&self) -> Result<()> {
        match self.connection.lock().await.take() {
            Some(connection) => connection
                .close()
                .await
                .map_err(storage("close the control catalog")),
            None => Ok(()),
        }
    }

    /// After a failed or cancelled call nobody knows what is in the database: read it again, behind
    /// the write lock, which an abandoned statement may still hold.
    async fn refresh_if_unsure(&self, slot: &mut Option<SqliteConnection>) -> Result<()> {
        if slot.is_some() {
            return Ok(());
        }
        let mut connection = sqlite::connect(&self.path, false).await?;
        let mut transaction = sqlite::begin(&mut connection).await?;
        let directory = store::load(&mut transaction).await?;
        transaction
            .rollback()
            .await
            .map_err(storage("end a transaction"))?;
        *self.directory.write() = directory;
        *slot = Some(connection);
        Ok(())
    }

    fn take(&self, slot: &mut Option<SqliteConnection>) -> Result<SqliteConnection> {
        slot.take().ok_or(CatalogError::Stopping {
            action: "use the control catalog",
        })
    }
}

/// Every write is a transaction that held the write lock before its first change: so a call that
/// was abandoned either never changes anything or still holds the lock that the next one waits for.
async fn commit(transaction: Transaction<'_, Sqlite>) -> Result<()> {
    transaction
        .commit()
        .await
        .map_err(storage("commit to the control catalog"))
}
