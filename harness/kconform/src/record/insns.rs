//! Instructions as the macros of the kernel's `filter.h`: the other way of the module `insn`.

use kconform_abi::{Arch, constant};

use crate::insn::{Imm, Insn, parse};

use super::decode::named;

const BIG_ENDIAN: bool = cfg!(target_endian = "big");

/// `BPF_LD | BPF_DW | BPF_IMM`
const LD_IMM64: u8 = 0x18;

/// Instructions of a program, as bytes in the order of this machine.
fn decode(bytes: &[u8]) -> Vec<Insn> {
    let number = |bytes: &[u8]| super::decode::number_at(bytes, 0, bytes.len());
    let insn = |bytes: &[u8]| {
        let (low, high) = (bytes[1] & 0xf, bytes[1] >> 4);
        let (dst, src) = if BIG_ENDIAN { (high, low) } else { (low, high) };
        let imm = Imm::Number(number(&bytes[4..8]) as u32 as i32);
        Insn { code: bytes[0], dst, src, off: number(&bytes[2..4]) as u16 as i16, member: None, imm }
    };
    bytes.chunks_exact(8).map(insn).collect()
}

fn imm(insn: &Insn) -> i32 {
    if let Imm::Number(number) = insn.imm { number } else { 0 }
}

/// The fds in the instructions: BPF_PSEUDO_MAP_FD and BPF_PSEUDO_MAP_VALUE.
pub(crate) fn fds(bytes: &[u8]) -> Vec<i32> {
    decode(bytes).iter().filter(|insn| insn.code == LD_IMM64 && matches!(insn.src, 1 | 2)).map(imm).collect()
}

/// How many fds of `fd_array` the instructions use.
pub(crate) fn fd_array_length(bytes: &[u8]) -> usize {
    let used = |insn: &Insn| match (insn.code, insn.src) {
        (LD_IMM64, 5 | 6) => usize::try_from(imm(insn)).map_or(0, |index| index.min(4096) + 1),
        (0x85, 2) if insn.off > 0 => insn.off as usize + 1,
        _ => 0,
    };
    decode(bytes).iter().map(used).max().unwrap_or(0)
}

/// What in the instructions belongs to the kernel that they were loaded on, if anything: ids of its own types.
pub(crate) fn kernels_own(bytes: &[u8]) -> Option<&'static str> {
    decode(bytes).iter().find_map(|insn| match (insn.code, insn.src) {
        (LD_IMM64, 3) => Some("BPF_PSEUDO_BTF_ID"),
        (0x85, 2) => Some("BPF_PSEUDO_KFUNC_CALL"),
        _ => None,
    })
}

/// A macro for each instruction; `name` gives the name of an fd.
pub(crate) fn written(bytes: &[u8], name: &dyn Fn(i32) -> Option<String>) -> Vec<String> {
    let insns = decode(bytes);
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        let second = insns.get(at + 1).filter(|next| insn.code == LD_IMM64 && next.code == 0);
        if let Some(text) = with_fd(insn, second, name) {
            out.push(text);
            at += 2;
            continue;
        }
        let wide = second.and_then(|second| checked(double(insn, second), &[insn, second]));
        if let Some(text) = wide {
            out.push(text);
            at += 2;
            continue;
        }
        let single = single(insn).and_then(|text| checked(text, &[insn]));
        out.push(single.unwrap_or_else(|| raw(insn)));
        at += 1;
    }
    out
}

/// The text, if it stands for these instructions.
fn checked(text: String, insns: &[&Insn]) -> Option<String> {
    let arch = Arch::from_name(std::env::consts::ARCH)?;
    let read = parse(&text, &|name| constant(arch, name)).ok()?;
    read.list.iter().eq(insns.iter().copied()).then_some(text)
}

fn register(number: u8) -> String {
    format!("BPF_REG_{number}")
}

/// A number, large ones and masks in hexadecimal.
pub(crate) fn number(number: i64) -> String {
    if (-0x10000..0x10000).contains(&number) { number.to_string() } else { format!("{:#x}", number as u64) }
}

fn number32(imm: i32) -> String {
    if (-0x10000..0x10000).contains(&imm) { imm.to_string() } else { format!("{:#x}", imm as u32) }
}

fn raw(insn: &Insn) -> String {
    let Insn { code, dst, src, off, .. } = insn;
    format!("BPF_RAW_INSN({code:#04x}, {dst}, {src}, {off}, {})", number32(imm(insn)))
}

fn with_fd(insn: &Insn, second: Option<&Insn>, name: &dyn Fn(i32) -> Option<String>) -> Option<String> {
    let second = second?;
    let fd = name(imm(insn))?;
    let dst = register(insn.dst);
    match insn.src {
        1 if imm(second) == 0 => Some(format!("BPF_LD_MAP_FD({dst}, ${fd})")),
        2 => Some(format!("BPF_LD_MAP_VALUE({dst}, ${fd}, {})", number32(imm(second)))),
        _ => None,
    }
}

