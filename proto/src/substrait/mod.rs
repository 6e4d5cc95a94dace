//! Messages of Substrait plans, as far as Quiver understands them.
//!
//! Written by hand, because generating them takes `protoc`. Field numbers are those of Substrait
//! 0.85; fields of older versions that say something (down to 0.56) are there as well. A decoder
//! passes over unknown fields without a word, so every field whose loss would change what a plan
//! means is declared here, be it only to be refused: then as [`Opaque`]. A `oneof` that decodes to
//! `None` was left out or is of a kind that is unknown here.

#![expect(
    missing_docs,
    reason = "fields and variants are named as in the specification, and mean what it says"
)]

mod expression;
mod literal;
mod plan;
mod rel;
mod types;

pub use expression::*;
pub use literal::*;
pub use plan::*;
pub use rel::*;
pub use types::*;
