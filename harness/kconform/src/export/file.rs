//! The file as a whole: what it says of itself, headers, definitions, the functions that the case uses, the case, `main`.

use std::collections::BTreeSet;

use kconform_abi::Arch;

use crate::case::{Case, Probe, Step, StepKind};
use crate::insn::{self, Macro, Param};

use super::names::{comment, identifier, identifiers, literal, wrapped};
use super::numbers::{Values, number, values};
use super::requires::needs;
use super::runtime::taken;
use super::state::{Code, Export, Kind};
use super::{ExportError, Manner, call, fields};

/// Headers that every file has.
const HEADERS: &[&str] = &["errno.h", "limits.h", "linux/types.h", "stddef.h"];

/// Constants that the headers of every file have.
const ALWAYS: &[&str] = &["LLONG_MAX", "LLONG_MIN", "LONG_MAX", "NULL", "ULLONG_MAX"];

/// Errnos that some C libraries do not have.
const ODD_ERRNOS: &[&str] = &["EFSBADCRC", "EFSCORRUPTED", "ENOTSUP", "EDEADLOCK"];

pub(super) fn write(case: &Case, manner: Manner) -> Result<String, ExportError> {
    let mut export = Export::new(case);
    let probes: Vec<String> =
        case.needs.iter().map(|probe| format!("probe_{}", identifier(&probe.name))).collect();
    for (probe, name) in case.needs.iter().zip(&probes) {
        export.probe(probe, name)?;
    }
    export.function("static void steps(void)", &case.steps)?;
    main_function(&mut export, &probes, manner);

    let code = format!("{}\n{}", export.functions, macros(&export.macros));
    let lacks = lacks(&export, &code);
    let conditions = conditions(&mut export, &lacks)?;
    let body = format!("{conditions}{}", export.functions);
    let struct_saved = saved(&export);
    let structures = fields::structures(&export.attrs);
    // The headers of what is taken may be all that has a constant.
    let code = format!("{code}\n{conditions}");
    let memory = if export.kinds.values().any(|kind| *kind == Kind::Bytes) { "bytes" } else { "" };
    let taken = taken(&format!("{code}\n{memory}"), manner);
    let mut headers: BTreeSet<&str> = taken.headers.clone();
    headers.extend(HEADERS);

    if manner == Manner::Kselftest && !export.images.is_empty() {
        headers.insert("string.h");
    }

    let mut text = about(case, manner);
    text.push_str("#define _GNU_SOURCE\n");
    for header in &headers {
        text.push_str(&format!("#include <{header}>\n"));
    }
    match manner {
        Manner::Alone => text.push_str(&format!("\n#define CASE {}\n\n", literal(case.id.as_bytes()))),
        Manner::Kselftest => text.push_str("\n#include \"../kselftest_harness.h\"\n\n"),
    }
    let defines = defines(&export, &code);
    if !defines.is_empty() {
        let head = format!("/* As Linux {} has them; headers may be older. */\n", kconform_abi::HEADERS);
        text.push_str(&format!("{head}{defines}\n"));
    }
    text.push_str(&macros(&export.macros));
    text.push_str(&structures);
    text.push_str(&taken.early);
    text.push_str(&struct_saved);
    text.push_str(&taken.late);
    text.push_str(&body);
    Ok(text.trim_end().to_owned() + "\n")
}

