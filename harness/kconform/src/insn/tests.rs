use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rstest::rstest;

use super::context::CONTEXTS;
use super::*;

/// What a C compiler makes of each macro call on a little-endian machine with the headers of Linux 6.12.
const ENCODINGS: &[(&str, &str)] = &[
    ("BPF_ALU64_REG(BPF_ADD, BPF_REG_1, BPF_REG_2)", "0f21000000000000"),
    ("BPF_ALU64_REG_OFF(BPF_DIV, BPF_REG_3, BPF_REG_4, 1)", "3f43010000000000"),
    ("BPF_ALU64_IMM(BPF_ARSH, BPF_REG_5, 63)", "c70500003f000000"),
    ("BPF_ALU64_IMM_OFF(BPF_MOD, BPF_REG_6, -7, 1)", "97060100f9ffffff"),
    ("BPF_ALU32_REG(BPF_XOR, BPF_REG_7, BPF_REG_8)", "ac87000000000000"),
    ("BPF_ALU32_REG_OFF(BPF_MOD, BPF_REG_9, BPF_REG_10, 1)", "9ca9010000000000"),
    ("BPF_ALU32_IMM(BPF_LSH, BPF_REG_0, 31)", "640000001f000000"),
    ("BPF_ALU32_IMM_OFF(BPF_DIV, BPF_REG_1, 0x7fffffff, 1)", "34010100ffffff7f"),
    ("BPF_ENDIAN(BPF_TO_BE, BPF_REG_2, 16)", "dc02000010000000"),
    ("BPF_ENDIAN(BPF_FROM_LE, BPF_REG_2, 64)", "d402000040000000"),
    ("BPF_BSWAP(BPF_REG_3, 32)", "d703000020000000"),
    ("BPF_MOV64_REG(BPF_REG_FP, BPF_REG_ARG1)", "bf1a000000000000"),
    ("BPF_MOV64_IMM(BPF_REG_0, -1)", "b7000000ffffffff"),
    ("BPF_MOV64_RAW(BPF_K, BPF_REG_1, 5, 6)", "b751000006000000"),
    ("BPF_MOV32_REG(BPF_REG_CTX, BPF_REG_A)", "bc06000000000000"),
    ("BPF_MOV32_IMM(BPF_REG_0, 0xffffffff)", "b4000000ffffffff"),
    ("BPF_MOV32_RAW(BPF_X, BPF_REG_1, BPF_REG_2, 1)", "bc21000001000000"),
    ("BPF_MOVSX64_REG(BPF_REG_1, BPF_REG_2, 8)", "bf21080000000000"),
    ("BPF_MOVSX32_REG(BPF_REG_1, BPF_REG_2, 16)", "bc21100000000000"),
    ("BPF_ZEXT_REG(BPF_REG_4)", "bc44000001000000"),
    ("BPF_LD_IMM64(BPF_REG_1, 0x1122334455667788)", "1801000088776655 0000000044332211"),
    ("BPF_LD_IMM64(BPF_REG_1, -2)", "18010000feffffff 00000000ffffffff"),
    ("BPF_LD_IMM64_RAW(BPF_REG_2, BPF_PSEUDO_MAP_VALUE, 7)", "1822000007000000 0000000000000000"),
    (
        "BPF_LD_IMM64_RAW_FULL(BPF_REG_2, BPF_PSEUDO_BTF_ID, 1, -2, 3, -4)",
        "1832010003000000 0000fefffcffffff",
    ),
    ("BPF_LD_MAP_FD(BPF_REG_1, 5)", "1811000005000000 0000000000000000"),
    ("BPF_LD_MAP_VALUE(BPF_REG_1, 5, 16)", "1821000005000000 0000000010000000"),
    ("BPF_LD_ABS(BPF_H, 12)", "280000000c000000"),
    ("BPF_LD_IND(BPF_B, BPF_REG_7, -4)", "50700000fcffffff"),
    ("BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, len))", "6110000000000000"),
    ("BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, cb[2]))", "6110380000000000"),
    ("BPF_LDX_MEMSX(BPF_B, BPF_REG_0, BPF_REG_10, -1)", "91a0ffff00000000"),
    ("BPF_STX_MEM(BPF_DW, BPF_REG_10, BPF_REG_0, -8)", "7b0af8ff00000000"),
    ("BPF_ST_MEM(BPF_W, BPF_REG_10, -4, 1 << 16)", "620afcff00000100"),
    ("BPF_ATOMIC_OP(BPF_DW, BPF_ADD | BPF_FETCH, BPF_REG_10, BPF_REG_1, -8)", "db1af8ff01000000"),
    ("BPF_ATOMIC_OP(BPF_W, BPF_CMPXCHG, BPF_REG_10, BPF_REG_1, -4)", "c31afcfff1000000"),
    ("BPF_STX_XADD(BPF_DW, BPF_REG_1, BPF_REG_0, 0)", "db01000000000000"),
    ("BPF_JMP_REG(BPF_JSGT, BPF_REG_1, BPF_REG_2, -3)", "6d21fdff00000000"),
    ("BPF_JMP_IMM(BPF_JNE, BPF_REG_0, 0, 1)", "5500010000000000"),
    ("BPF_JMP32_REG(BPF_JSET, BPF_REG_1, BPF_REG_2, 32767)", "4e21ff7f00000000"),
    ("BPF_JMP32_IMM(BPF_JLE, BPF_REG_1, -2147483648, -32768)", "b601008000000080"),
    ("BPF_JMP_A(0)", "0500000000000000"),
    ("BPF_JMP32_A(100000)", "06000000a0860100"),
    ("BPF_CALL_REL(2)", "8510000002000000"),
    ("BPF_CALL_KFUNC(1, 77)", "852001004d000000"),
    ("BPF_EMIT_CALL(BPF_FUNC_map_lookup_elem)", "8500000001000000"),
    ("BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 3)", "8510000003000000"),
    ("BPF_RAW_INSN(BPF_JMP | BPF_JCOND, 0, BPF_MAY_GOTO, 2, 0)", "e500020000000000"),
    ("BPF_RAW_INSN(0xff, 15, 15, -1, ~0)", "ffffffffffffffff"),
    (
        "BPF_RAW_INSN((2 + 3) * 4 - 6 / 2 % 2, 7 & 6 ^ 1, 1 | 2, -(8 >> 1), (1ULL << 31) - 1)",
        "1337fcffffffff7f",
    ),
    ("BPF_ST_NOSPEC()", "c200000000000000"),
    ("BPF_EXIT_INSN()", "9500000000000000"),
];

