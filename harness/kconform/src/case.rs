//! A case after parameters are filled in and merges are resolved: what [`crate::load`] and [`crate::expand`] make, and
//! what [`crate::lower`] turns into a plan. Everything keeps its place; names are checked already, numbers are not yet
//! those of an ABI.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kconform_abi::Arch;
use kconform_plan::BtfQuery;

pub(crate) use crate::insn::LARGEST_PAGE;
use crate::insn::{self, PAGE_SIZE};
use crate::place::{Place, Placed};
use crate::uapi::Layout;
use crate::wants::SettingsWant;

/// One runnable case.
#[derive(Clone, Debug)]
pub struct Case {
    /// `bpf/map/array::create_is_refused[zero_key_size]`.
    pub id: String,
    /// `bpf/map/array`.
    pub suite: Arc<str>,
    /// The name as written, parameters filled in, with the label.
    pub name: String,
    /// Where its `name` is written.
    pub place: Place,
    /// What is checked: the case's own words, else the file's.
    pub about: Option<String>,
    /// Who says so: the case's sources, else the file's.
    pub source: Vec<String>,
    /// All must hold: the file's, then the case's.
    pub requires: Vec<Requires>,
    /// For the whole case, before a target's own factor.
    pub timeout: Duration,
    /// Nothing else may run on that kernel meanwhile.
    pub exclusive: bool,
    /// Never on the host's own kernel.
    pub guest_only: bool,
    /// It has a guest for itself, which is thrown away afterwards.
    pub fresh: bool,
    /// What it asks of the kernel's own types.
    pub btf: Vec<BtfQuery>,
    /// The sysctls that its conditions speak of, by name.
    pub sysctls: Vec<String>,
    /// Probes that must find their feature.
    pub needs: Vec<Arc<Probe>>,
    /// Expected failures; the first whose condition is met counts.
    pub known_issues: Vec<KnownIssue>,
    /// Words to select by.
    pub tags: Vec<String>,
    /// The calls and blocks.
    pub steps: Vec<Step>,
}

/// What a kernel (and the user) must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// Versions, all of which must hold.
    pub kernel: Option<Placed<KernelRange>>,
    /// One of these machines, as `uname -m` says it; empty: any.
    pub arch: Vec<kconform_abi::Arch>,
    /// One of these numbers of bytes a page; empty: any.
    pub page_size: Vec<u64>,
    /// Capability numbers that the agent must hold in the initial user namespace.
    pub capabilities: Vec<u8>,
    /// `CONFIG_…` names that must be `y` or `m` (`false`: must not be).
    pub config: Vec<(String, bool)>,
    /// `Some(false)`: only where bpf(2) is not privileged.
    pub privileged: Option<bool>,
    /// How it must be set up.
    pub settings: SettingsWant,
}

/// `">=5.6, <6.12"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRange {
    /// As written.
    pub text: String,
    /// All must hold. A version is compared by as many numbers as the bound has: 6.12.5 is `<=6.12`, not `>6.12`.
    pub bounds: Vec<(Comparison, Vec<u32>)>,
}

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=` or `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

/// A condition under which a case is expected to fail.
#[derive(Clone, Debug)]
pub struct KnownIssue {
    /// Where.
    pub when: Requires,
    /// Why.
    pub because: String,
}

/// A feature that is looked for once per kernel.
#[derive(Debug)]
pub struct Probe {
    /// Unique: the suite (empty for `cases/probes.yaml`), `::`, the name.
    pub id: String,
    /// As written.
    pub name: String,
    /// Where its name is written.
    pub place: Place,
    /// From this version on absence is a failure.
    pub since: Option<Placed<Vec<u32>>>,
    /// The errno of the last step that means absence.
    pub absent: Placed<Errno>,
    /// What it asks of the kernel's own types.
    pub btf: Vec<BtfQuery>,
    /// The sysctls that its conditions speak of, by name.
    pub sysctls: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A step and its number: preorder, from 0, blocks before their contents.
#[derive(Clone, Debug)]
pub struct Step {
    /// The number, which plans and observations speak of.
    pub index: u32,
    /// The step's mapping in the file.
    pub place: Place,
    /// A remark for the reader.
    pub about: Option<String>,
    /// What is done.
    pub kind: StepKind,
}

/// A call or a block.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// A call.
    Call(Box<CallStep>),
    /// `fork:`
    Fork(Vec<Step>),
    /// `exec:`
    Exec(Vec<Step>),
    /// `unprivileged:`
    Unprivileged {
        /// Capability numbers that are left.
        capabilities: Vec<u8>,
        /// The steps.
        steps: Vec<Step>,
    },
    /// `parallel:`
    Parallel(Vec<Vec<Step>>),
    /// `repeat:`
    Repeat {
        /// How often.
        times: Expr,
        /// The name that counts.
        counter: Option<String>,
        /// The steps.
        steps: Vec<Step>,
    },
    /// `send_fd:`; the received fd is saved as `fd`.
    SendFd {
        /// What is sent.
        fd: Expr,
        /// The steps.
        steps: Vec<Step>,
    },
    /// `sysctl:`
    Sysctl {
        /// Dotted names and values.
        settings: Vec<(Placed<String>, Expr)>,
        /// The steps.
        steps: Vec<Step>,
    },
}

