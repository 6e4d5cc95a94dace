// What Quiver is expected to do, said to arrow-adbc's validation suite.
//
// The suite asks a DriverQuirks what the server can do and tries it. Only what Quiver refuses by name is declared
// unsupported here; the tests in RefusalTest hold it to that, so that a quirk goes when the refusal does.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <arrow-adbc/adbc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nanoarrow/nanoarrow.h>

#include "validation/adbc_validation.h"
#include "validation/adbc_validation_util.h"

namespace {

using adbc_validation::Handle;
using adbc_validation::IsOkStatus;
using adbc_validation::IsStatus;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The driver keeps the rows of an ingest on its statement and then refuses to run a query with it. The suite reads
// back with the statement that ingested, so with QUIVER_FRESH_STATEMENTS such a statement is made anew before it
// gets its query. The linker leads the suite's calls here (--wrap); the driver is as it was.

std::map<AdbcStatement*, AdbcConnection*> connections;
std::set<AdbcStatement*> with_rows;

extern "C" {
AdbcStatusCode __real_AdbcStatementNew(AdbcConnection*, AdbcStatement*, AdbcError*);
AdbcStatusCode __real_AdbcStatementSetOption(AdbcStatement*, const char*, const char*, AdbcError*);
AdbcStatusCode __real_AdbcStatementSetSqlQuery(AdbcStatement*, const char*, AdbcError*);

AdbcStatusCode __wrap_AdbcStatementNew(AdbcConnection* connection, AdbcStatement* statement, AdbcError* error) {
  connections[statement] = connection;
  with_rows.erase(statement);
  return __real_AdbcStatementNew(connection, statement, error);
}

AdbcStatusCode __wrap_AdbcStatementSetOption(AdbcStatement* statement, const char* key, const char* value,
                                             AdbcError* error) {
  if (std::strcmp(key, ADBC_INGEST_OPTION_TARGET_TABLE) == 0) with_rows.insert(statement);
  return __real_AdbcStatementSetOption(statement, key, value, error);
}

AdbcStatusCode __wrap_AdbcStatementSetSqlQuery(AdbcStatement* statement, const char* query, AdbcError* error) {
  if (with_rows.erase(statement) != 0 && !Environment("QUIVER_FRESH_STATEMENTS").empty()) {
    AdbcStatusCode code = AdbcStatementRelease(statement, error);
    if (code == ADBC_STATUS_OK) code = __real_AdbcStatementNew(connections[statement], statement, error);
    if (code != ADBC_STATUS_OK) return code;
  }
  return __real_AdbcStatementSetSqlQuery(statement, query, error);
}
}

/// Runs a statement whose result nobody reads.
AdbcStatusCode Execute(AdbcConnection* connection, const std::string& sql, AdbcError* error) {
  Handle<AdbcStatement> statement;
  AdbcStatusCode code = AdbcStatementNew(connection, &statement.value, error);
  if (code == ADBC_STATUS_OK) code = AdbcStatementSetSqlQuery(&statement.value, sql.c_str(), error);
  if (code == ADBC_STATUS_OK) code = AdbcStatementExecuteQuery(&statement.value, nullptr, nullptr, error);
  return code;
}

class QuiverQuirks : public adbc_validation::DriverQuirks {
 public:
  AdbcStatusCode SetupDatabase(AdbcDatabase* database, AdbcError* error) const override {
    AdbcStatusCode code = ADBC_STATUS_OK;
    for (auto [option, variable] : {std::pair{"uri", "QUIVER_URI"},
                                    std::pair{"username", "QUIVER_USER"},
                                    std::pair{"password", "QUIVER_PASSWORD"}}) {
      if (code == ADBC_STATUS_OK) {
        code = AdbcDatabaseSetOption(database, option, Environment(variable).c_str(), error);
      }
    }
    return code;
  }

  AdbcStatusCode DropTable(AdbcConnection* connection, const std::string& name,
                           AdbcError* error) const override {
    return Execute(connection, "DROP TABLE IF EXISTS " + QuoteIdentifier(name), error);
  }

  AdbcStatusCode DropTable(AdbcConnection* connection, const std::string& name,
                           const std::string& db_schema, AdbcError* error) const override {
    return Execute(connection,
                   "DROP TABLE IF EXISTS " + QuoteIdentifier(db_schema) + "." + QuoteIdentifier(name), error);
  }

  AdbcStatusCode EnsureDbSchema(AdbcConnection* connection, const std::string& name,
                                AdbcError* error) const override {
    return Execute(connection, "CREATE SCHEMA IF NOT EXISTS " + QuoteIdentifier(name), error);
  }