fn constant(name: &str) -> Option<u64> {
    kconform_abi::constant(kconform_abi::Arch::X86_64, name)
}

fn bytes(insns: &Insns) -> String {
    let one = |insn: &Insn| {
        let Imm::Number(imm) = insn.imm else { return "saved".to_owned() };
        let all = [insn.head(false, 0), imm.to_le_bytes()].concat();
        all.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    insns.list.iter().map(one).collect::<Vec<String>>().join(" ")
}

#[test]
fn encodings_are_those_of_filter_h() {
    for (text, expected) in ENCODINGS {
        match parse(text, &constant) {
            Ok(insns) => assert_eq!(bytes(&insns), *expected, "{text}"),
            Err(error) => panic!("{text}: {error:?}"),
        }
    }
}

#[test]
fn every_macro_has_an_encoding_to_compare_with() {
    for row in MACROS {
        let call = format!("{}(", row.name);
        assert!(ENCODINGS.iter().any(|(text, _)| text.starts_with(&call)), "{}", row.name);
    }
}

#[test]
fn registers_swap_places_on_big_endian() {
    // LLVM's BPF back end for bpfeb: `w0 = load_acquire((u8 *)(r1 + 0))` is d3 01 00 00 00 00 00 12.
    let insns = parse("BPF_ATOMIC_OP(BPF_B, 0x12, BPF_REG_0, BPF_REG_1, 0x102)", &constant).expect("parses");
    assert_eq!(insns.list[0].head(true, 0), [0xd3, 0x01, 0x01, 0x02]);
    assert_eq!(insns.list[0].head(false, 0), [0xd3, 0x10, 0x02, 0x01]);
}

#[rstest]
#[case("BPF_LD_MAP_FD(BPF_REG_1, $map)", vec![Some(0), None])]
#[case("BPF_LD_IMM64(BPF_REG_1, $x)", vec![Some(0), Some(32)])]
#[case("BPF_LD_MAP_VALUE(BPF_REG_1, $map, $off)", vec![Some(0), Some(0)])]
#[case("BPF_RAW_INSN(0x18, 1, 1, 0, ($map))", vec![Some(0)])]
#[case("BPF_MOV64_IMM(BPF_REG_0, $n)", vec![Some(0)])]
fn saved_values_are_immediates(#[case] text: &str, #[case] shifts: Vec<Option<u8>>) {
    let insns = parse(text, &constant).expect("parses");
    let found = insns.list.iter().map(|insn| match insn.imm {
        Imm::Saved { shift, .. } => Some(shift),
        Imm::Number(_) | Imm::Btf(_) | Imm::Pages { .. } => None,
    });
    assert_eq!(found.collect::<Vec<_>>(), shifts);
}

/// Shows an error the way a report would: the text, the marked part, what is said.
fn shown(text: &str) -> String {
    let mut told = format!("{text}\n");
    for error in parse(text, &constant).expect_err(text) {
        let marks = "^".repeat(error.range.len().max(1));
        let help = error.help.map_or(String::new(), |help| format!("\n  {help}"));
        let blanks = " ".repeat(error.range.start);
        told += &format!("{blanks}{marks} {}{help}\n", error.text);
    }
    told
}

#[test]
fn mistakes_are_marked() {
    let mistakes = [
        "",
        "BPF_EXIT_INSN",
        "BPF_EXIT_INSN(),",
        "BPF_EXIT()",
        "BPF_MOV64_INM(BPF_REG_0, 0)",
        "BPF_MOV64_IMM(BPF_REG_0)",
        "BPF_MOV64_IMM(BPF_REG_0, )",
        "BPF_MOV64_IMM(BPF_REG_0, 0",
        "BPF_MOV64_IMM(BPF_REG_11, 0)",
        "BPF_MOV64_IMM(16, 0)",
        "BPF_MOV64_IMM(BPF_REG_0, 0x100000000)",
        "BPF_MOV64_IMM(BPF_REG_0, BPF_REG_1)",
        "BPF_MOV64_REG(BPF_REG_0, BPF_DW)",
        "BPF_MOV64_IMM($reg, 0)",
        "BPF_MOV64_IMM(BPF_REG_0, $a + 1)",
        "BPF_MOV64_IMM(BPF_REG_0, 1 2)",
        "BPF_MOV64_IMM(BPF_REG_0, 017)",
        "BPF_MOV64_IMM(BPF_REG_0, 0xg)",
        "BPF_MOV64_IMM(BPF_REG_0, 1 / 0)",
        "BPF_MOV64_IMM(BPF_REG_0, (1 + 2)",
        "BPF_MOV64_IMM(BPF_REG_0, 'a')",
        "BPF_ALU64_IMM(BPF_ADDD, BPF_REG_0, 1)",
        "BPF_ALU64_IMM(BPF_REG_0, BPF_ADD, 1)",
        "BPF_ALU64_IMM(3, BPF_REG_0, 1)",
        "BPF_STX_MEM(BPF_REG_10, BPF_REG_0, -8, BPF_DW)",
        "BPF_STX_MEM(4, BPF_REG_10, BPF_REG_0, -8)",
        "BPF_JMP_IMM(BPF_JEQ, BPF_REG_0, 0, 40000)",
        "BPF_EMIT_CALL(bpf_map_lookup_elem)",
        "BPF_EMIT_CALL(BPF_FUNC_map_lokup_elem)",
        "BPF_STMT(BPF_RET | BPF_K, 0)",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buf, len))",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, lenn))",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, len[1]))",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(__sk_buff, len))",
        "BPF_MOV64_IMM(BPF_REG_0, größe)",
        "BPF_MOV64_IMM(BPF_REG_0, (1 + 2",
        "BPF_MOV64_IMM(BPF_REG_0, (1 + 2 3))",
        "BPF_MOV64_IMM(BPF_REG_0, (1 + 2])",
        "BPF_MOV64_IMM(BPF_REG_0, offsetof(struct __sk_buff, len + 1))",
        "BPF_MOV64_IMM(BPF_REG_0, $)",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, len",
        "BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, cb[$x]))",
        "BPF_ENDIAN(3, BPF_REG_0, 16)",
        "BPF_JUMP(BPF_JMP | BPF_JEQ, 0, 0, 0)",
        "__BPF_STMT(BPF_RET | BPF_K, 0)",
        "BPF_MOV64_PERCPU_REG(BPF_REG_0, BPF_REG_1)",
        "BPF_CALL_IMM(f)",
        "BPF_ALU64_IMM(BPF_ADDD, BPF_REG_11, 1 2)",
        "BPF_MOV64_INM(BPF_REG_11, 0xg)",
    ];
    insta::assert_snapshot!(mistakes.map(shown).join("\n"));
}

