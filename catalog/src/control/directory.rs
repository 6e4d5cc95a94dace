//! Tenants and users in memory, by every key they are looked up with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Tenant, User};
use crate::ids::{TenantId, UserId};
use crate::names::fold;

#[derive(Debug, Default)]
pub(super) struct Directory {
    tenants: BTreeMap<TenantId, Tenant>,
    tenants_by_name: HashMap<String, TenantId>,
    dropped: BTreeMap<TenantId, Tenant>,
    /// Folders of all tenants ever, folded: some file systems do not tell case apart.
    folders: HashSet<String>,
    users: BTreeMap<UserId, Entry>,
    users_by_name: HashMap<TenantId, BTreeMap<String, UserId>>,
}

struct Entry {
    user: User,
    password_hash: Arc<str>,
}

/// Without the hash, which has no business in a log.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.user.fmt(f)
    }
}

impl Directory {
    pub(super) fn add_tenant(&mut self, tenant: Tenant) {
        self.folders.insert(fold(&tenant.directory));
        self.tenants_by_name.insert(fold(&tenant.name), tenant.id);
        self.tenants.insert(tenant.id, tenant);
    }

    /// A tenant that was dropped before: its id and folder stay taken, its name does not.
    pub(super) fn add_dropped_tenant(&mut self, tenant: Tenant) {
        self.folders.insert(fold(&tenant.directory));
        self.dropped.insert(tenant.id, tenant);
    }

    pub(super) fn drop_tenant(&mut self, id: TenantId) {
        if let Some(tenant) = self.tenants.remove(&id) {
            self.tenants_by_name.remove(&fold(&tenant.name));
            self.dropped.insert(id, tenant);
        }
        for user_id in self
            .users_by_name
            .remove(&id)
            .unwrap_or_default()
            .into_values()
        {
            self.users.remove(&user_id);
        }
    }

    pub(super) fn tenants(&self) -> Vec<Tenant> {
        self.tenants.values().cloned().collect()
    }

    pub(super) fn tenant_by_id(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(&id)
    }

    pub(super) fn tenant_by_name(&self, name: &str) -> Option<&Tenant> {
        self.tenants.get(self.tenants_by_name.get(&fold(name))?)
    }

    pub(super) fn dropped_tenants(&self) -> Vec<Tenant> {
        self.dropped.values().cloned().collect()
    }

    /// A folder that no tenant has or had: the name, else the name with the id and, where a tenant
    /// was named like that, underscores.
    pub(super) fn free_folder(&self, name: &str, id: TenantId) -> String {
        let mut folder = name.to_owned();
        while self.folders.contains(&fold(&folder)) {
            folder = if folder == name {
                format!("{name}-{id}")
            } else {
                format!("{folder}_")
            };
        }
        folder
    }

    pub(super) fn add_user(&mut self, user: User, password_hash: String) {
        let names = self.users_by_name.entry(user.tenant_id).or_default();
        names.insert(fold(&user.name), user.id);
        self.users.insert(
            user.id,
            Entry {
                user,
                password_hash: password_hash.into(),
            },
        );
    }

    pub(super) fn drop_user(&mut self, id: UserId) {
        let Some(entry) = self.users.remove(&id) else {
            return;
        };
        if let Some(names) = self.users_by_name.get_mut(&entry.user.tenant_id) {
            names.remove(&fold(&entry.user.name));
        }
    }

    pub(super) fn set_password_hash(&mut self, id: UserId, password_hash: String) {
        if let Some(entry) = self.users.get_mut(&id) {
            entry.password_hash = password_hash.into();
            entry.user.password_version += 1;
        }
    }

    pub(super) fn users(&self, tenant_id: TenantId) -> Vec<User> {
        let ids = self
            .users_by_name
            .get(&tenant_id)
            .into_iter()
            .flat_map(BTreeMap::values);
        ids.filter_map(|id| self.user_by_id(*id)).cloned().collect()
    }

    pub(super) fn user_by_id(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).map(|entry| &entry.user)
    }

    pub(super) fn user_by_name(&self, tenant_id: TenantId, name: &str) -> Option<&User> {
        self.user_by_id(*self.users_by_name.get(&tenant_id)?.get(&fold(name))?)
    }

    pub(super) fn credentials(&self, tenant: &str, user: &str) -> Option<(User, Arc<str>)> {
        let tenant_id = self.tenant_by_name(tenant)?.id;
        let user_id = self.user_by_name(tenant_id, user)?.id;
        let entry = self.users.get(&user_id)?;
        Some((entry.user.clone(), Arc::clone(&entry.password_hash)))
    }
}