impl StepKind {
    /// As [`StepKind::blocks`].
    pub fn blocks_mut(&mut self) -> &mut [Vec<Step>] {
        match self {
            StepKind::Call(_) => &mut [],
            StepKind::Parallel(lists) => lists,
            StepKind::Fork(steps)
            | StepKind::Exec(steps)
            | StepKind::Unprivileged { steps, .. }
            | StepKind::Repeat { steps, .. }
            | StepKind::SendFd { steps, .. }
            | StepKind::Sysctl { steps, .. } => std::slice::from_mut(steps),
        }
    }

    /// The lists of steps inside; empty for a call.
    pub fn blocks(&self) -> &[Vec<Step>] {
        match self {
            StepKind::Call(_) => &[],
            StepKind::Parallel(lists) => lists,
            StepKind::Fork(steps)
            | StepKind::Exec(steps)
            | StepKind::Unprivileged { steps, .. }
            | StepKind::Repeat { steps, .. }
            | StepKind::SendFd { steps, .. }
            | StepKind::Sysctl { steps, .. } => std::slice::from_ref(steps),
        }
    }
}

/// A call, what it must do and what is kept of it.
#[derive(Clone, Debug)]
pub struct CallStep {
    /// What is called.
    pub call: Call,
    /// Where the call's key (`bpf`, `fcntl`) is written.
    pub key: Place,
    /// What it must do.
    pub outcome: Outcome,
    /// Other outcomes; the first whose condition is met counts.
    pub except: Vec<Except>,
    /// What is kept.
    pub saves: Vec<Save>,
    /// Repeat until it holds, for so long.
    pub eventually: Option<Duration>,
}

/// What is called.
#[derive(Clone, Debug)]
pub enum Call {
    /// `bpf: [COMMAND, attr, size, common attr, its size]`
    Bpf {
        /// A constant or a number.
        command: Expr,
        /// The table of the command, when its number is known here and has one.
        known: Option<&'static kconform_abi::bpf::Command>,
        /// The attr.
        attr: Attr,
        /// The size, when written.
        size: Option<Expr>,
        /// What all commands have in common, when written.
        common: Option<Box<CommonAttr>>,
    },
    /// Any system call by name.
    Syscall {
        /// As the kernel spells it, or its number in decimal.
        name: String,
        /// In written order, which is the man page's where they have no names; at most six.
        args: Vec<Placed<Arg>>,
        /// The man page's name of each, where they are written by name; otherwise empty.
        names: Vec<&'static str>,
    },
    /// `peek: [$addr, 8]`; the output is `data`.
    Peek {
        /// Where.
        address: Expr,
        /// Bytes.
        size: Expr,
    },
    /// `poke: [$addr, {u64: 5}]`
    Poke {
        /// Where.
        address: Expr,
        /// What.
        data: Piece,
    },
}

/// The fourth and the fifth argument of `bpf`.
#[derive(Clone, Debug)]
pub struct CommonAttr {
    /// `struct bpf_common_attr`.
    pub attr: Attr,
    /// Its size, when written.
    pub size: Option<Expr>,
}

impl CommonAttr {
    /// What an output of `struct bpf_common_attr` is called: as its field, or `common.log_buf` where the command's attr has a
    /// field of that name.
    pub fn output_name(command: Option<&'static kconform_abi::bpf::Command>, field: &str) -> String {
        match command.is_some_and(|command| command.field(field).is_some()) {
            true => format!("common.{field}"),
            false => field.to_owned(),
        }
    }
}

/// The second argument of `bpf`.
#[derive(Clone, Debug)]
pub enum Attr {
    /// Fields by name and bytes by offset, in written order.
    Fields(Vec<AttrField>),
    /// No memory at all: `null`, `unmapped`, `readonly`, `kernel`.
    Address(Address),
    /// A pointer written as a number or a saved value.
    Pointer(Expr),
    /// A buffer written as pieces.
    Buffer(Piece),
}

/// A field of an attr.
#[derive(Clone, Debug)]
pub struct AttrField {
    /// Which.
    pub slot: AttrSlot,
    /// Where its name is written.
    pub key: Place,
    /// What is written there.
    pub value: Placed<Arg>,
}

