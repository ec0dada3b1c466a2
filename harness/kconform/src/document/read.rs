//! Reading a report back, in either of its forms.

use super::json::{self, ReadError};
use super::{Document, jsonl};

/// Reads a document back, also one that was written as results came, to its end or not.
///
/// # Errors
/// It is not one, or of a newer form.
pub fn read(text: &str) -> Result<Document, ReadError> {
    jsonl::read(text).unwrap_or_else(|| json::read(text))
}
