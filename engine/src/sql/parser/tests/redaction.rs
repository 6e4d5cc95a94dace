//! No password in anything that is recorded or shown.

use super::super::{parse, redact};

#[test]
fn passwords_are_hidden_wherever_they_stand() {
    for (sql, expected) in [
        (
            "CREATE USER bob PASSWORD 'hunter2'",
            "CREATE USER bob PASSWORD '***'",
        ),
        (
            "create user bob in tenant acme with password = 'hunter2';",
            "create user bob in tenant acme with password = '***';",
        ),
        (
            "CREATE USER bob WITH PASSWORD 'hunter2' IN TENANT acme -- hunter2",
            "CREATE USER bob WITH PASSWORD '***' IN TENANT acme",
        ),
        (
            "CREATE /* hunter2 */ USER bob PASSWORD 'hunter2'",
            "CREATE USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD $$hunter2$$",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD E'hunter2'",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD N'hunter2'",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD \"hunter2\"",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD hunter2",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASSWORD -hunter2!x",
            "ALTER USER bob PASSWORD '***'",
        ),
        (
            "ALTER USER bob PASWORD 'hunter2'",
            "ALTER USER bob PASWORD '***'",
        ),
        (
            "ALTER USER bob IDENTIFIED BY 'hunter2'",
            "ALTER USER bob IDENTIFIED BY '***'",
        ),
        (
            "ALTER ROLE bob WITH PASSWORD 'hunter2'",
            "ALTER ROLE bob WITH PASSWORD '***'",
        ),
        (
            "SELECT 1; CREATE USER bob PASSWORD 'hunter2'",
            "SELECT '***'; CREATE USER bob PASSWORD '***'",
        ),
        ("SET password = 'hunter2'", "SET password = '***'"),
        (
            "CALL set_password('bob', 'hunter2')",
            "CALL set_password '***'",
        ),
        (
            "CALL f(password => 'hunter2')",
            "CALL f (password => '***')",
        ),
        (
            "COPY t FROM 'f.csv' (secret_access_key 'hunter2')",
            "COPY t FROM 'f.csv' (secret_access_key '***')",
        ),
        (
            "SELECT * FROM u WHERE password = 'hunter2' AND name = 'O''Brien'",
            "SELECT * FROM u WHERE password = '***' AND name = 'O''Brien'",
        ),
        (
            "CREATE USER bob PASSWORD 'hunter2",
            "<a statement that cannot be read>",
        ),
    ] {
        assert_eq!(redact(sql), expected, "{sql}");
        match parse(sql) {
            Ok(parsed) => {
                assert!(!parsed.redacted.contains("hunter2"), "{}", parsed.redacted);
                // Only statements about users hide the password in the tree as well.
                if sql.contains("USER") || sql.contains("user") {
                    assert!(!format!("{parsed:?}").contains("hunter2"), "{parsed:?}");
                }
            }
            Err(error) => assert!(!error.to_string().contains("hunter2"), "{sql}: {error}"),
        }
    }
}

#[test]
fn other_texts_stay_as_they_are() {
    for sql in [
        "SELECT 'a''b', \"C\" FROM t -- why",
        "SELECT password, 'x' FROM users",
        "INSERT INTO t VALUES (1, 'a')",
        "CREATE TENANT acme",
        "DROP USER bob IN TENANT acme",
        "COPY t FROM 'f.csv' (HEADER)",
    ] {
        assert_eq!(parse(sql).unwrap().redacted, sql);
        assert_eq!(parse(&format!("  {sql}\n")).unwrap().redacted, sql);
    }
}
