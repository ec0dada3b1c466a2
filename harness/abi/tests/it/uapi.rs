//! The tables against the C compiler's view of <linux/bpf.h>: every field's offset and size, every BPF_ constant.
//!
//! By default the installed headers are asked; `KCONFORM_UAPI_INCLUDE` names other include directories, separated by
//! colons as in PATH (`…/usr/include:…/usr/include/x86_64-linux-gnu`). What an older header lacks is let pass, but counted.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use kconform_abi::{Arch, HEADERS, bpf, constant, constant_names};
use rstest::rstest;

/// What even the oldest header that is worth asking (6.1, Debian bookworm's) knows.
const FIELDS_AT_LEAST: usize = 204;
const CONSTANTS_AT_LEAST: usize = 646;

/// The ends of enums, which move with every new member: no case should use them, and an older header differs.
const ENDS: &[&str] = &["BPF_TCP_MAX_STATES"];

/// All flags of a kind in one name: a newer header may have more of them, and an older one fewer.
const MASKS: &[&str] = &["BPF_F_REDIRECT_FLAGS", "BPF_SOCK_OPS_ALL_CB_FLAGS"];

/// One line of C that compiles only if we are right.
pub(crate) struct Claim {
    pub(crate) what: String,
    pub(crate) code: String,
}

impl Claim {
    /// That a constant has this value; a mask has at least these bits in a header that is newer than the tables, and at most
    /// these in one that is older.
    fn constant(name: &str, value: u64, header: (u32, u32)) -> Claim {
        let [ours, its] = [format!("{value}ULL"), format!("(unsigned long long)({name})")];
        let more = match (MASKS.contains(&name), header.cmp(&table_version())) {
            (true, Ordering::Greater) => format!("(({its}) & {ours}) == {ours}"),
            (true, Ordering::Less) => format!("(({its}) & ~{ours}) == 0"),
            _ => format!("{its} == {ours}"),
        };
        Claim { what: name.to_owned(), code: format!("_Static_assert({more}, \"\");") }
    }
}

/// What became of the claims.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) right: usize,
    pub(crate) wrong: Vec<String>,
    pub(crate) absent: Vec<String>,
}

#[test]
fn every_field_is_where_the_compiler_puts_it() {
    let findings = judge(&field_claims());
    eprintln!("{} fields as in the header, absent there: {:?}", findings.right, findings.absent);
    assert_eq!(findings.wrong, Vec::<String>::new());
    tolerate_absence(&findings, FIELDS_AT_LEAST);
}

#[test]
fn every_bpf_constant_has_the_compilers_value() {
    let findings = judge(&constant_claims());
    eprintln!("{} constants as in the header, absent there: {:?}", findings.right, findings.absent);
    assert_eq!(findings.wrong, Vec::<String>::new());
    tolerate_absence(&findings, CONSTANTS_AT_LEAST);
}

#[test]
fn a_wrong_claim_and_an_absent_one_are_told_apart() {
    let claim = |what: &str, code: &str| Claim { what: what.into(), code: code.into() };
    let findings = judge(&[
        claim("right", "_Static_assert(BPF_ANY == 0, \"\");"),
        claim("wrong", "_Static_assert(BPF_EXIST == 9, \"\");"),
        claim("no field", "_Static_assert(__builtin_offsetof(union bpf_attr, no_such_field) == 0, \"\");"),
        claim("no constant", "_Static_assert(BPF_NO_SUCH_THING == 0, \"\");"),
    ]);
    assert_eq!(findings.right, 1);
    assert_eq!(findings.wrong, ["wrong"]);
    assert_eq!(findings.absent, ["no field", "no constant"]);
}

