//! `--report json`: the document itself, a line a case and target, so that it can be read, compared and grepped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Serializer;

use crate::json_lines::Lines;

use super::{Document, FORMAT, VERSION, nothing_ran};

/// Writes the document.
///
/// # Errors
/// What the writer says.
pub(crate) fn write(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    document.serialize(&mut Serializer::with_formatter(&mut *out, Lines::default()))?;
    writeln!(out)
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON, or not of this form.
    #[error("not a report of kconform's: {0}")]
    Form(#[from] serde_json::Error),
    /// It is something else.
    #[error("not a report of kconform's: it does not say that it is a {FORMAT}")]
    Other,
    /// A line of what was written as results came.
    #[error("line {number} is none of a report: {error}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// A line is of a case or a target that the first line does not name.
    #[error("line {number} is of the {what} {name}, of which the first line says nothing")]
    Stranger {
        /// Counted from 1.
        number: usize,
        /// `case` or `target`.
        what: &'static str,
        /// What it is called.
        name: String,
    },
    /// It is a newer form.
    #[error("{format} version {version}, and this kconform reads {FORMAT} version {VERSION}")]
    Version {
        /// What it says it is.
        format: String,
        /// Its version.
        version: u32,
    },
}

/// Reads a document back.
///
/// # Errors
/// It is not one, or of a newer form.
pub(crate) fn read(text: &str) -> Result<Document, ReadError> {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(default)]
        format: String,
        #[serde(default)]
        version: u32,
    }
    let head: Head = serde_json::from_str(text)?;
    if head.format != FORMAT {
        return Err(ReadError::Other);
    }
    if head.version != VERSION {
        return Err(ReadError::Version { format: head.format, version: head.version });
    }
    let mut document: Document = serde_json::from_str(text)?;
    // A report of an older kconform does not say it.
    document.nothing_ran = nothing_ran(&document.targets);
    Ok(document)
}
