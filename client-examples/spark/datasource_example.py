"""Spark reads Quiver and writes to it by the data source of quiver_datasource.py.

    pip install pyspark pandas pyarrow
    python datasource_example.py grpc://127.0.0.1:50051 admin quiver
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from quiver_datasource import QuiverDataSource

HERE = Path(__file__).resolve().parent


def main(uri: str, user: str, password: str) -> None:
    # Spark's workers are to be the same Python with the same packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # Two tasks at a time, each up to four times.
    builder = SparkSession.builder.master("local[2,4]").config("spark.driver.host", "127.0.0.1")
    with builder.config("spark.ui.enabled", "false").getOrCreate() as spark:
        spark.sparkContext.setLogLevel("OFF")
        run(spark, {"uri": uri, "user": user, "password": password})


def run(spark: SparkSession, quiver: dict[str, str]) -> None:
    register(spark)
    trips = spark.range(0, 200_000, numPartitions=4).select(
        "id",
        F.concat(F.lit("station "), F.col("id") % 5).alias("station"),
        (F.col("id") % 1000 / 100).cast("decimal(10, 2)").alias("fare"),
        F.timestamp_seconds(1_767_225_600 + F.col("id")).alias("started"),
    )
    # All of it is visible at once, when the job has ended well.
    trips.write.format("quiver").options(**quiver, dbtable="trips").mode("overwrite").save()
    table = spark.read.format("quiver").options(**quiver, dbtable="trips").load()
    print("stored", table.count(), "trips")
    for row in table.groupBy("station").agg(F.sum("fare").alias("fares")).orderBy("station").collect():
        print(row.station, row.fares)

    # A task fails and is repeated: what it had sent before does not count.
    shaky = table.where("id < 1000").repartition(2).mapInArrow(fails_once, table.schema)
    shaky.write.format("quiver").options(**quiver, dbtable="trips").mode("append").save()
    print("after a repeated task:", rows(spark, quiver), "trips")

    # A job that fails leaves nothing.
    broken = table.withColumn("fare", F.when(F.col("id") == 777, F.raise_error(F.lit("lost"))).otherwise(F.col("fare")))
    try:
        broken.write.format("quiver").options(**quiver, dbtable="trips").mode("overwrite").save()
    except Exception as error:
        print("failed:", type(error).__name__)
    print("after a failed job:", rows(spark, quiver), "trips")


def register(spark: SparkSession) -> None:
    """The workers need its files, wherever they are."""
    for name in ("quiver_datasource.py", "quiver_flight.py"):
        spark.sparkContext.addPyFile(str(HERE / name))
    spark.dataSource.register(QuiverDataSource)


def rows(spark: SparkSession, quiver: dict[str, str]) -> int:
    """What a query does is done by Quiver: only its answer travels."""
    query = "SELECT count(*) AS n FROM trips"
    return spark.read.format("quiver").options(**quiver, query=query).load().first().n


def fails_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches
    if TaskContext.get().attemptNumber() == 0:
        raise RuntimeError("the task is lost after its last row")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["grpc://127.0.0.1:50051", "admin", "quiver"]))
