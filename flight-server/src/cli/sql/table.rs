//! Rows as columns for people, written while they come.
//!
//! Widths are taken from the first rows; later cells that are wider push their line to the right
//! instead of holding everything in memory. Control characters of cells are shown, never sent: a
//! row must not be able to steer the terminal.

#[cfg(test)]
mod tests;

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Rows looked at before widths are fixed.
const MEASURED_ROWS: usize = 1000;
/// Widest column that is padded, in characters.
const COLUMN_WIDTH_MAX: usize = 60;

/// Writes one result.
pub(crate) struct TableWriter<W: Write> {
    out: W,
    schema: SchemaRef,
    /// Cells waiting for the widths; `None` once these are fixed.
    waiting: Option<Vec<Vec<String>>>,
    widths: Vec<usize>,
}

impl<W: Write> TableWriter<W> {
    /// A table with the columns of `schema`.
    pub(crate) fn new(out: W, schema: SchemaRef) -> Self {
        let widths = schema
            .fields()
            .iter()
            .map(|field| width(&shown(field.name())))
            .collect();
        Self {
            out,
            schema,
            waiting: Some(Vec::new()),
            widths,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When writing fails or a value cannot be shown.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = cells(batch)?;
        let Some(waiting) = &mut self.waiting else {
            return self.write_rows(&rows);
        };
        waiting.extend(rows);
        if waiting.len() >= MEASURED_ROWS {
            self.start()
        } else {
            Ok(())
        }
    }

    /// Writes what waits; a table without rows still has its header.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn finish(mut self) -> Result<W, ArrowError> {
        self.start()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn start(&mut self) -> Result<(), ArrowError> {
        let Some(rows) = self.waiting.take() else {
            return Ok(());
        };
        for row in &rows {
            for (cell, widest) in row.iter().zip(&mut self.widths) {
                *widest = (*widest).max(width(cell)).min(COLUMN_WIDTH_MAX);
            }
        }
        let names: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| shown(field.name()))
            .collect();
        let line = line(
            names
                .iter()
                .zip(&self.widths)
                .map(|(name, width)| pad(name, *width, false)),
        );
        writeln!(self.out, "{line}")?;
        let rules: Vec<_> = self
            .widths
            .iter()
            .map(|width| "-".repeat(width + 2))
            .collect();
        writeln!(self.out, "{}", rules.join("+"))?;
        self.write_rows(&rows)
    }

    fn write_rows(&mut self, rows: &[Vec<String>]) -> Result<(), ArrowError> {
        let right: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| is_right_aligned(field.data_type()))
            .collect();
        for row in rows {
            let columns = row.iter().zip(self.widths.iter().zip(&right));
            let line = line(columns.map(|(cell, (width, right))| pad(cell, *width, *right)));
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

/// Text with control characters written out.
pub(crate) fn shown(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::new().with_null("NULL");
    let formatters = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    (0..batch.num_rows())
        .map(|row| {
            let cell = |formatter: &ArrayFormatter<'_>| {
                formatter
                    .value(row)
                    .try_to_string()
                    .map(|text| shown(&text))
            };
            formatters.iter().map(cell).collect()
        })
        .collect()
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let joined = format!(" {}", cells.collect::<Vec<_>>().join(" | "));
    joined.trim_end().to_owned()
}

fn pad(text: &str, width: usize, right: bool) -> String {
    if right {
        format!("{text:>width$}")
    } else {
        format!("{text:<width$}")
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
