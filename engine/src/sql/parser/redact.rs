//! The text of a statement as it may be recorded: without the passwords in it.
//!
//! Errs on the side of hiding. It does not need the text to be a statement we take, because refused
//! statements are recorded too.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{is_word, string_of, unquoted};
use super::tokens::lex;

/// What stands for a secret.
const HIDDEN: &str = "'***'";
/// What stands for a text that cannot be split into words.
const UNREADABLE: &str = "<a statement that cannot be read>";
/// A value after a name that contains one of these is a secret.
const SECRET_NAMES: [&str; 8] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "credential",
    "token",
    "api_key",
    "access_key",
];

/// The recordable form of any text, also of one that `parse` refuses.
pub fn redact(sql: &str) -> String {
    match lex(sql) {
        Ok(tokens) => redact_tokens(sql, &tokens),
        Err(_) => UNREADABLE.to_owned(),
    }
}

/// As `redact`, for a text whose tokens are known.
pub(super) fn redact_tokens(sql: &str, tokens: &[TokenWithSpan]) -> String {
    let everything = is_about_users(tokens);
    let mut text = String::new();
    // A comment can hold a whole statement, so that the text as it is will not do.
    let mut hidden = everything || sql.to_ascii_lowercase().contains("password");
    let mut index = 0;
    while let Some(TokenWithSpan { token, .. }) = tokens.get(index) {
        index += 1;
        if everything && !is_structure(token) {
            push(&mut text, HIDDEN);
        } else {
            push(&mut text, &written(token));
        }
        if !names_secret(token) {
            continue;
        }
        while tokens
            .get(index)
            .is_some_and(|next| is_assignment(&next.token))
        {
            push(&mut text, &tokens[index].token.to_string());
            index += 1;
        }
        match tokens.get(index) {
            Some(next) if is_literal(&next.token) => {
                push(&mut text, HIDDEN);
                hidden = true;
                index += 1;
            }
            // Not a string, although one belongs here: where the secret ends is unknown.
            Some(_) if everything => {
                push(&mut text, HIDDEN);
                break;
            }
            _ => {}
        }
    }
    match hidden {
        true => text,
        false => sql.trim().to_owned(),
    }
}

/// Tokens of a procedure's name: without a bound, a text full of CALL takes quadratic time.
const PROCEDURE_TOKENS_MAX: usize = 16;

/// Whether the text, or a part of it, creates or changes users or their secrets.
fn is_about_users(tokens: &[TokenWithSpan]) -> bool {
    let about = |token: &TokenWithSpan| {
        ["USER", "ROLE", "SECRET", "LOGIN"]
            .iter()
            .any(|word| is_word(&token.token, word))
    };
    let verb = |token: &TokenWithSpan| {
        ["CREATE", "ALTER", "SET"]
            .iter()
            .any(|word| is_word(&token.token, word))
    };
    let procedure = |token: &TokenWithSpan| {
        unquoted(&token.token).is_some_and(|word| word.value.to_lowercase().contains("user"))
            || names_secret(&token.token)
    };
    let calls = |call: &[TokenWithSpan]| {
        is_word(&call[0].token, "CALL")
            && call[1..]
                .iter()
                .take(PROCEDURE_TOKENS_MAX)
                .take_while(|next| next.token != Token::LParen)
                .any(procedure)
    };
    (0..tokens.len()).any(|start| {
        let here = &tokens[start..];
        (verb(&here[0]) && here[1..].iter().take(4).any(about)) || calls(here)
    })
}

/// Whether a value after this token is a secret.
fn names_secret(token: &Token) -> bool {
    let name = match token {
        Token::Word(word) => word.value.to_lowercase(),
        other => string_of(other).unwrap_or_default().to_lowercase(),
    };
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

fn is_assignment(token: &Token) -> bool {
    matches!(
        token,
        Token::Eq | Token::RArrow | Token::Assignment | Token::Colon
    ) || ["AS", "TO", "BY", "IS"]
        .iter()
        .any(|word| is_word(token, word))
}

/// Whether the token cannot hold a secret: words and punctuation. A quoted word with blanks in it
/// may have swallowed a part of the statement.
fn is_structure(token: &Token) -> bool {
    if let Token::Word(word) = token {
        return word
            .value
            .chars()
            .all(|ch| ch.is_alphanumeric() || "_-.@".contains(ch));
    }
    matches!(
        token,
        Token::Comma
            | Token::Period
            | Token::LParen
            | Token::RParen
            | Token::SemiColon
            | Token::Eq
            | Token::RArrow
            | Token::Assignment
    )
}

/// Strings of every kind, numbers and quoted words, which some take for strings.
fn is_literal(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some(),
        Token::Mul | Token::Minus | Token::Lt | Token::Gt | Token::Neq => false,
        Token::Placeholder(_) => false,
        other => !is_structure(other),
    }
}

/// The token as it is written; sqlparser prints a string without doubling the quotes in it.
fn written(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

/// Appends a token with the blank that belongs before it.
fn push(text: &mut String, token: &str) {
    let tight = matches!(token, "," | "." | ")" | ";") || text.ends_with(['(', '.']);
    if !text.is_empty() && !tight {
        text.push(' ');
    }
    text.push_str(token);
}
