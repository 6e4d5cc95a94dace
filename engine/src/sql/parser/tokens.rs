//! From text to the tokens of exactly one statement, and the limits that make them safe to parse.
//!
//! sqlparser's trees are recursive and its parser goes back and tries again, so a short hostile
//! text could overflow the stack or keep a core busy. What bounds a tree's depth is checked here,
//! before anything is built. Blanks and comments are dropped; `?` gets its number.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::cursor::shorten;
use super::dialect::QuiverDialect;
use super::error::ParseError;

/// Longest statement, in bytes. Data does not belong into the text.
pub(super) const SQL_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of parentheses, brackets, braces and type arguments.
pub(super) const NESTING_MAX: usize = 50;
/// Deepest tree. DataFusion clones trees, which takes about 2 KiB of stack for each level, and a
/// worker's stack has 2 MiB.
pub(super) const DEPTH_MAX: usize = 512;
/// Levels one `UNION`, `EXCEPT` or `INTERSECT` counts as, by the stack it takes.
const SET_OPERATION_LEVELS: usize = 4;
/// Levels one subquery counts as.
const SUBQUERY_LEVELS: usize = 12;
/// Most levels of `((SELECT`, where sqlparser tries each of two readings: the work doubles with
/// each.
const DOUBLED_MAX: usize = 10;
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
    let tokens = cast_doubles(tokens);
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
    match tokens.iter().find(|token| has_mark(&token.token)) {
        None => Ok(tokens),
        Some(token) => Err(ParseError::Syntax {
            message: "a name must not contain control characters".to_owned(),
            line: token.span.start.line,
            column: token.span.start.column,
        }),
    }
}

