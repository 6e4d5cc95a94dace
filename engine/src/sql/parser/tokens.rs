//! From text to the tokens of exactly one statement, and the limits that make them safe to parse.
//!
//! sqlparser's trees are recursive and its parser goes back and tries again, so a short hostile text
//! could overflow the stack or keep a core busy. What bounds a tree's depth is checked here, before
//! anything is built. Blanks and comments are dropped; `?` gets its number.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::shorten;
use super::dialect::QuiverDialect;
use super::error::ParseError;

/// Longest statement, in bytes. Data does not belong into the text.
pub(super) const SQL_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of parentheses, brackets, braces and type arguments.
pub(super) const NESTING_MAX: usize = 50;
/// Most tokens between two commas on one level: each may be one level of the tree.
pub(super) const RUN_TOKENS_MAX: usize = 4096;
/// Most `UNION`, `EXCEPT`, `INTERSECT` on one level: each is one level of the tree.
pub(super) const SET_OPERATIONS_MAX: usize = 1000;
/// Most repetitions of one word: sqlparser descends unguarded into some, such as `INTERVAL`.
const WORD_REPEATS_MAX: usize = 8;
/// As in PostgreSQL's protocol.
const PLACEHOLDERS_MAX: usize = 65_535;

/// The tokens of one statement: not empty, no blanks, no comments, no semicolon.
#[derive(Debug)]
pub(super) struct Tokens {
    /// In the order of the text.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// How many parameters the statement takes.
    pub(super) placeholders: usize,
}

/// Splits a text and checks the limits.
pub(super) fn tokenize(sql: &str) -> Result<Tokens, ParseError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(ParseError::TooLong {
            bytes: sql.len(),
            bytes_max: SQL_BYTES_MAX,
        });
    }
    let mut tokens = lex(sql)?;
    keep_one_statement(&mut tokens)?;
    check_shape(&tokens)?;
    let placeholders = number_placeholders(&mut tokens)?;
    Ok(Tokens {
        tokens,
        placeholders,
    })
}

/// The tokens of a text without blanks and comments.
pub(super) fn lex(sql: &str) -> Result<Vec<TokenWithSpan>, ParseError> {
    let mut tokens = Tokenizer::new(&QuiverDialect, sql)
        .tokenize_with_location()
        .map_err(|error| ParseError::Syntax {
            message: shorten(&error.message),
            line: error.location.line,
            column: error.location.column,
        })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    Ok(tokens)
}

fn keep_one_statement(tokens: &mut Vec<TokenWithSpan>) -> Result<(), ParseError> {
    let is_semicolon = |token: &TokenWithSpan| token.token == Token::SemiColon;
    let Some(first) = tokens.iter().position(|token| !is_semicolon(token)) else {
        return Err(ParseError::Empty);
    };
    tokens.drain(..first);
    if let Some(end) = tokens.iter().position(is_semicolon) {
        if !tokens[end..].iter().all(is_semicolon) {
            return Err(ParseError::MultipleStatements);
        }
        tokens.truncate(end);
    }
    Ok(())
}

/// One open bracket, or the statement itself.
struct Level {
    /// The token that closes it.
    close: Option<Token>,
    /// Index of the token that opened it.
    opened_at: usize,
    /// Tokens since the last comma on this level.
    run: usize,
    set_operations: usize,
}

impl Level {
    fn new(close: Option<Token>, opened_at: usize) -> Self {
        Self {
            close,
            opened_at,
            run: 0,
            set_operations: 0,
        }
    }
}

