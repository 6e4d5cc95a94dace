//! How DuckDB writes nested values: `[1, NULL]`, `{'a': 1, 'b': 'it''s'}`, `{k='it\'s'}`.
//!
//! There are two notations. A struct is written as SQL: texts are in quotes that are doubled inside of
//! them, and other values may be `CAST('…' AS TYPE)`. In a list or a map, and in whatever is below
//! one, only texts that could be taken for something else are in quotes, with backslashes before
//! quotes and backslashes.

use arrow::datatypes::DataType;
use quiver_catalog::Column;

/// A value without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// Of a column without columns below it.
    Text(String),
    Items(Vec<Self>),
    /// By the columns below a struct.
    Fields(Vec<Self>),
    Pairs(Vec<(Self, Self)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    Sql,
    Escaped,
}

/// A value of a column that is a list, a struct or a map; `None` if the text is none.
pub(super) fn nested_value(column: &Column, text: &str) -> Option<Value> {
    let mut cursor = Cursor { rest: text };
    let value = cursor.value(column, Notation::Sql, &[])?;
    cursor.rest.is_empty().then_some(value)
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn value(&mut self, column: &Column, notation: Notation, ends: &[char]) -> Option<Value> {
        self.skip_spaces();
        if self
            .rest
            .strip_prefix("NULL")
            .is_some_and(|rest| rest.starts_with(ends))
        {
            self.rest = &self.rest[4..];
            return Some(Value::Null);
        }
        match (&column.data_type, column.children.as_slice()) {
            (DataType::List(_), [element]) => {
                let item =
                    |cursor: &mut Self| cursor.value(element, Notation::Escaped, &[',', ']']);
                Some(Value::Items(self.list('[', ']', item)?))
            }
            (DataType::Map(..), [key, value]) => {
                let pairs = self.list('{', '}', |cursor| {
                    let key = cursor.value(key, Notation::Escaped, &['='])?;
                    cursor.take('=')?;
                    Some((key, cursor.value(value, Notation::Escaped, &[',', '}'])?))
                });
                Some(Value::Pairs(pairs?))
            }
            (DataType::Struct(_), children) => {
                // A field that is not named is NULL.
                let mut fields = vec![Value::Null; children.len()];
                self.list('{', '}', |cursor| {
                    let name = cursor.text(notation, &[':'])?;
                    cursor.take(':')?;
                    let place = children.iter().position(|child| child.name == name)?;
                    fields[place] = cursor.value(&children[place], notation, &[',', '}'])?;
                    Some(())
                })?;
                Some(Value::Fields(fields))
            }
            _ => self.leaf(notation, ends).map(Value::Text),
        }
    }

    /// What stands between brackets, by commas.
    fn list<T>(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.take(open)?;
        let mut items = vec![];
        self.skip_spaces();
        if self.take(close).is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close).is_some() {
                return Some(items);
            }
            self.take(',')?;
        }
    }

    fn leaf(&mut self, notation: Notation, ends: &[char]) -> Option<String> {
        let Some(cast) = self
            .rest
            .strip_prefix("CAST(")
            .filter(|_| notation == Notation::Sql)
        else {
            return self.text(notation, ends);
        };
        self.rest = cast;
        let text = self.text(notation, &[])?;
        // The type, which is known.
        let mut depth = 1_usize;
        let end = self.rest.find(|character| {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        self.rest = &self.rest[end? + 1..];
        Some(text)
    }

    /// In quotes, or up to where something else begins.
    fn text(&mut self, notation: Notation, ends: &[char]) -> Option<String> {
        self.skip_spaces();
        let Some(quoted) = self.rest.strip_prefix('\'') else {
            let end = self.rest.find(ends).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(text.to_owned());
        };
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match (character, notation) {
                ('\\', Notation::Escaped) => text.push(characters.next()?.1),
                ('\'', Notation::Sql) if quoted[at + 1..].starts_with('\'') => {
                    text.push('\'');
                    characters.next();
                }
                ('\'', _) => {
                    self.rest = &quoted[at + 1..];
                    return Some(text);
                }
                (character, _) => text.push(character),
            }
        }
        None
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }
}
