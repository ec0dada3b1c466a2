//! Messages and their framing: a 32-bit little-endian length, then the message in postcard's encoding.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BtfAnswer, BtfQuery, Facts, Observation, Plan, Sysctl, Trace};

/// The version of the messages; both ends must agree. Any change of a type of this crate makes a new one.
pub const WIRE_VERSION: u32 = 15;

/// The longest message that is sent or taken, in bytes.
pub const MAX_FRAME: usize = 256 << 20;

/// Bytes that may be on their way to an agent behind a serial line, which loses what comes while nobody makes room: the
/// kernel's own buffers hold more than this (`n_tty`'s 4096 bytes, and 64 KiB of `tty_buffer`).
pub const SERIAL_WINDOW: usize = 16 << 10;

/// An agent behind a serial line says [`FromAgent::Took`] at least this often, in bytes.
pub const SERIAL_SHARE: usize = 2 << 10;

/// What the host says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Run this case; several may be sent ahead, they run in order.
    Run {
        /// Comes back with the observation.
        id: u64,
        /// The case.
        plan: Box<Plan>,
    },
    /// Say what the kernel's BTF has of these types; only asked while no case is in flight.
    Btf {
        /// The questions.
        queries: Vec<BtfQuery>,
    },
    /// Read these sysctls; only asked while no case is in flight.
    Sysctls {
        /// Their names.
        names: Vec<String>,
    },
    /// From here on look for what cases leave behind. Nothing answers it.
    Watch,
    /// Say what is there that cases may leave where others see it; only asked while no case is in flight.
    Look,
    /// Wait for what lingers to go, and say what does not; only asked while no case is in flight.
    Settle {
        /// How long to wait, in milliseconds.
        patience_ms: u64,
    },
    /// End: power the guest off, or exit.
    Quit,
    /// Bring the kernel's random numbers away from where those of other guests of the same snapshot begin; not answered.
    Seed {
        /// Mixed into what the kernel's generator seeds itself from, now and then.
        pool: [u8; 32],
        /// So many numbers are drawn from the generator and thrown away: that tells at once, and is the same each time.
        draws: u32,
    },
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// The first message, unasked, once the agent waits for plans.
    Ready {
        /// [`WIRE_VERSION`] of the agent: this field is read before all others and never moves.
        version: u32,
        /// What it runs on.
        facts: Box<Facts>,
    },
    /// A case begins: should the agent go silent now, this is the case in flight.
    Started {
        /// The host's number for it.
        id: u64,
    },
    /// A case is over and cleaned up.
    Ran {
        /// The host's number for it.
        id: u64,
        /// What was seen.
        observation: Box<Observation>,
    },
    /// What cases have left behind; said before [`FromAgent::Ran`], if at all, and in answer to [`ToAgent::Settle`].
    Traces {
        /// Cases by the host's numbers, of which nothing lingers any more, and what they have left for good.
        settled: Vec<(u64, Vec<Trace>)>,
    },
    /// The answer to [`ToAgent::Look`].
    Looked {
        /// Names of things, and their values where they have one.
        things: Vec<(String, String)>,
    },
    /// The answers to [`ToAgent::Btf`], in the order of the questions.
    Btf {
        /// What the kernel's BTF says.
        answers: Vec<BtfAnswer>,
    },
    /// The answers to [`ToAgent::Sysctls`], in the order of the names.
    Sysctls {
        /// What there is.
        values: Vec<Sysctl>,
    },
    /// So many more bytes were read off a serial line: there is room for others. Only said there.
    Took {
        /// How many.
        bytes: u32,
    },
    /// The agent ends once it has told what comes of the case in flight, and no fault of the next one's is in that: a fresh
    /// agent is to take over. Comes before [`FromAgent::Ran`].
    Spent {
        /// What the case has done.
        why: String,
    },
    /// The agent itself is in trouble and can run nothing more.
    Failed {
        /// What happened.
        text: String,
    },
}

/// Why a message could not be sent or taken.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream broke.
    #[error("the stream to the agent broke: {0}")]
    Io(#[from] io::Error),
    /// The other end closed the stream between two messages.
    #[error("the stream was closed")]
    Closed,
    /// A length that no message has: the stream carries something else.
    #[error("a message of {0} bytes is not one of ours")]
    Length(usize),
    /// A message that cannot be read.
    #[error("a message cannot be read: {0}")]
    Encoding(#[from] postcard::Error),
}

/// Encodes a message without its length.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    Ok(postcard::to_stdvec(message)?)
}

/// Decodes a message without its length.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    Ok(postcard::from_bytes(bytes)?)
}

/// Writes one message, length and all, in one write.
pub fn write_frame<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), WireError> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame)?;
    let length = frame.len() - 4;
    let prefix =
        u32::try_from(length).ok().filter(|&l| l as usize <= MAX_FRAME).ok_or(WireError::Length(length))?;
    frame[..4].copy_from_slice(&prefix.to_le_bytes());
    to.write_all(&frame)?;
    Ok(to.flush()?)
}

/// Reads one message; [`WireError::Closed`] when the stream ends before its first byte.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, WireError> {
    decode(&read_body(from)?)
}

/// Reads one message and does not decode it; [`WireError::Closed`] when the stream ends before its first byte.
pub fn read_body(from: &mut impl Read) -> Result<Vec<u8>, WireError> {
    let mut prefix = [0; 4];
    let mut have = 0;
    while have < 4 {
        match from.read(&mut prefix[have..]) {
            Ok(0) if have == 0 => return Err(WireError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    let length = u32::from_le_bytes(prefix) as usize;
    if length == 0 || length > MAX_FRAME {
        return Err(WireError::Length(length));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}
