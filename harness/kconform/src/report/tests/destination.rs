//! Where reports are written: what is refused beforehand, and what is there afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rstest::rstest;

use crate::document::tests::sample::document;

use super::super::{Destination, Format, Outputs, Wanted};
use super::written;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let destination = Destination::open(Some(path)).expect("it can be written to");
    destination.write(&mut |out| out.write_all(text.as_bytes())).map(drop)
}

#[rstest]
#[case::no_folder(
    "no/a.json",
    "[]/no/a.json: the folder []/no is not there; make it, or name another place for the report"
)]
#[case::in_a_file(
    "old/a.json",
    "[]/old/a.json: the folder []/old is not there; make it, or name another place for the report"
)]
#[case::folder("sub", "[]/sub: this is a folder; name a file in it for the report")]
#[case::slash("new/", "[]/new/: this is a folder; name a file in it for the report")]
#[case::above("sub/..", "[]/sub/..: this is a folder; name a file in it for the report")]
#[case::dangling(
    "dangling",
    "[]/dangling: this is a symlink to nothing, which is not there; remove the link, or make the file"
)]
#[case::round(
    "round",
    "[]/round: this file cannot be written to (Too many levels of symbolic links (os error 40)); change its permissions, or name another place for the report"
)]
#[case::socket("socket", "[]/socket: this is a socket, which takes no report; name a file")]
#[case::fifo("fifo", "[]/fifo: nobody reads from this FIFO; start its reader first")]
#[case::proc(
    "/proc/a.json",
    "/proc/a.json: no file can be made in the folder /proc (No such file or directory (os error 2)); change its permissions, or name another place for the report"
)]
fn refused(#[case] name: &str, #[case] says: &str) {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("old"), "old").expect("written");
    fs::create_dir(at("sub")).expect("made");
    symlink("nothing", at("dangling")).expect("made");
    symlink("round", at("round")).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("made");
    let before = names(folder.path());
    let said = Destination::open(Some(&at(name))).expect_err("it is refused").to_string();
    assert_eq!(said.replace(&*folder.path().to_string_lossy(), "[]"), says);
    assert_eq!(names(folder.path()), before, "nothing is left");
}

#[test]
fn a_name_that_is_too_long_is_known_before() {
    let folder = folder();
    let said =
        Destination::open(Some(&folder.path().join("a".repeat(256)))).expect_err("too long").to_string();
    assert!(said.contains("File name too long"), "{said}");
}

#[test]
fn trying_changes_nothing() {
    let folder = folder();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    fs::write(&old, "what was there").expect("written");
    let before = fs::metadata(&old).expect("there");
    for path in [&new, &old] {
        Destination::open(Some(path)).expect("it can be written to");
    }
    let after = fs::metadata(&old).expect("there");
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(names(folder.path()), ["old"]);
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    let folder = folder();
    let path = folder.path().join("report");
    fs::write(&path, "what was there").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    let inode = fs::metadata(&path).expect("there").ino();
    write(&path, "new").expect("written");
    assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    let after = fs::metadata(&path).expect("there");
    assert_eq!(after.mode() & 0o777, 0o640);
    assert_ne!(after.ino(), inode);
    assert_eq!(names(folder.path()), ["report"]);
}

#[test]
fn what_cannot_be_written_whole_leaves_what_was_there() {
    let folder = folder();
    let path = folder.path().join("report");
    fs::write(&path, "what was there").expect("written");
    let destination = Destination::open(Some(&path)).expect("it can be written to");
    let half = destination.write(&mut |out| {
        out.write_all(&[b'x'; 100_000])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    });
    assert_eq!(half.err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    assert_eq!(fs::read_to_string(&path).expect("read"), "what was there");
    assert_eq!(names(folder.path()), ["report"]);
}

#[test]
fn a_symlink_stays_and_its_file_is_replaced() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).expect("made");
    fs::write(at("sub/report"), "what was there").expect("written");
    symlink("sub/report", at("one")).expect("made");
    symlink("one", at("two")).expect("made");
    write(&at("two"), "new").expect("written");
    assert_eq!(fs::read_link(at("two")).expect("a link"), Path::new("one"));
    assert_eq!(fs::read_link(at("one")).expect("a link"), Path::new("sub/report"));
    assert_eq!(fs::read_to_string(at("sub/report")).expect("read"), "new");
    assert_eq!(names(&at("sub")), ["report"]);
}

