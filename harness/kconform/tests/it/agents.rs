//! `ci/agents`, with tools that only pretend to build.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;

use crate::program::copy_program;

/// A tool that is there for each way, and what it says when it is asked whether that way is possible.
const TOOLS: [(&str, &str); 5] = [
    ("rustup", "echo riscv64gc-unknown-linux-musl"),
    ("cc", "echo /dev/null"),
    ("uname", "echo riscv64"),
    ("docker", ":"),
    ("cargo", "exit \"${BUILD_STATUS}\""),
];

/// A checkout in which an agent was built before, and a directory of tools.
fn checkout() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a directory");
    let tools = folder.path().join("tools");
    std::fs::create_dir_all(folder.path().join("ci")).expect("a directory");
    std::fs::create_dir(&tools).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/agents");
    copy_program(&script, &folder.path().join("ci/agents"));
    for (name, text) in TOOLS.into_iter().chain([("cross", TOOLS[4].1)]) {
        let path = tools.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a tool");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it can be run");
    }
    // The beginning of an ELF file for RISC-V (elf.h: e_machine is at 18).
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(18, 0);
    elf.extend([0xf3, 0]);
    elf.resize(64, 0);
    for build in ["build", "build-cross"] {
        for libc in ["gnu", "musl"] {
            let place = format!("target/agents/{build}/riscv64gc-unknown-linux-{libc}/agent");
            let place = folder.path().join(place);
            std::fs::create_dir_all(&place).expect("a directory");
            std::fs::write(place.join("kconform-agent"), &elf).expect("an agent");
        }
    }
    (folder, tools)
}

/// What it prints, what it says beside that, and its exit status.
fn agents(way: &str, build_status: &str) -> (String, String, Option<i32>) {
    let (folder, tools) = checkout();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").expect("a path"));
    let output = Command::new("bash")
        .arg(folder.path().join("ci/agents"))
        .arg("riscv64")
        .env("PATH", path)
        .env("KCONFORM_AGENT_WAY", way)
        .env("BUILD_STATUS", build_status)
        .output()
        .expect("bash");
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).replace(&*folder.path().to_string_lossy(), "[checkout]")
    };
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[rstest]
#[case::musl("musl")]
#[case::host("host")]
#[case::rustup("rustup")]
#[case::cross("cross")]
fn an_agent_of_before_is_not_told_as_one_that_was_built(#[case] way: &str) {
    let built = ("[checkout]/target/agents/riscv64/kconform-agent\n".to_owned(), Some(0));
    let (out, _, status) = agents(way, "0");
    assert_eq!((out, status), built);
    let (out, err, status) = agents(way, "101");
    assert_eq!((out.as_str(), status), ("", Some(1)), "{err}");
    let last = format!("ci/agents: the agent for riscv64 could not be built (way: {way})");
    assert_eq!(err.lines().last(), Some(last.as_str()), "{err}");
}
