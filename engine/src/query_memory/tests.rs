#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn reserve(pool: &Arc<dyn MemoryPool>, name: &str) -> MemoryReservation {
    MemoryConsumer::new(name).register(pool)
}

#[test]
fn a_tenant_leaves_memory_to_others_and_sees_itself_only() {
    let memory = QueryMemory::new(&EngineSettings {
        query_memory_bytes_max: 100,
        query_tenant_memory_bytes_max: 70,
        ..EngineSettings::new("unused")
    });
    let (acme, other) = (memory.of_tenant(), memory.of_tenant());
    let join = reserve(&acme, "AcmeJoin");
    join.try_grow(70).unwrap();
    let refused = join.try_grow(1).unwrap_err().to_string();
    assert!(
        refused.contains("query.tenant_memory_bytes_max"),
        "{refused}"
    );
    let sort = reserve(&other, "OtherSort");
    sort.try_grow(30).unwrap();
    let refused = sort.try_grow(1).unwrap_err().to_string();
    assert!(refused.contains("OtherSort"), "{refused}");
    assert!(!refused.contains("AcmeJoin"), "{refused}");
    // What the node refused does not count for the tenant.
    assert_eq!((acme.reserved(), other.reserved()), (70, 30));
    join.shrink(20);
    sort.try_grow(20).unwrap();
    drop((join, sort));
    assert_eq!((acme.reserved(), other.reserved()), (0, 0));
    reserve(&acme, "again").try_grow(70).unwrap();
}
