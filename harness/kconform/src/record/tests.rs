//! Recorded calls as case files.

use kconform_abi::{Arch, bpf};

use super::call::{Bpf, Call, Event, FieldValue, Kind, Made, Memory, Object, Shape};
use super::decode::fields_that_count;
use super::names::resolve;
use super::write;

/// The kernel's number for a command, and fields with what they hold and point to.
fn call(name: &str, fields: &[(&str, u64, &[u8], &[u8])], ret: i64) -> Call {
    let command = bpf::command(name).expect("a command");
    let value = |(name, number, before, after): &(&str, u64, &[u8], &[u8])| FieldValue {
        field: command.field(name).expect("a field"),
        number: *number,
        after: *number,
        memory: (!before.is_empty()).then(|| Memory {
            before: before.to_vec(),
            after: after.to_vec(),
            ..Memory::default()
        }),
    };
    let object = if name == "BPF_MAP_CREATE" { Object::Map } else { Object::Prog };
    let kind = Kind::Bpf(Bpf {
        number: command.number.into(),
        command: Some(command),
        fields: Some(fields.iter().map(value).collect()),
        beyond: Vec::new(),
        size: command.size.into(),
        made: (command.gives_fd() && ret >= 0).then_some(Made { object, id: Some(ret as u32) }),
        shape: Some(Shape { map_type: 1, key_size: 4, value_size: 8 }),
        open: vec![(9, "/sys/fs/cgroup".to_owned())],
    });
    Call { tid: 1, kind, ret }
}

fn file(calls: Vec<Call>) -> String {
    let events: Vec<Event> = calls.into_iter().map(|call| Event::Call(Box::new(call))).collect();
    write(&resolve(&events), &["./prog".to_owned()], Arch::X86_64).text
}

/// The steps of the file, without what it says of this machine.
fn steps(calls: Vec<Call>) -> String {
    let text = file(calls);
    text[text.find("    steps:").expect("steps")..].to_owned()
}

fn hash() -> Call {
    let name = b"hits\0\0\0\0\0\0\0\0\0\0\0\0";
    let fields: &[(&str, u64, &[u8], &[u8])] = &[
        ("map_type", 1, &[], &[]),
        ("key_size", 4, &[], &[]),
        ("value_size", 8, &[], &[]),
        ("max_entries", 16, &[], &[]),
        ("map_flags", 1, &[], &[]),
        ("map_name", 0, name, name),
    ];
    call("BPF_MAP_CREATE", fields, 3)
}

fn close(fd: i32) -> Call {
    Call { tid: 1, kind: Kind::Close(fd, fd), ret: 0 }
}

#[test]
fn fds_have_names_and_what_came_back_is_expected() {
    let (key, value) = (1_u32.to_ne_bytes(), 42_u64.to_ne_bytes());
    let lookup = |ret| {
        call(
            "BPF_MAP_LOOKUP_ELEM",
            &[("map_fd", 3, &[], &[]), ("key", 8, &key, &[]), ("value", 8, &[0; 8], &value)],
            ret,
        )
    };
    let update = || {
        call(
            "BPF_MAP_UPDATE_ELEM",
            &[("map_fd", 3, &[], &[]), ("key", 8, &key, &[]), ("value", 8, &value, &[])],
            0,
        )
    };
    let other = call("BPF_MAP_DELETE_ELEM", &[("map_fd", 9, &[], &[]), ("key", 8, &key, &[])], 0);
    let all = vec![hash(), lookup(-2), update(), update(), update(), lookup(0), other, close(3), lookup(-9)];
    insta::assert_snapshot!(steps(all), @r#"
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 16,
          map_flags: BPF_F_NO_PREALLOC, map_name: {str: hits}}]
        save: hits
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $hits, key: {u32: 1}, value: {out: 8}}]
        errno: ENOENT
      - repeat:
          times: 3
          steps:
            - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $hits, key: {u32: 1}, value: {u64: 42}}]
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: $hits, key: {u32: 1}, value: {out: 8}}]
        expect: {value: {u64: 42}}
      # Left out: BPF_MAP_DELETE_ELEM: fd 9 (/sys/fs/cgroup) does not come from a call that is recorded.
      - bpf: [BPF_MAP_LOOKUP_ELEM, {map_fd: -1, key: {u32: 1}, value: {out: 8}}]
        errno: EBADF
    "#);
}

