// Quiver through arrow-go's Flight SQL client.
//
//	go run . 127.0.0.1:50051 admin quiver
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	address, user, password := "127.0.0.1:50051", "admin", "quiver"
	if len(os.Args) == 4 {
		address, user, password = os.Args[1], os.Args[2], os.Args[3]
	}
	if err := run(address, user, password); err != nil {
		log.Fatal(err)
	}
}

func run(address, user, password string) error {
	// With TLS: credentials.NewClientTLSFromFile instead.
	client, err := flightsql.NewClient(address, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer client.Close()
	// The token of the login goes with every call that is made with this context.
	ctx, err := client.Client.AuthenticateBasicToken(context.Background(), user, password)
	if err != nil {
		return err
	}
	if err := ingest(ctx, client); err != nil {
		return err
	}
	if err := query(ctx, client); err != nil {
		return err
	}
	return transaction(ctx, client)
}

// ingest sends record batches; the table is made anew from their schema.
func ingest(ctx context.Context, client *flightsql.Client) error {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "station", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for id := int64(0); id < 100_000; id++ {
		rows.Field(0).(*array.Int64Builder).Append(id)
		rows.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("station %d", id%3))
	}
	batch := rows.NewRecordBatch()
	defer batch.Release()
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		return err
	}
	defer reader.Release()
	stored, err := client.ExecuteIngest(ctx, reader, &flightsql.ExecuteIngestOpts{
		Table: "stations",
		TableDefinitionOptions: &flightsql.TableDefinitionOptions{
			IfNotExist: flightsql.TableDefinitionOptionsTableNotExistOptionCreate,
			IfExists:   flightsql.TableDefinitionOptionsTableExistsOptionReplace,
		},
	})
	fmt.Println("stored", stored, "rows")
	return err
}

// query prepares a statement, binds a parameter and reads every endpoint of the answer.
func query(ctx context.Context, client *flightsql.Client) error {
	statement, err := client.Prepare(ctx, "SELECT station, count(*) AS n FROM stations WHERE id >= $1 GROUP BY station ORDER BY station")
	if err != nil {
		return err
	}
	defer statement.Close(ctx)
	parameters := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "1", Type: arrow.PrimitiveTypes.Int64},
	}, nil))
	defer parameters.Release()
	parameters.Field(0).(*array.Int64Builder).Append(10)
	bound := parameters.NewRecordBatch()
	defer bound.Release()
	statement.SetParameters(bound)
	info, err := statement.Execute(ctx)
	if err != nil {
		return err
	}
	for _, endpoint := range info.Endpoint {
		if err := print(ctx, client, endpoint); err != nil {
			return err
		}
	}
	return nil
}

func print(ctx context.Context, client *flightsql.Client, endpoint *flight.FlightEndpoint) error {
	reader, err := client.DoGet(ctx, endpoint.Ticket)
	if err != nil {
		return err
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := 0; row < int(batch.NumRows()); row++ {
			fmt.Println(batch.Column(0).ValueStr(row), batch.Column(1).ValueStr(row))
		}
	}
	return reader.Err()
}

// transaction: what is rolled back was never there for anybody else.
func transaction(ctx context.Context, client *flightsql.Client) error {
	tx, err := client.BeginTransaction(ctx)
	if err != nil {
		return err
	}
	changed, err := tx.ExecuteUpdate(ctx, "INSERT INTO stations VALUES (-1, 'nowhere')")
	if err != nil {
		return err
	}
	fmt.Println("changed", changed, "row, and rolls back")
	return tx.Rollback(ctx)
}