/// Where in an attr.
#[derive(Clone, Debug)]
pub enum AttrSlot {
    /// A field of the command. Written as in the file, which may be a qualified name.
    Field(&'static kconform_abi::bpf::Field),
    /// `"@120"`: a byte offset.
    Offset(u32),
}

/// An argument.
#[derive(Clone, Debug)]
pub enum Arg {
    /// A number.
    Expr(Expr),
    /// A pointer to memory of that contents.
    Buffer(Piece),
    /// A pointer to nothing usable.
    Address(Address),
}

/// A pointer to nothing usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// `null`
    Null,
    /// `unmapped`
    Unmapped,
    /// `readonly`
    ReadOnly,
    /// `kernel`
    Kernel,
}

/// A number as written: numbers, constants and at most one saved value, or-ed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// As written, after parameters are filled in: `BPF_F_RDONLY | BPF_F_NO_PREALLOC`.
    pub text: String,
    /// What is or-ed.
    pub terms: Vec<Term>,
    /// Where it is written.
    pub place: Place,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A number from -2^63 to 2^64-1, in two's complement.
    Number(u64),
    /// A constant of the target's ABI; known on one architecture at least.
    Constant(String),
    /// A value saved by an earlier step.
    Saved(String),
    /// What the kernel's own BTF says: `btf_id(struct tcp_congestion_ops)`.
    Btf(BtfQuery),
    /// What the layout of a structure says: `sizeof(struct open_how)`.
    Layout(Layout),
    /// Numbers and constants, at least one of them, with the operators of C: `2 * PAGE_SIZE + 8`.
    Arithmetic(String),
}

/// Bytes of the smallest page of any architecture.
pub(crate) const SMALLEST_PAGE: u64 = 4 << 10;

/// A constant's value, in two's complement. `page_size` is that of the kernel, in bytes, where it is known.
pub(crate) fn constant(name: &str, arch: Arch, page_size: Option<u64>) -> Option<u64> {
    if name == PAGE_SIZE { page_size } else { kconform_abi::constant(arch, name) }
}

impl Term {
    /// The value on an architecture whose pages have that many bytes; `None` where the kernel or an earlier step is asked, or a
    /// constant is not there.
    pub(crate) fn value(&self, arch: Arch, page_size: Option<u64>) -> Option<u64> {
        match self {
            Term::Number(number) => Some(*number),
            Term::Constant(name) => constant(name, arch, page_size),
            Term::Layout(layout) => layout.value(arch),
            Term::Arithmetic(text) => arithmetic(text, arch, page_size),
            Term::Saved(_) | Term::Btf(_) => None,
        }
    }
}

/// What arithmetic comes to, in two's complement of 64 bits.
pub(crate) fn arithmetic(text: &str, arch: Arch, page_size: Option<u64>) -> Option<u64> {
    let value = insn::arithmetic(text, &|name| constant(name, arch, page_size)).ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value as u64)
}

/// A part of a buffer.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// `as: name`.
    pub name: Option<Placed<String>>,
    /// Where it is written.
    pub place: Place,
}

/// What a part of a buffer is.
#[derive(Clone, Debug)]
pub enum PieceKind {
    /// `{u32: …}`: numbers of 1, 2, 4 or 8 bytes.
    Numbers {
        /// Bytes of each.
        width: u8,
        /// Written `i32` (printing only).
        signed: bool,
        /// The numbers.
        values: Vec<Expr>,
    },
    /// `{str: …}`: text that ends in NUL.
    Str(Text),
    /// `{hex: …}`.
    Hex(Vec<u8>),
    /// `{zero: 16}`.
    Zero(Expr),
    /// `{fill: [0xff, 16]}`.
    Fill {
        /// The byte.
        byte: Expr,
        /// How many.
        count: Expr,
    },
    /// `{out: 8}`.
    Out(Expr),
    /// `{percpu: {u32: 7}}` and `{percpu: {out: 4}}`: the same for each possible CPU.
    PercpuAll(Box<Piece>),
    /// `{percpu: [ … ]}`: one a CPU; missing ones are zeros, more than there are CPUs are left out.
    PercpuEach(Vec<Piece>),
    /// `{list: [ … ]}`.
    List(Vec<Piece>),
    /// `{addr_of: …}`: 8 bytes that point to the pieces, laid end to end in a buffer of their own.
    AddrOf(Vec<Piece>),
    /// `{insns: [ … ]}`: instructions as written, parameters filled in.
    Insns(Vec<Placed<crate::insn::Insns>>),
    /// `{times: [n, piece]}`.
    Times {
        /// How often.
        count: Expr,
        /// What.
        piece: Box<Piece>,
    },
    /// `{struct: [name, {member: …}]}`: a structure of the kernel's own, zeros but for these members.
    Struct {
        /// The question for its size.
        size: BtfQuery,
        /// Questions for the members' offsets, and what is written there.
        members: Vec<(BtfQuery, Piece)>,
    },
    /// `{struct: [open_how, {flags: …}]}`: a structure of the uapi headers, zeros but for these members. What is in a
    /// buffer stands in place, not behind a pointer.
    Uapi {
        /// Its name.
        structure: String,
        /// Its members, and what is written there.
        members: Vec<(Placed<String>, Placed<Arg>)>,
    },
    /// `{bytes: $x}`: a saved buffer.
    Saved(String),
    /// A number or constant where a piece is wanted (in `list`, `expect`): only where the format allows it.
    Number(Expr),
}

