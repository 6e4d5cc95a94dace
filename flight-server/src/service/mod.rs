//! The Flight service: dispatch of every call to the module that answers it.

pub(crate) mod metadata;
