//! COPY FROM and COPY TO files within a tenant's own area.
//!
//! Does: resolves a user's path inside the area, reads and writes Parquet, CSV, newline-delimited
//! JSON and Arrow files.
//! Guarantees: no file outside the area is opened; text files are read within a bounded memory; a
//! failed COPY TO leaves no file; errors name the file, never a folder of the machine.
//! Does not know: SQL, tables, rights. All calls block: run them on a blocking thread.

mod options;
mod path;
mod reader;
mod text;
mod text_reader;
mod writer;

pub(crate) use options::{CopyOptions, FileCompression, FileFormat};
pub(crate) use path::resolve;
pub(crate) use reader::open;
pub(crate) use writer::FileWriter;

/// The last part of a path, which is all that messages show.
fn file_name(path: &std::path::Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    crate::canonical::short(&name).into_owned()
}

#[cfg(test)]
mod tests;
