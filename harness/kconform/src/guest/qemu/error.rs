//! Why there is no guest.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::guest::cache::CacheError;

/// Why a guest could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// QEMU is not installed.
    #[error("{program} is not here: install {package}")]
    NoQemu {
        /// The program.
        program: String,
        /// The Debian package it is in, in words.
        package: String,
        /// The architecture of its guests.
        arch: kconform_abi::Arch,
    },
    /// The image's kernel is not in the cache.
    #[error("the kernel of {image} is not here: kconform image fetch {image}")]
    NotFetched {
        /// The image's name.
        image: String,
    },
    /// The cache is damaged.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The agent's binary, or one of the kernel's modules, cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left for a guest's files in {}", directory.display())]
    DiskFull {
        /// Where they go (TMPDIR).
        directory: PathBuf,
    },
    /// There is no place for a guest's files and sockets.
    #[error("a guest's files cannot be kept in {}: {reason}", directory.display())]
    NoPlace {
        /// Where they go (TMPDIR).
        directory: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// QEMU could not be started, or spoken with.
    #[error("starting {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// QEMU did not take its arguments: an image that this version cannot run.
    #[error("QEMU refuses the image {image}: {text}")]
    Refused {
        /// The image's name.
        image: String,
        /// What it said.
        text: String,
    },
    /// QEMU started, and did nothing.
    #[error("{program} hangs at its start: it has not connected to kconform within {} s{}", waited.as_secs(), Behind(said))]
    Hangs {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it said until then.
        said: String,
    },
    /// The guest never came up.
    #[error("the guest {image} did not come up: {}", DisplayAttempts(attempts))]
    NeverUp {
        /// The image's name.
        image: String,
        /// How each attempt ended, first to last.
        attempts: Vec<BootFailure>,
    },
}

/// How an attempt to boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFailure {
    /// What happened.
    pub end: BootEnd,
    /// The last lines of the console, oldest first; QEMU's own complaints come last.
    pub console: Vec<String>,
}

/// What happened to a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootEnd {
    /// The kernel panicked.
    Panicked,
    /// The agent itself powered the guest off: it cannot do its work there, as another boot would only show again.
    PoweredOff,
    /// QEMU ended otherwise: the guest reset itself, or QEMU died.
    Ended {
        /// Its exit status, in words.
        status: String,
    },
    /// The agent never spoke.
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
    /// What came through the agent's port was none of the agent's.
    Garbled {
        /// What is wrong with it.
        why: String,
    },
    /// KVM cannot run guests here.
    KvmFailed {
        /// What QEMU said.
        line: String,
    },
}

impl fmt::Display for BootEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootEnd::Panicked => write!(f, "its kernel panicked"),
            BootEnd::PoweredOff => write!(f, "its agent gave up and powered it off"),
            BootEnd::Ended { status } => write!(f, "QEMU ended ({status})"),
            BootEnd::Silent { waited } => write!(f, "its agent said nothing in {} s", waited.as_secs()),
            BootEnd::Garbled { why } => write!(f, "its agent is not understood: {why}"),
            BootEnd::KvmFailed { line } => write!(f, "KVM failed: {line}"),
        }
    }
}

/// What was said, after a colon; nothing where nothing was.
struct Behind<'a>(&'a str);

impl fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// All attempts in short, and the console of the last.
struct DisplayAttempts<'a>(&'a [BootFailure]);

impl fmt::Display for DisplayAttempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ends: Vec<(String, usize)> = Vec::new();
        for attempt in self.0 {
            let end = attempt.end.to_string();
            match ends.last_mut() {
                Some((last, times)) if *last == end => *times += 1,
                _ => ends.push((end, 1)),
            }
        }
        let ends = ends.into_iter().map(|(end, times)| match times {
            1 => end,
            times => format!("{end}, {times} times"),
        });
        write!(f, "{}", ends.collect::<Vec<_>>().join("; "))?;
        match self.0.last() {
            Some(last) if last.console.is_empty() => write!(f, ". Its console stayed empty"),
            Some(last) => write!(f, ". Its console ended in:\n    {}", last.console.join("\n    ")),
            None => Ok(()),
        }
    }
}
