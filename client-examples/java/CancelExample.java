import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * A query that takes too long: cancelled by the program, and by a timeout. The server stops computing it.
 *
 * <pre>
 * java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver-18.3.0.jar \
 *     CancelExample.java "jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false" admin quiver
 * </pre>
 */
public final class CancelExample {
    /** Would take a very long time. */
    private static final String LONG = "SELECT count(*) FROM range(0, 1000000) a, range(0, 1000000) b"
            + " WHERE (a.value * b.value) % 7 = 3";

    public static void main(String[] arguments) throws SQLException {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login)) {
            cancelled(connection);
            timedOut(connection);
            // The connection is as good as before.
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("SELECT 42")) {
                rows.next();
                System.out.println("the connection still answers: " + rows.getLong(1));
            }
        }
    }

    private static void cancelled(Connection connection) throws SQLException {
        var timer = Executors.newSingleThreadScheduledExecutor();
        try (Statement statement = connection.createStatement()) {
            timer.schedule(() -> {
                statement.cancel();
                return null;
            }, 1, TimeUnit.SECONDS);
            drain(statement);
            throw new IllegalStateException("the query ended before it was cancelled");
        } catch (SQLException error) {
            System.out.println("cancelled: " + error.getClass().getSimpleName());
        } finally {
            timer.shutdown();
        }
    }

    private static void timedOut(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            drain(statement);
            throw new IllegalStateException("the query ended before its time was over");
        } catch (SQLException error) {
            System.out.println("timed out: " + error.getClass().getSimpleName());
        }
    }

    private static void drain(Statement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery(LONG)) {
            while (rows.next()) {
                System.out.println("rows: " + rows.getLong(1));
            }
        }
    }
}