fn double(insn: &Insn, second: &Insn) -> String {
    let whole = u64::from(imm(insn) as u32) | u64::from(imm(second) as u32) << 32;
    let dst = register(insn.dst);
    let pseudo = match insn.src {
        0 => return format!("BPF_LD_IMM64({dst}, {})", number(whole as i64)),
        1 => "BPF_PSEUDO_MAP_FD",
        2 => "BPF_PSEUDO_MAP_VALUE",
        3 => "BPF_PSEUDO_BTF_ID",
        4 => "BPF_PSEUDO_FUNC",
        5 => "BPF_PSEUDO_MAP_IDX",
        6 => "BPF_PSEUDO_MAP_IDX_VALUE",
        _ => "",
    };
    if imm(second) == 0 {
        return format!("BPF_LD_IMM64_RAW({dst}, {pseudo}, {})", number32(imm(insn)));
    }
    let (low, high) = (number32(imm(insn)), number32(imm(second)));
    format!("BPF_LD_IMM64_RAW_FULL({dst}, {pseudo}, {}, {}, {low}, {high})", insn.off, second.off)
}

const ALU: &[&str] = &[
    "BPF_ADD", "BPF_SUB", "BPF_MUL", "BPF_DIV", "BPF_OR", "BPF_AND", "BPF_LSH", "BPF_RSH", "BPF_NEG",
    "BPF_MOD", "BPF_XOR", "BPF_MOV", "BPF_ARSH", "BPF_END",
];

const JMP: &[&str] = &[
    "BPF_JA", "BPF_JEQ", "BPF_JGT", "BPF_JGE", "BPF_JSET", "BPF_JNE", "BPF_JSGT", "BPF_JSGE", "BPF_CALL",
    "BPF_EXIT", "BPF_JLT", "BPF_JLE", "BPF_JSLT", "BPF_JSLE",
];

/// By the size bits of the opcode.
const SIZES: [&str; 4] = ["BPF_W", "BPF_H", "BPF_B", "BPF_DW"];

const ATOMICS: &[(i32, &str)] = &[
    (0x00, "BPF_ADD"),
    (0x40, "BPF_OR"),
    (0x50, "BPF_AND"),
    (0xa0, "BPF_XOR"),
    (0x01, "BPF_ADD | BPF_FETCH"),
    (0x41, "BPF_OR | BPF_FETCH"),
    (0x51, "BPF_AND | BPF_FETCH"),
    (0xa1, "BPF_XOR | BPF_FETCH"),
    (0xe1, "BPF_XCHG"),
    (0xf1, "BPF_CMPXCHG"),
    (0x100, "BPF_LOAD_ACQ"),
    (0x110, "BPF_STORE_REL"),
];

