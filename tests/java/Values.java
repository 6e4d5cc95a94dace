import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.HexFormat;
import java.util.Properties;

/** Prints column `v` of tables, one line each: table, type, then every value. */
public final class Values {
    public static void main(String[] arguments) throws SQLException {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        try (Connection connection = DriverManager.getConnection(arguments[0], login)) {
            for (int table = 3; table < arguments.length; table++) {
                System.out.println(arguments[table] + "\t" + values(connection, arguments[table]));
            }
        }
    }

    private static String values(Connection connection, String table) {
        var line = new StringBuilder();
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT v FROM " + table + " ORDER BY id")) {
            line.append(rows.getMetaData().getColumnTypeName(1));
            int type = rows.getMetaData().getColumnType(1);
            while (rows.next()) {
                Object value = type == Types.TIMESTAMP_WITH_TIMEZONE ? rows.getTimestamp(1) : rows.getObject(1);
                line.append('\t').append(value instanceof byte[] bytes ? HexFormat.of().formatHex(bytes) : value);
            }
            return line.toString();
        } catch (SQLException | RuntimeException error) {
            return line + "\tfailed: " + error;
        }
    }
}