/// A mask that has grown in a newer header is right, one that has lost a bit, and any other constant that is not the same, is
/// wrong.
#[rstest]
#[case::same((0, 0), "BPF_F_REDIRECT_FLAGS", 3, 3, true)]
#[case::grown((0, 1), "BPF_F_REDIRECT_FLAGS", 3, 7, true)]
#[case::grown_in_the_same((0, 0), "BPF_F_REDIRECT_FLAGS", 3, 7, false)]
#[case::shrunk((0, 1), "BPF_F_REDIRECT_FLAGS", 3, 5, false)]
#[case::older((-1, 0), "BPF_F_REDIRECT_FLAGS", 3, 1, true)]
#[case::older_and_other((-1, 0), "BPF_F_REDIRECT_FLAGS", 3, 4, false)]
#[case::no_mask((0, 1), "BPF_F_OTHER", 3, 7, false)]
fn masks_may_grow(
    #[case] newer: (i32, i32),
    #[case] name: &str,
    #[case] ours: u64,
    #[case] its: u64,
    #[case] right: bool,
) {
    let (major, minor) = table_version();
    let header = (major.saturating_add_signed(newer.0), minor.saturating_add_signed(newer.1));
    let Claim { what, code } = Claim::constant(name, ours, header);
    let code = format!("#undef {name}\n#define {name} {its}\n# 1 \"claims\"\n{code}");
    let findings = judge(&[Claim { what, code }]);
    assert_eq!((findings.right, findings.wrong.len()), if right { (1, 0) } else { (0, 1) });
}

/// A header that is no newer than the tables has no field that they lack.
#[test]
fn every_field_of_the_header_is_in_the_table() {
    let header = preprocessed_header();
    let (_, rest) = header.split_once("union bpf_attr {").expect("a definition of union bpf_attr");
    let (body, _) = rest.split_once("\n}").expect("the end of union bpf_attr");
    // A declaration ends in `name;`, `name[16];` or, for an unnamed bit field, `:32;`.
    let declared: BTreeSet<&str> = body
        .split(';')
        .filter(|declaration| !declaration.contains(':') && !declaration.trim_end().ends_with('}'))
        .map(|declaration| declaration.split('[').next().unwrap_or_default().trim_end())
        .filter_map(|declaration| declaration.rsplit([' ', '\t', '\n', '}']).next())
        .filter(|name| !name.is_empty())
        .collect();
    let known: BTreeSet<&str> = bpf::commands()
        .flat_map(|command| command.fields.iter().flat_map(|field| field.name.split('.')).chain(command.part))
        .collect();
    let unknown: Vec<_> = declared.difference(&known).collect();
    assert!(declared.len() > 100, "the header was not understood: {declared:?}");
    if header_version() <= table_version() {
        assert!(unknown.is_empty(), "not in the table: {unknown:?}");
    } else {
        eprintln!("the header is newer than the tables ({HEADERS}); new there: {unknown:?}");
    }
}

fn field_claims() -> Vec<Claim> {
    let claim = |command: &bpf::Command, field: &bpf::Field| {
        let path = command.part.map_or(field.name.to_owned(), |part| format!("{part}.{}", field.name));
        let code = format!(
            "_Static_assert(__builtin_offsetof(union bpf_attr, {path}) == {} && sizeof(((union bpf_attr *)0)->{path}) == {}, \"\");",
            field.offset, field.size
        );
        Claim { what: format!("{}: {path}", command.name), code }
    };
    bpf::commands()
        .flat_map(|command| command.fields.iter().map(move |field| claim(command, field)))
        .collect()
}

fn constant_claims() -> Vec<Claim> {
    // What names bpf(2)'s things has the same value everywhere, so any architecture will do.
    let header = header_version();
    let claim = |name: &str| {
        Claim::constant(name, constant(Arch::X86_64, name).expect("a constant of x86-64"), header)
    };
    constant_names().filter(|name| name.starts_with("BPF_") && !ENDS.contains(name)).map(claim).collect()
}

/// Compiles all claims at once: the compiler names the line of each that fails, and says why.
fn judge(claims: &[Claim]) -> Findings {
    let headers = "#include <linux/bpf.h>\n#include <linux/filter.h>\n#include <linux/magic.h>\n";
    judge_with(None, headers, claims)
}