  /// Tables are kept in canonical types: the README has the list.
  ArrowType IngestSelectRoundTripType(ArrowType ingested) const override {
    switch (ingested) {
      case NANOARROW_TYPE_HALF_FLOAT:
        return NANOARROW_TYPE_FLOAT;
      case NANOARROW_TYPE_LARGE_STRING:
      case NANOARROW_TYPE_STRING_VIEW:
        return NANOARROW_TYPE_STRING;
      case NANOARROW_TYPE_LARGE_BINARY:
      case NANOARROW_TYPE_BINARY_VIEW:
      case NANOARROW_TYPE_FIXED_SIZE_BINARY:
        return NANOARROW_TYPE_BINARY;
      default:
        return ingested;
    }
  }

  std::optional<adbc_validation::SqlInfoValue> supports_get_sql_info(uint32_t info_code) const override {
    switch (info_code) {
      case ADBC_INFO_VENDOR_NAME:
        return "Quiver";
      case ADBC_INFO_DRIVER_NAME:
        return "ADBC Flight SQL Driver - Go";
      case ADBC_INFO_DRIVER_ADBC_VERSION:
        return ADBC_VERSION_1_1_0;
      default:
        return std::nullopt;
    }
  }

  std::string catalog() const override { return "default"; }
  std::string db_schema() const override { return "main"; }

  bool supports_bulk_ingest_catalog() const override { return true; }
  bool supports_bulk_ingest_db_schema() const override { return true; }
  bool supports_cancel() const override { return true; }
  bool supports_concurrent_statements() const override { return true; }
  bool supports_execute_schema() const override { return true; }
  bool supports_partitioned_data() const override { return true; }
  bool supports_metadata_current_catalog() const override { return true; }
  bool supports_metadata_current_db_schema() const override { return true; }
};

class QuiverDatabaseTest : public ::testing::Test, public adbc_validation::DatabaseTest {
 public:
  const adbc_validation::DriverQuirks* quirks() const override { return &quirks_; }
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(SetUpTest()); }
  void TearDown() override { ASSERT_NO_FATAL_FAILURE(TearDownTest()); }

 private:
  QuiverQuirks quirks_;
};
ADBCV_TEST_DATABASE(QuiverDatabaseTest)

class QuiverConnectionTest : public ::testing::Test, public adbc_validation::ConnectionTest {
 public:
  const adbc_validation::DriverQuirks* quirks() const override { return &quirks_; }
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(SetUpTest()); }
  void TearDown() override { ASSERT_NO_FATAL_FAILURE(TearDownTest()); }

 private:
  QuiverQuirks quirks_;
};
ADBCV_TEST_CONNECTION(QuiverConnectionTest)

class QuiverStatementTest : public ::testing::Test, public adbc_validation::StatementTest {
 public:
  const adbc_validation::DriverQuirks* quirks() const override { return &quirks_; }
  void SetUp() override { ASSERT_NO_FATAL_FAILURE(SetUpTest()); }
  void TearDown() override { ASSERT_NO_FATAL_FAILURE(TearDownTest()); }

 protected:
  /// The suite's values are null, -42, 0 and 42 of `unit`. Timestamps without a zone keep their unit, those with
  /// one are in microseconds.
  void ValidateIngestedTemporalData(ArrowArrayView* values, ArrowType, ArrowTimeUnit unit,
                                    const char* timezone) override {
    int64_t factor = 1;
    if (timezone != nullptr && unit == NANOARROW_TIME_UNIT_MILLI) factor = 1'000;
    if (timezone != nullptr && unit == NANOARROW_TIME_UNIT_SECOND) factor = 1'000'000;
    ASSERT_NO_FATAL_FAILURE(
        adbc_validation::CompareArray<int64_t>(values, {std::nullopt, -42 * factor, 0, 42 * factor}));
  }

 private:
  QuiverQuirks quirks_;
};
ADBCV_TEST_STATEMENT(QuiverStatementTest)

// What the suite's own tests do not reach.

/// The suite tries nanoseconds before it comes to the second zone.
TEST_F(QuiverStatementTest, SqlIngestTimestampTzThatFits) {
  for (const char* zone : {"UTC", "America/Los_Angeles"}) {
    SCOPED_TRACE(zone);
    ASSERT_NO_FATAL_FAILURE(
        (TestSqlIngestTemporalType<NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_SECOND>(zone)));
    ASSERT_NO_FATAL_FAILURE(
        (TestSqlIngestTemporalType<NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_MILLI>(zone)));
    ASSERT_NO_FATAL_FAILURE(
        (TestSqlIngestTemporalType<NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_MICRO>(zone)));
  }
}

TEST_F(QuiverStatementTest, ErrorsSayWhatIsWrong) {
  EXPECT_THAT(Execute(&connection, "SELECT * FROM not_there", &error), IsStatus(ADBC_STATUS_NOT_FOUND, &error));
  EXPECT_THAT(Execute(&connection, "SELECT", &error), IsStatus(ADBC_STATUS_INVALID_ARGUMENT, &error));
}

