//! What system calls take: the arguments that `SYSCALL_DEFINE` of the kernel's source and the man page name.

use std::fmt;

use crate::Arch;
use crate::generated::prototypes as tables;

/// A system call and its arguments on one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Prototype {
    /// The call's name.
    pub name: &'static str,
    /// Its arguments, in order; at most six.
    pub params: &'static [Param],
}

/// An argument of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// The man page's name: `dirfd`.
    pub name: &'static str,
    /// The name in the kernel's `SYSCALL_DEFINE`, which is often the same: `dfd`.
    pub kernel_name: &'static str,
    /// The C type, without the kernel's `__user`.
    pub ctype: &'static str,
    /// What it is.
    pub kind: ParamKind,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A number: flags, a size, a pid, a constant.
    Number,
    /// A file descriptor, or `AT_FDCWD` where it is a directory.
    Fd,
    /// A pointer to a path.
    Path,
    /// A pointer to what the kernel only reads.
    In,
    /// A pointer.
    Pointer,
    /// A number or a pointer: the call's other arguments decide (fcntl(2)), or it is an address (mmap(2)).
    Any,
}

pub(crate) const fn p(
    name: &'static str,
    kernel_name: &'static str,
    ctype: &'static str,
    kind: ParamKind,
) -> Param {
    Param { name, kernel_name, ctype, kind }
}

impl ParamKind {
    /// Whether it can only be a pointer.
    pub fn is_pointer(self) -> bool {
        matches!(self, ParamKind::Path | ParamKind::In | ParamKind::Pointer)
    }
}

impl fmt::Display for Prototype {
    /// `close(fd)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.params.iter().map(|param| param.name).collect();
        write!(f, "{}({})", self.name, names.join(", "))
    }
}

impl fmt::Display for Param {
    /// `const char *path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.ctype.ends_with('*') { "" } else { " " };
        write!(f, "{}{blank}{}", self.ctype, self.name)
    }
}

/// What a system call takes on an architecture; `None` where that is not known, or the architecture lacks the call.
pub fn prototype(arch: Arch, name: &str) -> Option<Prototype> {
    arch.syscall(name)?;
    let own = match arch {
        Arch::X86_64 => tables::X86_64,
        Arch::Riscv64 => tables::RISCV64,
        Arch::Aarch64 => tables::AARCH64,
        Arch::S390x => tables::S390X,
    };
    find(own, name).or_else(|| find(tables::COMMON, name))
}

fn find(table: &'static [(&'static str, &'static [Param])], name: &str) -> Option<Prototype> {
    let index = table.binary_search_by(|row| row.0.cmp(name)).ok()?;
    let (name, params) = table[index];
    Some(Prototype { name, params })
}
