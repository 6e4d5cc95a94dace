//! Reads our own statements from the token stream that DFParser reads the others from.
//!
//! Errors name the place and what was expected there. They repeat the text only in short, and not
//! at all in statements that hold a password.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParser, DFParserBuilder};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Query, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::dialect::{QuiverDialect, allow_steps};
use super::error::ParseError;

/// Deepest recursion of sqlparser: expressions, subqueries and table factors together.
const RECURSION_MAX: usize = 100;
/// Expressions the parser may begin: many times what a text needs that it reads without going back.
const STEPS_BASE: usize = 50_000;
const STEPS_PER_TOKEN: usize = 4;
/// Longest piece of the statement's own text in an error, in characters.
const QUOTED_CHARS_MAX: usize = 160;

/// The dialect lives as long as the program, so that cursors need no lifetime.
static DIALECT: QuiverDialect = QuiverDialect;

/// A place in the token stream.
pub(super) struct Cursor {
    /// DataFusion's parser, for everything that is not ours.
    pub(super) parser: DFParser<'static>,
    /// Whether the statement may hold a password.
    secret: bool,
}

impl Cursor {
    /// At the first token.
    pub(super) fn new(tokens: Vec<TokenWithSpan>) -> Self {
        allow_steps(STEPS_BASE + STEPS_PER_TOKEN * tokens.len());
        let parser = DFParserBuilder::new(tokens)
            .with_dialect(&DIALECT)
            .with_recursion_limit(RECURSION_MAX)
            .build()
            .expect("tokens are not split again and the limit is not zero");
        Self {
            parser,
            secret: false,
        }
    }

    /// As `new`, for a statement whose errors must not repeat its text.
    pub(super) fn secret(tokens: Vec<TokenWithSpan>) -> Self {
        Self {
            secret: true,
            ..Self::new(tokens)
        }
    }

    /// The next token.
    pub(super) fn peek(&self) -> &TokenWithSpan {
        self.parser.parser.peek_token_ref()
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> TokenWithSpan {
        self.parser.parser.next_token()
    }

    /// Takes the word if it is next. Works for words that sqlparser has no keyword for.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = is_word(&self.peek().token, word);
        if found {
            self.next();
        }
        found
    }

    /// Takes all words if they are next, else none.
    pub(super) fn take_all(&mut self, words: &[&str]) -> bool {
        let found = words
            .iter()
            .enumerate()
            .all(|(n, word)| is_word(&self.parser.parser.peek_nth_token_ref(n).token, word));
        if found {
            words.iter().for_each(|_| drop(self.next()));
        }
        found
    }

