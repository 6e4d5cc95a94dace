import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * Quiver through JDBC, with Arrow's own driver.
 *
 * <pre>
 * mvn dependency:copy -Dartifact=org.apache.arrow:flight-sql-jdbc-driver:18.3.0 -DoutputDirectory=.
 * java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver-18.3.0.jar \
 *     JdbcExample.java "jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false" admin quiver
 * </pre>
 */
public final class JdbcExample {
    public static void main(String[] arguments) throws SQLException {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login)) {
            var server = connection.getMetaData();
            System.out.println("connected to " + server.getDatabaseProductName());
            create(connection);
            insert(connection);
            query(connection);
            refused(connection);
        }
    }

    private static void create(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("DROP TABLE IF EXISTS invoices");
            statement.executeUpdate("CREATE TABLE invoices (id BIGINT, customer VARCHAR, due DATE, amount DECIMAL(12, 2))");
        }
    }

    /** A batch of parameters is one call, and one commit: all of its rows are stored or none. */
    private static void insert(Connection connection) throws SQLException {
        var sql = "INSERT INTO invoices VALUES (?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int id = 1; id <= 1000; id++) {
                statement.setLong(1, id);
                statement.setString(2, "customer " + id % 7);
                statement.setDate(3, Date.valueOf("2026-01-01"));
                statement.setBigDecimal(4, new BigDecimal("19.90"));
                statement.addBatch();
            }
            statement.executeBatch();
        }
    }

    private static void query(Connection connection) throws SQLException {
        var sql = "SELECT customer, count(*), sum(amount) FROM invoices WHERE id > ? AND due = ?"
                + " GROUP BY customer ORDER BY customer LIMIT 2";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setLong(1, 500);
            statement.setDate(2, Date.valueOf("2026-01-01"));
            try (ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    System.out.println(rows.getString(1) + ": " + rows.getLong(2) + " invoices, " + rows.getBigDecimal(3));
                }
            }
        }
    }

    /** What is wrong with a statement is said in one line, and nothing of it was done. */
    private static void refused(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("INSERT INTO invoices VALUES ('not a number', NULL, NULL, NULL)");
            throw new IllegalStateException("a text was taken for a number");
        } catch (SQLException error) {
            System.out.println("refused: " + error.getMessage().lines().findFirst().orElse(""));
        }
    }
}
