//! `COPY t FROM 'file'` and `COPY t TO 'file'`, in PostgreSQL's spelling and in DataFusion's.

use datafusion::sql::sqlparser::ast::{Ident, Value};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{Cursor, is_word, shorten};
use super::error::ParseError;
use super::query::{check, starts_query};
use super::statement::{CopyFormat, CopyOptions, CopySource, Statement};

/// Options as they may be written without parentheses.
const BARE_OPTIONS: [&str; 7] = [
    "FORMAT",
    "HEADER",
    "DELIMITER",
    "QUOTE",
    "ESCAPE",
    "NULL",
    "COMPRESSION",
];
const OPTIONS: &str = "FORMAT, HEADER, DELIMITER, QUOTE, ESCAPE, NULL or COMPRESSION";
const FORMATS: &str = "parquet, csv, json or arrow";

/// `COPY …`.
pub(super) fn parse(tokens: Vec<TokenWithSpan>) -> Result<Statement, ParseError> {
    let mut cursor = Cursor::new(tokens);
    cursor.expect(&["COPY"])?;
    if is_word(&cursor.peek().token, "INTO") {
        return Err(ParseError::unsupported_but(
            "COPY INTO",
            "write COPY t FROM 'file'",
        ));
    }
    let source = source(&mut cursor)?;
    let from = match cursor.take_one_of(&["FROM", "TO"]) {
        Some(direction) => direction == "FROM",
        None => return Err(cursor.expected("FROM 'file' or TO 'file'")),
    };
    let path = path(&mut cursor)?;
    let options = options(&mut cursor, &path)?;
    match source {
        CopySource::Table { name, columns } if from => Ok(Statement::CopyFrom {
            table: name,
            columns,
            path,
            options,
        }),
        CopySource::Query(_) if from => {
            Err(cursor.expected_instead("a table before FROM: COPY t FROM 'file'"))
        }
        source => Ok(Statement::CopyTo {
            source,
            path,
            options,
        }),
    }
}

fn source(cursor: &mut Cursor) -> Result<CopySource, ParseError> {
    if cursor.take_token(&Token::LParen) {
        if !starts_query(&cursor.peek().token) {
            return Err(cursor.expected("a query that begins with SELECT, WITH or VALUES"));
        }
        let query = cursor.query()?;
        cursor.expect_token(&Token::RParen)?;
        check(&query)?;
        return Ok(CopySource::Query(query));
    }
    let name = cursor.object_name("the name of a table or a query in parentheses")?;
    let columns: Vec<Ident> = match cursor.peek().token {
        Token::LParen => cursor.list(|cursor| cursor.ident("the name of a column"))?,
        _ => Vec::new(),
    };
    Ok(CopySource::Table { name, columns })
}

fn path(cursor: &mut Cursor) -> Result<String, ParseError> {
    for what in ["STDIN", "STDOUT", "PROGRAM"] {
        if is_word(&cursor.peek().token, what) {
            let what = format!("COPY with {what}");
            return Err(ParseError::unsupported_but(
                what,
                "write a file name in quotes",
            ));
        }
    }
    let path = cursor.string("a file name in quotes")?;
    match path.is_empty() {
        true => Err(cursor.expected_instead("a file name that is not empty")),
        false => Ok(path),
    }
}

/// What was written, before the format is known.
struct Written {
    format: Option<CopyFormat>,
    options: CopyOptions,
}

fn options(cursor: &mut Cursor, path: &str) -> Result<CopyOptions, ParseError> {
    let mut written = Written {
        format: None,
        options: CopyOptions::new(CopyFormat::Parquet),
    };
    while !cursor.at_end() {
        cursor.take("WITH");
        if cursor.take("OPTIONS") || cursor.peek().token == Token::LParen {
            cursor.list(|cursor| {
                let key = cursor.option_key()?;
                cursor.take_token(&Token::Eq);
                written.set(cursor, &key)
            })?;
        } else if cursor.take_all(&["STORED", "AS"]) {
            written.set(cursor, "format")?;
        } else if let Some(key) = cursor.take_one_of(&BARE_OPTIONS) {
            cursor.take("AS");
            written.set(cursor, &key.to_lowercase())?;
        } else if cursor.take("CSV") {
            written.format = Some(CopyFormat::Csv);
        } else {
            return Err(not_an_option(cursor));
        }
    }
    written.finish(cursor, path)
}

fn not_an_option(cursor: &Cursor) -> ParseError {
    for (word, what) in [
        ("PARTITIONED", "COPY … PARTITIONED BY"),
        ("WHERE", "COPY … WHERE"),
    ] {
        if is_word(&cursor.peek().token, word) {
            return ParseError::unsupported(what);
        }
    }
    cursor.expected(&format!("{OPTIONS} or the end"))
}

