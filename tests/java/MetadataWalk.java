import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Properties;

/**
 * What a tool such as DBeaver asks of a server: the tree down to columns and keys, then every question of DatabaseMetaData that needs
 * no argument. Prints one line for each step: name, rows or answer, milliseconds.
 */
public final class MetadataWalk {
    public static void main(String[] arguments) throws Exception {
        var login = new Properties();
        login.setProperty("user", arguments[1]);
        login.setProperty("password", arguments[2]);
        String table = arguments[3];
        try (Connection connection = DriverManager.getConnection(arguments[0], login)) {
            DatabaseMetaData server = connection.getMetaData();
            step("catalogs", () -> server.getCatalogs());
            step("schemas", () -> server.getSchemas());
            step("table types", () -> server.getTableTypes());
            step("type info", () -> server.getTypeInfo());
            step("tables", () -> server.getTables(null, null, "%", null));
            step("tables of main", () -> server.getTables(connection.getCatalog(), "main", "%", new String[] {"TABLE"}));
            step("columns of one", () -> server.getColumns(null, "main", table, "%"));
            step("columns of all", () -> server.getColumns(null, "main", "%", "%"));
            step("primary keys", () -> server.getPrimaryKeys(null, "main", table));
            step("imported keys", () -> server.getImportedKeys(null, "main", table));
            step("exported keys", () -> server.getExportedKeys(null, "main", table));
            step("cross reference", () -> server.getCrossReference(null, "main", table, null, "main", table));
            Method[] questions = DatabaseMetaData.class.getMethods();
            Arrays.sort(questions, Comparator.comparing(Method::getName));
            for (Method question : questions) {
                if (question.getParameterCount() == 0) {
                    ask(server, question);
                }
            }
        }
    }

    private interface Rows {
        ResultSet get() throws SQLException;
    }

    private static void step(String name, Rows rows) throws SQLException {
        long begun = System.nanoTime();
        int count = 0;
        try (ResultSet result = rows.get()) {
            int columns = result.getMetaData().getColumnCount();
            while (result.next()) {
                for (int column = 1; column <= columns; column++) {
                    result.getObject(column);
                }
                count++;
            }
        }
        System.out.println("walk\t" + name + "\t" + count + "\t" + (System.nanoTime() - begun) / 1_000_000);
    }

    private static void ask(DatabaseMetaData server, Method question) throws Exception {
        try {
            Object answer = question.invoke(server);
            if (answer instanceof ResultSet rows) {
                rows.close();
            }
            String text = answer instanceof ResultSet ? "rows" : String.valueOf(answer);
            System.out.println("asked\t" + question.getName() + "\t" + text);
        } catch (InvocationTargetException error) {
            System.out.println("failed\t" + question.getName() + "\t" + error.getCause());
        }
    }
}
