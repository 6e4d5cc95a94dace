#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::cli::tests::stub;

#[tokio::test]
async fn statements_run_and_rows_come_from_every_endpoint() {
    let stub = stub::start().await;
    let mut client = FlightClient::connect(&stub.target()).await.unwrap();
    // The stub renews its token with every answer and takes the latest one only.
    for _ in 0..3 {
        let info = client.execute("SELECT n").await.unwrap();
        let rows = client.rows(info);
        assert_eq!(rows.schema().unwrap(), stub::numbers(0).schema());
        let batches = rows.collect().await.unwrap();
        assert_eq!(
            batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
            6
        );
    }
    let info = client.execute("INSERT").await.unwrap();
    assert_eq!((info.endpoint.len(), info.total_records), (0, 3));
}

#[tokio::test]
async fn errors_keep_their_code_and_query_id() {
    let stub = stub::start().await;
    let mut client = FlightClient::connect(&stub.target()).await.unwrap();
    let error = client.execute("NONSENSE").await.unwrap_err();
    assert!(!error.is_passing());
    let text = "cannot parse\n NONSENSE (INVALID_ARGUMENT, query id q-1)";
    assert_eq!(error.to_string(), text);
    let info = client.execute("SELECT broken").await.unwrap();
    let error = client.rows(info).collect().await.unwrap_err();
    assert_eq!(error.to_string(), "a segment is damaged (DATA_LOSS)");
}

#[tokio::test]
async fn a_refused_login_and_a_missing_server_say_so() {
    let stub = stub::start().await;
    let mut target = stub.target();
    target.password = Secret("wrong".to_owned());
    let error = FlightClient::connect(&target).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrong user or password (UNAUTHENTICATED)"
    );
    target.uri = "http://127.0.0.1:1".to_owned();
    target.shown = "grpc://127.0.0.1:1".to_owned();
    let error = FlightClient::connect(&target)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot connect to grpc://127.0.0.1:1: "),
        "{error}"
    );
    assert!(
        error.contains("refused") && error.contains("quiver serve"),
        "{error}"
    );
}

#[tokio::test]
async fn tables_are_listed_with_their_columns_and_found_by_exact_name() {
    let stub = stub::start().await;
    for name in ["trips", "tripsX"] {
        let table = stub::Table {
            schema: stub::numbers(0).schema(),
            rows: 0,
        };
        stub.state.lock().tables.insert(name.to_owned(), table);
    }
    let mut client = FlightClient::connect(&stub.target()).await.unwrap();
    assert_eq!(client.tables(None).await.unwrap().len(), 2);
    let found = client.tables(Some(("main", "TRIPS"))).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].schema.as_str(), found[0].name.as_str()),
        ("main", "trips")
    );
    assert_eq!(found[0].columns.field(0).name(), "n");
    assert!(
        client
            .tables(Some(("other", "trips")))
            .await
            .unwrap()
            .is_empty()
    );
}
