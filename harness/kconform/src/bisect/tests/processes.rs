use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::bisect::process::{MARK, end_marked, run};

#[test]
fn what_a_program_says_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    let status = run(command, folder.path(), &log).unwrap().unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(fs::read_to_string(&log).unwrap(), "out\nerr\n");
}

/// What a killed search left running is found by its folder, and nothing else is.
#[test]
fn programs_of_a_search_are_ended() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut started: Vec<_> = folders
        .iter()
        .map(|folder| {
            let mut cat = Command::new("cat");
            cat.env(MARK, folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut cat = cat.spawn().unwrap();
            // A process has its environment only some time after spawn() comes back.
            cat.stdin.as_mut().unwrap().write_all(b"x").unwrap();
            cat.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            cat
        })
        .collect();
    let mut ours = started.remove(0);
    // To wait for it would close it.
    let stdin = ours.stdin.take();
    // What has ended and is not waited for would be met again.
    let waits = std::thread::spawn(move || ours.wait().unwrap());
    end_marked(folders[0].path());
    assert!(!waits.join().unwrap().success());
    drop(stdin);
    assert_eq!(started[0].try_wait().unwrap(), None);
    drop(started[0].stdin.take());
    assert!(started[0].wait().unwrap().success());
}
