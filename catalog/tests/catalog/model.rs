//! Random commits: the version in memory is the one a fresh start reads, and history does not
//! change.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use quiver_catalog::{
    CatalogVersion, Change, Commit, Deletion, NewSegment, NewTable, RowIds, SchemaId, Segment,
    TableId, TenantCatalog,
};

use crate::support::{
    Fixture, append, assert_same_history, delete_file, new_table, segment, without_table_stats,
};

/// A step that fits any state: numbers pick among what is there.
#[derive(Debug, Clone)]
enum Step {
    CreateSchema { name: u8 },
    DropSchema { pick: u8 },
    CreateTable { schema: u8, name: u8 },
    DropTable { pick: u8 },
    Append { pick: u8, segments: u8, bound: i16 },
    Update { pick: u8, segment: u8 },
    Delete { pick: u8, segments: u8, rows: u8 },
    Truncate { pick: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<u8>().prop_map(|name| Step::CreateSchema { name: name % 6 }),
        1 => any::<u8>().prop_map(|pick| Step::DropSchema { pick }),
        3 => (any::<u8>(), any::<u8>())
            .prop_map(|(schema, name)| Step::CreateTable { schema, name: name % 9 }),
        1 => any::<u8>().prop_map(|pick| Step::DropTable { pick }),
        5 => (any::<u8>(), 1_u8..4, any::<i16>())
            .prop_map(|(pick, segments, bound)| Step::Append { pick, segments, bound }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(pick, segment)| Step::Update { pick, segment }),
        4 => (any::<u8>(), any::<u8>(), 1_u8..4)
            .prop_map(|(pick, segments, rows)| Step::Delete { pick, segments, rows }),
        1 => any::<u8>().prop_map(|pick| Step::Truncate { pick }),
    ]
}

const SEGMENT_ROWS: u64 = 3;

const NAMES: [&str; 9] = [
    "a",
    "A",
    "b",
    "with space",
    "Ä",
    "ä",
    "q\"uote",
    "c.d",
    "long_name",
];

fn pick<T: Copy>(from: &[T], number: u8) -> Option<T> {
    from.get(usize::from(number) % from.len().max(1)).copied()
}

fn change(catalog: &TenantCatalog, seen: &CatalogVersion, step: &Step) -> Option<Change> {
    let schemas: Vec<SchemaId> = seen.schemas().map(|schema| schema.id).collect();
    let tables: Vec<TableId> = seen.tables().map(|table| table.id).collect();
    let name = |number: u8| NAMES[usize::from(number) % NAMES.len()].to_owned();
    Some(match step {
        Step::CreateSchema { name: number } => Change::CreateSchema {
            schema_id: SchemaId(catalog.reserve_ids(1)),
            name: name(*number),
        },
        Step::DropSchema { pick: number } => Change::DropSchema {
            schema_id: pick(&schemas, *number)?,
        },
        Step::CreateTable {
            schema,
            name: number,
        } => {
            let table = new_table(TableId(catalog.reserve_ids(1)), &name(*number));
            Change::CreateTable(NewTable {
                schema_id: pick(&schemas, *schema)?,
                ..table
            })
        }
        Step::DropTable { pick: number } => Change::DropTable {
            table_id: pick(&tables, *number)?,
            sequence: catalog.last_sequence() + 1,
        },
        Step::Append {
            pick: number,
            segments,
            bound,
        } => {
            let bound = i64::from(*bound);
            let segments = (0..i64::from(*segments))
                .map(|i| segment(&unique_name(catalog), SEGMENT_ROWS, bound, bound + i));
            append(pick(&tables, *number)?, segments.collect())
        }
        Step::Update {
            pick: number,
            segment: bound,
        } => {
            let moved = segment(&unique_name(catalog), 2, 0, i64::from(*bound));
            let moved = NewSegment {
                row_ids: RowIds::InFile,
                ..moved
            };
            append(pick(&tables, *number)?, vec![moved])
        }
        Step::Delete {
            pick: number,
            segments,
            rows,
        } => {
            let table = seen.table_by_id(pick(&tables, *number)?)?;
            let chosen = table.segments.iter().enumerate();
            let chosen = chosen.filter(|(at, _)| segments >> (at % 8) & 1 == 1);
            let deletion = |segment: &Segment| {
                let count = segment.delete_count() + u64::from(*rows);
                let is_left = count < segment.record_count;
                Deletion {
                    segment: segment.path.clone(),
                    file: is_left.then(|| delete_file(&unique_name(catalog), count)),
                }
            };
            Change::DeleteRows {
                table_id: table.id,
                deletions: chosen.map(|(_, segment)| deletion(segment)).collect(),
            }
        }
        Step::Truncate { pick: number } => Change::Truncate {
            table_id: pick(&tables, *number)?,
        },
    })
}

fn unique_name(catalog: &TenantCatalog) -> String {
    format!("s{}", catalog.reserve_ids(1))
}

/// Commits what is possible of the steps and compares with what can be known beforehand.
async fn run(commits: Vec<Vec<Step>>) {
    let fixture = Fixture::new();
    let mut catalog = fixture.open().await;
    let mut remembered: Vec<Arc<CatalogVersion>> = vec![catalog.current()];
    for (round, steps) in commits.into_iter().enumerate() {
        let base = catalog.current();
        let stamp = quiver_catalog::Stamp::overlay(&base);
        let mut overlay = base.as_ref().clone();
        let mut changes = vec![];
        for step in steps {
            let Some(change) = change(&catalog, &overlay, &step) else {
                continue;
            };
            if let Ok(next) = overlay.apply(std::slice::from_ref(&change), stamp) {
                overlay = next;
                changes.push(change);
            }
        }
        let sequence = catalog.last_sequence() + 1;
        let flushed = overlay.tables().map(|table| (table.id, sequence)).collect();
        let commit = Commit {
            changes,
            flushed,
            last_sequence: Some(sequence),
            ..Commit::default()
        };
        let version = catalog.commit(commit).await.unwrap();
        let shape = |version: &CatalogVersion| {
            let tables = version.tables().map(|table| {
                let segments = table.segments.iter();
                let segments = segments.map(|segment| (segment.path.clone(), segment.live_count()));
                (
                    table.id,
                    table.name.clone(),
                    table.record_count,
                    segments.collect::<Vec<_>>(),
                )
            });
            tables.collect::<Vec<_>>()
        };
        assert_eq!(
            shape(&version),
            shape(&overlay),
            "the overlay showed what was committed"
        );
        if version.snapshot_id != base.snapshot_id {
            assert_eq!(version.snapshot_id.0, base.snapshot_id.0 + 1);
            remembered.push(Arc::clone(&version));
        }
        if round % 4 == 3 {
            catalog = fixture.reopen(catalog).await;
            assert_eq!(
                without_table_stats(&catalog.current()),
                without_table_stats(&version),
                "a fresh start reads what was in memory"
            );
        }
    }
    let last = catalog.current();
    let catalog = fixture.reopen(catalog).await;
    assert_eq!(
        without_table_stats(&catalog.current()),
        without_table_stats(&last)
    );
    for version in remembered {
        let historic = catalog.at_snapshot(version.snapshot_id).await.unwrap();
        assert_same_history(&historic, &version);
    }
}

#[test]
fn memory_database_and_history_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 40,
        ..Config::default()
    });
    let commits = vec(vec(step(), 0..8), 1..16);
    let result = runner.run(&commits, |commits| {
        runtime.block_on(run(commits));
        Ok(())
    });
    result.unwrap();
}