/// Whether a name holds a character by which names are marked on the inside.
fn has_mark(token: &Token) -> bool {
    let is_mark = |c: char| matches!(c, '\u{1}' | '\u{2}');
    matches!(token, Token::Word(word) if word.value.contains(is_mark))
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

/// One open bracket, or the statement itself: an upper bound of the depth of its tree.
///
/// `AND` and `OR` bind weaker than other operators, so that the operators between two of them do
/// not add up: `a = 1 OR b = 2 OR …` is as deep as it has `OR`s.
struct Level {
    /// The token that closes it.
    close: Option<Token>,
    /// Index of the token that opened it.
    opened_at: usize,
    /// Operators and keywords since the last connective or comma.
    operators: usize,
    /// Depth of the deepest group since the last connective or comma.
    nested: usize,
    /// `AND` and `OR` since the last comma.
    connectives: usize,
    /// Depth of the deepest operand of these.
    operand: usize,
    /// Depth of the deepest item before the last comma.
    item: usize,
    /// Levels of what goes on after a comma: `SELECT 1, 2 UNION SELECT 3, 4`.
    query: usize,
    /// Levels up to here at which the parser tries two readings.
    doubled: usize,
    /// Inside of `CASE` a connective ends nothing.
    has_case: bool,
}

impl Level {
    fn new(close: Option<Token>, opened_at: usize) -> Self {
        Self {
            close,
            opened_at,
            operators: 0,
            nested: 0,
            connectives: 0,
            operand: 0,
            item: 0,
            query: 0,
            doubled: 0,
            has_case: false,
        }
    }

    /// No path through the tree of this level is longer.
    fn depth(&self) -> usize {
        let operand = self.operand.max(self.operators + self.nested);
        self.item.max(self.connectives + operand) + self.query
    }

    fn connective(&mut self) {
        self.connectives += 1;
        if !self.has_case {
            self.operand = self.operand.max(self.operators + self.nested);
            (self.operators, self.nested) = (0, 0);
        }
    }

    fn comma(&mut self) {
        let operand = self.operand.max(self.operators + self.nested);
        self.item = self.item.max(self.connectives + operand);
        (self.operators, self.nested, self.connectives, self.operand) = (0, 0, 0, 0);
    }

    fn check(&self) -> Result<(), ParseError> {
        match self.depth() > DEPTH_MAX {
            true => Err(ParseError::TooComplex {
                levels_max: DEPTH_MAX,
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
        let level = Level {
            doubled: self.inner.doubled,
            ..Level::new(Some(close), opened_at)
        };
        self.outer.push(std::mem::replace(&mut self.inner, level));
        match self.outer.len() > NESTING_MAX {
            true => Err(ParseError::TooDeep),
            false => Ok(()),
        }
    }

    /// Looks at what the group that was just opened begins with.
    fn begin_group(&mut self, tokens: &[TokenWithSpan], start: usize) -> Result<(), ParseError> {
        let parens = tokens[start..]
            .iter()
            .take(NESTING_MAX)
            .take_while(|token| token.token == Token::LParen)
            .count();
        if tokens
            .get(start + parens)
            .is_some_and(|token| begins_query(&token.token))
        {
            match parens {
                0 => self.inner.query += SUBQUERY_LEVELS,
                _ => self.inner.doubled += 1,
            }
        }
        match self.inner.doubled > DOUBLED_MAX {
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
        let previous = index
            .checked_sub(1)
            .map_or(&Token::EOF, |index| &tokens[index].token);
        match &token.token {
            Token::Word(word) => {
                let again = matches!(previous, Token::Word(last) if last == word);
                repeats = if again { repeats + 1 } else { 0 };
                if repeats > WORD_REPEATS_MAX {
                    return Err(ParseError::TooDeep);
                }
                count_word(&mut levels.inner, word.keyword, previous);
            }
            Token::Comma => levels.inner.comma(),
            Token::Period => {}
            token if is_operand(token) => {}
            _ => levels.inner.operators += 1,
        }
        match &token.token {
            Token::LParen => {
                levels.open(Token::RParen, index)?;
                levels.begin_group(tokens, index + 1)?;
            }
            Token::LBracket => levels.open(Token::RBracket, index)?,
            Token::LBrace => levels.open(Token::RBrace, index)?,
            Token::Lt if takes_type_arguments(previous) => levels.open(Token::Gt, index)?,
            Token::RParen | Token::RBracket | Token::RBrace => close_group(&mut levels, token)?,
            // Where no type is open these are operators.
            Token::Gt => {
                levels.close(&Token::Gt);
            }
            Token::ShiftRight => {
                let _ = levels.close(&Token::Gt) && levels.close(&Token::Gt);
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

fn count_word(level: &mut Level, keyword: Keyword, previous: &Token) {
    match keyword {
        Keyword::NoKeyword => {}
        // Elsewhere these are names: `1 + and + 1`.
        Keyword::AND | Keyword::OR if ends_operand(previous) => level.connective(),
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
            level.query += SET_OPERATION_LEVELS;
        }
        Keyword::CASE => {
            level.operators += 1;
            level.has_case = true;
        }
        _ => level.operators += 1,
    }
}

fn begins_query(token: &Token) -> bool {
    use Keyword::{FROM, SELECT, VALUES, WITH};
    matches!(token, Token::Word(word) if matches!(word.keyword, SELECT | WITH | VALUES | FROM))
}

/// Whether the token is a literal or parameter.
fn is_operand(token: &Token) -> bool {
    matches!(
        token,
        Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
    )
}

/// Whether an operand is complete after this token.
fn ends_operand(token: &Token) -> bool {
    use Keyword::{END, FALSE, NULL, NoKeyword, TRUE};
    match token {
        Token::Word(word) => matches!(word.keyword, NoKeyword | NULL | TRUE | FALSE | END),
        Token::RParen | Token::RBracket | Token::RBrace => true,
        other => is_operand(other),
    }
}

/// Whether `<` after this token opens type arguments and is not a comparison.
fn takes_type_arguments(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP))
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

/// Literals with an exponent are doubles; the planner, told that `1.5` is a decimal, would make
/// decimals of these too and fail on `1e300`.
fn cast_doubles(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut cast = Vec::with_capacity(tokens.len());
    for token in tokens {
        match &token.token {
            Token::Number(text, _) if text.contains(['e', 'E']) => {
                let parts = [
                    Token::make_keyword("CAST"),
                    Token::LParen,
                    Token::SingleQuotedString(text.clone()),
                    Token::make_keyword("AS"),
                    Token::make_keyword("DOUBLE"),
                    Token::RParen,
                ];
                let span = token.span;
                cast.extend(parts.map(|token| TokenWithSpan { token, span }));
            }
            _ => cast.push(token),
        }
    }
    cast
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