fn check_shape(tokens: &[TokenWithSpan]) -> Result<(), ParseError> {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::new(None, 0);
    let mut repeats = 0;
    for (index, token) in tokens.iter().enumerate() {
        level.run += 1;
        let previous = index.checked_sub(1).map(|previous| &tokens[previous].token);
        let close = match &token.token {
            Token::LParen => Some(Token::RParen),
            Token::LBracket => Some(Token::RBracket),
            Token::LBrace => Some(Token::RBrace),
            Token::Lt if previous.is_some_and(takes_type_arguments) => Some(Token::Gt),
            _ => None,
        };
        if let Some(close) = close {
            outer.push(std::mem::replace(
                &mut level,
                Level::new(Some(close), index),
            ));
            if outer.len() > NESTING_MAX {
                return Err(ParseError::TooDeep);
            }
        }
        match &token.token {
            Token::RParen | Token::RBracket | Token::RBrace => {
                close_level(&mut outer, &mut level, token)?;
            }
            Token::Gt => close_type(&mut outer, &mut level),
            Token::ShiftRight => {
                close_type(&mut outer, &mut level);
                close_type(&mut outer, &mut level);
            }
            Token::Comma => level.run = 0,
            Token::Word(word) => {
                let again = matches!(previous, Some(Token::Word(last)) if last == word);
                repeats = if again { repeats + 1 } else { 0 };
                if repeats > WORD_REPEATS_MAX {
                    return Err(ParseError::TooDeep);
                }
                if is_set_operator(word.keyword) {
                    level.set_operations += 1;
                }
            }
            _ => {}
        }
        if level.run > RUN_TOKENS_MAX {
            return Err(ParseError::TooComplex {
                tokens_max: RUN_TOKENS_MAX,
            });
        }
        if level.set_operations > SET_OPERATIONS_MAX {
            return Err(ParseError::TooManySetOperations {
                operations_max: SET_OPERATIONS_MAX,
            });
        }
    }
    while matches!(level.close, Some(Token::Gt)) {
        close_type(&mut outer, &mut level);
    }
    match level.close {
        None => Ok(()),
        Some(_) => Err(unclosed(&tokens[level.opened_at])),
    }
}

/// Whether `<` after this token opens type arguments and is not a comparison.
fn takes_type_arguments(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP))
}

fn is_set_operator(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS
    )
}

/// Closes a type's `<` if one is open; otherwise `>` is a comparison.
fn close_type(outer: &mut Vec<Level>, level: &mut Level) {
    if level.close == Some(Token::Gt)
        && let Some(parent) = outer.pop()
    {
        *level = parent;
    }
}

fn close_level(
    outer: &mut Vec<Level>,
    level: &mut Level,
    token: &TokenWithSpan,
) -> Result<(), ParseError> {
    // An open `<` was a comparison with a column called `array`, or the parser will complain.
    while level.close == Some(Token::Gt) {
        close_type(outer, level);
    }
    match (&level.close, outer.pop()) {
        (Some(close), Some(parent)) if *close == token.token => {
            *level = parent;
            Ok(())
        }
        _ => Err(syntax_at(
            token,
            format!("{} closes nothing; remove it", token.token),
        )),
    }
}

fn unclosed(token: &TokenWithSpan) -> ParseError {
    syntax_at(
        token,
        format!("{} is never closed; add the closing one", token.token),
    )
}

fn syntax_at(token: &TokenWithSpan, message: String) -> ParseError {
    ParseError::Syntax {
        message,
        line: token.span.start.line,
        column: token.span.start.column,
    }
}

/// Gives every `?` its number and answers how many parameters there are.
///
/// Left alone, DataFusion takes all `?` for one and the same parameter.
fn number_placeholders(tokens: &mut [TokenWithSpan]) -> Result<usize, ParseError> {
    let (mut anonymous, mut highest) = (0, 0);
    for token in tokens {
        let Token::Placeholder(name) = &mut token.token else {
            continue;
        };
        if name == "?" {
            anonymous += 1;
            *name = format!("${anonymous}");
        } else {
            highest = highest.max(placeholder_number(name)?);
        }
    }
    if anonymous > 0 && highest > 0 {
        return Err(ParseError::Placeholders {
            message: "the statement mixes ? and $1 parameters; use one of them".to_owned(),
        });
    }
    let placeholders = anonymous.max(highest);
    if placeholders > PLACEHOLDERS_MAX {
        return Err(ParseError::Placeholders {
            message: format!("the statement has more than {PLACEHOLDERS_MAX} parameters; split it"),
        });
    }
    Ok(placeholders)
}

fn placeholder_number(name: &str) -> Result<usize, ParseError> {
    let number = name.strip_prefix('$').unwrap_or_default();
    match number.parse::<usize>() {
        Ok(number) if number > 0 && !name.starts_with("$0") && !name.starts_with("$+") => {
            Ok(number)
        }
        _ => Err(bad_placeholder(name)),
    }
}

/// The refusal of a parameter that has no number.
pub(super) fn bad_placeholder(name: &str) -> ParseError {
    ParseError::Placeholders {
        message: format!(
            "parameter {} has no number; write ? or $1, $2 …",
            shorten(name)
        ),
    }
}
