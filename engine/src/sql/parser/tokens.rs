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
/// Deepest tree, counted in tokens that could each be one level of it: those between two commas, and
/// those of the groups between them. Dropping a tree takes stack for each level.
pub(super) const DEPTH_MAX: usize = 2048;
/// `UNION`, `EXCEPT` and `INTERSECT` are levels too, and cost more stack than an operator.
const SET_OPERATION_DEPTH: usize = 16;
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
    /// Depth of the deepest group since the last comma.
    nested: usize,
    /// Depth of the deepest item before the last comma.
    deepest: usize,
    /// These go on after a comma: `SELECT 1, 2 UNION SELECT 3, 4`.
    set_operations: usize,
}

impl Level {
    fn new(close: Option<Token>, opened_at: usize) -> Self {
        Self {
            close,
            opened_at,
            run: 0,
            nested: 0,
            deepest: 0,
            set_operations: 0,
        }
    }

    /// No path through the tree of this level is longer.
    fn depth(&self) -> usize {
        self.deepest.max(self.run + self.nested) + SET_OPERATION_DEPTH * self.set_operations
    }

    fn comma(&mut self) {
        self.deepest = self.deepest.max(self.run + self.nested);
        (self.run, self.nested) = (0, 0);
    }

    fn check(&self) -> Result<(), ParseError> {
        match self.depth() > DEPTH_MAX {
            true => Err(ParseError::TooComplex {
                words_max: DEPTH_MAX,
            }),
            false => Ok(()),
        }
    }
}

/// The levels that are open.
struct Levels {
    outer: Vec<Level>,
    inner: Level,
}

impl Levels {
    fn open(&mut self, close: Token, opened_at: usize) -> Result<(), ParseError> {
        let level = Level::new(Some(close), opened_at);
        self.outer.push(std::mem::replace(&mut self.inner, level));
        match self.outer.len() > NESTING_MAX {
            true => Err(ParseError::TooDeep),
            false => Ok(()),
        }
    }

    /// Closes the innermost level if this token is what closes it.
    fn close(&mut self, token: &Token) -> bool {
        if self.inner.close.as_ref() != Some(token) {
            return false;
        }
        if let Some(mut parent) = self.outer.pop() {
            parent.nested = parent.nested.max(self.inner.depth());
            self.inner = parent;
        }
        true
    }
}

/// Checks that brackets are in pairs and that no tree of these tokens is too deep.
fn check_shape(tokens: &[TokenWithSpan]) -> Result<(), ParseError> {
    let mut levels = Levels {
        outer: Vec::new(),
        inner: Level::new(None, 0),
    };
    let mut repeats = 0;
    for (index, token) in tokens.iter().enumerate() {
        levels.inner.run += 1;
        let previous = index.checked_sub(1).map(|previous| &tokens[previous].token);
        match &token.token {
            Token::LParen => levels.open(Token::RParen, index)?,
            Token::LBracket => levels.open(Token::RBracket, index)?,
            Token::LBrace => levels.open(Token::RBrace, index)?,
            Token::Lt if previous.is_some_and(takes_type_arguments) => {
                levels.open(Token::Gt, index)?;
            }
            Token::RParen | Token::RBracket | Token::RBrace => close_group(&mut levels, token)?,
            // Where no type is open these are operators.
            Token::Gt => {
                levels.close(&Token::Gt);
            }
            Token::ShiftRight => {
                let _ = levels.close(&Token::Gt) && levels.close(&Token::Gt);
            }
            Token::Comma => levels.inner.comma(),
            Token::Word(word) => {
                let again = matches!(previous, Some(Token::Word(last)) if last == word);
                repeats = if again { repeats + 1 } else { 0 };
                if repeats > WORD_REPEATS_MAX {
                    return Err(ParseError::TooDeep);
                }
                levels.inner.set_operations += usize::from(is_set_operator(word.keyword));
            }
            _ => {}
        }
        levels.inner.check()?;
    }
    while levels.close(&Token::Gt) {}
    match levels.inner.close {
        None => Ok(()),
        Some(_) => Err(unclosed(&tokens[levels.inner.opened_at])),
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

fn close_group(levels: &mut Levels, token: &TokenWithSpan) -> Result<(), ParseError> {
    // An open `<` was a comparison with a column called `array`, or the parser will complain.
    while levels.close(&Token::Gt) {}
    match levels.close(&token.token) {
        true => Ok(()),
        false => Err(syntax_at(
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
