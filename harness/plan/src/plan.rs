//! The lowered program: calls, buffers whose addresses and saved values are filled in by the agent, and blocks.

use serde::{Deserialize, Serialize};

use crate::{Expect, is_error};

/// One case for one ABI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How many saved values there are; slots are numbered from 0.
    pub slots: u32,
    /// Milliseconds that the whole case may take.
    pub timeout_ms: u64,
    /// Sysctls that are set before the case begins, and put back after it.
    pub sysctls: Vec<SetSysctl>,
    /// The steps of the case's own process, in order.
    pub steps: Vec<Step>,
}

/// The calls of some steps in their order, those inside blocks too.
pub fn calls(steps: &[Step]) -> impl Iterator<Item = &Call> {
    let mut open = vec![steps.iter()];
    std::iter::from_fn(move || {
        loop {
            match open.last_mut()?.next().map(|step| &step.op) {
                Some(Op::Call(call)) => return Some(&**call),
                Some(block) => open.extend(block.blocks().iter().rev().map(|steps| steps.iter())),
                None => drop(open.pop()),
            }
        }
    })
}

impl Call {
    /// It is the system call of that number.
    pub fn is(&self, number: u64) -> bool {
        self.function == Function::Syscall(number)
    }
}

/// A sysctl that is set for a case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetSysctl {
    /// Its name: `net.core.bpf_jit_harden`.
    pub name: String,
    /// What is written.
    pub value: String,
}

/// A step and its place in the case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The step's number in the case, counted in written order with blocks before their contents (preorder), from 0.
    pub index: u32,
    /// What is done.
    pub op: Op,
}

/// A call, or a block of steps that runs elsewhere or repeatedly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// One system call, or an access to the process's own memory.
    Call(Box<Call>),
    /// In a forked child that inherits everything and must finish well.
    Fork(Vec<Step>),
    /// In a fresh image after execve(2) in a forked child, with the fds that survive it.
    Exec(Vec<Step>),
    /// In a child with uid and gid 65534 and only these capabilities (bit n: capability n) in its permitted, effective,
    /// inheritable and ambient sets.
    Unprivileged {
        /// Capabilities that are kept, as a bit mask.
        capabilities: u64,
        /// The steps of the child.
        steps: Vec<Step>,
    },
    /// Each list in a thread of its own, started together. Values saved in one stay there.
    Parallel(Vec<Vec<Step>>),
    /// So many times, with the slot counting from 0; saved values are shared with what follows.
    Repeat {
        /// How often.
        times: Value,
        /// The slot that counts, if it has a name.
        slot: Option<u32>,
        /// The steps that are repeated.
        steps: Vec<Step>,
    },
    /// In a child that receives the fd over a UNIX socket (SCM_RIGHTS), and without any other way to it: the child is
    /// forked before the fd is sent and closes its inherited copy.
    SendFd {
        /// The fd that is sent.
        fd: Value,
        /// The slot that holds the received fd's number in the child.
        slot: u32,
        /// The steps of the child.
        steps: Vec<Step>,
    },
    /// With sysctls set, and put back afterwards, whatever happens to the case. Saved values are shared with what follows.
    Sysctl {
        /// Paths below `/proc/sys` (`kernel/unprivileged_bpf_disabled`) and the values to write.
        settings: Vec<(String, Value)>,
        /// The steps that run meanwhile.
        steps: Vec<Step>,
    },
}