/// The same with other headers, and with the compiler of an architecture.
pub(crate) fn judge_with(compiler: Option<&str>, headers: &str, claims: &[Claim]) -> Findings {
    let lines: String = claims.iter().map(|claim| claim.code.clone() + "\n").collect();
    let source = format!("{headers}# 1 \"claims\"\n{lines}");
    let mut findings = Findings::default();
    let complaints = compile_by(compiler, &source, &["-fsyntax-only"]).err().unwrap_or_default();
    let mut wrong = BTreeSet::new();
    let mut absent = BTreeSet::new();
    for complaint in complaints.lines().filter(|line| line.contains("error")) {
        let place = complaint.strip_prefix("claims:").and_then(|rest| rest.split(':').next());
        let index: usize = place
            .and_then(|line| line.parse().ok())
            .unwrap_or_else(|| panic!("the header does not compile:\n{complaints}"));
        let asserted = complaint.contains("static assertion") || complaint.contains("static_assert");
        if asserted {
            wrong.insert(index - 1)
        } else {
            absent.insert(index - 1)
        };
    }
    findings.wrong = wrong.difference(&absent).map(|&index| claims[index].what.clone()).collect();
    findings.absent = absent.iter().map(|&index| claims[index].what.clone()).collect();
    findings.right = claims.len() - findings.wrong.len() - findings.absent.len();
    findings
}

/// A header as new as the tables must know everything; an older one at least what 6.1 knows.
fn tolerate_absence(findings: &Findings, at_least: usize) {
    assert!(findings.right >= at_least, "only {} checked, expected {at_least}", findings.right);
    if header_version() >= table_version() {
        assert_eq!(findings.absent, Vec::<String>::new(), "the header is new enough to have these");
    }
}

pub(crate) fn table_version() -> (u32, u32) {
    let mut parts = HEADERS.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

pub(crate) fn header_version() -> (u32, u32) {
    let source = "#include <linux/version.h>\nversion LINUX_VERSION_CODE\n";
    let text = compile(source, &["-E", "-P"]).expect("linux/version.h");
    let code =
        text.split_whitespace().last().and_then(|word| word.parse::<u32>().ok()).expect("a version code");
    (code >> 16, (code >> 8) & 0xff)
}

fn preprocessed_header() -> String {
    compile("#include <linux/bpf.h>\n", &["-E", "-P"]).expect("linux/bpf.h")
}

/// Runs the C compiler; its output, or its complaints.
fn compile(source: &str, options: &[&str]) -> Result<String, String> {
    compile_by(None, source, options)
}

fn compile_by(compiler: Option<&str>, source: &str, options: &[&str]) -> Result<String, String> {
    let own = || std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let compiler = compiler.map_or_else(own, str::to_owned);
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("claims.c");
    std::fs::write(&file, source).unwrap();
    let mut command = Command::new(&compiler);
    command
        .args(["-w", "-std=gnu11", "-fmessage-length=0"])
        .args(options)
        .args(limits(&compiler))
        .env("LC_ALL", "C");
    if let Some(directories) = std::env::var_os("KCONFORM_UAPI_INCLUDE") {
        for directory in std::env::split_paths(&directories) {
            assert!(directory.is_dir(), "KCONFORM_UAPI_INCLUDE: {} is no directory", directory.display());
            command.arg("-I").arg(directory);
        }
    }
    let output = command.arg(&file).output().unwrap_or_else(|error| {
        panic!("no C compiler: `{compiler}`: {error}; install one (and linux-libc-dev) or name it in CC")
    });
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !complaints.contains("file not found") && !complaints.contains("No such file"),
        "no kernel headers: install linux-libc-dev or name them in KCONFORM_UAPI_INCLUDE\n{complaints}"
    );
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(complaints)
    }
}

/// As many complaints as there are, each at the claim and not inside a macro: gcc and clang differ in how to ask.
fn limits(compiler: &str) -> &'static [&'static str] {
    let version = Command::new(compiler).arg("--version").output();
    let clang = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("clang"));
    if clang { &["-ferror-limit=0"] } else { &["-fmax-errors=0", "-ftrack-macro-expansion=0"] }
}