class StreamTest : public QuiverStatementTest {
 protected:
  /// Reads to the end or to the first error, which comes back as the stream's status.
  AdbcStatusCode ReadOn(adbc_validation::StreamReader* reader) {
    while (reader->MaybeNext() == 0) {
      if (reader->array->release == nullptr) return ADBC_STATUS_OK;
    }
    AdbcStatusCode status = ADBC_STATUS_OK;
    EXPECT_NE(nullptr, AdbcErrorFromArrayStream(&reader->stream.value, &status));
    return status;
  }

  void Start(const char* query, adbc_validation::StreamReader* reader) {
    ASSERT_THAT(AdbcStatementNew(&connection, &statement, &error), IsOkStatus(&error));
    ASSERT_THAT(AdbcStatementSetSqlQuery(&statement, query, &error), IsOkStatus(&error));
    ASSERT_THAT(
        AdbcStatementExecuteQuery(&statement, &reader->stream.value, &reader->rows_affected, &error),
        IsOkStatus(&error));
    ASSERT_NO_FATAL_FAILURE(reader->GetSchema());
  }
};

TEST_F(StreamTest, CancelEndsALongResult) {
  adbc_validation::StreamReader reader;
  ASSERT_NO_FATAL_FAILURE(
      Start("SELECT a.value, b.value AS other FROM generate_series(1, 200000) a, generate_series(1, 200000) b",
            &reader));
  ASSERT_EQ(0, reader.MaybeNext());
  ASSERT_THAT(AdbcStatementCancel(&statement, &error), IsOkStatus(&error));
  ASSERT_EQ(ADBC_STATUS_CANCELLED, ReadOn(&reader));
}

TEST_F(StreamTest, ErrorInTheMiddleOfAResult) {
  adbc_validation::StreamReader reader;
  ASSERT_NO_FATAL_FAILURE(
      Start("SELECT 1 / (3000000 - value) FROM generate_series(1, 4000000)", &reader));
  ASSERT_EQ(0, reader.MaybeNext()) << "the first rows are sound";
  ASSERT_EQ(ADBC_STATUS_INVALID_ARGUMENT, ReadOn(&reader));
}

// What the quirks declare unsupported, or have no DDL for, is refused by name.

class RefusalTest : public QuiverStatementTest {};

TEST_F(RefusalTest, TemporaryTables) {
  Handle<ArrowSchema> schema;
  Handle<ArrowArray> array;
  ArrowError why;
  ASSERT_EQ(0, adbc_validation::MakeSchema(&schema.value, {{"ints", NANOARROW_TYPE_INT64}}));
  ASSERT_EQ(0, adbc_validation::MakeBatch<int64_t>(&schema.value, &array.value, &why, {1}));
  ASSERT_THAT(AdbcStatementNew(&connection, &statement, &error), IsOkStatus(&error));
  for (auto [key, value] : {std::pair{ADBC_INGEST_OPTION_TARGET_TABLE, "temporary"},
                            std::pair{ADBC_INGEST_OPTION_TEMPORARY, ADBC_OPTION_VALUE_ENABLED}}) {
    ASSERT_THAT(AdbcStatementSetOption(&statement, key, value, &error), IsOkStatus(&error));
  }
  ASSERT_THAT(AdbcStatementBind(&statement, &array.value, &schema.value, &error), IsOkStatus(&error));
  ASSERT_THAT(AdbcStatementExecuteQuery(&statement, nullptr, nullptr, &error),
              IsStatus(ADBC_STATUS_NOT_IMPLEMENTED, &error));
}

TEST_F(RefusalTest, Keys) {
  for (const char* columns :
       {"id BIGINT PRIMARY KEY", "a BIGINT, b BIGINT, PRIMARY KEY (a, b)", "a BIGINT REFERENCES other (id)",
        "a BIGINT, FOREIGN KEY (a) REFERENCES other (id)", "id BIGINT GENERATED ALWAYS AS IDENTITY, value BIGINT"}) {
    std::string sql = std::string("CREATE TABLE with_keys (") + columns + ")";
    EXPECT_THAT(Execute(&connection, sql, &error), IsStatus(ADBC_STATUS_NOT_IMPLEMENTED, &error)) << sql;
  }
}

/// Flight SQL has no message for them, so it is the driver that refuses.
TEST_F(RefusalTest, Statistics) {
  adbc_validation::StreamReader reader;
  ASSERT_THAT(AdbcConnectionGetStatisticNames(&connection, &reader.stream.value, &error),
              IsStatus(ADBC_STATUS_NOT_IMPLEMENTED, &error));
}

}  // namespace
