//! Passwords: argon2id with its recommended cost, off the async threads, a few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::{CatalogError, Result};
use crate::ids::random_uuid;

/// Each hash takes 19 MiB, so a flood of logins has to queue.
const CONCURRENT_MAX: usize = 4;
/// The work grows with the length.
const PASSWORD_BYTES_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
    /// Hash of a random password, for users that do not exist.
    decoy: Arc<str>,
}

impl Hasher {
    pub(super) async fn new() -> Result<Self> {
        let permits = Arc::new(Semaphore::new(CONCURRENT_MAX));
        let mut hasher = Self {
            permits,
            decoy: Arc::from(""),
        };
        hasher.decoy = hasher.hash(random_uuid().to_string()).await?.into();
        Ok(hasher)
    }

    pub(super) async fn hash(&self, password: String) -> Result<String> {
        let reason = if password.is_empty() {
            Some("it must not be empty")
        } else if password.len() > PASSWORD_BYTES_MAX {
            Some("it must not be longer than 1024 bytes")
        } else {
            None
        };
        if let Some(reason) = reason {
            let reason = reason.to_owned();
            return Err(CatalogError::InvalidArgument {
                what: "password",
                reason,
            });
        }
        self.run(move || {
            let salt = SaltString::encode_b64(random_uuid().as_bytes())?;
            let hash = Argon2::default().hash_password(password.as_bytes(), &salt)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password fits. Without a hash it does not, after the same work.
    pub(super) async fn verify(&self, password: String, hash: Option<Arc<str>>) -> Result<bool> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| Arc::clone(&self.decoy));
        self.run(move || {
            let parsed = PasswordHash::new(&hash)?;
            match Argon2::default().verify_password(password.as_bytes(), &parsed) {
                Ok(()) => Ok(is_known),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, argon2::password_hash::Error> + Send + 'static,
    ) -> Result<T> {
        let stopping = || CatalogError::Stopping {
            action: "hash a password",
        };
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| stopping())?;
        // The permit goes along: a caller that gives up does not free the memory.
        let result = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        let result = result.await.map_err(|_| stopping())?;
        result.map_err(|source| CatalogError::PasswordHash { source })
    }
}