/// What is open already, a shell's `>(…)` or `3>>file`, goes on where it is.
#[test]
fn descriptors_and_devices_are_written_to() {
    use std::os::fd::AsRawFd;
    let folder = folder();
    let path = folder.path().join("log");
    fs::write(&path, "before\n").expect("written");
    let file = fs::File::open(&path).expect("open");
    let inode = fs::metadata(&path).expect("there").ino();
    write(Path::new(&format!("/dev/fd/{}", file.as_raw_fd())), "after\n").expect("written");
    assert_eq!(fs::read_to_string(&path).expect("read"), "before\nafter\n");
    assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
    write(Path::new("/dev/null"), "gone").expect("written");
    let full = write(Path::new("/dev/full"), "no room").expect_err("it is full");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    let out = Destination::open(Some(Path::new("/dev/stdout"))).expect("it is there");
    assert!(out.is_stdout());
}

#[test]
fn a_fifo_is_written_to_once_it_is_read() {
    let folder = folder();
    let path = folder.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).expect("read")
    });
    let long = "x".repeat(200_000);
    write(&path, &long).expect("written");
    assert_eq!(reader.join().expect("it ends"), long);
}

#[rstest]
#[case::stdout("json", "ktap=-", Some("only one report can go to standard output; write --report ktap=FILE"))]
#[case::by_its_name(
    "json",
    "ktap=/dev/stdout",
    Some("only one report can go to standard output; write --report ktap=FILE")
)]
#[case::one_file("json=[]/a", "ktap=[]/a", Some("two reports are to be written to []/a"))]
#[case::by_another_way("json=[]/a", "ktap=[]/sub/../a", Some("two reports are to be written to []/sub/../a"))]
#[case::by_a_link("json=[]/old", "ktap=[]/link", Some("two reports are to be written to []/link"))]
#[case::two("json=[]/a", "ktap=[]/b", None)]
#[case::nowhere("json=/dev/null", "ktap=/dev/null", None)]
fn two_reports(#[case] one: &str, #[case] two: &str, #[case] says: Option<&str>) {
    let folder = folder();
    let here = folder.path().to_string_lossy().into_owned();
    fs::create_dir(folder.path().join("sub")).expect("made");
    fs::write(folder.path().join("old"), "").expect("written");
    symlink("old", folder.path().join("link")).expect("made");
    let all: Vec<Wanted> =
        [one, two].iter().map(|text| text.replace("[]", &here).parse().expect("right")).collect();
    let said = Outputs::open(&all).err().map(|error| error.to_string().replace(&here, "[]"));
    assert_eq!(said.as_deref(), says);
}

#[test]
fn all_reports_are_written_that_can_be() {
    let folder = folder();
    let path = folder.path().join("report.ktap");
    let all = ["json=/dev/full".to_owned(), "jsonl=/dev/full".to_owned(), format!("ktap={}", path.display())];
    let all: Vec<Wanted> = all.iter().map(|text| text.parse().expect("right")).collect();
    let mut outputs = Outputs::open(&all).expect("they can be tried");
    let wrong = outputs.write(&document());
    let paths: Vec<&Path> = wrong.iter().map(|(path, _)| path.as_path()).collect();
    assert_eq!(paths, [Path::new("/dev/full"); 2]);
    assert_eq!(fs::read_to_string(path).expect("read"), written(Format::Ktap, &document()));
}
