//! Statements about tenants and users.
//!
//! The node administrator manages tenants and all users; everybody else may change his own
//! password.

use quiver_catalog::{ErrorKind, NewUser, Tenant, User};
use quiver_engine::AdminStatement;
use quiver_engine::task::spawn;

use super::call::Call;
use crate::data_dir::ADMIN_PASSWORD_FILE;
use crate::shared::place;
use crate::status::{Classify, Failure};

impl Call {
    /// Executes a statement about tenants or users to its end, even if the client goes away: half of
    /// one would leave a dropped user or an old password in memory.
    pub(crate) async fn administer_whole(&self, statement: &AdminStatement) -> Result<(), Failure> {
        let (call, statement) = (self.clone(), statement.clone());
        let whole = spawn(async move { call.administer(&statement).await });
        whole
            .await
            .map_err(|error| Failure::internal(format!("the statement failed half way: {error}")))?
    }

    async fn administer(&self, statement: &AdminStatement) -> Result<(), Failure> {
        match statement {
            AdminStatement::AlterUser {
                name,
                tenant,
                password,
            } if self.is_self(name, tenant) => {
                self.set_password(&self.caller.tenant.clone(), name, password.expose())
                    .await
            }
            statement => {
                self.require_administrator()?;
                self.administer_node(statement).await
            }
        }
    }

    async fn administer_node(&self, statement: &AdminStatement) -> Result<(), Failure> {
        match statement {
            AdminStatement::CreateTenant {
                name,
                if_not_exists,
            } => {
                let created = self.shared.control.create_tenant(name).await;
                allow(created.map(drop), *if_not_exists, ErrorKind::AlreadyExists)
            }
            AdminStatement::DropTenant { name, if_exists } => {
                self.drop_tenant(name, *if_exists).await
            }
            AdminStatement::CreateUser {
                name,
                tenant,
                password,
                if_not_exists,
            } => {
                let tenant = self.tenant_named(tenant.as_deref()).await?;
                let user = NewUser {
                    tenant_id: tenant.id,
                    name: name.clone(),
                    password: password.expose().to_owned(),
                    node_admin: false,
                };
                let created = self.shared.control.create_user(user).await;
                allow(created.map(drop), *if_not_exists, ErrorKind::AlreadyExists)
            }
            AdminStatement::AlterUser {
                name,
                tenant,
                password,
            } => {
                let tenant = self.tenant_named(tenant.as_deref()).await?;
                self.set_password(&tenant, name, password.expose()).await
            }
            AdminStatement::DropUser {
                name,
                tenant,
                if_exists,
            } => {
                let tenant = self.tenant_named(tenant.as_deref()).await?;
                let own = tenant.id == self.caller.tenant.id;
                if own && name.eq_ignore_ascii_case(&self.caller.user.name) {
                    return Err(Failure::new(
                        ErrorKind::Precondition,
                        "you cannot drop yourself",
                    ));
                }
                match self.user_named(&tenant, name).await {
                    Err(failure) if *if_exists && failure.kind == ErrorKind::NotFound => Ok(()),
                    Err(failure) => Err(failure),
                    Ok(user) => {
                        let dropped = self.shared.control.drop_user(user.id).await;
                        self.shared.auth.forget_passwords();
                        dropped.map(drop).map_err(|error| error.failure())
                    }
                }
            }
        }
    }

    async fn set_password(
        &self,
        tenant: &Tenant,
        name: &str,
        password: &str,
    ) -> Result<(), Failure> {
        let user = self.user_named(tenant, name).await?;
        let changed = self.shared.control.set_password(user.id, password).await;
        self.shared.auth.forget_passwords();
        changed.map_err(|error| error.failure())?;
        if user.node_admin {
            self.remove_first_password().await;
        }
        Ok(())
    }

    /// The file with the password of the first start would only mislead now.
    async fn remove_first_password(&self) {
        let data_dir = &self.shared.settings.server.data_dir;
        let file = data_dir.join(ADMIN_PASSWORD_FILE);
        match tokio::fs::remove_file(&file).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the file with the first password is still there");
            }
            _ => {}
        }
    }

    async fn drop_tenant(&self, name: &str, if_exists: bool) -> Result<(), Failure> {
        if name.eq_ignore_ascii_case(&self.caller.tenant.name) {
            let message = "the tenant you are logged in to cannot be dropped";
            return Err(Failure::new(ErrorKind::Precondition, message));
        }
        let tenant = match self.tenant_named(Some(name)).await {
            Ok(tenant) => tenant,
            Err(failure) if if_exists && failure.kind == ErrorKind::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let dropped = self.shared.control.drop_tenant(name).await;
        dropped.map(drop).map_err(|error| error.failure())?;
        self.shared.auth.forget_passwords();
        let removed = self.shared.engine.remove_tenant(&place(&tenant)).await;
        removed.map_err(|error| error.failure())
    }

    async fn tenant_named(&self, name: Option<&str>) -> Result<Tenant, Failure> {
        let Some(name) = name else {
            return Ok(self.caller.tenant.clone());
        };
        let tenant = self.shared.control.tenant_by_name(name).await;
        let tenant = tenant.map_err(|error| error.failure())?;
        tenant.ok_or_else(|| Failure::new(ErrorKind::NotFound, format!("tenant {name} not found")))
    }

    async fn user_named(&self, tenant: &Tenant, name: &str) -> Result<User, Failure> {
        let user = self.shared.control.user_by_name(tenant.id, name).await;
        let user = user.map_err(|error| error.failure())?;
        user.ok_or_else(|| Failure::new(ErrorKind::NotFound, format!("user {name} not found")))
    }

    fn is_self(&self, name: &str, tenant: &Option<String>) -> bool {
        let own = tenant
            .as_deref()
            .is_none_or(|tenant| tenant == self.caller.tenant.name);
        own && name.eq_ignore_ascii_case(&self.caller.user.name)
    }

    fn require_administrator(&self) -> Result<(), Failure> {
        match self.caller.user.node_admin {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::PermissionDenied,
                "only the node administrator manages tenants and users",
            )),
        }
    }
}

fn allow(
    result: Result<(), quiver_catalog::CatalogError>,
    tolerated: bool,
    kind: ErrorKind,
) -> Result<(), Failure> {
    match result {
        Err(error) if tolerated && error.kind() == kind => Ok(()),
        result => result.map_err(|error| error.failure()),
    }
}