/// The comment at the beginning.
fn about(case: &Case, manner: Manner) -> String {
    let mut lines = vec![case.id.clone(), String::new()];
    if let Some(about) = &case.about {
        lines.extend(wrapped(about, 100));
        lines.push(String::new());
    }
    if !case.source.is_empty() {
        lines.extend(wrapped(&format!("Source: {}", case.source.join("; ")), 100));
    }
    lines.push(format!("From: {}, by kconform {}", call::place(&case.place), env!("CARGO_PKG_VERSION")));
    for issue in &case.known_issues {
        lines.extend(wrapped(&format!("Known issue: {}", issue.because), 100));
    }
    if case.guest_only || changes_sysctls(&case.steps) {
        lines.extend(wrapped(
            "It changes what all processes of the machine see: run it in a virtual machine.",
            100,
        ));
    }
    lines.push(String::new());
    match manner {
        Manner::Alone => lines.extend([
            "The case is steps(), near the end. Compile and run it so:".to_owned(),
            "cc -std=gnu11 -Wall -Wextra -static -pthread -o case case.c && ./case".to_owned(),
            "Exit status: 0 the kernel conforms, 1 it does not, 4 skipped.".to_owned(),
        ]),
        Manner::Kselftest => lines.extend([
            "The case is steps(), near the end. It is for a folder of tools/testing/selftests, such as bpf,"
                .to_owned(),
            format!("as {}.c, with this line in the Makefile there:", super::test_name(case)),
            format!("TEST_GEN_PROGS += {}", super::test_name(case)),
        ]),
    }
    let mut text = String::from("// SPDX-License-Identifier: MIT OR Apache-2.0\n/*\n");
    for line in lines {
        text.push_str(format!(" * {}", comment(&line)).trim_end());
        text.push('\n');
    }
    text + " */\n"
}

fn changes_sysctls(steps: &[Step]) -> bool {
    steps.iter().any(|step| {
        matches!(step.kind, StepKind::Sysctl { .. })
            || step.kind.blocks().iter().any(|steps| changes_sysctls(steps))
    })
}

/// The saved values.
fn saved(export: &Export<'_>) -> String {
    let uses = export.functions.contains("saved") || !export.images.is_empty();
    if !uses {
        return String::new();
    }
    let mut text = String::from("/* What steps keep for later ones. */\nstatic struct saved {\n");
    for (name, kind) in &export.kinds {
        let name = identifier(name);
        text.push_str(&match kind {
            Kind::Number => format!("\tlong long {name};\n"),
            Kind::Bytes => format!("\tstruct bytes {name};\n"),
        });
    }
    text + "} saved;\n\n"
}

fn main_function(export: &mut Export<'_>, probes: &[String], manner: Manner) {
    let mut out = std::mem::take(&mut export.out);
    let case = export.case;
    for (probe, name) in case.needs.iter().zip(probes) {
        out.line(&format!("/* Ends the test where there is no {}. */", probe.name));
        out.line(&format!("static void look_for_{name}(void)"));
        out.open("{");
        look_for(&mut out, probe, name);
        out.close("}");
        out.blank();
    }
    match manner {
        Manner::Alone => main_alone(&mut out, export, probes),
        Manner::Kselftest => harness_test(&mut out, export, probes),
    }
    export.functions.push_str(&out.text);
}

/// What comes before the case itself.
fn prepare(out: &mut Code, probes: &[String]) {
    out.line("start();");
    out.line("check_requirements();");
    out.line("isolate();");
    for name in probes {
        out.line(&format!("look_for_{name}();"));
    }
}

/// Goes on with the steps of a fresh image.
fn fresh_images(out: &mut Code, export: &Export<'_>) {
    out.open("switch (resume(argv)) {");
    for image in &export.images {
        out.line(&format!("case {image}: image{image}(); break;"));
    }
    out.close("}");
    out.line("end(FINISHED);");
}

/// A test of kselftest_harness.h, which forks for it and stops it after so many seconds.
fn harness_test(out: &mut Code, export: &Export<'_>, probes: &[String]) {
    let case = export.case;
    if !export.images.is_empty() {
        out.line("/* Where execve(2) has come back to this program, it goes on with the case. */");
        out.line("static __attribute__((constructor)) void go_on(int argc, char **argv)");
        out.open("{");
        out.line("if (argc != 4 || strcmp(argv[0], \"case\"))");
        out.line("\treturn;");
        fresh_images(out, export);
        out.close("}");
        out.blank();
    }
    let seconds = case.timeout.as_secs_f64().ceil();
    let name = super::test_name(case);
    for head in ["FIXTURE(kconform) {", "FIXTURE_SETUP(kconform) {", "FIXTURE_TEARDOWN(kconform) {"] {
        out.line(head);
        out.line(if head.starts_with("FIXTURE(") { "};" } else { "}" });
        out.blank();
    }
    out.line(&format!("TEST_F_TIMEOUT(kconform, {name}, {})", seconds + 30.0));
    out.open("{");
    out.line("if (setjmp(away))");
    out.line("\tSKIP(return, \"%s\", why);");
    prepare(out, probes);
    out.line(&format!("ASSERT_EQ(0, conclude(run(steps, {seconds})));"));
    out.close("}");
    out.blank();
    out.line("TEST_HARNESS_MAIN");
}