/// The offsets against the C compiler's own `linux/bpf.h`; fields that an older header lacks are passed over.
#[test]
fn contexts_are_those_of_the_header() {
    let mut source = "#include <linux/bpf.h>\n#include <stddef.h>\n".to_owned();
    for (context, fields) in CONTEXTS {
        for (field, offset, element) in *fields {
            let place = format!("offsetof(struct {context}, {field}) == {offset}");
            writeln!(source, "_Static_assert({place}, \"{context}.{field}\");").expect("a string");
            if *element != 0 {
                let size = format!("sizeof(((struct {context} *)0)->{field}[0]) == {element}");
                writeln!(source, "_Static_assert({size}, \"{context}.{field}[]\");").expect("a string");
            }
        }
    }
    let mut compiler = Command::new("cc");
    compiler.args(["-fsyntax-only", "-xc", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = compiler.spawn().expect("a C compiler, which linking Rust needs too");
    child.stdin.take().expect("piped").write_all(source.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("fatal error"), "{said}");
    let wrong: Vec<_> = said.lines().filter(|line| line.contains("static assertion failed")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Which pages a kernel has is known only when it runs: 64 KiB must fit as 4 KiB do.
#[rstest]
#[case::both("BPF_MOV64_IMM(BPF_REG_0, 16 * PAGE_SIZE)", None)]
#[case::small(
    "BPF_MOV64_IMM(BPF_REG_0, PAGE_SIZE << 16)",
    Some("with pages of 65536 bytes, 4294967296 is out of range")
)]
#[case::negative(
    "BPF_ALU64_IMM(BPF_ADD, BPF_REG_1, -0x10000 * PAGE_SIZE)",
    Some("with pages of 65536 bytes, -4294967296 is out of range")
)]
#[case::neither("BPF_MOV64_IMM(BPF_REG_0, PAGE_SIZE << 20)", Some("4294967296 is out of range"))]
#[case::long("BPF_LD_IMM64(BPF_REG_1, PAGE_SIZE << 16)", None)]
#[case::small_alone(
    "BPF_MOV64_IMM(BPF_REG_0, (PAGE_SIZE - 0x10000) << 20)",
    Some("-64424509440 is out of range")
)]
fn arithmetic_with_pages_fits_with_every_size(#[case] text: &str, #[case] wrong: Option<&str>) {
    let parsed = parse(text, &constant);
    let told = parsed.err().map(|errors| {
        let places = errors.iter().map(|error| &text[error.range.clone()]);
        assert!(places.clone().all(|place| place.contains("PAGE_SIZE")), "{:?}", places.collect::<Vec<_>>());
        errors.iter().map(|error| error.text.clone()).collect::<Vec<_>>().join("; ")
    });
    assert_eq!(told.as_deref(), wrong);
}

