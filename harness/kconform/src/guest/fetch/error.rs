//! Why a kernel could not be fetched.

use std::io;
use std::path::PathBuf;

use crate::guest::cache::CacheError;

/// Why a kernel could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The image's kernel is a file of one's own.
    #[error("the image {image} has a kernel of its own at {}: there is nothing to fetch", path.display())]
    NotFetched {
        /// The image's name.
        image: String,
        /// Where its kernel is.
        path: PathBuf,
    },
    /// No apt on this machine.
    #[error(
        "there is no `{program}` here: kernels are fetched with Debian's apt. On another system use an image whose \
         kernel is a file (`kernel: {{path: …}}`), or run in a Debian container"
    )]
    NoApt {
        /// What was not found.
        program: String,
    },
    /// No keys to check Debian's signatures with.
    #[error("Debian's archive keys are not here: install the package debian-archive-keyring")]
    NoKeyring,
    /// This machine's apt is set up for something else than Debian.
    #[error("this machine's apt has no Debian mirror: set {variable} to one (http://HOST/debian)")]
    NoMirror {
        /// The environment variable that takes one.
        variable: &'static str,
    },
    /// The disk is full.
    #[error("no space left on the device while fetching; the cache is where KCONFORM_CACHE says: {text}")]
    DiskFull {
        /// What noticed it.
        text: String,
    },
    /// A program that failed.
    #[error("`{command}` failed: {text}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it said.
        text: String,
    },
    /// The mirror stays in the middle of an update.
    #[error(
        "the mirror is being brought up to date with {suite}, and its files do not fit together yet: {text}\n\
         Debian updates its mirrors four times a day, and each takes an hour or so. Try again in an hour, or set {variable} \
         to another mirror"
    )]
    OutOfSync {
        /// The suite.
        suite: String,
        /// What apt said.
        text: String,
        /// The environment variable that takes another mirror.
        variable: &'static str,
    },
    /// The package list does not have what it must.
    #[error("the package list does not describe the package {package}, or it could not be downloaded")]
    PackageList {
        /// The package.
        package: String,
    },
    /// A package that is not what the signed package list says.
    #[error("the package {package} has the SHA-256 {found}, where the package list says {expected}")]
    Hash {
        /// The package.
        package: String,
        /// The list's.
        expected: String,
        /// The file's.
        found: String,
    },
    /// A package without what is needed of it.
    #[error("the package {package} has no {what}")]
    Missing {
        /// The package.
        package: String,
        /// What it lacks.
        what: String,
    },
    /// The cache is damaged.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the cache could not be written.
    #[error("fetching a kernel: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> FetchError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                FetchError::DiskFull { text: error.to_string() }
            }
            _ => FetchError::Io(error),
        }
    }
}

impl FetchError {
    /// What a program's failure means.
    pub(super) fn of_command(command: String, text: String) -> FetchError {
        let full = ["No space left on device", "You don't have enough free space"];
        if full.iter().any(|sign| text.contains(sign)) {
            return FetchError::DiskFull { text };
        }
        FetchError::Command { command, text }
    }

    /// Whether a mirror's files do not fit together, as in the middle of an update.
    pub(super) fn is_out_of_sync(&self) -> bool {
        matches!(self, FetchError::Command { text, .. } if out_of_sync(text))
    }

    /// Whether the mirror answered that it does not have what was asked of it.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, FetchError::Command { text, .. } if text.contains("404 "))
    }
}

/// Whether apt says of a package list that it is not the one that the suite's signed file names.
pub(super) fn out_of_sync(text: &str) -> bool {
    ["Mirror sync in progress", "File has unexpected size", "Hash Sum mismatch"]
        .iter()
        .any(|sign| text.contains(sign))
}
