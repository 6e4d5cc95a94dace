//! Texts of tenants inside error lines: one line, bounded, whatever was sent.

use std::borrow::Cow;

/// Longest piece of a tenant's text inside one of our messages, in bytes.
const SHORT_BYTES_MAX: usize = 160;

/// `text` without control characters, cut to a length that fits into a gRPC trailer.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= SHORT_BYTES_MAX && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut end = text.len().min(SHORT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut kept: String = text[..end]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if end < text.len() {
        kept.push('…');
    }
    Cow::Owned(kept)
}