/// What is pinned has a bpf file system of the case's own.
#[test]
fn pins_have_a_file_system_of_their_own() {
    let mut pin =
        call("BPF_OBJ_PIN", &[("pathname", 7, b"/sys/fs/bpf/a/m", &[]), ("bpf_fd", 3, &[], &[])], 0);
    if let Kind::Bpf(bpf) = &mut pin.kind
        && let Some(memory) = bpf.fields.iter_mut().flatten().find_map(|value| value.memory.as_mut())
    {
        memory.pinned = Some("a/m".to_owned());
    }
    let text = file(vec![hash(), pin]);
    let release = text.split(" on Linux ").nth(1).and_then(|rest| rest.split(',').next()).expect("a release");
    assert!(
        text.starts_with(&format!("about: \"Recorded from `./prog` on Linux {release}, x86_64.\"\n")),
        "{text}"
    );
    let steps = "      # A bpf file system of the case's own, for what the program pins.\n      \
        - mkdirat: [AT_FDCWD, {str: fs}, 0o755]\n      \
        - mount: [{str: bpf}, {str: fs}, {str: bpf}, 0, null]\n";
    assert!(text.contains(steps), "{text}");
    let pin = "      - mkdirat: [AT_FDCWD, {str: fs/a}, 0o700]\n      \
        - bpf: [BPF_OBJ_PIN, {pathname: {str: fs/a/m}, bpf_fd: $hits}]\n";
    assert!(text.ends_with(pin), "{text}");
}

#[test]
fn what_is_only_tried_is_taken_out() {
    let name = b"probe\0\0\0\0\0\0\0\0\0\0\0";
    let probe = || call("BPF_MAP_CREATE", &[("map_type", 2, &[], &[]), ("map_name", 0, name, name)], 4);
    let text = steps(vec![probe(), close(4), hash()]);
    assert!(!text.contains("probe") && text.contains("hits"), "{text}");
    // Unless there is nothing else.
    assert!(steps(vec![probe(), close(4)]).contains("probe"));
}

#[test]
fn a_link_takes_the_fields_of_its_attach_type() {
    let command = bpf::command("BPF_LINK_CREATE").expect("a command");
    let named = |attach_type: &str, flags: u32| {
        let mut attr = vec![0; command.size as usize];
        let number = super::decode::number_of(attach_type).expect(attach_type) as u32;
        attr[8..12].copy_from_slice(&number.to_ne_bytes());
        attr[12..16].copy_from_slice(&flags.to_ne_bytes());
        let names = fields_that_count(command, &attr).into_iter().map(|field| field.name);
        names.skip(4).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named("BPF_PERF_EVENT", 0), "perf_event.bpf_cookie");
    assert_eq!(named("BPF_TCX_INGRESS", 0), "tcx.relative_fd tcx.expected_revision");
    assert_eq!(named("BPF_TCX_INGRESS", 1 << 5), "tcx.relative_id tcx.expected_revision");
    assert_eq!(named("BPF_TRACE_FENTRY", 0), "target_btf_id tracing.cookie");
    assert_eq!(named("BPF_TRACE_ITER", 0), "iter_info iter_info_len");
    assert_eq!(named("BPF_XDP", 0), "");
}

