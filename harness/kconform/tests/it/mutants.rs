//! `tools/mutants`, as far as it needs neither a kernel's source nor a guest.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::program::not_here;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools")
}

/// Python, which has `tomllib` from 3.11 on.
fn python(arguments: &[&str]) -> Option<Output> {
    let found = Command::new("python3").args(["-c", "import tomllib"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        not_here("tools/mutants, which needs Python 3.11 or newer");
        return None;
    }
    Some(Command::new("python3").current_dir(tools()).arg("-B").args(arguments).output().expect("python3"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn its_own_tests_pass() {
    let Some(output) = python(&["-m", "unittest", "mutation.selftest"]) else { return };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn mutants_of_a_source_are_drawn_by_seed_without_building() {
    let folder = tempfile::tempdir().expect("a directory");
    let bpf = folder.path().join("linux/kernel/bpf");
    std::fs::create_dir_all(&bpf).expect("a directory");
    let files = "syscall arraymap hashtab lpm_trie queue_stack_maps ringbuf bloom_filter map_in_map stackmap inode local_storage \
                 bpf_local_storage";
    for file in files.split_whitespace() {
        let text =
            "int check(u32 size)\n{\n\tif (size < 4 || size > 8)\n\t\treturn -EINVAL;\n\treturn 0;\n}\n";
        std::fs::write(bpf.join(format!("{file}.c")), text).expect("a file");
    }
    let (source, work) = (folder.path().join("linux"), folder.path().join("work"));
    let list = |seed: &str, count: &str| {
        let [source, work] = [&source, &work].map(|path| path.to_str().expect("a path"));
        let arguments = [
            "mutants",
            "--list",
            "--only",
            "ringbuf.c",
            "--source",
            source,
            "--work",
            work,
            "--seed",
            seed,
            "--count",
            count,
        ];
        let output = python(&arguments)?;
        assert!(output.status.success(), "{}", said(&output));
        Some(said(&output))
    };
    let Some(all) = list("1", "100") else { return };
    assert_eq!(all.lines().filter(|line| line.contains("ringbuf.c:")).count(), 7, "{all}");
    assert!(all.contains("kernel/bpf/ringbuf.c check()"), "{all}");
    assert_eq!(list("5", "2"), list("5", "2"));
    let drawn: Vec<_> = (1..9).map(|seed| list(&seed.to_string(), "2")).collect();
    assert!(drawn.iter().any(|other| *other != drawn[0]), "{drawn:#?}");
}

#[test]
fn a_work_folder_without_a_source_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().expect("a directory");
    let work = folder.path().to_str().expect("a path");
    let Some(output) = python(&["mutants", "--list", "--source", work, "--work", work]) else { return };
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("is no kernel source"), "{}", said(&output));
}
