//! How long reading and checking cases takes: `cargo bench --bench load`. Prints the median of some runs.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use kconform::inner::{File, SuiteFile, load};

const RUNS: usize = 21;

/// Files that come to so many cases, with everything that costs: tables, merges, constants, instructions, names.
fn files(cases: usize) -> Vec<SuiteFile> {
    let per_file = 500;
    (0..cases.div_ceil(per_file)).map(|n| file(n, per_file)).collect()
}

fn file(number: usize, cases: usize) -> SuiteFile {
    let mut text = String::from(
        "about: A file of the benchmark.\nsource: bpf(2)\nrequires: {kernel: \">=3.19\", capabilities: [CAP_BPF]}\n\
         let:\n  array: &array {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4}\ncases:\n",
    );
    let points: Vec<_> = (0..25).map(|n| n.to_string()).collect();
    for case in 0..cases / 50 {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"  - name: case number {case}
    matrix: {{key: [{}], flags: [BPF_ANY, BPF_EXIST]}}
    steps:
      - bpf: [BPF_MAP_CREATE, {{<<: *array, max_entries: $key}}]
        save: map
      - bpf: [BPF_MAP_UPDATE_ELEM, {{map_fd: $map, key: {{u32: $key}}, value: {{u64: 42}}, flags: $flags | BPF_F_LOCK}}]
        errno: EINVAL
      - bpf: [BPF_MAP_LOOKUP_ELEM, {{map_fd: $map, key: {{u32: $key}}, value: {{out: 8}}}}]
        expect: {{value: {{any: [{{u64: 42}}, {{not: {{u64: 0}}}}]}}}}
      - bpf:
          - BPF_PROG_LOAD
          - prog_type: BPF_PROG_TYPE_SOCKET_FILTER
            insns: {{insns: ["BPF_LD_MAP_FD(BPF_REG_1, $map)", "BPF_MOV64_IMM(BPF_REG_0, $key)", "BPF_EXIT_INSN()"]}}
            license: {{str: GPL}}
        save: prog
      - fork: [{{close: [$prog]}}, {{fcntl: [$map, F_GETFD], ret: FD_CLOEXEC}}]
"#,
            points.join(", ")
        );
    }
    let path = PathBuf::from(format!("{number}.yaml"));
    SuiteFile { suite: number.to_string().into(), file: Arc::new(File { path, text }) }
}

fn main() {
    let files = files(5000);
    let mut times: Vec<_> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let loaded = load(&files);
            assert!(loaded.mistakes.is_empty() && loaded.cases.len() == 5000);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("load 5000 cases of {} files: {:?}", files.len(), times[RUNS / 2]);
}
