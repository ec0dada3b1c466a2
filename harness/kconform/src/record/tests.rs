//! Recorded calls as case files.

use std::sync::Arc;

use kconform_abi::{Arch, bpf};
use rstest::rstest;

use super::call::{Bpf, Call, Event, FieldValue, Kind, Made, Memory, Object, Shape};
use super::decode::fields_that_count;
use super::log::read_log;
use super::names::resolve;
use super::write;
use crate::load::{SuiteFile, load};
use crate::place::File;

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
        untold: Vec::new(),
        dropped: Vec::new(),
    });
    Call { tid: 1, kind, ret }
}

fn file(calls: Vec<Call>) -> String {
    let events: Vec<Event> = calls.into_iter().map(|call| Event::Call(Box::new(call))).collect();
    write(&resolve(&events), &["./prog".to_owned()], "./prog on Linux 6.1").text
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
    assert!(text.starts_with("about: \"Recorded from ./prog on Linux 6.1.\"\n"), "{text}");
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

const LOG: &str = r#"4801 execve("/bin/try", ["try", "-a\x62"], 0x7ffd /* 20 vars */) = 0
4801 09:30:01.123456 bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_ARRAY, key_size=4, value_size=8, max_entries=1, map_flags=BPF_F_MMAPABLE, inner_map_fd=0, map_name="\x68\x69\x74\x73", map_ifindex=0, btf_fd=0, btf_key_type_id=0, btf_value_type_id=0}, 72) = 3<anon_inode:bpf-map> <0.000020>
4801 bpf(BPF_BTF_LOAD, {btf="\x9f\xeb"..., btf_log_buf=NULL, btf_size=800, btf_log_size=0, btf_log_level=0}, 28) = 4
4801 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3<anon_inode:bpf-map>, 0) = 0x7f0000000000
4801 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>
4802 bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_SOCKET_FILTER, insn_cnt=3, insns=[{code=BPF_LD|BPF_DW|BPF_IMM, dst_reg=BPF_REG_1, src_reg=BPF_REG_1, off=0, imm=0x3}, {code=BPF_LD|BPF_W|BPF_IMM, dst_reg=BPF_REG_0, src_reg=BPF_REG_0, off=0, imm=0}, {code=BPF_JMP|BPF_K|BPF_EXIT, dst_reg=BPF_REG_0, src_reg=BPF_REG_0, off=0, imm=0}], license="\x47\x50\x4c", log_level=1, log_size=64, log_buf="R0 !read_ok\n", kern_version=KERNEL_VERSION(6, 1, 0), prog_flags=0, prog_name="", prog_ifindex=0, expected_attach_type=BPF_CGROUP_INET_INGRESS, prog_btf_fd=4, func_info_rec_size=8, func_info=0x55d0, func_info_cnt=1, line_info_rec_size=16, line_info=NULL, line_info_cnt=0}, 120 <unfinished ...>
4801 <... clone resumed>, child_tidptr=0x7f) = 4802
4802 <... bpf resumed>)                 = -1 EACCES (Permission denied)
4802 --- SIGCHLD {si_signo=SIGCHLD} ---
4801 bpf(BPF_OBJ_PIN, {pathname="\x2f\x73\x79\x73\x2f\x66\x73\x2f\x62\x70\x66\x2f\x68", bpf_fd=3, file_flags=0}, 16) = 0
4801 bpf(BPF_OBJ_GET, {pathname="/sys/fs/bpf/h", bpf_fd=0, file_flags=0}, 16) = 5
4801 bpf(BPF_OBJ_GET_INFO_BY_FD, {info={bpf_fd=5, info_len=80 => 80, info={type=BPF_MAP_TYPE_ARRAY, id=9, key_size=4, value_size=8, max_entries=1, map_flags=BPF_F_MMAPABLE, name="\x68\x69\x74\x73", ifindex=0}}}, 16) = 0
4801 bpf(BPF_MAP_UPDATE_ELEM, {map_fd=3, key=0x7ffc, value=0x7ffd, flags=BPF_ANY}, 32) = 0
4801 bpf(BPF_MAP_FREEZE, {map_fd=3}, 120) = -1 EBUSY (Device or resource busy)
4801 perf_event_open({type=PERF_TYPE_SOFTWARE, size=0x40 /* PERF_ATTR_SIZE_VER0 */, config=PERF_COUNT_SW_BPF_OUTPUT, sample_period=1, sample_type=0, read_format=0, disabled=1, inherit=0}, -1, 0, -1, PERF_FLAG_FD_CLOEXEC) = 6
4801 ioctl(6, PERF_EVENT_IOC_ENABLE, 0)   = 0
4801 unlink("/sys/fs/bpf/h")              = 0
4801 bpf(BPF_PROG_TEST_RUN, {test={prog_fd=99, retval=0, data_size_in=14, data_size_out=0, data_in=0x7ffe, data_out=NULL, repeat=1, duration=0}}, 80) = ?
4801 exit_group(0)                        = ?
4801 +++ exited with 0 +++
"#;

#[test]
fn a_log_of_strace_becomes_a_case() {
    let log = read_log(LOG, Arch::X86_64).expect("a log");
    assert_eq!(log.notes, []);
    assert_eq!(log.called, ["try", "-ab"]);
    let text = write(&resolve(&log.events), &log.called, "a log").text;
    insta::assert_snapshot!(text);
    let file = Arc::new(File { path: "a.yaml".into(), text });
    assert_eq!(load(&[SuiteFile { suite: "a".into(), file }]).mistakes, []);
}

#[rstest]
#[case::raw(
    "bpf(0, 0x7ffc00, 72) = 3\n",
    "line 1: bpf(2) stands there as bare numbers (-e raw=bpf, or -X raw), which say nothing of the attr; write the log with: strace -f -v -xx -s 65536 -o LOG PROGRAM"
)]
#[case::old(
    "8 syscall_321(0x5, 0x7ffd1db9ca40, 0x48) = -1 (errno 7)\n",
    "line 1: bpf(2) stands there as bare numbers (-e raw=bpf, or -X raw), which say nothing of the attr; write the log with: strace -f -v -xx -s 65536 -o LOG PROGRAM"
)]
#[case::foreign(
    "# a log\nof something (else)\n",
    "there is no line of strace in it; write the log with: strace -f -v -xx -s 65536 -o LOG PROGRAM"
)]
fn a_log_that_says_nothing_is_refused(#[case] text: &str, #[case] wanted: &str) {
    assert_eq!(read_log(text, Arch::X86_64).expect_err("an error").to_string(), wanted);
}

#[test]
fn what_a_log_lacks_is_told() {
    let text = "[pid    7] getpid() = 7
[pid    9] bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_ARRAY, key_size=4, value_size=4, max_entries=1, ...}, 72) = 3
[pid    9] bpf(BPF_MAP_CREATE, {map_type= = 3
[pid    9] perf_event_open({type=PERF_TYPE_SOFTWARE, size=0 /* PERF_ATTR_SIZE_??? */, config=PERF_COUNT_SW_BPF_OUTPUT, ...}, -1, 0, -1, PERF_FLAG_FD_CLOEXEC) = 5
";
    let log = read_log(text, Arch::X86_64).expect("a log");
    let notes: Vec<String> = log.notes.iter().map(|(line, note)| format!("{line}: {note}")).collect();
    insta::assert_snapshot!(notes.join("\n"));
    let text = write(&resolve(&log.events), &["a".to_owned()], "a log").text;
    assert!(
        text.contains("# Left out: the rest of the attr of BPF_MAP_CREATE: the log does not have it."),
        "{text}"
    );
}
