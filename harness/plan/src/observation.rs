//! What happened when a plan ran.

use serde::{Deserialize, Serialize};

use crate::Settings;

/// All that was seen of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What the case's processes recorded, in the order in which it happened.
    pub records: Vec<Record>,
    /// How the case's own process ended.
    pub end: End,
    /// Nanoseconds from before the fork to after the clean-up.
    pub duration_ns: u64,
    /// Lines that the kernel logged meanwhile (`/dev/kmsg`, without the prefix), where they can be read.
    pub kernel_log: Vec<String>,
    /// `/proc/sys/kernel/tainted` after the case, if it changed: (before, after).
    pub taint: Option<(u64, u64)>,
    /// Processes that the case left behind and that were killed.
    pub left_behind: u32,
    /// BPF objects of the case are still there, which may go yet: what becomes of them comes in
    /// [`FromAgent::Traces`](crate::FromAgent).
    pub lingers: bool,
    /// The case made calls that may have changed more than its own processes.
    pub unusual: bool,
    /// Records that found no room; when not 0, the observation is incomplete.
    pub dropped: u32,
}

/// How the case's own process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It came to its last step, or stopped at a step that did not do what was expected.
    Finished,
    /// It ended in between, with this exit status.
    Exited(i32),
    /// It was killed by this signal.
    Signaled(i32),
    /// It was killed because its time was over.
    TimedOut,
    /// It could not be started: the errno of fork(2) or mmap(2).
    NotStarted(i32),
    /// It was not started, as one of [`Plan::sysctls`](crate::Plan) cannot be set.
    NotSet {
        /// Which.
        nth: u32,
        /// The errno of write(2); 0: it has another value then.
        errno: i32,
    },
}

/// A line of the log that a case's processes share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The step's number in the case.
    pub step: u32,
    /// Where in the enclosing `repeat` blocks: the counts, outermost first.
    pub iteration: Iteration,
    /// Nanoseconds since the case began.
    pub time_ns: u64,
    /// What happened.
    pub kind: RecordKind,
}

/// The counts of the enclosing `repeat` blocks, outermost first.
pub type Iteration = Vec<u32>;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordKind {
    /// A call is about to be made.
    Begin {
        /// Its arguments as passed.
        args: Vec<u64>,
        /// The saved values that the step uses, by slot.
        slots: Vec<(u32, Saved)>,
    },
    /// A call has returned.
    Done {
        /// The raw return value; -4095 to -1 is a negative errno.
        ret: i64,
        /// The call's outputs, in the plan's order.
        outputs: Vec<Bytes>,
        /// How often it was called (`eventually`).
        attempts: u32,
        /// Nanoseconds that the last call took.
        call_ns: u64,
    },
    /// A block's child has ended.
    Child(ChildEnd),
    /// The agent could not do what the step asks for.
    Trouble(Trouble),
    /// Of a `repeat` block: of so many rounds nothing is kept, from this one on. All their steps did what was expected.
    Skipped {
        /// The first of them.
        first: u32,
        /// How many.
        count: u32,
    },
}

/// How the child of a `fork`, `exec`, `unprivileged` or `send_fd` block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildEnd {
    /// All its steps did what was expected, or one of them said that the case ends there ([`Call::last`](crate::Call)).
    /// It says so itself in memory that it shares with the agent, so no exit status can be taken for this.
    Finished,
    /// A step inside did not do what was expected (that step's records say what).
    Surprised,
    /// It ended in between, with this exit status.
    Exited(i32),
    /// It was killed by this signal. The steps behind the block run if that is what the call in flight was expected to do
    /// ([`Expect::signal`](crate::Expect)).
    Signaled(i32),
}

/// What an agent could not do for a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What was tried, in words: `fork`, `write /proc/sys/kernel/…`.
    pub what: String,
    /// The errno that it failed with.
    pub errno: i32,
}

/// A saved value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saved {
    /// A return value, or a buffer of 1, 2, 4 or 8 bytes.
    Number(u64),
    /// A buffer of another size.
    Bytes(Vec<u8>),
}

/// Memory as it was after a call; zeros at its end are not carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Its full length in bytes.
    pub length: u32,
    /// Its bytes up to the last that is not zero.
    pub bytes: Vec<u8>,
}

impl Bytes {
    /// Takes memory apart into its bytes and the zeros at its end.
    pub fn new(memory: &[u8]) -> Bytes {
        let used = memory.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Bytes { length: u32::try_from(memory.len()).unwrap_or(u32::MAX), bytes: memory[..used].to_vec() }
    }

    /// The memory with the zeros at its end.
    pub fn full(&self) -> Vec<u8> {
        let mut full = self.bytes.clone();
        full.resize(self.length as usize, 0);
        full
    }
}

/// What the agent says of the kernel and of itself when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The build that the agent comes from (`KCONFORM_FINGERPRINT` at its build), to notice a stale one.
    pub fingerprint: String,
    /// `uname -m`.
    pub machine: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// Possible CPUs (`/sys/devices/system/cpu/possible`): what a per-CPU map has slots for.
    pub possible_cpus: u32,
    /// Online CPUs.
    pub online_cpus: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Effective uid.
    pub uid: u32,
    /// Effective capabilities (bit n: capability n), whatever user namespace they are of.
    pub capabilities: u64,
    /// The agent lives in the initial user namespace, so its capabilities are those that bpf(2) asks for.
    pub initial_user_namespace: bool,
    /// `/proc/config.gz` as it is, where the kernel has it, else `/boot/config-$(uname -r)` where it can be read.
    pub config: Option<Vec<u8>>,
    /// How the kernel is set up.
    pub settings: Settings,
    /// `/proc/sys/kernel/tainted`.
    pub taint: u64,
    /// `/dev/kmsg` can be read.
    pub kernel_log: bool,
    /// What every root has and the agent's has not (a chroot's): `/proc`, `/sys`, `/dev/null`.
    pub root_lacks: Vec<String>,
    /// What refuses system calls before the kernel's own code.
    pub refusals: Vec<Refusal>,
    /// What could not be set up (a mount, say); not fatal.
    pub remarks: Vec<String>,
}

/// A system call that is refused whatever its arguments are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its number.
    pub call: u64,
    /// With which errno; `None`: the process that makes it is killed.
    pub errno: Option<i32>,
    /// What refuses it.
    pub by: Refuser,
}

/// What refuses a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refuser {
    /// A seccomp filter (seccomp(2)).
    Seccomp,
    /// A Linux security module, such as SELinux.
    SecurityModule,
    /// The kernel, which was built without it.
    Kernel,
}

/// Whether a raw return value is a negative errno.
pub fn is_error(ret: i64) -> bool {
    (-4095..=-1).contains(&ret)
}
