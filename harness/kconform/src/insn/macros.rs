//! The macros, one row each, as `include/linux/filter.h` has them in Linux 6.12 and later; those that only user space has
//! are from `tools/include/linux/filter.h`.
//!
//! `BPF_LD_MAP_FD` exists in both, and differs for a negative fd: here it is user space's, which leaves the upper half
//! zero, so that the kernel says EBADF and not EINVAL (`resolve_pseudo_ldimm64`, kernel/bpf/verifier.c).

/// What an argument is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    /// The upper four bits of the opcode: `BPF_ADD`, `BPF_JEQ`.
    Op,
    /// The size bits of the opcode: `BPF_W`.
    Size,
    /// The source bit of the opcode: `BPF_X`, `BPF_K`, `BPF_TO_BE`.
    Type,
    /// The whole opcode.
    Code,
    /// The destination register.
    Dst,
    /// The source register.
    Src,
    /// Both registers.
    Both,
    /// The offset.
    Off,
    /// The immediate.
    Imm,
    /// A 64-bit immediate, over two instructions.
    Imm64,
    /// The second instruction's offset.
    Off2,
    /// The second instruction's immediate.
    Imm2,
}

use Param::*;

impl Param {
    /// The argument's name in messages, as filter.h calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op => "OP",
            Size => "SIZE",
            Type => "TYPE",
            Code => "CODE",
            Dst | Both => "DST",
            Src => "SRC",
            Off | Off2 => "OFF",
            Imm | Imm64 | Imm2 => "IMM",
        }
    }
}

/// A macro.
pub(crate) struct Macro {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its parameters.
    pub(crate) params: &'static [Param],
    /// The opcode, before what the parameters add.
    pub(crate) code: u8,
    /// The source register where no parameter gives it.
    pub(crate) src: u8,
    /// The immediate where no parameter gives it.
    pub(crate) imm: i32,
    /// It makes two instructions.
    pub(crate) double: bool,
}

// Classes (3 low bits), sources, modes and operations of include/uapi/linux/bpf_common.h and bpf.h.
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
const K: u8 = 0x00;
const X: u8 = 0x08;
const DW: u8 = 0x18;
const IMM: u8 = 0x00;
const ABS: u8 = 0x20;
const IND: u8 = 0x40;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const ATOMIC: u8 = 0xc0;
const NOSPEC: u8 = 0xc0;
const JA: u8 = 0x00;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const MOV: u8 = 0xb0;
const END: u8 = 0xd0;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC_CALL: u8 = 2;

const fn one(name: &'static str, params: &'static [Param], code: u8) -> Macro {
    Macro { name, params, code, src: 0, imm: 0, double: false }
}

const fn from(src: u8, row: Macro) -> Macro {
    Macro { src, ..row }
}

const fn with(imm: i32, row: Macro) -> Macro {
    Macro { imm, ..row }
}

const fn two(name: &'static str, params: &'static [Param], src: u8) -> Macro {
    Macro { name, params, code: LD | DW | IMM, src, imm: 0, double: true }
}