impl Written {
    fn set(&mut self, cursor: &mut Cursor, key: &str) -> Result<(), ParseError> {
        let options = &mut self.options;
        match key.strip_prefix("format.").unwrap_or(key) {
            "format" => self.format = Some(format(cursor)?),
            "header" | "has_header" => options.header = Some(flag(cursor)?),
            "delimiter" | "delim" | "sep" => options.delimiter = Some(byte(cursor)?),
            "quote" => options.quote = Some(byte(cursor)?),
            "escape" => options.escape = Some(byte(cursor)?),
            "null" | "nullstr" | "null_value" => {
                options.null = Some(cursor.string("a string that stands for NULL")?);
            }
            "compression" => options.compression = Some(word(cursor, "a codec")?),
            _ => return Err(cursor.expected_instead(OPTIONS)),
        }
        Ok(())
    }

    /// Takes the format, and the codec, from the file name where they were not written.
    fn finish(self, cursor: &Cursor, path: &str) -> Result<CopyOptions, ParseError> {
        let mut options = self.options;
        let (name, codec) = split_codec(path);
        let extension = extension(name);
        options.format = match self.format.or_else(|| format_of(&extension)) {
            Some(format) => format,
            None => {
                let hint = "a known extension or the format: (FORMAT parquet), csv, json or arrow";
                return Err(cursor.expected(hint));
            }
        };
        if options.compression.is_none() {
            options.compression = codec.map(str::to_owned);
        }
        if options.format == CopyFormat::Csv {
            if extension == "tsv" && options.delimiter.is_none() {
                options.delimiter = Some(b'\t');
            }
            return Ok(options);
        }
        let CopyOptions {
            header,
            delimiter,
            quote,
            escape,
            null,
            ..
        } = &options;
        let bytes = [delimiter, quote, escape].iter().any(|byte| byte.is_some());
        match header.is_some() || null.is_some() || bytes {
            true => Err(cursor.expected_instead(
                "HEADER, DELIMITER, QUOTE, ESCAPE and NULL with FORMAT csv only; remove them",
            )),
            false => Ok(options),
        }
    }
}

fn format(cursor: &mut Cursor) -> Result<CopyFormat, ParseError> {
    let name = word(cursor, FORMATS)?;
    match name.as_str() {
        "tsv" => None,
        name => format_of(name),
    }
    .ok_or_else(|| cursor.expected_instead(&format!("{FORMATS} instead of {}", shorten(&name))))
}

fn format_of(name: &str) -> Option<CopyFormat> {
    match name {
        "parquet" => Some(CopyFormat::Parquet),
        "csv" | "tsv" => Some(CopyFormat::Csv),
        "json" | "ndjson" | "jsonl" => Some(CopyFormat::Json),
        "arrow" | "arrows" | "ipc" | "feather" => Some(CopyFormat::Arrow),
        _ => None,
    }
}

/// The path without the extension of a codec, and the codec.
fn split_codec(path: &str) -> (&str, Option<&'static str>) {
    let codecs = [
        (".gz", "gzip"),
        (".zst", "zstd"),
        (".bz2", "bzip2"),
        (".xz", "xz"),
    ];
    let codec = codecs
        .iter()
        .find_map(|(end, codec)| Some((path.strip_suffix(end)?, *codec)));
    codec.map_or((path, None), |(path, codec)| (path, Some(codec)))
}

/// What follows the last dot of the file's name, in lower case.
fn extension(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.')
        .map(|(_, extension)| extension.to_lowercase())
        .unwrap_or_default()
}

/// A word or string in lower case.
fn word(cursor: &mut Cursor, what: &str) -> Result<String, ParseError> {
    match cursor.peek().token {
        Token::Word(_) => cursor.name(what),
        _ => cursor.string(what).map(|text| text.to_lowercase()),
    }
}

/// A truth value; nothing means yes.
fn flag(cursor: &mut Cursor) -> Result<bool, ParseError> {
    let next = &cursor.peek().token;
    let next_is_option = BARE_OPTIONS.iter().any(|word| is_word(next, word));
    if matches!(next, Token::EOF | Token::Comma | Token::RParen) || next_is_option {
        return Ok(true);
    }
    let value = match cursor.option_value()? {
        Value::Boolean(value) => return Ok(value),
        Value::Number(value, _) | Value::SingleQuotedString(value) => value.to_lowercase(),
        _ => String::new(),
    };
    match value.as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(cursor.expected_instead("true or false")),
    }
}

/// A string of one byte; `\t` is a tab.
fn byte(cursor: &mut Cursor) -> Result<u8, ParseError> {
    const WHAT: &str = "one ASCII character in quotes";
    let text = cursor.string(WHAT)?;
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err(cursor.expected_instead(WHAT)),
    }
}
