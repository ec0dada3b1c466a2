//! The tables of what commands return and map types give: complete, in order, with names that exist.

use std::collections::BTreeSet;

use kconform_abi::bpf::{self, Gives};
use kconform_abi::{Arch, constant, constant_names, errno};

/// Newer than Linux 6.12.
const NEWER: &[&str] = &["BPF_PROG_STREAM_READ_BY_FD", "BPF_PROG_ASSOC_STRUCT_OPS"];

#[test]
fn every_command_has_its_errnos() {
    let all: Vec<_> = bpf::commands().map(|c| c.name).filter(|name| !NEWER.contains(name)).collect();
    let table: Vec<_> = bpf::returns().map(|row| row.command).collect();
    assert_eq!(table, all);
}

#[test]
fn errnos_are_in_order_and_exist() {
    for row in bpf::returns() {
        let names: Vec<_> = row.errnos.iter().map(|pair| pair.errno).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{}: {names:?}", row.command);
        for pair in row.errnos {
            assert!(errno::number(pair.errno).is_some(), "{}", pair.errno);
            assert!(!pair.from.is_empty() && pair.beyond != Some(""), "{} {}", row.command, pair.errno);
        }
    }
}

/// bpf(2) itself looks at every attr before any command does.
#[test]
fn every_command_checks_its_attr() {
    for row in bpf::returns() {
        for errno in ["E2BIG", "EFAULT", "EINVAL"] {
            assert!(row.errnos.iter().any(|pair| pair.errno == errno), "{} {errno}", row.command);
        }
    }
}

/// The names of an enum of linux/bpf.h up to a member, by number; two names of one number are one.
fn numbers(prefix: &str, most: u64) -> BTreeSet<u64> {
    let own = constant_names().filter(|name| name.starts_with(prefix) && !name.ends_with("UNSPEC"));
    own.filter_map(|name| constant(Arch::X86_64, name)).filter(|number| (1..=most).contains(number)).collect()
}

fn in_order(names: impl Iterator<Item = &'static str>) -> BTreeSet<u64> {
    let all: Vec<u64> = names.map(|name| constant(Arch::X86_64, name).expect("a constant")).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    all.into_iter().collect()
}

#[test]
fn every_type_is_there() {
    let last = |name| constant(Arch::X86_64, name).expect("a constant");
    let maps = numbers("BPF_MAP_TYPE_", last("BPF_MAP_TYPE_ARENA"));
    assert_eq!(in_order(bpf::map_types().iter().map(|row| row.name)), maps);
    let programs = numbers("BPF_PROG_TYPE_", last("BPF_PROG_TYPE_NETFILTER"));
    assert_eq!(in_order(bpf::program_types().iter().map(|row| row.name)), programs);
    let links = numbers("BPF_LINK_TYPE_", last("BPF_LINK_TYPE_SOCKMAP"));
    assert_eq!(in_order(bpf::link_types().iter().map(|row| row.name)), links);
}

#[test]
fn names_in_the_tables_exist() {
    for map in bpf::map_types() {
        for gives in map.gives {
            if let Gives::Refusal(errnos) = gives {
                assert!(errnos.iter().all(|name| errno::number(name).is_some()), "{}", map.name);
            }
        }
    }
    for link in bpf::link_types() {
        for name in link.attach_types.iter().chain(link.program_types) {
            assert!(constant(Arch::X86_64, name).is_some(), "{name}");
        }
    }
}

#[test]
fn rows_of_field_use_name_fields() {
    for row in bpf::returns() {
        let command = bpf::command(row.command).expect("a command");
        let known = command.fields.iter().filter(|field| bpf::field_use(command, field).is_some());
        assert!(known.count() > 0, "{}", command.name);
    }
}
