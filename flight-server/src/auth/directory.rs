//! The questions that authentication asks the control catalog.

use quiver_catalog::{ControlCatalog, Tenant, TenantId, User, UserId};

use super::error::AuthError;

/// User and tenant as they are now, if both still exist and belong together.
pub(super) async fn user_and_tenant(
    control: &ControlCatalog,
    user_id: UserId,
    tenant_id: TenantId,
) -> Result<Option<(User, Tenant)>, AuthError> {
    let Some(user) = control.user_by_id(user_id).await? else {
        return Ok(None);
    };
    if user.tenant_id != tenant_id {
        return Ok(None);
    }
    let tenant = control.tenant_by_id(tenant_id).await?;
    Ok(tenant.map(|tenant| (user, tenant)))
}