#[test]
fn what_cannot_be_expressed_says_why() {
    let perf = |attr: &[u32], pid: i64| {
        let mut bytes: Vec<u8> = attr.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.resize(64, 0);
        Call { tid: 1, kind: Kind::Perf { attr: bytes, args: [pid, 0, -1, 0] }, ret: 5 }
    };
    let mut unreadable = hash();
    if let Kind::Bpf(bpf) = &mut unreadable.kind {
        bpf.fields = None;
    }
    let mut unknown = hash();
    if let Kind::Bpf(bpf) = &mut unknown.kind {
        bpf.command = None;
    }
    let typed: Vec<u8> = [[0x18, 0x31, 0, 0, 7, 0, 0, 0], [0; 8]].concat();
    let kinds = [
        (perf(&[2], 0), "a tracepoint's number is of this kernel"),
        (perf(&[8], 0), "the PMU's number is of this machine"),
        (perf(&[1], 77), "it is about a process of the time"),
        (unreadable, "its attr cannot be read"),
        (unknown, "the command is not known, or has BPF_COMMON_ATTRS"),
        (
            call("BPF_PROG_LOAD", &[("attach_btf_id", 7, &[], &[])], 5),
            "attach_btf_id is the number of a type of this kernel",
        ),
        (
            call("BPF_LINK_CREATE", &[("target_ifindex", 7, &[], &[])], 5),
            "target_ifindex is the number of a network device",
        ),
        (
            call("BPF_LINK_CREATE", &[("kprobe_multi.addrs", 7, &[], &[])], 5),
            "kprobe_multi.addrs is addresses of this kernel",
        ),
        (
            call("BPF_LINK_CREATE", &[("uprobe_multi.path", 7, &[], &[])], 5),
            "uprobe_multi.path is a program of this machine",
        ),
        (call("BPF_MAP_GET_NEXT_ID", &[], 0), "ids differ on each machine"),
        (call("BPF_PROG_GET_FD_BY_ID", &[("prog_id", 7, &[], &[])], -2), "ids differ on each machine"),
        (
            call("BPF_PROG_GET_FD_BY_ID", &[("prog_id", 7, &[], &[])], 6),
            "the object was there before, or comes from elsewhere",
        ),
        (
            call("BPF_OBJ_GET", &[], 6),
            "what is pinned there was made before; record the program that makes it too",
        ),
        (
            call("BPF_MAP_FREEZE", &[("map_fd", 9, &[], &[])], 0),
            "fd 9 (/sys/fs/cgroup) does not come from a call that is recorded",
        ),
        (
            call("BPF_MAP_FREEZE", &[("map_fd", 8, &[], &[])], 0),
            "fd 8 does not come from a call that is recorded",
        ),
        (
            call("BPF_PROG_LOAD", &[("insns", 7, &typed, &[])], 5),
            "BPF_PSEUDO_BTF_ID in its instructions has an id of this kernel's types",
        ),
    ];
    for (left, why) in kinds {
        let text = steps(vec![left, hash()]);
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "#").collect();
        assert!(words.join(" ").contains(&format!(": {why}.")), "{why:?} is not in {text}");
    }
    let (again, known) =
        (call("BPF_PROG_GET_FD_BY_ID", &[("prog_id", 5, &[], &[])], 6), call("BPF_PROG_LOAD", &[], 5));
    let text = steps(vec![known, again]);
    assert!(
        text.contains(
            "# Left out: BPF_PROG_GET_FD_BY_ID: ids differ on each machine; $prog is used for its fd."
        ),
        "{text}"
    );
}

#[test]
fn errors_say_what_is_needed() {
    let gone = || std::io::Error::from_raw_os_error(5);
    let why = "the kernel does not say which system calls a program makes (Input/output error (os error 5)): \
        PTRACE_GET_SYSCALL_INFO needs Linux 5.3";
    assert_eq!(kconform_trace::TraceError::NoInfo(gone()).to_string(), why);
    let why = "the program is no longer traced: Input/output error (os error 5)";
    assert_eq!(kconform_trace::TraceError::Lost(gone()).to_string(), why);
    let why = "programs cannot be recorded on mips: kconform has no tables of its system calls";
    assert_eq!(super::RecordError::Arch("mips").to_string(), why);
}
