//! What is said of a case, for two architectures.

use std::sync::Arc;

use kconform_abi::Arch;
use rstest::rstest;

use crate::load::{SuiteFile, load};
use crate::place::File;
use crate::report::explain;
use crate::style::Style;

const CASE: &str = r#"
cases:
  - name: delete is refused
    about: The elements of an array exist for the life of the map.
    source: bpf(2)
    requires: {kernel: ">=3.19", capabilities: [CAP_BPF], config: ["!CONFIG_X"], jit: false}
    known_issue: {when: {arch: s390x}, because: a bug}
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4, map_name: {str: x}}]
        save: map
      - unprivileged:
          - bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 0}}]
            about: by anyone
            errno: [EINVAL, EPERM]
            except: {when: {kernel: "<5.11"}, errno: EPERM, because: it was so}
      - read: [$map, {out: 4, as: data}, 4]
        errno: [none, EBADF]
        ret: {min: 4}
        expect: {data: 7}
      - repeat: {times: 2, as: i, steps: [{lseek: [$map, $i, SEEK_SET], errno: ESPIPE}]}
      - read: [$map, {out: 4}, 4]
        ret: {min: 0, max: 4}
        expect: {arg1: {not: {u32: 1}}}
        eventually: 2
      - openat: [AT_FDCWD, null, "O_DIRECTORY | O_CLOEXEC"]
        errno: EFAULT
  - name: every form
    requires: {sysctl: {kernel.kptr_restrict: 0, vm.max_map_count: {min: 100}}, jit: true, lockdown: [none, integrity], lsm: ["!selinux", bpf], cmdline: "!nokaslr"}
    exclusive: true
    guest_only: true
    needs: closing
    steps:
      - exec: [{close: [0]}]
      - unprivileged: {capabilities: [CAP_BPF], steps: [{close: [0]}]}
      - parallel: [[{close: [0]}], [{close: [0]}]]
      - memfd_create: [{str: x}, 0]
        save: made
      - send_fd: {fd: $made, steps: [{close: [$fd]}]}
      - sysctl: {kernel.unprivileged_bpf_disabled: 0, steps: [{close: [0]}]}
      - open: [{str: /}, O_RDONLY]
      - mmap: [0, 4096, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0]
        save: address
      - peek: [$address, 8]
      - poke: [$address, {u64: 5}]
      - bpf: [BPF_MAP_CREATE, unmapped]
      - bpf: [BPF_MAP_CREATE, {map_type: 1, "@120": {u8: 1}}]
      - bpf: [BPF_MAP_CREATE | BPF_COMMON_ATTRS, {map_type: 1}, 92, {log_buf: {out: 9}, log_level: 1}]
      - bpf: [BPF_MAP_CREATE | BPF_COMMON_ATTRS, {map_type: 1}, 92, unmapped, 24]
      - write: [1, {u8: [1, 2]}, 2]
      - write: [1, {u16: [1, 2]}, 4]
      - write: [1, {hex: "de ad"}, 2]
      - write: [1, {zero: 16}, 16]
      - write: [1, {fill: [0xff, 16]}, 16]
      - write: [1, {list: [{u32: 1}, {addr_of: [{str: x}]}, {times: [2, {u8: 1}]}]}, 14]
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $made, key: {u32: 0}, value: {percpu: {u32: 7}}}]
      - bpf: [BPF_MAP_UPDATE_ELEM, {map_fd: $made, key: {u32: 0}, value: {percpu: [{u32: 7}, {u32: 8}]}}]
      - read: [0, {out: 16, as: text}, 16]
        save: {kept: text}
      - write: [1, {bytes: $kept}, 16]
      - write: [1, readonly, 1]
      - write: [1, kernel, 1]
      - close: [$made]
        ret: 7
      - mmap: [0, 4096, PROT_READ, MAP_32BIT, -1, 0]
      - bpf: [BPF_MAP_LOOKUP_ELEM, $address]
      - kill: [0, SIGBUS]
        signal: SIGBUS
  - name: the kernel's own types
    fresh: true
    steps:
      - write: [1, {struct: [tcp_congestion_ops, {flags: {u32: 1}, owner: {u64: 2}}]}, 1]
      - fork: [{close: [btf_id(func vfs_read)]}]
probes:
  closing:
    since: "2.0"
    absent: EBADF
    steps:
      - close: [0]
"#;

#[rstest]
#[case(Arch::X86_64)]
#[case(Arch::Aarch64)]
fn words(#[case] arch: Arch) {
    let file = Arc::new(File { path: "cases/sample.yaml".into(), text: CASE.into() });
    let loaded = load(&[SuiteFile { suite: "sample".into(), file }]);
    assert_eq!(loaded.mistakes, []);
    let text: String = loaded.cases.iter().map(|case| explain(case, arch, Style { color: false })).collect();
    insta::assert_snapshot!(format!("explain_{arch}"), text);
}
