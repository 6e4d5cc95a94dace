//! Random bytes and ids of the server, from the operating system's generator by way of the
//! thread's.

use rand::Rng;
use uuid::Uuid;

/// Random bytes fit for secrets.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A random id that nobody can guess (version 4).
pub(crate) fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(bytes()).into_uuid()
}
