//! The memory of queries: one pool for the node, and a part of it for each tenant.
//!
//! A tenant may have at most its part, so that the queries of one cannot take everything, and is
//! told about its own operators only when there is no more.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
    TrackConsumersPool,
};

use crate::settings::EngineSettings;

/// Operators named in an error.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// The memory of all queries of the node.
#[derive(Debug, Clone)]
pub(crate) struct QueryMemory {
    node: Arc<GreedyMemoryPool>,
    tenant_bytes_max: usize,
}

impl QueryMemory {
    pub(crate) fn new(settings: &EngineSettings) -> Self {
        Self {
            node: Arc::new(GreedyMemoryPool::new(settings.query_memory_bytes_max)),
            tenant_bytes_max: settings.query_tenant_memory_bytes_max,
        }
    }

    /// The part of one more tenant.
    pub(crate) fn of_tenant(&self) -> Arc<dyn MemoryPool> {
        let part = TenantMemory {
            node: Arc::clone(&self.node),
            bytes_max: self.tenant_bytes_max,
            used: AtomicUsize::new(0),
        };
        Arc::new(TrackConsumersPool::new(part, TOP_CONSUMERS))
    }
}

/// What one tenant's queries have of the node's memory.
#[derive(Debug)]
struct TenantMemory {
    node: Arc<GreedyMemoryPool>,
    bytes_max: usize,
    used: AtomicUsize,
}

impl fmt::Display for TenantMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant's query memory of {} bytes", self.bytes_max)
    }
}

impl MemoryPool for TenantMemory {
    fn name(&self) -> &'static str {
        "tenant"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.node.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.node.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.node.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.node.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let fits = |used: usize| {
            let grown = used.checked_add(additional)?;
            (grown <= self.bytes_max).then_some(grown)
        };
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if let Err(used) = self.used.fetch_update(set, get, fits) {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the queries of the tenant have {used} of the {} bytes they may have \
                 (query.tenant_memory_bytes_max) and need {additional} more",
                self.bytes_max
            )));
        }
        self.node
            .try_grow(reservation, additional)
            .inspect_err(|_| {
                self.used.fetch_sub(additional, Ordering::Relaxed);
            })
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

#[cfg(test)]
mod tests;