/// Text in which saved numbers may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The parts.
    pub parts: Vec<TextPart>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPart {
    /// As it is.
    Literal(String),
    /// A saved number, in decimal.
    Saved(String),
}

/// As a case writes it.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TextPart::Literal(literal) => f.write_str(literal),
            TextPart::Saved(name) => write!(f, "${name}"),
        })
    }
}

/// What a call must do.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The return value.
    pub ret: RetWant,
    /// Outputs by name, and what they must hold.
    pub expect: Vec<(Placed<String>, Want)>,
    /// The signal that must kill the process, by number.
    pub signal: Option<Placed<i32>>,
    /// Where `errno`, `ret` (or, without them, `signal`) and its value stand; `None` when the file says nothing of it.
    pub place: Option<Place>,
}

/// What a call must return. All but [`RetWant::Errno`] and [`RetWant::Either`] say that it succeeds.
#[derive(Clone, Debug)]
pub enum RetWant {
    /// It must succeed.
    Success,
    /// It must fail with one of these.
    Errno(Vec<Errno>),
    /// It must return this.
    Exactly(Expr),
    /// It must return something from `min` to `max`.
    Range {
        /// The least.
        min: Option<Expr>,
        /// The greatest.
        max: Option<Expr>,
    },
    /// `errno: [none, ENOENT]`: it may succeed or fail. `expect` counts only where it succeeds.
    Either {
        /// What it returns when it succeeds.
        success: Box<RetWant>,
        /// What it may fail with.
        errnos: Vec<Errno>,
    },
}

/// An errno as a case names it. Two are the same if their numbers are.
#[derive(Clone, Copy)]
pub struct Errno {
    /// Its number.
    pub number: i32,
    /// The name that the case gives it, which may be a second one: `EWOULDBLOCK`.
    pub name: Option<&'static str>,
}

impl Errno {
    /// As the case writes it.
    pub fn written(&self) -> String {
        self.name.map_or_else(|| kconform_abi::errno::written(self.number), str::to_owned)
    }
}

impl PartialEq for Errno {
    fn eq(&self, other: &Errno) -> bool {
        self.number == other.number
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}

impl RetWant {
    /// The errnos that the call may fail with; none when it must succeed.
    pub fn errnos(&self) -> &[Errno] {
        match self {
            RetWant::Errno(errnos) | RetWant::Either { errnos, .. } => errnos,
            RetWant::Success | RetWant::Exactly(_) | RetWant::Range { .. } => &[],
        }
    }

    /// Whether the call may succeed.
    pub fn may_succeed(&self) -> bool {
        !matches!(self, RetWant::Errno(_))
    }
}

/// What an output must hold.
#[derive(Clone, Debug)]
pub struct Want {
    /// What.
    pub kind: WantKind,
    /// Where it is written.
    pub place: Place,
}

/// What an output must hold.
#[derive(Clone, Debug)]
pub enum WantKind {
    /// A number: a field's value, or a buffer of 1, 2, 4 or 8 bytes as one.
    Number(Expr),
    /// Exactly this memory.
    Exactly(Piece),
    /// `{contains: …}`: text without its NUL, or a piece.
    Contains(Pattern),
    /// `{prefix: …}`.
    Prefix(Pattern),
    /// `{not: …}`.
    Not(Box<Want>),
    /// `{min: …, max: …}`.
    Range {
        /// The least.
        min: Option<Expr>,
        /// The greatest.
        max: Option<Expr>,
    },
    /// `{any: [ … ]}`.
    Any(Vec<Want>),
}

/// What memory must contain or begin with.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Text, without a NUL.
    Text(Text),
    /// A piece's bytes.
    Piece(Piece),
}

/// Another outcome under a condition.
#[derive(Clone, Debug)]
pub struct Except {
    /// Where.
    pub when: Requires,
    /// What happens there.
    pub outcome: Outcome,
    /// Why.
    pub because: Option<String>,
    /// Where it is written.
    pub place: Place,
}

/// A value that is kept.
#[derive(Clone, Debug)]
pub struct Save {
    /// Under this name.
    pub name: String,
    /// Of what: `None` for the return value, else the output.
    pub output: Option<Placed<String>>,
    /// Where it is written.
    pub place: Place,
}
