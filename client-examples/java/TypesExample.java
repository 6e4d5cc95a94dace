import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.Properties;

/**
 * Every type of SQL as JDBC sees it: its name, its number in java.sql.Types, and the Java object of a value.
 *
 * <pre>
 * java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver-18.3.0.jar \
 *     TypesExample.java "jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false" admin quiver
 * </pre>
 */
public final class TypesExample {
    private static final String VALUES = "SELECT true AS a_boolean, CAST(1 AS TINYINT) AS a_tinyint, CAST(2 AS SMALLINT) AS a_smallint,"
            + " CAST(3 AS INT) AS an_int, CAST(4 AS BIGINT) AS a_bigint, CAST(5 AS BIGINT UNSIGNED) AS an_unsigned,"
            + " CAST(1.5 AS REAL) AS a_real, CAST(2.5 AS DOUBLE) AS a_double, CAST(3.25 AS DECIMAL(10, 2)) AS a_decimal,"
            + " 'text' AS a_text, X'0102' AS a_binary, DATE '2026-01-02' AS a_date, TIME '03:04:05' AS a_time,"
            + " TIMESTAMP '2026-01-02 03:04:05.678' AS a_timestamp,"
            + " CAST('2026-01-02T03:04:05Z' AS TIMESTAMP WITH TIME ZONE) AS a_timestamptz,"
            + " [1, 2, 3] AS a_list, {x: 1, y: 'two'} AS a_struct, MAP {'k': 1} AS a_map,"
            + " INTERVAL '1' DAY AS an_interval, CAST(NULL AS INT) AS a_null";

    public static void main(String[] arguments) throws SQLException {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(VALUES)) {
            var columns = rows.getMetaData();
            rows.next();
            for (int column = 1; column <= columns.getColumnCount(); column++) {
                Object value = value(rows, column, columns.getColumnType(column));
                System.out.println(columns.getColumnName(column) + ": " + columns.getColumnTypeName(column)
                        + " " + columns.getColumnType(column)
                        + " (" + columns.getPrecision(column) + ", " + columns.getScale(column) + ") "
                        + shown(value) + (value == null ? "" : " as " + value.getClass().getSimpleName()));
            }
        }
    }

    /** The driver gives a time with a zone by getTimestamp only. */
    private static Object value(ResultSet rows, int column, int type) throws SQLException {
        return type == Types.TIMESTAMP_WITH_TIMEZONE ? rows.getTimestamp(column) : rows.getObject(column);
    }

    private static String shown(Object value) {
        return value instanceof byte[] bytes ? java.util.HexFormat.of().formatHex(bytes) : String.valueOf(value);
    }
}
