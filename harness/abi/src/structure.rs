//! Structures of the kernel's uapi headers: what system calls take and fill in, member by member.

use crate::Arch;
use crate::generated::structures as tables;

/// A structure on one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// The name, without `struct`: `open_how`.
    pub name: &'static str,
    /// The header that defines it: of the uapi (`linux/openat2.h`), or the kernel's own (`include/linux/socket.h`).
    pub header: &'static str,
    /// Bytes.
    pub size: u32,
    /// Its members, and members of members (`it_value.tv_sec`), in the order of the header. Unions overlap.
    pub members: &'static [Member],
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name, with those of the members that it is in; those without a name do not count: `it_value.tv_sec`.
    pub name: &'static str,
    /// Bytes from the beginning of the structure; for bits, of the number that they are in.
    pub offset: u32,
    /// Bytes; for bits, of the number that they are in. 0: an array without a length at the end of a structure.
    pub size: u32,
    /// What it is.
    pub kind: MemberKind,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A number.
    Int,
    /// An address.
    Pointer,
    /// An array, a structure or a union.
    Bytes,
    /// Bits of a number.
    Bits {
        /// How many bits of the number are declared before them: its lowest on a little-endian machine, its highest on a
        /// big-endian one.
        first: u8,
        /// How many.
        count: u8,
    },
}

/// A row of the tables: name, header, size in bytes, members.
pub(crate) type Row = (&'static str, &'static str, u32, &'static [Member]);

pub(crate) const fn m(name: &'static str, offset: u32, size: u32, kind: MemberKind) -> Member {
    Member { name, offset, size, kind }
}

pub(crate) const fn b(name: &'static str, offset: u32, size: u32, first: u8, count: u8) -> Member {
    Member { name, offset, size, kind: MemberKind::Bits { first, count } }
}

impl Structure {
    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&'static Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    /// How far bits are shifted in their number on an architecture; 0 for other members.
    pub fn shift(&self, arch: Arch) -> u32 {
        match self.kind {
            MemberKind::Bits { first, .. } if arch.endian() == crate::Endian::Little => first.into(),
            MemberKind::Bits { first, count } => 8 * self.size - u32::from(first) - u32::from(count),
            _ => 0,
        }
    }

    /// The bits of the structure that it takes, counted in the order of declaration.
    pub fn bits(&self) -> std::ops::Range<u32> {
        let start = 8 * self.offset;
        match self.kind {
            MemberKind::Bits { first, count } => {
                start + u32::from(first)..start + u32::from(first) + u32::from(count)
            }
            _ => start..start + 8 * self.size,
        }
    }
}

/// A structure of the uapi headers on an architecture; `None` where it is not in the tables.
pub fn structure(arch: Arch, name: &str) -> Option<Structure> {
    find(own(arch), name).or_else(|| find(tables::COMMON, name))
}

/// The names of all structures in the tables, sorted for each architecture; some may come twice.
pub fn structure_names() -> impl Iterator<Item = &'static str> {
    let all = Arch::ALL.iter().flat_map(|&arch| own(arch)).chain(tables::COMMON);
    all.map(|row| row.0)
}

fn own(arch: Arch) -> &'static [Row] {
    match arch {
        Arch::X86_64 => tables::X86_64,
        Arch::Riscv64 => tables::RISCV64,
        Arch::Aarch64 => tables::AARCH64,
        Arch::S390x => tables::S390X,
    }
}

fn find(table: &'static [Row], name: &str) -> Option<Structure> {
    let index = table.binary_search_by(|row| row.0.cmp(name)).ok()?;
    let (name, header, size, members) = table[index];
    Some(Structure { name, header, size, members })
}
