#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};

use super::{Begun, FIRST_ITEM_WAIT, QueryRuntime, begin, pump};
use crate::error::{EngineError, Result};

/// Sets its flag when dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

async fn until_set(flag: &AtomicBool) {
    let wait = async {
        while !flag.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
}

#[tokio::test]
async fn work_runs_on_threads_of_its_own() {
    let runtime = QueryRuntime::start().unwrap();
    let name = runtime.run(async { Ok(std::thread::current().name().map(str::to_owned)) });
    assert_eq!(name.await.unwrap().as_deref(), Some("quiver-query"));
}

#[tokio::test]
async fn work_that_blocks_every_query_thread_does_not_block_the_caller() {
    let runtime = QueryRuntime::start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let spinning: Vec<_> = (0..64)
        .map(|_| {
            let stop = Arc::clone(&stop);
            runtime.handle.spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    stop.store(true, Ordering::Release);
    for task in spinning {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_threads_go_on() {
    let runtime = QueryRuntime::start().unwrap();
    let panicking = runtime.run(async {
        assert!(std::hint::black_box(false), "on purpose");
        Ok(())
    });
    assert!(matches!(panicking.await, Err(EngineError::Internal { .. })));
    assert_eq!(runtime.run(async { Ok(7) }).await.unwrap(), 7);
}

#[tokio::test]
async fn dropping_the_caller_cancels_the_work() {
    let runtime = QueryRuntime::start().unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(Arc::clone(&flag));
    let work = runtime.run(async move {
        let _held = dropped;
        std::future::pending::<Result<()>>().await
    });
    let cut_short = tokio::time::timeout(Duration::from_millis(20), work).await;
    assert!(cut_short.is_err());
    until_set(&flag).await;
}

#[tokio::test]
async fn a_pump_keeps_order_and_ends() {
    let items: Vec<_> = pump(stream::iter((0..100).map(Ok)))
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(items, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pump_passes_errors_and_panics_on_instead_of_a_short_result() {
    let failing = stream::iter([Ok(1), Err(EngineError::invalid("no"))]);
    let items: Vec<_> = pump(failing).collect().await;
    assert!(matches!(
        items[..],
        [Ok(1), Err(EngineError::InvalidArgument { .. })]
    ));

    let panicking = stream::iter(0..3).map(|n| {
        assert!(n < 2, "on purpose");
        Ok(n)
    });
    let items: Vec<_> = pump(panicking).collect().await;
    assert!(matches!(
        items[..],
        [Ok(0), Ok(1), Err(EngineError::Internal { .. })]
    ));
}

#[tokio::test]
async fn dropping_a_pump_drops_its_source() {
    let flag = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(Arc::clone(&flag));
    let endless = stream::repeat_with(move || {
        let _held = &dropped;
        Ok(0_u8)
    });
    let mut pumped = pump(endless);
    assert!(pumped.next().await.is_some());
    drop(pumped);
    until_set(&flag).await;
}

#[tokio::test]
async fn what_is_there_at_once_needs_no_task() {
    for count in [0, 1, 4] {
        let begun = begin(stream::iter((0..count).map(Ok))).await.unwrap();
        assert!(matches!(begun, Begun::Whole(items) if items == Vec::from_iter(0..count)));
    }
}

#[tokio::test]
async fn what_takes_longer_comes_in_order_and_whole() {
    let late = || {
        stream::once(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(100)
        })
        .boxed()
    };
    let many = stream::iter((0..100).map(Ok)).boxed();
    for (source, expected) in [
        (many, Vec::from_iter(0..100)),
        (stream::iter([Ok(1)]).chain(late()).boxed(), vec![1, 100]),
        (
            stream::once(async {
                tokio::time::sleep(FIRST_ITEM_WAIT * 3).await;
                Ok(7)
            })
            .boxed(),
            vec![7],
        ),
        (
            late().chain(stream::iter((0..9).map(Ok))).boxed(),
            [&[100][..], &Vec::from_iter(0..9)].concat(),
        ),
    ] {
        let Begun::Pumped(pumped) = begin(source).await.unwrap() else {
            panic!("it is not all there");
        };
        let items: Vec<i32> = pumped.map(Result::unwrap).collect().await;
        assert_eq!(items, expected);
    }
}

#[tokio::test]
async fn the_first_error_comes_at_once_and_a_later_one_behind_the_items() {
    let failure = || Err(EngineError::internal("on purpose"));
    let first = begin(stream::iter([failure(), Ok(1)])).await;
    assert!(first.is_err());
    let later = (0..10).map(Ok).chain([failure()]);
    let Begun::Pumped(pumped) = begin(stream::iter(later)).await.unwrap() else {
        panic!("it is not all there");
    };
    let items: Vec<_> = pumped.collect().await;
    assert_eq!(items.len(), 11);
    assert!(items[10].is_err());
}
