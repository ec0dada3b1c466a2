//! The architectures that cases can run on.

use std::fmt;

/// An architecture, as one kernel ABI: 64-bit, its native system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// x86-64
    X86_64,
    /// RISC-V, 64-bit
    Riscv64,
    /// 64-bit Arm
    Aarch64,
    /// z/Architecture; the one that is big-endian
    S390x,
}

/// The order in which an architecture stores the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

impl Arch {
    /// All of them. A new architecture is a row here, in the tables of this crate, and an image.
    pub const ALL: &'static [Arch] = &[Arch::X86_64, Arch::Riscv64, Arch::Aarch64, Arch::S390x];

    /// The name, as `uname -m` says it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Riscv64 => "riscv64",
            Arch::Aarch64 => "aarch64",
            Arch::S390x => "s390x",
        }
    }

    /// The architecture of that name: `uname -m`'s, or Debian's where that differs (`amd64`, `arm64`).
    pub fn from_name(name: &str) -> Option<Arch> {
        match name {
            "x86_64" | "x86-64" | "amd64" => Some(Arch::X86_64),
            "riscv64" => Some(Arch::Riscv64),
            "aarch64" | "arm64" => Some(Arch::Aarch64),
            "s390x" => Some(Arch::S390x),
            _ => None,
        }
    }

    /// The order of bytes in memory.
    pub fn endian(self) -> Endian {
        match self {
            Arch::X86_64 | Arch::Riscv64 | Arch::Aarch64 => Endian::Little,
            Arch::S390x => Endian::Big,
        }
    }

    /// An address of the kernel's: page aligned, and not to be reached from user space whatever the page table's depth.
    ///
    /// On x86-64, riscv64 and aarch64 it is where the kernel's image or modules are linked to
    /// (Documentation/arch/x86/x86_64/mm.rst, riscv/vm-layout.rst, arm64/memory.rst). s390x keeps the kernel in an
    /// address space of its own, so there it is one that no process's limit (`TASK_SIZE`) reaches.
    pub fn kernel_address(self) -> u64 {
        match self {
            Arch::X86_64 => 0xffff_ffff_8100_0000,
            Arch::Riscv64 => 0xffff_ffff_8000_0000,
            Arch::Aarch64 => 0xffff_8000_8000_0000,
            Arch::S390x => 0xffff_f000_0000_0000,
        }
    }

    /// The number of a syscall, or `None` where the architecture lacks it (or nobody has it: [`crate::syscall_known`]).
    pub fn syscall(self, name: &str) -> Option<u64> {
        crate::syscall::number(self, name)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
