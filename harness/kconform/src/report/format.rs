//! The formats of reports, and where they are written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::document::Document;
use super::{github, html, json, junit, ktap};

/// A format of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The document itself.
    Json,
    /// What the kernel's own tools read.
    Ktap,
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
    (Format::Ktap, "ktap", ktap::write),
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
    /// The folder is not there.
    #[error("{}: the folder is not there", .0.display())]
    NoFolder(PathBuf),
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

impl Wanted {
    /// Checks what can be known before anything runs: a run of an hour must not end in a folder that is not there.
    ///
    /// # Errors
    /// Two for standard output, or for one file, or a folder that is not there.
    pub fn check(all: &[Wanted]) -> Result<(), WantedError> {
        for (nth, wanted) in all.iter().enumerate() {
            let again = all[..nth].iter().any(|other| other.path == wanted.path);
            match &wanted.path {
                None if again => return Err(WantedError::Stdout(wanted.format.name())),
                Some(path) if again => return Err(WantedError::Twice(path.clone())),
                Some(path) if !folder(path).is_dir() => return Err(WantedError::NoFolder(path.clone())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the report: a file comes into being whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, document: &Document) -> io::Result<()> {
        let Some(path) = &self.path else {
            let mut out = io::BufWriter::new(io::stdout().lock());
            self.format.write(document, &mut out)?;
            return out.flush();
        };
        // What is no file (a pipe, /dev/stderr) cannot be replaced, only written to.
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            let mut out = io::BufWriter::new(std::fs::OpenOptions::new().write(true).open(path)?);
            self.format.write(document, &mut out)?;
            return out.flush();
        }
        let mut file = tempfile::Builder::new().prefix(".kconform-").tempfile_in(folder(path))?;
        let mut out = io::BufWriter::new(file.as_file_mut());
        self.format.write(document, &mut out)?;
        out.flush()?;
        drop(out);
        open_to_others(file.as_file())?;
        file.persist(path)?;
        Ok(())
    }
}

/// Temporary files are for their owner only; a report has the mode that any new file has.
fn open_to_others(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    file.set_permissions(std::fs::Permissions::from_mode(0o666 & !mask.bits()))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