/// The program's own main().
fn main_alone(out: &mut Code, export: &Export<'_>, probes: &[String]) {
    let case = export.case;
    let images = !export.images.is_empty();
    out.line(if images { "int main(int argc, char **argv)" } else { "int main(void)" });
    out.open("{");
    if images {
        out.open("if (argc > 3) {");
        fresh_images(out, export);
        out.close("}");
    }
    prepare(out, probes);
    out.line(&format!("return conclude(run(steps, {}));", case.timeout.as_secs_f64().ceil()));
    out.close("}");
}

/// Runs a probe. Its last call's errno means absence, which is a fault from a version on.
fn look_for(out: &mut Code, probe: &Probe, name: &str) {
    let absent = probe.absent.value;
    let errno = absent.written();
    out.line(&format!("int state = run({name}, 10);"));
    out.blank();
    let since = probe.since.as_ref().map(|since| {
        let numbers: Vec<String> = since.value.iter().map(u32::to_string).collect();
        format!("KERNEL(<, {})", numbers.join(", "))
    });
    let allowed = since.unwrap_or_else(|| "1".to_owned());
    let last = probe.steps.last().map_or(0, call::line_of);
    out.line(&format!(
        "if (state == FAILED && shared->failed == -{errno} && shared->failed_at == {last} && {allowed})"
    ));
    out.line(&format!(
        "\tskip({});",
        literal(format!("the probe {} says {errno}: not there", probe.name).as_bytes())
    ));
    out.line("if (state == SKIPPED || state == FAILED)");
    out.line("\texit(conclude(state));");
}

/// What kernels of some architectures do not have, for which the case is skipped there.
fn lacks(export: &Export<'_>, code: &str) -> Vec<(Vec<Arch>, String)> {
    let mut lacks = Vec::new();
    for name in constants(code) {
        let without: Vec<Arch> =
            Arch::ALL.iter().copied().filter(|&arch| kconform_abi::constant(arch, name).is_none()).collect();
        if !without.is_empty() {
            lacks.push((without, format!("the constant {name} does not exist here")));
        }
    }
    for name in &export.calls {
        let without: Vec<Arch> =
            Arch::ALL.iter().copied().filter(|arch| arch.syscall(name).is_none()).collect();
        if !without.is_empty() {
            lacks.push((without, format!("the system call {name} does not exist here")));
        }
    }
    for (name, all) in &export.defines {
        let without: Vec<Arch> =
            all.iter().filter(|(_, value)| value.is_none()).map(|(arch, _)| *arch).collect();
        if !without.is_empty() {
            lacks.push((without, format!("{} does not exist here", name.to_lowercase())));
        }
    }
    lacks
}

/// The function that looks whether the case can run.
fn conditions(export: &mut Export<'_>, lacks: &[(Vec<Arch>, String)]) -> Result<String, ExportError> {
    let case = export.case;
    let mut text =
        String::from("/* Ends the test where the kernel or the user lacks what the case needs. */\n");
    text.push_str("static void check_requirements(void)\n{\n");
    for (condition, reason) in case.requires.iter().flat_map(needs) {
        text.push_str(&format!("\tif (!({condition}))\n\t\tskip({});\n", literal(reason.as_bytes())));
    }
    for &number in &export.capabilities {
        let name = kconform_abi::capability::called(number);
        text.push_str(&format!(
            "\tif (!holds_itself({number} /* {name} */))\n\t\tskip(\"needs {name} (run as root)\");\n"
        ));
    }
    for (without, reason) in lacks {
        let machines: Vec<String> =
            without.iter().map(|arch| format!("defined({})", macro_of(*arch))).collect();
        text.push_str(&format!(
            "#if {}\n\tskip({});\n#endif\n",
            machines.join(" || "),
            literal(reason.as_bytes())
        ));
    }
    for question in &export.questions {
        text.push_str(&format!("\t{question};\n"));
    }
    Ok(text + "}\n\n")
}

