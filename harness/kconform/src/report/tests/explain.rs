//! What is said of a case, for two architectures.

use std::sync::Arc;

use kconform_abi::Arch;
use rstest::rstest;

use crate::load::{SuiteFile, load};
use crate::place::File;
use crate::report::{Style, explain};

const CASE: &str = r#"
cases:
  - name: delete is refused
    about: The elements of an array exist for the life of the map.
    source: bpf(2)
    requires: {kernel: ">=3.19", capabilities: [CAP_BPF], config: ["!CONFIG_X"]}
    known_issue: {when: {arch: s390x}, because: a bug}
    steps:
      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4, map_name: {str: x}}]
        save: map
      - unprivileged:
          - bpf: [BPF_MAP_DELETE_ELEM, {map_fd: $map, key: {u32: 0}}]
            about: by anyone
            errno: [EINVAL, EPERM]
            except: {when: {kernel: "<5.11"}, errno: EPERM, because: it was so}
      - repeat: {times: 2, as: i, steps: [{lseek: [$map, $i, SEEK_SET], errno: ESPIPE}]}
      - read: [$map, {out: 4}, 4]
        ret: {min: 0, max: 4}
        expect: {arg1: {not: {u32: 1}}}
        eventually: 2
      - openat: [AT_FDCWD, null, "O_DIRECTORY | O_CLOEXEC"]
        errno: EFAULT
"#;

#[rstest]
#[case(Arch::X86_64)]
#[case(Arch::Aarch64)]
fn words(#[case] arch: Arch) {
    let file = Arc::new(File { path: "cases/sample.yaml".into(), text: CASE.into() });
    let loaded = load(&[SuiteFile { suite: "sample".into(), file }]);
    assert_eq!(loaded.mistakes, []);
    let text = explain(&loaded.cases[0], arch, Style { color: false });
    insta::assert_snapshot!(format!("explain_{arch}"), text);
}