/// All macros.
pub(super) const MACROS: &[Macro] = &[
    one("BPF_ALU64_REG", &[Op, Dst, Src], ALU64 | X),
    one("BPF_ALU64_REG_OFF", &[Op, Dst, Src, Off], ALU64 | X),
    one("BPF_ALU64_IMM", &[Op, Dst, Imm], ALU64 | K),
    one("BPF_ALU64_IMM_OFF", &[Op, Dst, Imm, Off], ALU64 | K),
    one("BPF_ALU32_REG", &[Op, Dst, Src], ALU | X),
    one("BPF_ALU32_REG_OFF", &[Op, Dst, Src, Off], ALU | X),
    one("BPF_ALU32_IMM", &[Op, Dst, Imm], ALU | K),
    one("BPF_ALU32_IMM_OFF", &[Op, Dst, Imm, Off], ALU | K),
    one("BPF_ENDIAN", &[Type, Dst, Imm], ALU | END),
    one("BPF_BSWAP", &[Dst, Imm], ALU64 | END),
    one("BPF_MOV64_REG", &[Dst, Src], ALU64 | MOV | X),
    one("BPF_MOV64_IMM", &[Dst, Imm], ALU64 | MOV | K),
    one("BPF_MOV64_RAW", &[Type, Dst, Src, Imm], ALU64 | MOV),
    one("BPF_MOV32_REG", &[Dst, Src], ALU | MOV | X),
    one("BPF_MOV32_IMM", &[Dst, Imm], ALU | MOV | K),
    one("BPF_MOV32_RAW", &[Type, Dst, Src, Imm], ALU | MOV),
    one("BPF_MOVSX64_REG", &[Dst, Src, Off], ALU64 | MOV | X),
    one("BPF_MOVSX32_REG", &[Dst, Src, Off], ALU | MOV | X),
    with(1, one("BPF_ZEXT_REG", &[Both], ALU | MOV | X)),
    two("BPF_LD_IMM64", &[Dst, Imm64], 0),
    two("BPF_LD_IMM64_RAW", &[Dst, Src, Imm64], 0),
    two("BPF_LD_IMM64_RAW_FULL", &[Dst, Src, Off, Off2, Imm, Imm2], 0),
    two("BPF_LD_MAP_FD", &[Dst, Imm], PSEUDO_MAP_FD),
    two("BPF_LD_MAP_VALUE", &[Dst, Imm, Imm2], PSEUDO_MAP_VALUE),
    one("BPF_LD_ABS", &[Size, Imm], LD | ABS),
    one("BPF_LD_IND", &[Size, Src, Imm], LD | IND),
    one("BPF_LDX_MEM", &[Size, Dst, Src, Off], LDX | MEM),
    one("BPF_LDX_MEMSX", &[Size, Dst, Src, Off], LDX | MEMSX),
    one("BPF_STX_MEM", &[Size, Dst, Src, Off], STX | MEM),
    one("BPF_ST_MEM", &[Size, Dst, Off, Imm], ST | MEM),
    one("BPF_ATOMIC_OP", &[Size, Imm, Dst, Src, Off], STX | ATOMIC),
    one("BPF_STX_XADD", &[Size, Dst, Src, Off], STX | ATOMIC),
    one("BPF_JMP_REG", &[Op, Dst, Src, Off], JMP | X),
    one("BPF_JMP_IMM", &[Op, Dst, Imm, Off], JMP | K),
    one("BPF_JMP32_REG", &[Op, Dst, Src, Off], JMP32 | X),
    one("BPF_JMP32_IMM", &[Op, Dst, Imm, Off], JMP32 | K),
    one("BPF_JMP_A", &[Off], JMP | JA),
    one("BPF_JMP32_A", &[Imm], JMP32 | JA),
    from(PSEUDO_CALL, one("BPF_CALL_REL", &[Imm], JMP | CALL)),
    from(PSEUDO_KFUNC_CALL, one("BPF_CALL_KFUNC", &[Off, Imm], JMP | CALL)),
    one("BPF_EMIT_CALL", &[Imm], JMP | CALL),
    one("BPF_RAW_INSN", &[Code, Dst, Src, Off, Imm], 0),
    one("BPF_ST_NOSPEC", &[], ST | NOSPEC),
    one("BPF_EXIT_INSN", &[], JMP | EXIT),
];

/// Words that look like one of ours, and what to say of them.
pub(super) const NOT_OURS: &[(&str, &str)] = &[
    (
        "BPF_STMT",
        "it makes a classic `struct sock_filter`; bpf(2) takes `struct bpf_insn`: write BPF_RAW_INSN",
    ),
    (
        "BPF_JUMP",
        "it makes a classic `struct sock_filter`; bpf(2) takes `struct bpf_insn`: write BPF_JMP_IMM",
    ),
    ("__BPF_STMT", "it makes a classic `struct sock_filter`; bpf(2) takes `struct bpf_insn`"),
    ("__BPF_JUMP", "it makes a classic `struct sock_filter`; bpf(2) takes `struct bpf_insn`"),
    (
        "BPF_MOV64_PERCPU_REG",
        "only the kernel itself may use it; write BPF_MOVSX64_REG(DST, SRC, -1) for the same bytes",
    ),
    ("BPF_CALL_IMM", "it is for addresses in the kernel; write BPF_EMIT_CALL(BPF_FUNC_…)"),
];
