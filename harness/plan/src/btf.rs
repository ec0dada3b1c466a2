//! Questions about the types of the kernel under test, which the host asks before it lowers cases that name such types.

use serde::{Deserialize, Serialize};

/// A question about a type of the kernel's own BTF (`/sys/kernel/btf/vmlinux`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BtfQuery {
    /// What kind of type: the number of a `BTF_KIND_…` of `linux/btf.h`.
    pub kind: u8,
    /// The type's name, as C has it, without `struct` and the like.
    pub name: String,
    /// What is asked.
    pub want: BtfWant,
}

/// What is asked about a type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BtfWant {
    /// Its id.
    Id,
    /// Its size in bytes.
    Size,
    /// The offset in bytes of a member. `a.b` is the member `b` of the member `a`; those of unnamed structures and unions
    /// inside count as the type's own, as in C.
    Offset(String),
    /// Which of the type's own members it is, from 0.
    Index(String),
}

/// What the kernel's BTF says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BtfAnswer {
    /// The id, size, offset or index.
    Number(u32),
    /// The kernel shows no BTF, or none that can be read.
    NoBtf,
    /// There is no such type.
    NoType,
    /// The type has no such member.
    NoMember,
    /// The member does not begin at a byte.
    BitField,
}