proptest! {
    #[test]
    fn any_text_is_an_instruction_or_an_error_within_it(text in "[A-Z_a-z0-9$(),|+*~<>\\[\\] é-]{0,40}") {
        for text in [text.clone(), format!("BPF_MOV64_IMM(BPF_REG_0, {text})")] {
            for error in parse(&text, &constant).err().into_iter().flatten() {
                prop_assert!(error.range.start <= error.range.end);
                prop_assert!(text.get(error.range.clone()).is_some(), "{:?} of {:?}", error.range, text);
            }
        }
    }

    #[test]
    fn raw_instructions_keep_every_field(code: u8, dst in 0u8..16, src in 0u8..16, off: i16, imm: i32) {
        let text = format!("BPF_RAW_INSN({code:#x}, {dst}, {src}, {off}, {imm})");
        let insns = parse(&text, &constant).expect("parses");
        prop_assert_eq!(&insns.list, &vec![Insn { code, dst, src, off, member: None, imm: Imm::Number(imm) }]);
        let (little, big) = (insns.list[0].head(false, 0), insns.list[0].head(true, 0));
        prop_assert_eq!(little[1], dst | src << 4);
        prop_assert_eq!(big[1], src | dst << 4);
        prop_assert_eq!([little[3], little[2]], [big[2], big[3]]);
    }

    #[test]
    fn wide_immediates_are_split(value: u64) {
        let insns = parse(&format!("BPF_LD_IMM64(BPF_REG_1, {value:#x})"), &constant).expect("parses");
        let half = |n: usize| match insns.list[n].imm {
            Imm::Number(imm) => u64::from(imm as u32),
            Imm::Saved { .. } | Imm::Btf(_) | Imm::Pages { .. } => unreachable!(),
        };
        prop_assert_eq!(half(0) | half(1) << 32, value);
    }
}
