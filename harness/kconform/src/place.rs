//! Where something stands in a case file, and what is wrong there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A case file that was read: its name as given, and its text, kept for messages.
#[derive(PartialEq, Eq)]
pub struct File {
    /// The path as the user would write it.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl std::fmt::Debug for File {
    /// Without the text, which would hide everything else.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("File").field(&self.path).finish()
    }
}

/// A stretch of the file's text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// Of the first character.
    pub(crate) start: usize,
    /// After the last one.
    pub(crate) end: usize,
}

/// A stretch of a case file.
#[derive(Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<File>,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset after the last character.
    pub end: usize,
}

impl Place {
    /// Line and column of the first character, both from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.file.text.get(..self.start).unwrap_or(&self.file.text);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        self.file.text.get(self.start..self.end).unwrap_or("")
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.file.path.display())
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && (self.start, self.end) == (other.start, other.end)
    }
}

impl Eq for Place {}

/// A mistake in a case file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong, one sentence without a full stop: `unknown constant BPF_MAP_TYPE_ARAY`.
    pub text: String,
    /// What is said at the marked place: `did you mean BPF_MAP_TYPE_ARRAY?`, or what would be right.
    pub help: Option<String>,
    /// Another place that matters: the first of two duplicates.
    pub see: Option<(Place, String)>,
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}
