//! The folder for temporary files (TMPDIR): called anything, and of no use.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, Said, in_a_chroot, is_root, not_here};

const ONE: &str = "cases:\n  - {name: one, steps: [{close: [0]}]}\n";

fn run(place: &Place, folder: &std::path::Path, arguments: &[&str]) -> Said {
    let output = place.command(&[]).env("TMPDIR", folder).args(arguments).output().expect("the program");
    place.assert_nothing_left();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A socket's path has 107 bytes at most (unix(7)), an option of QEMU is ended by a comma, and a path need not be text.
#[rstest]
fn a_guest_comes_up_whatever_its_folder_is_called(
    #[values("x86_64", "riscv64")] arch: &str,
    #[values(b"long".as_slice(), b"a, b=c 'd\"", b"\xff\xfe")] name: &[u8],
) {
    if !is_set_up(arch) {
        return;
    }
    let place = Place::with(ONE);
    let name = match name {
        b"long" => ["long"; 40].concat().into_bytes(),
        other => other.to_vec(),
    };
    let folder = place.folder().join(OsString::from_vec(name));
    std::fs::create_dir(&folder).expect("a folder");
    for more in [&["--cold"][..], &[]] {
        let said = run(&place, &folder, &[&["run", "--target", arch], more].concat()).assert_status(0);
        assert_eq!(said.counts(arch), "1 passed");
    }
    let said = run(&place, &folder, &["run", "--target", "native"]);
    match folder.to_str() {
        Some(_) => assert_eq!(said.counts("native"), "1 passed", "{}", said.all()),
        // The agent is told of it in words.
        None => {
            assert!(said.out.contains("/\u{fffd}\u{fffd}: its path is not UTF-8"), "{}", said.all());
            assert!(said.out.contains("to mend it: set TMPDIR to a folder"), "{}", said.all());
        }
    }
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "files that were left");
}

/// An empty variable is as if it were not set, and leaves nothing here.
#[test]
fn an_empty_name_is_no_folder() {
    let place = Place::with(ONE).env("TMPDIR", "");
    let watched = "cases:\n  - {name: one, steps: [{nanosleep: [{u64: [3, 0]}]}]}\n";
    let place = place.file("cases/s.yaml", watched);
    let mut child = place.command(&[]).args(["run", "--target", "native"]).spawn().expect("the program");
    let begun = std::time::Instant::now();
    let mut agent_runs = false;
    while child.try_wait().expect("a child").is_none() {
        let here = std::fs::read_dir(place.here()).expect("a folder").flatten();
        let names: Vec<_> = here.map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["cases"], "what is made here");
        agent_runs |= begun.elapsed().as_secs() >= 2;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(agent_runs, "the case did not last");
}

/// Every target says what to do, before a run and in it.
#[rstest]
#[case::missing("missing", "No such file or directory")]
#[case::a_file("file", "Not a directory")]
#[case::read_only("read-only", "Read-only file system")]
fn a_folder_that_is_of_no_use_is_told_with_what_to_do(#[case] kind: &str, #[case] reason: &str) {
    let place = Place::with(ONE).file("file", "");
    let folder = place.here().join(kind);
    let path = folder.display().to_string();
    let mut through = vec![];
    if kind == "read-only" {
        if !is_root() || in_a_chroot() {
            return not_here("a read-only folder: it needs a mount that nobody else sees");
        }
        std::fs::create_dir(&folder).expect("a folder");
        through.extend([
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs -o ro none \"$TMPDIR\" && exec \"$@\"",
            "sh",
        ]);
    }
    let place = place.env("TMPDIR", &path);
    let said = place.say_through(&through, &["run", "--target", "native"]).assert_status(3);
    let told = format!("lost: the agent could not be started in {path}: {reason}");
    assert!(said.out.contains(&told), "{}", said.all());
    let mend = "to mend it: set TMPDIR to a folder that programs can be written to and run from";
    assert!(said.out.contains(mend), "{}", said.all());
    if !is_set_up("x86_64") {
        return;
    }
    let told = format!("a guest's files cannot be kept in {path}: {reason}");
    let mend = "to mend it: set TMPDIR to a folder that can be written to";
    for (words, status) in [
        (&["run", "--target", "x86_64"][..], 3),
        (&["run", "--target", "x86_64", "--cold"], 3),
        (&["doctor"], 3),
        (&["targets"], 0),
    ] {
        let said = place.say_through(&through, words).assert_status(status);
        assert!(said.out.contains(&told) && said.out.contains(mend), "{words:?}\n{}", said.all());
    }
}

/// The agent is a program.
#[test]
fn a_folder_that_is_mounted_noexec_is_told_as_such() {
    if !is_root() || in_a_chroot() {
        return not_here("a folder without programs: it needs a mount that nobody else sees");
    }
    let place = Place::with(ONE);
    let script = "mount -t tmpfs -o noexec none \"$TMPDIR\" && exec \"$@\"";
    let through = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let said = place.say_through(&through, &["run", "--target", "native"]).assert_status(3);
    let told = format!("in {}: its file system is mounted noexec", place.tmp().display());
    assert!(said.out.contains(&told), "{}", said.all());
    assert!(said.out.contains("set TMPDIR to a folder that programs can be written to and run from"));
}

/// In a root that is not set up, "No such file or directory" would be said of the program, which is there.
#[test]
fn a_root_without_dev_null_is_told_as_such() {
    if !is_root() || in_a_chroot() {
        return not_here("a root without /dev/null: it needs a mount that nobody else sees");
    }
    let place = Place::with(ONE);
    let through = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"];
    for target in ["native", "x86_64"] {
        if target != "native" && !is_set_up(target) {
            continue;
        }
        let said = place.say_through(&through, &["run", "--target", target]).assert_status(3);
        assert!(said.out.contains("lost: there is no /dev/null in this root\n"), "{}", said.all());
        assert!(
            said.out.contains("to mend it: mount a /dev into it, or run outside of it"),
            "{}",
            said.all()
        );
    }
}