/// What the compiler defines for an architecture.
fn macro_of(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "__x86_64__",
        Arch::Riscv64 => "__riscv",
        Arch::Aarch64 => "__aarch64__",
        Arch::S390x => "__s390x__",
    }
}

/// The constants that code names.
fn constants(code: &str) -> BTreeSet<&str> {
    let is_constant = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && (insn::alias(name).is_some() || kconform_abi::constant_known(name))
    };
    let is_libcs = |name: &str| {
        kconform_abi::errno::number(name).is_some_and(|number| number < 512) && !ODD_ERRNOS.contains(&name)
    };
    identifiers(code)
        .into_iter()
        .filter(is_constant)
        .filter(|name| !is_libcs(name) && !ALWAYS.contains(name) && insn::alias(name).is_none())
        .collect()
}

/// `#define`s of constants, of numbers of system calls, and of what differs between architectures.
fn defines(export: &Export<'_>, code: &str) -> String {
    let mut text = String::new();
    let aliases: BTreeSet<&str> =
        identifiers(code).into_iter().filter(|name| insn::alias(name).is_some()).collect();
    for name in aliases {
        text.push_str(&define(name, insn::alias(name).unwrap_or(0)));
    }
    for name in constants(code) {
        match values(|arch| kconform_abi::constant(arch, name)) {
            Values::Same(value) => text.push_str(&define(name, value.unwrap_or(0))),
            Values::Each(all) => text.push_str(&each(name, &all)),
        }
    }
    for name in export.calls.iter().filter(|name| is_newer(name)) {
        let name = format!("__NR_{name}");
        match values(|arch| arch.syscall(&name["__NR_".len()..])) {
            Values::Same(value) => text.push_str(&guarded(&name, value.unwrap_or(0))),
            Values::Each(all) => text.push_str(&each(&name, &all)),
        }
    }
    for (name, all) in &export.defines {
        text.push_str(&each(name, all));
    }
    text
}

/// Whether headers may lack the number of a call: that of bpf(2) is the newest that all have.
fn is_newer(name: &str) -> bool {
    let numbers: Option<Vec<u64>> = Arch::ALL.iter().map(|arch| arch.syscall(name)).collect();
    numbers.is_none() || Arch::Riscv64.syscall(name) > Arch::Riscv64.syscall("bpf")
}

/// A constant: those of linux/bpf.h, which is not included, as they are.
fn define(name: &str, value: u64) -> String {
    match name.starts_with("BPF_") {
        true => format!("#define {name} {}\n", signed(value)),
        false => guarded(name, value),
    }
}

fn guarded(name: &str, value: u64) -> String {
    format!("#ifndef {name}\n#define {name} {}\n#endif\n", signed(value))
}

fn signed(value: u64) -> String {
    let text = number(value);
    if text.starts_with('-') { format!("({text})") } else { text }
}

/// A number that is another on each architecture.
fn each(name: &str, all: &[(Arch, Option<u64>)]) -> String {
    let mut text = format!("#ifndef {name}\n");
    for (nth, (arch, value)) in all.iter().enumerate() {
        let word = if nth == 0 { "if" } else { "elif" };
        text.push_str(&format!(
            "#{word} defined({})\n#define {name} {}\n",
            macro_of(*arch),
            signed(value.unwrap_or(0))
        ));
    }
    text + "#else\n#error \"this architecture is not known\"\n#endif\n#endif\n"
}

