//! Bounds how many strangers are dealt with at once, and how many of them from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// A number of places, of which one address may have half.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    /// How many each address has; one that is not known counts as one.
    taken: Mutex<HashMap<Option<IpAddr>, usize>>,
}

impl Places {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            taken: Mutex::default(),
        })
    }

    /// A place, if there is one for this address.
    pub(crate) fn take(places: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let mut taken = places.taken.lock();
        let all: usize = taken.values().sum();
        let same = taken.get(&address).copied().unwrap_or(0);
        if all >= places.max || same >= places.max.div_ceil(2) {
            return None;
        }
        taken.insert(address, same + 1);
        Some(Place {
            places: Arc::clone(places),
            address,
        })
    }
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