fn single(insn: &Insn) -> Option<String> {
    let code = insn.code;
    let (dst, src, off, imm) = (register(insn.dst), register(insn.src), insn.off, imm(insn));
    let value = number32(imm);
    let size = SIZES[usize::from(code >> 3 & 3)];
    let by_register = code & 0x08 != 0;
    let operation = |names: &'static [&'static str]| names.get(usize::from(code >> 4)).copied();
    Some(match code & 7 {
        0 if code & 0xe0 == 0x20 => format!("BPF_LD_ABS({size}, {value})"),
        0 if code & 0xe0 == 0x40 => format!("BPF_LD_IND({size}, {src}, {value})"),
        1 if code & 0xe0 == 0x60 => format!("BPF_LDX_MEM({size}, {dst}, {src}, {off})"),
        1 if code & 0xe0 == 0x80 => format!("BPF_LDX_MEMSX({size}, {dst}, {src}, {off})"),
        2 if code & 0xe0 == 0x60 => format!("BPF_ST_MEM({size}, {dst}, {off}, {value})"),
        3 if code & 0xe0 == 0x60 => format!("BPF_STX_MEM({size}, {dst}, {src}, {off})"),
        3 if code & 0xe0 == 0xc0 => {
            let (_, name) = ATOMICS.iter().find(|(number, _)| *number == imm)?;
            format!("BPF_ATOMIC_OP({size}, {name}, {dst}, {src}, {off})")
        }
        class @ (4 | 7) => {
            let bits = if class == 7 { 64 } else { 32 };
            let offset =
                if off == 0 { (String::new(), String::new()) } else { ("_OFF".into(), format!(", {off}")) };
            match operation(ALU)? {
                "BPF_END" if class == 7 => format!("BPF_BSWAP({dst}, {value})"),
                "BPF_END" => format!(
                    "BPF_ENDIAN({}, {dst}, {value})",
                    if by_register { "BPF_TO_BE" } else { "BPF_TO_LE" }
                ),
                "BPF_MOV" if by_register && off == 0 => format!("BPF_MOV{bits}_REG({dst}, {src})"),
                "BPF_MOV" if by_register => format!("BPF_MOVSX{bits}_REG({dst}, {src}, {off})"),
                "BPF_MOV" => format!("BPF_MOV{bits}_IMM({dst}, {value})"),
                name if by_register => {
                    format!("BPF_ALU{bits}_REG{}({name}, {dst}, {src}{})", offset.0, offset.1)
                }
                name => format!("BPF_ALU{bits}_IMM{}({name}, {dst}, {value}{})", offset.0, offset.1),
            }
        }
        class @ (5 | 6) => {
            let bits = if class == 6 { "32" } else { "" };
            match (operation(JMP)?, insn.src) {
                ("BPF_EXIT", _) => "BPF_EXIT_INSN()".to_owned(),
                ("BPF_CALL", 0) => {
                    let function = u64::try_from(imm).ok().and_then(|number| named("BPF_FUNC_", number));
                    format!("BPF_EMIT_CALL({})", function.map_or(value, str::to_owned))
                }
                ("BPF_CALL", 1) => format!("BPF_CALL_REL({value})"),
                ("BPF_CALL", 2) => format!("BPF_CALL_KFUNC({off}, {value})"),
                ("BPF_JA", _) if class == 6 => format!("BPF_JMP32_A({value})"),
                ("BPF_JA", _) => format!("BPF_JMP_A({off})"),
                (name, _) if by_register => format!("BPF_JMP{bits}_REG({name}, {dst}, {src}, {off})"),
                (name, _) => format!("BPF_JMP{bits}_IMM({name}, {dst}, {value}, {off})"),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(texts: &[&str]) -> Vec<u8> {
        let arch = Arch::from_name(std::env::consts::ARCH).expect("known");
        let read = |text: &&str| parse(text, &|name| constant(arch, name)).expect(text).list;
        let insns = texts.iter().flat_map(read);
        let one = |insn: Insn| {
            let imm = super::imm(&insn).to_ne_bytes();
            [insn.head(BIG_ENDIAN, 0), imm].concat()
        };
        insns.flat_map(one).collect()
    }

    #[test]
    fn macros_become_what_they_were() {
        let texts = [
            "BPF_MOV64_REG(BPF_REG_6, BPF_REG_1)",
            "BPF_MOV32_IMM(BPF_REG_0, -1)",
            "BPF_MOVSX64_REG(BPF_REG_0, BPF_REG_1, 8)",
            "BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -4)",
            "BPF_ALU32_REG(BPF_XOR, BPF_REG_2, BPF_REG_3)",
            "BPF_ALU64_REG_OFF(BPF_DIV, BPF_REG_2, BPF_REG_3, 1)",
            "BPF_ALU64_IMM(BPF_NEG, BPF_REG_2, 0)",
            "BPF_ENDIAN(BPF_TO_BE, BPF_REG_2, 16)",
            "BPF_BSWAP(BPF_REG_2, 32)",
            "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, 80)",
            "BPF_LDX_MEMSX(BPF_H, BPF_REG_0, BPF_REG_1, -2)",
            "BPF_STX_MEM(BPF_B, BPF_REG_10, BPF_REG_0, -1)",
            "BPF_ST_MEM(BPF_DW, BPF_REG_10, -8, 0x12345678)",
            "BPF_ATOMIC_OP(BPF_DW, BPF_ADD | BPF_FETCH, BPF_REG_10, BPF_REG_0, -8)",
            "BPF_LD_ABS(BPF_H, 12)",
            "BPF_JMP_IMM(BPF_JNE, BPF_REG_0, 0, 2)",
            "BPF_JMP32_REG(BPF_JSLT, BPF_REG_0, BPF_REG_1, -3)",
            "BPF_JMP_A(1)",
            "BPF_JMP32_A(1)",
            "BPF_EMIT_CALL(BPF_FUNC_map_lookup_elem)",
            "BPF_CALL_REL(2)",
            "BPF_CALL_KFUNC(0, 77)",
            "BPF_LD_IMM64(BPF_REG_1, 0x123456789abcdef0)",
            "BPF_LD_IMM64_RAW(BPF_REG_1, BPF_PSEUDO_FUNC, 3)",
            "BPF_RAW_INSN(0xff, 1, 2, 3, 4)",
            "BPF_RAW_INSN(0x18, 1, 0, 0, 4)",
            "BPF_EXIT_INSN()",
        ];
        assert_eq!(written(&bytes(&texts), &|_| None), texts);
    }

    #[test]
    fn fds_become_names() {
        let texts = ["BPF_LD_MAP_FD(BPF_REG_1, 5)", "BPF_LD_MAP_VALUE(BPF_REG_2, 6, 16)", "BPF_EXIT_INSN()"];
        let bytes = bytes(&texts);
        assert_eq!(fds(&bytes), [5, 6]);
        let names = |fd| if fd == 5 { Some("hits".to_owned()) } else { Some("data".to_owned()) };
        let named =
            ["BPF_LD_MAP_FD(BPF_REG_1, $hits)", "BPF_LD_MAP_VALUE(BPF_REG_2, $data, 16)", "BPF_EXIT_INSN()"];
        assert_eq!(written(&bytes, &names), named);
    }
}
