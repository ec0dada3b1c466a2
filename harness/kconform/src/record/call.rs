//! What a program did, as a tracer or a log tells it: system calls with what they were given and what came back, and what
//! became of processes.

use kconform_abi::bpf::{Command, Field};

/// Something that happened, in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A system call that returned.
    Call(Box<Call>),
    /// A thread made another, in its own process or in a new one.
    Fork {
        /// Who made it.
        parent: i32,
        /// The new one.
        child: i32,
        /// It shares the fds.
        thread: bool,
    },
    /// A process runs another program.
    Exec {
        /// The process.
        process: i32,
        /// The thread that called execve(2).
        former: i32,
        /// The fds that it has now; `None` where that is not known.
        open: Option<Vec<i32>>,
    },
    /// A thread has ended.
    End(i32),
}

/// A system call that returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The thread.
    pub(crate) tid: i32,
    /// What it was.
    pub(crate) kind: Kind,
    /// What it returned; a negative errno is an error.
    pub(crate) ret: i64,
}

/// The calls that are recorded, and those that tell what becomes of their fds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// bpf(2)
    Bpf(Bpf),
    /// perf_event_open(2)
    Perf {
        /// `struct perf_event_attr`.
        attr: Vec<u8>,
        /// The other arguments: pid, cpu, group_fd, flags.
        args: [i64; 4],
    },
    /// close(2), close_range(2): all fds from the first to the last.
    Close(i32, i32),
    /// dup(2), dup2(2), dup3(2), fcntl(2) with F_DUPFD: what is returned means the same.
    Dup(i32),
    /// mmap(2) of an fd: length, protection, flags, fd, offset.
    Mmap([u64; 5]),
    /// ioctl(2) with a number: fd, request, argument.
    Ioctl([u64; 3]),
    /// unlink(2) of a file in a bpf file system, by its path there.
    Unlink(String),
}

/// A call of bpf(2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bpf {
    /// The first argument.
    pub(crate) number: u64,
    /// The command of that number.
    pub(crate) command: Option<&'static Command>,
    /// The fields of the attr that count, in their order; `None` if the attr could not be read.
    pub(crate) fields: Option<Vec<FieldValue>>,
    /// Bytes of the attr behind the fields that are known, if not all are zero.
    pub(crate) beyond: Vec<u8>,
    /// The size of the attr, as given.
    pub(crate) size: u64,
    /// What the new fd is.
    pub(crate) made: Option<Made>,
    /// The map that the call is about.
    pub(crate) shape: Option<Shape>,
    /// Its fds that are open, with what they are: `/sys/fs/cgroup`.
    pub(crate) open: Vec<(i32, String)>,
    /// What a log does not have of it, and the call depends on.
    pub(crate) untold: Vec<String>,
    /// Fields that a log has only addresses for, and the call does not depend on.
    pub(crate) dropped: Vec<&'static str>,
}

/// A field of an attr.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldValue {
    /// Which.
    pub(crate) field: &'static Field,
    /// Before the call.
    pub(crate) number: u64,
    /// After the call.
    pub(crate) after: u64,
    /// Characters in place, or the memory that it points to, if that could be read.
    pub(crate) memory: Option<Memory>,
}

/// Memory that a call was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Before the call.
    pub(crate) before: Vec<u8>,
    /// After it.
    pub(crate) after: Vec<u8>,
    /// Texts that its words point to.
    pub(crate) texts: Vec<String>,
    /// The path within a bpf file system that it names.
    pub(crate) pinned: Option<String>,
}

/// What kind of object an fd is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    /// A map.
    Map,
    /// A program.
    Prog,
    /// BTF.
    Btf,
    /// A link.
    Link,
    /// A perf event.
    Perf,
    /// Something else: an iterator, a token.
    Other,
}

/// What a call that gives an fd made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// What it is.
    pub(crate) object: Object,
    /// The kernel's number for it, where it has one.
    pub(crate) id: Option<u32>,
}

/// What is asked of a map when its elements are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `map_type`.
    pub(crate) map_type: u32,
    /// Bytes of a key.
    pub(crate) key_size: u32,
    /// Bytes of a value.
    pub(crate) value_size: u32,
}

impl Object {
    /// What a variable for it is called when it has no name of its own.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Object::Map => "map",
            Object::Prog => "prog",
            Object::Btf => "btf",
            Object::Link => "link",
            Object::Perf => "event",
            Object::Other => "fd",
        }
    }
}

impl Bpf {
    /// The name of the command, or its number.
    pub(crate) fn name(&self) -> String {
        self.command.map_or_else(|| self.number.to_string(), |command| command.name.to_owned())
    }

    /// The fields that could be read.
    pub(crate) fn all(&self) -> impl Iterator<Item = &FieldValue> {
        self.fields.iter().flatten()
    }

    /// The field of that name, if it counts.
    pub(crate) fn field(&self, name: &str) -> Option<&FieldValue> {
        self.all().find(|value| value.field.name == name)
    }

    /// The number in the field of that name; 0 without one.
    pub(crate) fn number_of(&self, name: &str) -> u64 {
        self.field(name).map_or(0, |value| value.number)
    }

    /// Whether it is one of these commands.
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        self.command.is_some_and(|command| names.contains(&command.name))
    }
}