/// `struct bpf_insn` and the macros that make one.
fn macros(names: &BTreeSet<&'static str>) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "/* As in <linux/bpf.h>, and the macros of the kernel's include/linux/filter.h. */\nstruct bpf_insn {\n\t__u8 code;\n\t__u8 dst_reg:4;\n\
         \t__u8 src_reg:4;\n\t__s16 off;\n\t__s32 imm;\n};\n",
    );
    text.push_str(
        "#define INSN(CODE, DST, SRC, OFF, IMM) \\\n\t((struct bpf_insn){ .code = (CODE), .dst_reg = (DST), .src_reg = (SRC), \
         .off = (OFF), .imm = (__s32)(IMM) })\n",
    );
    for row in names.iter().filter_map(|name| insn::definition(name)) {
        text.push_str(&definition(row));
    }
    text + "\n"
}

fn definition(row: &Macro) -> String {
    let names: Vec<&str> = row.params.iter().map(|param| param_name(*param)).collect();
    let has = |wanted: Param| row.params.contains(&wanted);
    let mut code = vec![symbols(row)];
    for (param, text) in [(Param::Op, "(OP)"), (Param::Size, "(SIZE)"), (Param::Type, "(TYPE)")] {
        if has(param) {
            code.push(text.to_owned());
        }
    }
    let code = if has(Param::Code) { "CODE".to_owned() } else { code.join(" | ") };
    let pick = |param: Param, none: String| if has(param) { param_name(param).to_owned() } else { none };
    let dst = pick(Param::Dst, if has(Param::Both) { "DST".into() } else { "0".into() });
    let src = pick(Param::Src, if has(Param::Both) { "DST".into() } else { row.src.to_string() });
    let (off, off2) = (pick(Param::Off, "0".into()), pick(Param::Off2, "0".into()));
    let imm = pick(Param::Imm, if has(Param::Imm64) { "IMM".into() } else { row.imm.to_string() });
    let first = format!("INSN({code}, {dst}, {src}, {off}, {imm})");
    let body = match row.double {
        false => first,
        true => {
            let imm2 =
                if has(Param::Imm64) { "(__u64)(IMM) >> 32".into() } else { pick(Param::Imm2, "0".into()) };
            // A negative fd has no upper half.
            format!("{first}, \\\n\tINSN(0, 0, 0, {off2}, {imm2})")
        }
    };
    format!("#define {}({}) \\\n\t{body}\n", row.name, names.join(", "))
}

fn param_name(param: Param) -> &'static str {
    match param {
        Param::Off2 => "OFF2",
        Param::Imm2 => "IMM2",
        other => other.name(),
    }
}

/// What is fixed of an opcode, in words.
fn symbols(row: &Macro) -> String {
    const CLASSES: [&str; 8] =
        ["BPF_LD", "BPF_LDX", "BPF_ST", "BPF_STX", "BPF_ALU", "BPF_JMP", "BPF_JMP32", "BPF_ALU64"];
    let class = CLASSES[usize::from(row.code & 7)];
    let mut words = vec![class];
    let (op, has_op) = (row.code & 0xf0, row.params.contains(&Param::Op));
    match row.code & 7 {
        0..=3 => {
            const MODES: [&str; 8] =
                ["BPF_IMM", "BPF_ABS", "BPF_IND", "BPF_MEM", "BPF_MEMSX", "0xa0", "BPF_ATOMIC", "0xe0"];
            words.push(MODES[usize::from(row.code >> 5)]);
            words.extend((row.code & 0x18 == 0x18).then_some("BPF_DW"));
        }
        4 | 7 => {
            words.extend((op == 0xb0).then_some("BPF_MOV"));
            words.extend((op == 0xd0).then_some("BPF_END"));
            words.extend(source(row));
        }
        _ => {
            words.extend((op == 0x80).then_some("BPF_CALL"));
            words.extend((op == 0x90).then_some("BPF_EXIT"));
            words.extend((op == 0 && !has_op).then_some("BPF_JA"));
            words.extend(source(row).filter(|_| has_op));
        }
    }
    words.join(" | ")
}

/// Where the second operand is, where no parameter says it.
fn source(row: &Macro) -> Option<&'static str> {
    let is_fixed = !row.params.contains(&Param::Type);
    is_fixed.then_some(if row.code & 8 == 0 { "BPF_K" } else { "BPF_X" })
}