impl Op {
    /// The lists of steps inside; empty for a call.
    pub fn blocks(&self) -> &[Vec<Step>] {
        match self {
            Op::Call(_) => &[],
            Op::Parallel(lists) => lists,
            Op::Fork(steps)
            | Op::Exec(steps)
            | Op::Unprivileged { steps, .. }
            | Op::Repeat { steps, .. }
            | Op::SendFd { steps, .. }
            | Op::Sysctl { steps, .. } => std::slice::from_ref(steps),
        }
    }
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Function {
    /// The system call of that number.
    Syscall(u64),
    /// Copies `args[1]` bytes from the address `args[0]`, by plain loads, to buffer 0.
    Peek,
    /// Copies buffer 0 to the address `args[0]`, by plain stores.
    Poke,
}

/// One call with its memory, and what it must do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// What is called.
    pub function: Function,
    /// At most six arguments; those left out are 0.
    pub args: Vec<Value>,
    /// The memory that the call gets to see. Made afresh for each execution of the step, 8-byte aligned, each buffer with
    /// slack behind it.
    pub buffers: Vec<Buffer>,
    /// The parts of memory that are reported after the call.
    pub outputs: Vec<Output>,
    /// What is saved when the call went as expected.
    pub saves: Vec<Save>,
    /// What the call must do for the case to go on.
    pub expect: Expect,
    /// The expected ends of the call after which the case is over, and has passed.
    pub last: Last,
    /// The call is repeated until it does what is expected, for so many milliseconds.
    pub eventually_ms: Option<u64>,
    /// The return value is a new fd, which is closed before the call is repeated: it would keep alive what is waited for.
    pub gives_fd: bool,
}

/// After which ends of a call the case ends there, well: what follows relies on another one. In a child's block too: the
/// child ends as [`ChildEnd::Finished`](crate::ChildEnd), each enclosing process ends as well, and no later step of the
/// case has records (but for what other threads of a `parallel` block were in the middle of).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// After its success.
    pub success: bool,
    /// After its failure with one of these errnos.
    pub errnos: Vec<i32>,
}

impl Last {
    /// Whether the case is over after a call that returned this.
    pub fn after(&self, ret: i64) -> bool {
        if is_error(ret) { self.errnos.iter().any(|&e| -i64::from(e) == ret) } else { self.success }
    }

    /// Whether the case goes on after each end that is expected.
    pub fn never(&self) -> bool {
        !self.success && self.errnos.is_empty()
    }
}

/// A number that may be known only when the step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Known beforehand; negative numbers in two's complement.
    Number(u64),
    /// A saved value, or-ed with bits known beforehand.
    Slot(u32, u64),
    /// The address of a buffer of the same call.
    Address(u32),
    /// An address that is not mapped.
    Unmapped,
    /// An address of a page that can be read but not written.
    ReadOnly,
    /// The length in bytes of a buffer of the same call, divided by a unit.
    Length(u32, u32),
}

/// Pieces laid end to end, then overlays written at their offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// The contents.
    pub pieces: Vec<Piece>,
    /// What is then written over them.
    pub overlays: Vec<Overlay>,
}

/// A piece at an offset of its buffer, which grows (with zeros) to hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Bytes from the start of the buffer.
    pub offset: u32,
    /// What is written there.
    pub piece: Piece,
}

/// A part of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many zeros.
    Zero(u32),
    /// `width` (1, 2, 4 or 8) low bytes, in the kernel's byte order, of a value shifted right by `shift` bits.
    Value {
        /// The number.
        value: Value,
        /// Bytes that it takes.
        width: u8,
        /// Bits that are shifted out first (32 for the second half of a `BPF_LD_IMM64`).
        shift: u8,
    },
    /// A saved number as decimal text, without a NUL.
    Decimal(u32),
    /// A saved buffer's bytes (a saved number: its 8 bytes).
    Saved(u32),
}

/// A part of memory that is reported after the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Which buffer of the call.
    pub buffer: u32,
    /// Which part of it.
    pub region: Region,
}

/// A part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Region {
    /// All of it.
    Whole,
    /// `count` pieces from the piece numbered `first` (their sizes may be known only when the step runs).
    Pieces {
        /// The first piece.
        first: u32,
        /// How many.
        count: u32,
    },
    /// So many bytes at an offset.
    Range {
        /// Bytes from the start of the buffer.
        offset: u32,
        /// Bytes.
        length: u32,
    },
}

/// A value that is kept for later steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    /// Where it is kept.
    pub slot: u32,
    /// What is kept.
    pub from: Source,
}

/// What a saved value is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The return value.
    Ret,
    /// An output of the call, by its index: a number when it is 1, 2, 4 or 8 bytes long, bytes otherwise.
    Output(u32),
}
