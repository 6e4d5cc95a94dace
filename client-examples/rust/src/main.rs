//! Quiver through arrow-flight's own Flight SQL client.
//!
//! ```sh
//! cargo run --package quiver-rust-example -- http://127.0.0.1:50051 admin quiver
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use arrow_flight::FlightInfo;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use futures::{TryStreamExt, stream};
use tonic::transport::{Channel, Endpoint};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Client = FlightSqlServiceClient<Channel>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [uri, user, password] = match arguments.as_slice() {
        [uri, user, password] => [uri.as_str(), user, password],
        _ => ["http://127.0.0.1:50051", "admin", "quiver"],
    };
    let channel = Endpoint::from_shared(uri.to_owned())?.connect().await?;
    let mut client = Client::new(channel);
    // The token that the login answers goes with every call from now on.
    client.handshake(user, password).await?;
    ingest(&mut client).await?;
    query(&mut client).await?;
    undo(&mut client).await
}

/// Record batches go to the table as they are; a stream of them is stored whole or not at all.
async fn ingest(client: &mut Client) -> Result<()> {
    let stations: Vec<String> = (0..1000).map(|n| format!("station {}", n % 3)).collect();
    let degrees = Float64Array::from_iter_values((0..1000).map(|n| f64::from(n) / 10.0));
    let batch = RecordBatch::try_from_iter([
        ("station", Arc::new(StringArray::from(stations)) as ArrayRef),
        ("degrees", Arc::new(degrees)),
    ])?;
    let create_or_replace = TableDefinitionOptions {
        if_not_exist: TableNotExistOption::Create.into(),
        if_exists: TableExistsOption::Replace.into(),
    };
    let command = CommandStatementIngest {
        table_definition_options: Some(create_or_replace),
        table: "weather".to_owned(),
        schema: None,
        catalog: None,
        temporary: false,
        transaction_id: None,
        options: Default::default(),
    };
    let stored = client
        .execute_ingest(command, stream::iter([Ok(batch)]))
        .await?;
    println!("stored {stored} rows");
    Ok(())
}

/// A prepared statement with a parameter.
async fn query(client: &mut Client) -> Result<()> {
    let sql = "SELECT station, count(*) AS n FROM weather WHERE degrees < $1 \
               GROUP BY station ORDER BY station";
    let mut statement = client.prepare(sql.to_owned(), None).await?;
    let parameter = Arc::new(Float64Array::from(vec![5.0])) as ArrayRef;
    statement.set_parameters(RecordBatch::try_from_iter([("$1", parameter)])?)?;
    let info = statement.execute().await?;
    println!("{}", pretty_format_batches(&fetch(client, info).await?)?);
    statement.close().await?;
    Ok(())
}

/// What is rolled back was never there for anybody else.
async fn undo(client: &mut Client) -> Result<()> {
    let transaction = client.begin_transaction().await?;
    let insert = "INSERT INTO weather VALUES ('nowhere', 0.0)".to_owned();
    let changed = client
        .execute_update(insert, Some(transaction.clone()))
        .await?;
    let end = arrow_flight::sql::EndTransaction::Rollback;
    client.end_transaction(transaction, end).await?;
    println!("changed {changed} row, and rolled back");
    Ok(())
}

/// The rows of every endpoint. More than one can be read side by side.
async fn fetch(client: &mut Client, info: FlightInfo) -> Result<Vec<RecordBatch>> {
    let mut batches = vec![];
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
        let rows = client.do_get(ticket).await?;
        batches.extend(rows.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}
