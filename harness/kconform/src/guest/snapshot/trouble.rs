//! Why a guest does not come from a snapshot as it should. It is told beside the target, of a guest that came up nonetheless.

use std::io;

use crate::guest::qemu::Late;

#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The cache has no place for any.
    #[error("no snapshot can be kept: {0}")]
    NotKept(io::Error),
    #[error("no space left for a snapshot in the cache")]
    Full,
    #[error("no snapshot could be made: {0}")]
    NotMade(io::Error),
    /// QEMU refused, or died of, such memory.
    #[error("no guest came up whose memory is in a file of the cache: {0}")]
    NoGuest(String),
    /// One that was just made, and is gone or damaged all the same.
    #[error("the snapshot that was just made cannot be used")]
    Useless,
    #[error("booted, since no snapshot of it could be used before")]
    GivenUp,
    #[error("its snapshot was discarded: {0}")]
    Discarded(String),
    /// What is kept from working says nothing of the snapshot.
    #[error("booted, and its snapshot kept: {0}")]
    HeldUp(String),
    #[error("a guest of its snapshot was of no use, another one was: {0}")]
    Again(String),
    #[error("its snapshot cannot be removed: {0}")]
    NotRemoved(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
            _ => Trouble::NotMade(error),
        }
    }
}

/// Why a guest of a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Dead {
    #[error("its memory could not be checked")]
    Unchecked,
    #[error("its agent gave up: {0}")]
    GaveUp(String),
    #[error("its agent speaks out of turn")]
    OutOfTurn,
    #[error("its agent does not answer: {0}")]
    Mute(Box<dyn std::error::Error>),
}

impl Dead {
    /// Whether it was waited for in vain.
    pub(super) fn late(&self) -> Option<Late> {
        match self {
            Dead::Mute(error) => error.downcast_ref::<io::Error>().and_then(Late::of),
            _ => None,
        }
    }
}

/// A guest of a snapshot that is of no use.
#[derive(Debug)]
pub(super) struct Useless {
    /// Why, in words.
    pub(super) why: String,
    pub(super) proof: Proof,
}

/// What a guest that is of no use says of the snapshot that it came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The snapshot is damaged, or QEMU cannot make use of it.
    Damaged,
    /// Another guest of it may do: emulated ones die and hang now and then.
    Doubtful,
    /// Nothing: QEMU was kept from working.
    Nothing,
}

impl Useless {
    pub(super) fn damaged(why: impl ToString) -> Useless {
        Useless { why: why.to_string(), proof: Proof::Damaged }
    }
}
