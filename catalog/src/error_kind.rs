//! The kinds of failure that every crate of Quiver sorts its errors into.

/// What a failure means to the caller. Protocol layers map kinds, never single errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong in itself: correct it.
    InvalidArgument,
    /// The caller has not proved who it is.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The object does not exist, or belongs to another tenant.
    NotFound,
    /// The object exists already.
    AlreadyExists,
    /// The state does not allow it: change the state first.
    Precondition,
    /// A concurrent change won: try the whole operation again.
    Conflict,
    /// A limit is reached: back off.
    Overloaded,
    /// Temporarily impossible: try again, elsewhere if this node was fenced.
    Unavailable,
    /// The caller's time ran out.
    Deadline,
    /// The caller, or an administrator, cancelled it.
    Cancelled,
    /// Stored data is damaged: an operator has to look.
    Corruption,
    /// Not offered by this version.
    Unsupported,
    /// A mistake in Quiver.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed later without any change to it.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Conflict | Self::Overloaded | Self::Unavailable)
    }
}
