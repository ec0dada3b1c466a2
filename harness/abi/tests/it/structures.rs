//! The structures of the uapi against the C compiler's view of the headers, on the machine's own architecture and, where
//! its compiler is installed, on riscv64.

use std::collections::{BTreeMap, BTreeSet};

use kconform_abi::{Arch, MemberKind, Structure, structure, structure_names};

use crate::uapi::{Claim, header_version, judge_with, table_version};

/// What even the headers of 6.1 (Debian bookworm's) know.
const AT_LEAST: usize = 1000;

/// How each architecture's compiler is called.
fn compilers() -> Vec<(Arch, Option<String>)> {
    let own = Arch::from_name(std::env::consts::ARCH).map(|arch| (arch, None));
    // Headers that are named are those of this machine.
    if std::env::var_os("KCONFORM_UAPI_INCLUDE").is_some() {
        return own.into_iter().collect();
    }
    let cross = "riscv64-linux-gnu-gcc";
    let there = std::process::Command::new(cross).arg("--version").output().is_ok();
    let cross = (Arch::Riscv64, Some(cross.to_owned()));
    own.into_iter().chain(Some(cross).filter(|_| there)).collect()
}

/// The lines that bring a header in; the C library has what the kernel keeps to itself.
fn preamble(header: &str) -> String {
    let includes: &[&str] = match header {
        "include/linux/socket.h" => &["sys/socket.h"],
        "linux/un.h" | "linux/if.h" | "linux/vm_sockets.h" => &["sys/socket.h", header],
        _ => &["linux/types.h", header],
    };
    // An older kernel lacks some headers.
    let includes: String = includes
        .iter()
        .map(|name| format!("#if __has_include(<{name}>)\n#include <{name}>\n#endif\n"))
        .collect();
    format!("#define _GNU_SOURCE\n{includes}")
}

/// Older headers end earlier, and have longer reserves.
fn claims(known: &Structure, as_new: bool) -> Vec<Claim> {
    let name = known.name;
    let equal = if as_new { "==" } else { "<=" };
    let size = format!("_Static_assert(sizeof(struct {name}) {equal} {}, \"\");", known.size);
    let mut all = vec![Claim { what: format!("struct {name}"), code: size }];
    let reserve = |name: &str| ["spare", "resv", "reserved", "pad"].iter().any(|word| name.contains(word));
    for member in known.members {
        if matches!(member.kind, MemberKind::Bits { .. }) || !as_new && reserve(member.name) {
            continue;
        }
        let path = member.name;
        let place = format!("__builtin_offsetof(struct {name}, {path}) == {}", member.offset);
        let sized = member.size > 0 && (as_new || member.kind != MemberKind::Bytes);
        let size = match sized {
            true => format!(" && sizeof(((struct {name} *)0)->{path}) == {}", member.size),
            false => String::new(),
        };
        let code = format!("_Static_assert({place}{size}, \"\");");
        all.push(Claim { what: format!("struct {name}: {path}"), code });
    }
    all
}

#[test]
fn every_member_is_where_the_compiler_puts_it() {
    let names: BTreeSet<&str> = structure_names().collect();
    let as_new = header_version() >= table_version();
    for (arch, compiler) in compilers() {
        let mut by_header: BTreeMap<&str, Vec<Claim>> = BTreeMap::new();
        for name in &names {
            let known = structure(arch, name).expect("all architectures have them");
            // The C library has no such thing, or gives it a form of its own.
            if !["linux_dirent64", "file_handle", "sigaction"].contains(name) {
                by_header.entry(known.header).or_default().extend(claims(&known, as_new));
            }
        }
        let (mut right, mut wrong, mut absent) = (0, Vec::new(), Vec::new());
        for (header, claims) in by_header {
            let findings = judge_with(compiler.as_deref(), &preamble(header), &claims);
            right += findings.right;
            wrong.extend(findings.wrong);
            absent.extend(findings.absent);
        }
        eprintln!("{arch}: {right} as in the headers, absent there: {absent:?}");
        assert_eq!(wrong, Vec::<String>::new(), "{arch}");
        assert!(right >= AT_LEAST, "{arch}: only {right} checked");
    }
}

#[test]
fn tables_are_sorted_and_members_lie_inside() {
    let names: BTreeSet<&str> = structure_names().collect();
    assert!(names.len() > 150);
    for name in names {
        for &arch in Arch::ALL {
            let known = structure(arch, name).unwrap_or_else(|| panic!("{name} is not found on {arch}"));
            for member in known.members {
                assert!(member.bits().end <= 8 * known.size, "{name}.{} on {arch}", member.name);
                assert_eq!(known.member(member.name), Some(member), "{name}.{} comes twice", member.name);
            }
        }
    }
}

#[test]
fn what_architectures_have_in_their_own_way() {
    let place = |arch, name, member: &str| {
        let known = structure(arch, name).expect("known");
        let member = known.member(member).expect("a member");
        (known.size, member.offset, member.shift(arch))
    };
    assert_eq!(place(Arch::X86_64, "epoll_event", "data"), (12, 4, 0), "packed, linux/eventpoll.h");
    assert_eq!(place(Arch::Riscv64, "epoll_event", "data"), (16, 8, 0));
    // `disabled` is the first bit that is declared, `inherit` the second.
    assert_eq!(place(Arch::X86_64, "perf_event_attr", "inherit"), (144, 40, 1));
    assert_eq!(place(Arch::S390x, "perf_event_attr", "inherit"), (144, 40, 62));
    // The version of IP is the upper half of the first byte everywhere.
    for &arch in Arch::ALL {
        assert_eq!(place(arch, "iphdr", "version"), (20, 0, 4), "{arch}");
    }
}
