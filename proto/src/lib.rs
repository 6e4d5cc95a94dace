//! Wire terms that Quiver adds to, or needs beside, what `arrow-flight` already has.
//!
//! Holds the signed handles put into tickets and ids, the messages of the session actions and of
//! the prepared-statement answer that `arrow-flight` 59 lacks, those of Substrait plans, and the
//! names of headers and trailers. Knows nothing of tenants, tables or SQL beyond numbers and bytes,
//! and depends on no other crate of this workspace.

mod digest;
pub mod handle;
pub mod headers;
pub mod prepared;
pub mod session;
pub mod substrait;

pub use digest::keyed_digest;
pub use handle::{Claims, HANDLE_BYTES, HandleError, Key, Purpose, Signer};
pub use prepared::ActionCreatePreparedStatementResult;
pub use session::{
    CloseSessionRequest, CloseSessionResult, CloseSessionStatus, GetSessionOptionsRequest,
    GetSessionOptionsResult, SessionOptionError, SessionOptionErrorValue, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult, StringListValue,
};
