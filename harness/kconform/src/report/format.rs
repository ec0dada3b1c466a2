//! The formats of reports, and where they are written.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use crate::document::{Document, json, jsonl};

use super::{DestinationError, github, html, junit, ktap, tap};

/// A format of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The document itself.
    Json,
    /// The document piece by piece, as the results come.
    Jsonl,
    /// What the kernel's own tools read.
    Ktap,
    /// What readers of TAP take that know nothing of subtests.
    Tap,
    /// What CI servers read.
    Junit,
    /// Annotations in GitHub's workflows.
    Github,
    /// A page for browsers.
    Html,
}

/// Writes a document in one format.
type Writer = fn(&Document, &mut dyn Write) -> io::Result<()>;

/// The formats: what they are called, and what writes them.
const FORMATS: &[(Format, &str, Writer)] = &[
    (Format::Json, "json", json::write),
    (Format::Jsonl, "jsonl", jsonl::write),
    (Format::Ktap, "ktap", ktap::write),
    (Format::Tap, "tap", tap::write),
    (Format::Junit, "junit", junit::write),
    (Format::Github, "github", github::write),
    (Format::Html, "html", html::write),
];

impl Format {
    /// What it is called.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(_, name, _)| *name)
    }

    /// Writes a document.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(self, document: &Document, out: &mut dyn Write) -> io::Result<()> {
        self.row().2(document, out)
    }

    fn row(self) -> &'static (Format, &'static str, Writer) {
        // Every variant has a row: a test holds the table against the enum.
        FORMATS.iter().find(|row| row.0 == self).unwrap_or(&FORMATS[0])
    }
}

/// A report that is asked for: `FORMAT`, `FORMAT=-`, `FORMAT=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// In which format.
    pub format: Format,
    /// Into which file; `None`: to standard output.
    pub path: Option<PathBuf>,
}

/// Why a report cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// There is no such format.
    #[error("there is no format {name:?}; there are {}", Format::names().collect::<Vec<_>>().join(", "))]
    Format {
        /// As given.
        name: String,
    },
    /// No file can be called that.
    #[error("--report {0}= without a file name")]
    NoName(&'static str),
    /// Standard output takes one.
    #[error("only one report can go to standard output; write --report {0}=FILE")]
    Stdout(&'static str),
    /// Two reports would be written into one file.
    #[error("two reports are to be written to {}", .0.display())]
    Twice(PathBuf),
    /// Nothing can be written there.
    #[error(transparent)]
    Destination(#[from] DestinationError),
}

impl FromStr for Wanted {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Wanted, WantedError> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(path)),
            None => (text, None),
        };
        let format = FORMATS.iter().find(|row| row.1 == name).map(|row| row.0);
        let format = format.ok_or_else(|| WantedError::Format { name: name.to_owned() })?;
        match path {
            Some("") => Err(WantedError::NoName(format.name())),
            None | Some("-") => Ok(Wanted { format, path: None }),
            Some(path) => Ok(Wanted { format, path: Some(path.into()) }),
        }
    }
}
