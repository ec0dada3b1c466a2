//! BPF instructions written with the macros of the kernel's `include/linux/filter.h`.

/// One macro call: one instruction, or two for a 64-bit immediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insns {
    /// As written, parameters filled in.
    pub text: String,
    /// What it stands for.
    pub list: Vec<Insn>,
}

/// One instruction, `struct bpf_insn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insn {
    /// The opcode.
    pub code: u8,
    /// The destination register, 4 bits.
    pub dst: u8,
    /// The source register, 4 bits.
    pub src: u8,
    /// The signed offset.
    pub off: i16,
    /// The immediate.
    pub imm: Imm,
}

/// An immediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imm {
    /// Known beforehand.
    Number(i32),
    /// 32 bits of a saved value, shifted right by 0 or 32 bits.
    Saved {
        /// Its name.
        name: String,
        /// Bits that are shifted out.
        shift: u8,
    },
}

/// What is wrong with an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsnError {
    /// Bytes of the text that are wrong.
    pub range: std::ops::Range<usize>,
    /// What is wrong.
    pub text: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Reads one macro call. `constant` gives the value of a constant's name.
pub fn parse(text: &str, constant: &dyn Fn(&str) -> Option<u64>) -> Result<Insns, InsnError> {
    let _ = constant;
    Err(InsnError { range: 0..text.len(), text: "not an instruction".into(), help: None })
}
