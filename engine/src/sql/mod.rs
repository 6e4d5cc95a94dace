//! SQL of one tenant: parsing, planning, execution.

pub mod parser;
