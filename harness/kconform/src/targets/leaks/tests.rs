//! What is said of what a case left, and what is taken for somebody else's.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kconform_plan::KeyChange;

use super::*;
use crate::load::{SuiteFile, load};
use crate::place::File;

fn object(kind: ObjectKind, id: u32, number: u32, name: &str, places: &[Place]) -> Trace {
    let (name, places) = (name.to_owned(), places.to_vec());
    Trace { left: Left::Object { kind, id, number, name, places }, undone: false }
}

fn attachment(attached: bool, undone: bool) -> Trace {
    let place = Place::Cgroup { path: "/sys/fs/cgroup".into(), attach_type: 0 };
    Trace { left: Left::Attachment { program: 13, name: "in".into(), place, attached }, undone }
}

fn sysctl(undone: bool) -> Trace {
    let path = "/proc/sys/kernel/panic_on_warn".into();
    Trace { left: Left::Sysctl { path, before: "0".into(), after: "1".into() }, undone }
}

#[test]
fn what_outlives_a_case_is_named() {
    let text = "cases:\n  - {name: one, steps: [{close: [0]}]}\n".to_owned();
    let file = Arc::new(File { path: "s.yaml".into(), text });
    let case = load(&[SuiteFile { suite: "s".into(), file }]).cases.remove(0);
    let pin = || Place::Pin("/sys/fs/bpf/x".into());
    let cgroup = Place::Cgroup { path: "/sys/fs/cgroup".into(), attach_type: 1 };
    let device = Place::Device { name: "lo".into(), attach_type: 46 };
    let undone = Trace { undone: true, ..object(ObjectKind::Map, 9, 1, "", &[pin()]) };
    let traces = [
        object(ObjectKind::Map, 7, 2, "counts", &[pin()]),
        undone,
        object(ObjectKind::Map, 8, 26, "", &[]),
        object(ObjectKind::Map, 10, 999, "", &[]),
        object(ObjectKind::Program, 3, 8, "egress", &[cgroup]),
        object(ObjectKind::Program, 4, 3, "", &[device, Place::Network { attach_type: 17 }]),
        object(ObjectKind::Program, 5, 6, "", &[Place::Link(2)]),
        object(ObjectKind::Program, 6, 6, "", &[Place::Network { attach_type: 99 }]),
        object(ObjectKind::Program, 11, 999, "", &[]),
        object(ObjectKind::Link, 2, 6, "", &[]),
        object(ObjectKind::Link, 12, 999, "", &[pin()]),
        object(ObjectKind::Btf, 1, 0, "", &[]),
        sysctl(true),
        sysctl(false),
        Trace { left: Left::Directory("/sys/fs/cgroup/x".into()), undone: true },
        Trace { left: Left::Directory("/sys/fs/cgroup/y".into()), undone: false },
        attachment(true, true),
        attachment(true, false),
        attachment(false, true),
        attachment(false, false),
    ];
    let Verdict::Failed(failure) = outlived(&case, &traces) else { panic!() };
    let also: Vec<_> = failure.also.iter().map(|(_, text)| text.as_str()).collect();
    insta::assert_snapshot!(format!(
        "expected: {}\n{}\n\n{}",
        failure.expected,
        failure.got.replace("), ", "),\n"),
        also.join("\n")
    ));
}

#[test]
fn changes_of_keys_are_told_with_what_undoes_them() {
    let (before, after) = (0x3f01_0000, 0x3f00_0000);
    let keyring = |change: fn(i32, String) -> KeyChange| change(7, "_uid.0".into());
    let timeout = |before: &str| KeyChange::Timeout { before: before.into(), after: "16m".into() };
    let changes = [
        keyring(|keyring, name| KeyChange::Linked { keyring, name }),
        keyring(|keyring, name| KeyChange::Unlinked { keyring, name }),
        KeyChange::Made,
        KeyChange::Permissions { before, after },
        KeyChange::Owner { before: (0, 0), after: (1000, 0) },
        timeout("perm"),
        timeout("3d"),
        KeyChange::Payload,
        KeyChange::Revoked,
    ];
    let key = |change: &KeyChange, kind: &str, undone| {
        let (kind, description, change) = (kind.into(), "it".into(), change.clone());
        Trace { left: Left::Key { id: 5, kind, description, change }, undone }
    };
    let mut told = Vec::new();
    for change in &changes {
        told.push(list(&[key(change, "user", false)]));
        told.extend([false, true].iter().filter_map(|undone| remedy(&key(change, "user", *undone))));
        // What is not known of it is left out, and its id may be another one.
        assert_eq!(again(&[key(change, "user", true)], vec![key(change, "user", false)]).len(), 1);
        assert_eq!(again(&[key(change, "user", true)], vec![key(change, "", false)]), []);
    }
    told.push(list(&[key(&KeyChange::Revoked, "", false)]));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn only_what_comes_again_is_the_case_s() {
    let map = |id, name| object(ObjectKind::Map, id, 2, name, &[]);
    let first = [map(1, "mine"), map(2, "theirs")];
    let second = vec![map(7, "other"), map(8, "mine")];
    assert_eq!(again(&first, second), [map(8, "mine")]);
    assert_eq!(again(&first, vec![object(ObjectKind::Map, 9, 3, "mine", &[])]), []);
}
