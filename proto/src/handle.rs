//! Signed handles: what a ticket, a prepared statement or a transaction id says on the wire.
//!
//! A handle is a fixed 78 bytes, all numbers little-endian:
//!
//! | offset | bytes | content |
//! | --- | --- | --- |
//! | 0 | 1 | format version, 1 |
//! | 1 | 1 | [`Purpose`] |
//! | 2 | 4 | id of the signing key |
//! | 6 | 8 | tenant id |
//! | 14 | 8 | user id |
//! | 22 | 16 | id of the statement, prepared statement, transaction … |
//! | 38 | 8 | expiry, microseconds since 1970-01-01 UTC (signed) |
//! | 46 | 32 | HMAC-SHA256 of bytes 0 to 45 under the key named at offset 2 |
//!
//! Guarantees that whatever [`Signer::verify`] returns was made by [`Signer::sign`] of a server
//! that has the same key, for the same purpose. Does not know the time: the caller compares the
//! expiry, because an own expired handle and a forged one are answered differently.

use std::collections::HashMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use prost::bytes::Bytes;
use sha2::Sha256;

/// Length of every handle, in bytes.
pub const HANDLE_BYTES: usize = SIGNED_BYTES + TAG_BYTES;

const FORMAT_VERSION: u8 = 1;
const SIGNED_BYTES: usize = 46;
const TAG_BYTES: usize = 32;

/// What a handle is good for; a handle of one purpose never verifies as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Purpose {
    /// A statement's ticket.
    Statement = 1,
    /// A prepared statement.
    Prepared = 2,
    /// A transaction id.
    Transaction = 3,
    /// One endpoint of a scan whose segments and read view are held by a lease.
    Lease = 4,
    /// The descriptor with which `PollFlightInfo` is asked again.
    Poll = 5,
}

impl Purpose {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Statement,
            Self::Prepared,
            Self::Transaction,
            Self::Lease,
            Self::Poll,
        ]
        .into_iter()
        .find(|purpose| *purpose as u8 == byte)
    }
}

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What the handle is good for.
    pub purpose: Purpose,
    /// Tenant that the object belongs to.
    pub tenant_id: u64,
    /// User who may redeem the handle.
    pub user_id: u64,
    /// Id of the object, as random as a version 4 UUID.
    pub id: [u8; 16],
    /// When the handle ends, in microseconds since 1970-01-01 UTC. Checked by the caller.
    pub expires_at_micros: i64,
}

/// A signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Number by which handles name the key.
    pub id: u32,
    /// The secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a handle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Not a handle of this purpose made with one of our keys. One text for every cause, so that
    /// the answer tells nothing about which part was wrong.
    #[error("no such handle; ask for a new one")]
    Forged,
}

/// Makes and checks handles.
#[derive(Clone)]
pub struct Signer {
    current: u32,
    macs: HashMap<u32, Hmac<Sha256>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer that signs with `current` and also accepts what `older` keys have signed.
    ///
    /// `current` wins over an older key of the same id.
    #[must_use]
    pub fn new(current: Key, older: Vec<Key>) -> Self {
        let current_id = current.id;
        let macs = older
            .into_iter()
            .chain([current])
            .map(|key| (key.id, keyed(&key)))
            .collect();
        Self {
            current: current_id,
            macs,
        }
    }

    /// The handle that says `claims`.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> Bytes {
        let mut handle = Vec::with_capacity(HANDLE_BYTES);
        handle.push(FORMAT_VERSION);
        handle.push(claims.purpose as u8);
        handle.extend_from_slice(&self.current.to_le_bytes());
        handle.extend_from_slice(&claims.tenant_id.to_le_bytes());
        handle.extend_from_slice(&claims.user_id.to_le_bytes());
        handle.extend_from_slice(&claims.id);
        handle.extend_from_slice(&claims.expires_at_micros.to_le_bytes());
        debug_assert_eq!(handle.len(), SIGNED_BYTES, "layout table and code disagree");
        let mut mac = self.macs[&self.current].clone();
        mac.update(&handle);
        handle.extend_from_slice(&mac.finalize().into_bytes());
        handle.into()
    }

    /// What `handle` says, if this server made it for `purpose`. Does not look at the expiry.
    ///
    /// # Errors
    /// [`HandleError::Forged`] for everything else.
    pub fn verify(&self, handle: &[u8], purpose: Purpose) -> Result<Claims, HandleError> {
        if handle.len() != HANDLE_BYTES || handle[0] != FORMAT_VERSION {
            return Err(HandleError::Forged);
        }
        let (signed, tag) = handle.split_at(SIGNED_BYTES);
        let key_id = u32::from_le_bytes(field(signed, 2));
        let mut mac = self.macs.get(&key_id).ok_or(HandleError::Forged)?.clone();
        mac.update(signed);
        // Compares in constant time.
        mac.verify_slice(tag).map_err(|_| HandleError::Forged)?;
        if Purpose::from_byte(signed[1]) != Some(purpose) {
            return Err(HandleError::Forged);
        }
        Ok(Claims {
            purpose,
            tenant_id: u64::from_le_bytes(field(signed, 6)),
            user_id: u64::from_le_bytes(field(signed, 14)),
            id: field(signed, 22),
            expires_at_micros: i64::from_le_bytes(field(signed, 38)),
        })
    }
}

fn keyed(key: &Key) -> Hmac<Sha256> {
    Hmac::new_from_slice(&key.secret).expect("HMAC takes keys of any length")
}

fn field<const N: usize>(signed: &[u8], offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&signed[offset..offset + N]);
    bytes
}

#[cfg(test)]
mod tests;
