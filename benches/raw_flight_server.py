"""pyarrow's own Flight server over one table in memory: `raw_flight_server.py PORT FILE`."""

import sys

import pyarrow as pa
import pyarrow.flight as fl

from tables import read_lineitem


class Ceiling(fl.FlightServerBase):
    def __init__(self, location: str, parquet: str):
        self.table = read_lineitem(parquet)
        super().__init__(location)

    def do_get(self, context, ticket):
        batches = self.table.to_batches(max_chunksize=65536)
        return fl.RecordBatchStream(pa.RecordBatchReader.from_batches(self.table.schema, batches))

    def do_put(self, context, descriptor, reader, writer):
        for chunk in reader:
            chunk.data.num_rows


if __name__ == "__main__":
    Ceiling(f"grpc://127.0.0.1:{sys.argv[1]}", sys.argv[2]).serve()
