//! Users and tenants. Errors of these statements never repeat their text: it may hold a password.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word};
use super::error::ParseError;
use super::statement::{AdminStatement, Password, Statement};

/// `CREATE TENANT`, `DROP TENANT`, `CREATE USER`, `ALTER USER`, `DROP USER`.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::secret(tokens);
    let verb = cursor.take_one_of(&["CREATE", "ALTER", "DROP"]);
    let object = cursor.take_one_of(&["TENANT", "USER"]);
    let statement = match (verb, object) {
        (Some("CREATE"), Some("TENANT")) => {
            let if_not_exists = cursor.if_not_exists();
            AdminStatement::CreateTenant {
                name: name(&mut cursor, TENANT)?,
                if_not_exists,
            }
        }
        (Some("DROP"), Some("TENANT")) => {
            let if_exists = cursor.if_exists();
            AdminStatement::DropTenant {
                name: name(&mut cursor, TENANT)?,
                if_exists,
            }
        }
        (Some("CREATE"), Some("USER")) => {
            let if_not_exists = cursor.if_not_exists();
            let name = name(&mut cursor, USER)?;
            let (tenant, password) = user_clauses(&mut cursor)?;
            AdminStatement::CreateUser {
                name,
                tenant,
                password,
                if_not_exists,
            }
        }
        (Some("ALTER"), Some("USER")) => {
            let name = name(&mut cursor, USER)?;
            let (tenant, password) = user_clauses(&mut cursor)?;
            AdminStatement::AlterUser {
                name,
                tenant,
                password,
            }
        }
        (Some("DROP"), Some("USER")) => {
            let if_exists = cursor.if_exists();
            let name = name(&mut cursor, USER)?;
            let tenant = in_tenant(&mut cursor)?;
            AdminStatement::DropUser {
                name,
                tenant,
                if_exists,
            }
        }
        _ => return Err(cursor.expected("TENANT or USER")),
    };
    cursor.end()?;
    Ok(Statement::Admin(statement))
}

const TENANT: &str = "the name of the tenant";
const USER: &str = "the name of the user";

fn name(cursor: &mut Cursor, what: &str) -> Result<String, ParseError> {
    let name = cursor.name(what)?;
    match name.contains('@') {
        true => Err(cursor.expected_instead("a name without @; write bob IN TENANT acme")),
        false => Ok(name),
    }
}

/// `IN TENANT name`, if it is written.
fn in_tenant(cursor: &mut Cursor) -> Result<Option<String>, ParseError> {
    match cursor.take("IN") {
        true => {
            cursor.expect(&["TENANT"])?;
            name(cursor, TENANT).map(Some)
        }
        false => Ok(None),
    }
}

/// `[IN TENANT name] [WITH] [ENCRYPTED] PASSWORD 'text'`, or the other way round.
fn user_clauses(cursor: &mut Cursor) -> Result<(Option<String>, Password), ParseError> {
    let before = in_tenant(cursor)?;
    cursor.take("WITH");
    if is_word(&cursor.peek().token, "ENCRYPTED") {
        cursor.next();
    }
    if !cursor.take("PASSWORD") {
        return Err(cursor.expected("PASSWORD 'text'"));
    }
    cursor.take_token(&Token::Eq);
    let text = cursor.string("the password as a string in single quotes")?;
    if text.is_empty() {
        return Err(cursor.expected_instead("a password that is not empty"));
    }
    let tenant = match before {
        Some(tenant) => Some(tenant),
        None => in_tenant(cursor)?,
    };
    Ok((tenant, Password::new(text)))
}