    /// Takes the first of the words that is next.
    pub(super) fn take_one_of<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().find(|word| self.take(word)).copied()
    }

    /// Takes the token if it is next.
    pub(super) fn take_token(&mut self, token: &Token) -> bool {
        self.parser.parser.consume_token(token)
    }

    /// Takes the words or says that they are missing.
    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), ParseError> {
        match self.take_all(words) {
            true => Ok(()),
            false => Err(self.expected(&words.join(" "))),
        }
    }

    /// Takes the token or says that it is missing.
    pub(super) fn expect_token(&mut self, token: &Token) -> Result<(), ParseError> {
        match self.take_token(token) {
            true => Ok(()),
            false => Err(self.expected(&token.to_string())),
        }
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        match self.at_end() {
            true => Ok(()),
            false => Err(self.expected("the end of the statement")),
        }
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&self) -> bool {
        self.peek().token == Token::EOF
    }

    /// `IF EXISTS`.
    pub(super) fn if_exists(&mut self) -> bool {
        self.take_all(&["IF", "EXISTS"])
    }

    /// `IF NOT EXISTS`.
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.take_all(&["IF", "NOT", "EXISTS"])
    }

    /// A name as it is written.
    pub(super) fn ident(&mut self, what: &str) -> Result<Ident, ParseError> {
        match &self.peek().token {
            Token::Word(_) => self
                .parser
                .parser
                .parse_identifier()
                .map_err(|e| self.error(e)),
            _ => Err(self.expected(what)),
        }
    }

    /// A name as a string: in lower case unless it is quoted.
    pub(super) fn name(&mut self, what: &str) -> Result<String, ParseError> {
        self.ident(what).map(|ident| normalized(&ident))
    }

    /// A name of one to three parts.
    pub(super) fn object_name(&mut self, what: &str) -> Result<ObjectName, ParseError> {
        let mut parts = vec![self.ident(what)?];
        while self.take_token(&Token::Period) {
            parts.push(self.ident(what)?);
        }
        match parts.len() {
            1..=3 => Ok(ObjectName::from(parts)),
            _ => Err(self.expected_instead(&format!("{what} as tenant.schema.table at most"))),
        }
    }

    /// A string literal.
    pub(super) fn string(&mut self, what: &str) -> Result<String, ParseError> {
        match string_of(&self.peek().token) {
            Some(text) => {
                self.next();
                Ok(text)
            }
            None => Err(self.expected(what)),
        }
    }

    /// `(item, …)`, at least one.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// Any expression.
    pub(super) fn expr(&mut self) -> Result<Expr, ParseError> {
        self.parser
            .parser
            .parse_expr()
            .map_err(|error| self.error(error))
    }

    /// Any query.
    pub(super) fn query(&mut self) -> Result<Box<Query>, ParseError> {
        self.parser
            .parser
            .parse_query()
            .map_err(|error| self.error(error))
    }

    /// A value of an option list: a literal, a signed number, or a bare word as a string.
    pub(super) fn option_value(&mut self) -> Result<Value, ParseError> {
        let negative = self.take_token(&Token::Minus);
        match self.peek().token.clone() {
            Token::Number(digits, long) => {
                self.next();
                let sign = if negative { "-" } else { "" };
                Ok(Value::Number(format!("{sign}{digits}"), long))
            }
            _ if negative => Err(self.expected("a number")),
            Token::Word(word) if word.quote_style.is_none() => {
                self.next();
                Ok(match word.keyword {
                    Keyword::TRUE => Value::Boolean(true),
                    Keyword::FALSE => Value::Boolean(false),
                    _ => Value::SingleQuotedString(word.value),
                })
            }
            token => match string_of(&token) {
                Some(text) => {
                    self.next();
                    Ok(Value::SingleQuotedString(text))
                }
                None => Err(self.expected("a string, a number, true or false")),
            },
        }
    }

    /// A key of an option list in lower case: words with dots, or a string.
    pub(super) fn option_key(&mut self) -> Result<String, ParseError> {
        if let Some(text) = string_of(&self.peek().token) {
            self.next();
            return Ok(text.to_lowercase());
        }
        let mut key = self.name("the name of an option")?;
        while self.take_token(&Token::Period) {
            key.push('.');
            key.push_str(&self.name("the name of an option")?);
        }
        Ok(key.to_lowercase())
    }

    /// The error that the next token is not what is expected.
    pub(super) fn expected(&self, what: &str) -> ParseError {
        let next = self.peek();
        let message = match &next.token {
            Token::EOF => format!("expected {what}, but the statement ends"),
            _ if self.secret => format!("expected {what}"),
            token => format!("expected {what}, found {}", shorten(&token.to_string())),
        };
        let start = next.span.start;
        ParseError::Syntax {
            message,
            line: start.line,
            column: start.column,
        }
    }

    /// The error that what was just read should have been something else.
    pub(super) fn expected_instead(&self, what: &str) -> ParseError {
        let start = self.parser.parser.get_current_token().span.start;
        let message = format!("expected {what}");
        ParseError::Syntax {
            message,
            line: start.line,
            column: start.column,
        }
    }

    /// An error of sqlparser.
    pub(super) fn error(&self, error: ParserError) -> ParseError {
        match error {
            ParserError::RecursionLimitExceeded => ParseError::TooDeep,
            ParserError::TokenizerError(_) | ParserError::ParserError(_) if self.secret => {
                self.expected("another word here")
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                syntax(&message)
            }
        }
    }

    /// An error of DFParser.
    pub(super) fn df_error(&self, error: DataFusionError) -> ParseError {
        match error {
            DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
                self.df_error(*inner)
            }
            DataFusionError::SQL(inner, _) => self.error(*inner),
            other => ParseError::Syntax {
                message: shorten(&other.strip_backtrace()),
                line: 0,
                column: 0,
            },
        }
    }
}

/// Whether the token is this word, unquoted, in any case.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    unquoted(token).is_some_and(|found| found.value.eq_ignore_ascii_case(word))
}

/// The word of a token, if it is one and is not quoted.
pub(super) fn unquoted(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word),
        _ => None,
    }
}

/// The text of a string literal.
pub(super) fn string_of(token: &Token) -> Option<String> {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Some(text.clone()),
        Token::DollarQuotedString(text) => Some(text.value.clone()),
        _ => None,
    }
}

/// A name as SQL compares it: in lower case unless it is quoted.
pub(super) fn normalized(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The beginning of a text on one line.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .map(|ch| if ch.is_control() { ' ' } else { ch })
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Takes sqlparser's message apart: it ends in the place where it knows one.
fn syntax(message: &str) -> ParseError {
    let (text, place) = message.rsplit_once(" at Line: ").unwrap_or((message, ""));
    let mut numbers = place
        .split(", Column: ")
        .map(|number| number.parse().unwrap_or(0));
    let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let text = text
        .replace("Expected: ", "expected ")
        .replace("found: ", "found ");
    let text = text.strip_suffix("found EOF").map_or(text.clone(), |head| {
        format!("{}but the statement ends", head)
    });
    ParseError::Syntax {
        message: shorten(&text),
        line,
        column,
    }
}
