//! bpf(2): its commands, and where each keeps its fields in `union bpf_attr`.

mod attach_types;
mod commands;
mod field_use;
mod map_types;
mod program_types;
mod returns;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use attach_types::attach_type_name;
use commands::COMMANDS;
pub use commands::COMMON_ATTR;
pub use field_use::{Use, field_use, never_refused, never_set};
pub use map_types::{ElementCommand, Gives, MapType, map_type, map_types};
pub use program_types::{LinkType, ProgramType, link_types, program_types};
pub use returns::{Return, Returns, returns};

/// A command of bpf(2).
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// As `enum bpf_cmd` has it: `BPF_MAP_CREATE`.
    pub name: &'static str,
    /// What bpf(2) takes as its first argument.
    pub number: u32,
    /// Bytes of the attr that the command takes: the end of the last field of its part of the union.
    pub size: u32,
    /// The fields of its part of `union bpf_attr`, those that share a place too.
    pub fields: &'static [Field],
    /// The first kernel that knows the command, such as `5.7`.
    pub since: &'static str,
    /// The name of its part of the union, where it has one: `info` for BPF_OBJ_GET_INFO_BY_FD.
    pub part: Option<&'static str>,
}

/// A field of an attr.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name within the command's part; in a nested struct `perf_event.bpf_cookie`.
    pub name: &'static str,
    /// Bytes from the start of the attr.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// What is kept there.
    pub kind: FieldKind,
    /// What it counts, when it says how much there is of a buffer that another field points to.
    pub count_of: Option<CountOf>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A number.
    Int,
    /// A file descriptor (a number).
    Fd,
    /// A user address, 64 bits wide everywhere.
    Pointer,
    /// Characters in place, NUL-padded: `map_name`.
    Chars,
}

/// A field that says how much there is of a buffer.
///
/// Fields of one union share a place (`prog_cnt` and `count`): a count is written when anything at its offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountOf {
    /// The pointer fields that it may count: more than one where arrays of the same length go together, and then the
    /// first that is there decides.
    pub buffers: &'static [&'static str],
    /// What it counts in.
    pub unit: Unit,
}

/// What a count counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things of so many bytes: 1 for a size, 8 for instructions.
    Bytes(u32),
    /// Records of as many bytes as that field says (`func_info_rec_size`).
    Field(&'static str),
}

/// Commands whose return value is a new fd; kernel/bpf/syscall.c, `__sys_bpf`.
const GIVES_FD: &[&str] = &[
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_BTF_LOAD",
    "BPF_ENABLE_STATS",
    "BPF_ITER_CREATE",
    "BPF_LINK_CREATE",
    "BPF_LINK_GET_FD_BY_ID",
    "BPF_MAP_CREATE",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_PROG_LOAD",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_TOKEN_CREATE",
];

impl Command {
    /// Whether the command returns a new fd when it succeeds.
    pub fn gives_fd(&self) -> bool {
        GIVES_FD.binary_search(&self.name).is_ok()
    }

    /// The field of that name, plain or qualified: `bpf_fd`, `info.bpf_fd`, `kprobe_multi.syms`,
    /// `link_create.kprobe_multi.syms`.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let find = |name: &str| self.fields.iter().find(|field| field.name == name);
        let qualified = || find(name.strip_prefix(self.part?)?.strip_prefix('.')?);
        find(name).or_else(qualified)
    }
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Command>> = LazyLock::new(|| {
    let second = COMMANDS.iter().filter(|command| command.name == "BPF_PROG_TEST_RUN");
    COMMANDS
        .iter()
        .map(|command| (command.name, command))
        .chain(second.map(|command| ("BPF_PROG_RUN", command)))
        .collect()
});

/// The command of that name; `BPF_PROG_RUN` is the second name of `BPF_PROG_TEST_RUN`.
pub fn command(name: &str) -> Option<&'static Command> {
    BY_NAME.get(name).copied()
}

/// The command of that number.
pub fn command_by_number(number: u32) -> Option<&'static Command> {
    COMMANDS.get(usize::try_from(number).ok()?)
}

/// All commands, in the order of their numbers.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter()
}
