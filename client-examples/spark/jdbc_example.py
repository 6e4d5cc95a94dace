"""Spark reads Quiver over JDBC: whole, in partitions, and with the work left to Quiver.

    pip install pyspark
    mvn dependency:copy -Dartifact=org.apache.arrow:flight-sql-jdbc-driver:18.3.0 -DoutputDirectory=.
    python jdbc_example.py flight-sql-jdbc-driver-18.3.0.jar \
        "jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false" admin quiver
"""

import os
import sys

from pyspark.sql import DataFrameReader, SparkSession
from pyspark.sql import functions as F

# Stands for a table: whatever may follow FROM does.
TRIPS = """(SELECT value AS id, 'station ' || (value % 5) AS station, CAST(value % 1000 AS DECIMAL(10, 2)) AS fare,
            CAST(to_timestamp_seconds(1767225600 + value) AS TIMESTAMP) AS started FROM range(0, 100000)) AS trips"""


def main(driver: str, url: str, user: str, password: str) -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.driver.host", "127.0.0.1")
    with builder.config("spark.ui.enabled", "false").config("spark.jars", driver).getOrCreate() as spark:
        spark.sparkContext.setLogLevel("ERROR")
        run(spark, url, user, password)


def run(spark: SparkSession, url: str, user: str, password: str) -> None:
    def jdbc() -> DataFrameReader:
        return spark.read.format("jdbc").options(
            url=url, user=user, password=password, driver="org.apache.arrow.driver.jdbc.ArrowFlightJdbcDriver",
            # A timestamp without a zone stays what it is.
            preferTimestampNTZ="true",
        )

    # The driver does not tell how large whole numbers get: without customSchema the id was a decimal(20, 0).
    whole = jdbc().options(dbtable=TRIPS, customSchema="id BIGINT").load()
    print(", ".join(f"{name} {kind}" for name, kind in whole.dtypes))
    print("first:", *whole.orderBy("id").first())

    # Four connections, each with its part of the ids. The bounds only say how to part them: rows beyond are read too.
    parted = jdbc().options(
        dbtable=TRIPS, customSchema="id BIGINT", partitionColumn="id", lowerBound=0,
        upperBound=100_000, numPartitions=4,
    ).load()
    for row in parted.groupBy(F.spark_partition_id().alias("number")).count().orderBy("number").collect():
        print("partition", row.number, "has", row["count"], "rows")

    # Columns and filters are pushed down: Quiver sends 40 rows, not 100,000.
    late = parted.where("started >= timestamp_ntz'2026-01-02 03:43:20' AND station = 'station 3'").select("id")
    print("late:", late.count())

    # Aggregates are not, so a count fetches a row for each one that it counts. As a query, it is one number.
    count = jdbc().options(query=f"SELECT count(*) AS n, sum(fare) AS fares FROM {TRIPS}").load()
    print("counted by Quiver:", int(count.first().n))


if __name__ == "__main__":
    main(*sys.argv[1:])
