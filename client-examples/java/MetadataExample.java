import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * What tools like DBeaver ask a server for: the tree of catalogs, schemas, tables and columns.
 *
 * <pre>
 * java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver-18.3.0.jar \
 *     MetadataExample.java "jdbc:arrow-flight-sql://127.0.0.1:50051/?useEncryption=false" admin quiver
 * </pre>
 */
public final class MetadataExample {
    public static void main(String[] arguments) throws SQLException {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login);
                Statement statement = connection.createStatement()) {
            statement.executeUpdate("CREATE SCHEMA IF NOT EXISTS shop");
            statement.executeUpdate("CREATE TABLE IF NOT EXISTS shop.orders (id BIGINT NOT NULL, placed TIMESTAMP, price DECIMAL(10, 2))");
            walk(connection.getMetaData());
        }
    }

    private static void walk(DatabaseMetaData server) throws SQLException {
        try (ResultSet catalogs = server.getCatalogs()) {
            while (catalogs.next()) {
                System.out.println("catalog " + catalogs.getString("TABLE_CAT"));
            }
        }
        try (ResultSet schemas = server.getSchemas(null, "shop")) {
            while (schemas.next()) {
                System.out.println("  schema " + schemas.getString("TABLE_SCHEM"));
            }
        }
        try (ResultSet tables = server.getTables(null, "shop", "%", new String[] {"TABLE"})) {
            while (tables.next()) {
                System.out.println("    " + tables.getString("TABLE_TYPE") + " " + tables.getString("TABLE_NAME"));
            }
        }
        try (ResultSet columns = server.getColumns(null, "shop", "orders", "%")) {
            while (columns.next()) {
                System.out.println("      " + columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME")
                        + "(" + columns.getInt("COLUMN_SIZE") + ", " + columns.getInt("DECIMAL_DIGITS") + ")"
                        + " nullable: " + columns.getString("IS_NULLABLE"));
            }
        }
    }
}
