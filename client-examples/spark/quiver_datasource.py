"""Quiver as a data source of Spark 4: `spark.read.format("quiver")` and `df.write.format("quiver")`.

Options: `uri`, `user` and `password` (or `token`), and `dbtable` (a table, or schema.table) or, to read, `query`;
`numPartitions` bounds the partitions of a read.

To read, each endpoint of the server's answer is a partition. To write, tasks put their rows into a table that one
transaction alone knows, each row with the attempt it is of; in the end the driver keeps the rows of those attempts
that Spark calls complete. Only Spark can tell: to a writer, input that broke off looks like input that ended.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.flight as flight
from pyspark import TaskContext
from pyspark.errors import PySparkTypeError
from pyspark.sql.datasource import (
    DataSource, DataSourceArrowWriter, DataSourceReader, InputPartition, WriterCommitMessage,
)
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import StructField, StructType

from quiver_flight import APPEND, CREATE, CREATE_OR_APPEND, CREATE_OR_REPLACE, Client, path, quoted

# Spark has no unsigned numbers: the next larger type holds them.
LARGER = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20)}
ATTEMPT = "quiver_attempt"


class QuiverDataSource(DataSource):
    @classmethod
    def name(cls) -> str:
        return "quiver"

    def schema(self) -> StructType:
        with Client(self.options) as client:
            return StructType([spark_field(field) for field in client.schema(select(self.options))])

    def reader(self, schema: StructType) -> "QuiverReader":
        return QuiverReader(self.options, to_arrow_schema(schema, timezone="UTC"))

    def writer(self, schema: StructType, overwrite: bool) -> "QuiverWriter":
        # A column without NULL in this job may have some in the next.
        return QuiverWriter(self.options, to_arrow_schema(schema.toNullable(), timezone="UTC"), overwrite)


class QuiverReader(DataSourceReader):
    """Spark asks for partitions once and reads them as often as the frame is used."""

    def __init__(self, options, schema: pa.Schema):
        self.options, self.schema, self.query = options, schema, select(options)

    def partitions(self) -> list[InputPartition]:
        """Of several, each has the tickets of all, its own first. One alone asks anew when it is read."""
        with Client(self.options) as client:
            endpoints = client.endpoints(self.query, int(self.options.get("numPartitions", 8)))
        tickets = [endpoint.serialize() for endpoint in endpoints]
        if len(tickets) < 2:
            return [InputPartition([])]
        return [InputPartition(tickets[place:] + tickets[:place]) for place in range(len(tickets))]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        with Client(self.options) as client:
            endpoints = [flight.FlightEndpoint.deserialize(ticket) for ticket in partition.value]
            # Others wait for their turn, perhaps for longer than a ticket lasts.
            for endpoint in endpoints:
                client.renew(endpoint)
            for endpoint in endpoints[:1] or client.endpoints(self.query):
                for batch in client.rows(endpoint):
                    yield converted(batch, self.schema)


@dataclass
class Attempt(WriterCommitMessage):
    """A task that has sent all rows it was given. Whether these were all is for the driver to say."""

    number: int


class QuiverWriter(DataSourceArrowWriter):
    """Begun by the driver and copied to the tasks, each of which logs in by itself."""

    def __init__(self, options, schema: pa.Schema, overwrite: bool):
        self.options, self.schema, self.table = options, schema, options["dbtable"]
        self.staging = f"{self.table}_{uuid.uuid4().hex}"
        self.staged = schema.append(pa.field(ATTEMPT, pa.int64()))
        mode = CREATE_OR_REPLACE if overwrite else CREATE_OR_APPEND
        with Client(options) as client:
            self.transaction = client.begin()
            try:
                client.ingest(self.table, schema, mode, self.transaction)
                client.ingest(self.staging, self.staged, CREATE, self.transaction)
            except BaseException:
                client.end(self.transaction, commit=False)
                raise

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Attempt:
        attempt = Attempt(TaskContext.get().taskAttemptId())
        batches = (self.marked(batch, attempt.number) for batch in iterator)
        with Client(self.options) as client:
            client.ingest(self.staging, self.staged, APPEND, self.transaction, batches)
        return attempt

    def marked(self, batch: pa.RecordBatch, attempt: int) -> pa.RecordBatch:
        numbers = pa.repeat(pa.scalar(attempt, pa.int64()), batch.num_rows)
        return pa.record_batch([*converted(batch, self.schema).columns, numbers], self.staged)

    def commit(self, messages: list[Attempt]) -> None:
        columns = ", ".join(quoted(name) for name in self.schema.names)
        attempts = ", ".join(str(message.number) for message in messages)
        rows = f"SELECT {columns} FROM {path(self.staging)} WHERE {ATTEMPT} IN ({attempts})"
        with Client(self.options) as client:
            client.execute(f"INSERT INTO {path(self.table)} ({columns}) {rows}", self.transaction)
            client.execute(f"DROP TABLE {path(self.staging)}", self.transaction)
            client.end(self.transaction, commit=True)

    def abort(self, messages: list[Attempt | None]) -> None:
        with Client(self.options) as client:
            client.end(self.transaction, commit=False)


def select(options) -> str:
    return options.get("query") or f"SELECT * FROM {path(options['dbtable'])}"


def spark_field(field: pa.Field) -> StructField:
    try:
        return StructField(field.name, from_arrow_type(LARGER.get(field.type, field.type)), field.nullable)
    except PySparkTypeError as error:
        raise ValueError(f"Spark has no type for column {field.name!r}, {field.type}: cast it in a query") from error


def converted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """With the very types that are due: units of time, zones, names within lists and maps."""
    columns = []
    for field in schema:
        try:
            columns.append(batch.column(field.name).cast(field.type))
        except pa.ArrowInvalid as error:
            raise ValueError(f"column {field.name!r} does not fit {field.type}: {error}") from error
    return pa.record_batch(columns, schema)
