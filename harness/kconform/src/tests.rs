//! What every error says, each made by hand: a person may meet any of them, most of them seldom. `tools/messages` tells when
//! one is missing here.

use std::fmt::Display;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::bisect::between::KernelsError;
use crate::bisect::boot::BootError;
use crate::bisect::build::BuildError;
use crate::bisect::git::GitError;
use crate::bisect::lab::LabError;
use crate::bisect::state::StateError;
use crate::cli::CliError;
use crate::document::ReadError;
use crate::document::diff::DiffError;
use crate::document::merge::{Gap, MergeError};
use crate::guest::GuestError;
use crate::guest::cache::CacheError;
use crate::guest::commands::FetchCommandError;
use crate::guest::fetch::FetchError;
use crate::guest::image::ImageError;
use crate::guest::own_kernel::OwnKernelError;
use crate::guest::qemu::{BootEnd, BootFailure};
use crate::guest::whole::CutOff;
use crate::load::files::Error as FilesError;
use crate::load::suites::SuiteError;
use crate::report::kcidb::SubmissionError;
use crate::report::{DestinationError, WantedError};
use crate::select::NothingSelected;
use crate::shard::{Shard, ShardError};
use crate::targets::choose::ChooseError;
use crate::targets::{Broken, Unusable};
use kconform_abi::Arch;
use kconform_plan::WireError;

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(13)
}

fn json_error() -> serde_json::Error {
    serde_json::from_str::<u8>("{").expect_err("it is none")
}

fn path(text: &str) -> PathBuf {
    text.into()
}

fn text(text: &str) -> String {
    text.into()
}

/// All of one kind, a line each.
fn told(errors: &[&dyn Display]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn assert_told(name: &str, errors: &[&dyn Display]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("errors_{name}"), told(errors)));
}

#[test]
fn of_guests() {
    let attempt = |end: BootEnd, console: &[&str]| BootFailure {
        end,
        console: console.iter().map(|line| text(line)).collect(),
    };
    let ends = [
        attempt(BootEnd::Panicked, &[]),
        attempt(BootEnd::PoweredOff, &[]),
        attempt(BootEnd::Ended { status: text("exit status: 1") }, &[]),
        attempt(BootEnd::Silent { waited: Duration::from_secs(60) }, &[]),
        attempt(BootEnd::Garbled { why: text("a first message of 9 bytes") }, &[]),
        attempt(BootEnd::KvmFailed { line: text("KVM internal error") }, &["one line", "KVM internal error"]),
    ];
    let silent = vec![attempt(BootEnd::Silent { waited: Duration::from_secs(60) }, &[])];
    let image = || text("x86_64");
    assert_told(
        "guests",
        &[
            &GuestError::NoQemu {
                program: text("qemu-system-x86_64"),
                package: text("qemu-system-x86"),
                arch: Arch::X86_64,
            },
            &GuestError::NotFetched { image: image() },
            &GuestError::Read { path: path("kernel"), source: io_error() },
            &GuestError::DiskFull { directory: path("/tmp") },
            &GuestError::Start { program: text("qemu-system-x86_64"), source: io_error() },
            &GuestError::Refused { image: image(), text: text("invalid option") },
            &GuestError::NoPlace {
                directory: path("/tmp"),
                reason: text("Read-only file system (os error 30)"),
            },
            &GuestError::Hangs {
                program: text("qemu-system-x86_64"),
                waited: Duration::from_secs(20),
                said: text(""),
            },
            &GuestError::NeverUp { image: image(), attempts: ends.into() },
            &GuestError::NeverUp { image: image(), attempts: silent },
        ],
    );
}

#[test]
fn of_kernels_that_are_fetched_or_given() {
    let package = || text("linux-image-amd64");
    let arch = Arch::Riscv64;
    assert_told(
        "kernels",
        &[
            &CacheError::NoPlace,
            &CacheError::Read { path: path("cache/kernels"), source: io_error() },
            &CacheError::CutOff(CutOff { path: path("bzImage"), has: 3 << 20, promised: 12 << 20 }),
            &CacheError::Changed { path: path("vmlinuz"), image: text("x86_64") },
            &CacheError::Manifest {
                path: path("manifest.json"),
                source: json_error(),
                image: text("x86_64"),
            },
            &FetchError::NotFetched { image: text("own"), path: path("vmlinuz") },
            &FetchError::NoApt { program: text("apt-get") },
            &FetchError::NoKeyring,
            &FetchError::NoMirror { variable: "KCONFORM_MIRROR" },
            &FetchError::DiskFull { text: text("E: You don't have enough free space") },
            &FetchError::Command { command: text("apt-get download x"), text: text("exit status: 100") },
            &FetchError::OutOfSync {
                suite: text("trixie"),
                text: text("Mirror sync in progress?"),
                variable: "KCONFORM_MIRROR",
            },
            &FetchError::PackageList { package: package() },
            &FetchError::Hash { package: package(), expected: text("ab"), found: text("cd") },
            &FetchError::Missing { package: package(), what: text("kernel below /boot") },
            &FetchError::Io(io_error()),
            &FetchCommandError::Fetch { failed: vec![(text("x86_64"), FetchError::NoKeyring)], asked: 1 },
            &FetchCommandError::Fetch {
                failed: vec![
                    (text("x86_64"), FetchError::NoKeyring),
                    (text("riscv64"), FetchError::PackageList { package: package() }),
                ],
                asked: 3,
            },
            &ImageError::Read { path: path("vm/x.yaml"), source: io_error() },
            &ImageError::Empty { path: path("images") },
            &ImageError::Yml { path: path("vm/x.yml") },
            &ImageError::Parse {
                path: path("vm/x.yaml"),
                line: 2,
                column: 3,
                message: text("unknown field `x`"),
            },
            &ImageError::Ambiguous { name: text("x"), first: text("one"), second: text("two") },
            &ImageError::Unknown { name: text("x"), known: vec![text("x86_64"), text("riscv64")] },
            &OwnKernelError::Read { path: path("vmlinuz"), source: io_error() },
            &OwnKernelError::Unknown(path("README")),
            &OwnKernelError::NotBuilt {
                tree: path("linux"),
                looked_for: vec![text("arch/x86/boot/bzImage"), text("vmlinux")],
            },
            &OwnKernelError::Packed { path: path("Image"), method: text("bzip2") },
            &OwnKernelError::Damaged { path: path("Image.xz"), method: text("xz"), source: io_error() },
            &OwnKernelError::CutOff(CutOff { path: path("bzImage"), has: 3 << 20, promised: 12 << 20 }),
            &OwnKernelError::NoMachine { path: path("Image"), arch },
            &KernelsError::Nothing { word: text("x86_65"), nearest: Some(text("x86_64")) },
            &KernelsError::Nothing { word: text("toaster"), nearest: None },
            &KernelsError::Read { path: path("kernels"), source: io_error() },
            &KernelsError::TooFew(0),
            &KernelsError::TooFew(1),
        ],
    );
}

#[test]
fn of_a_search_for_a_commit() {
    let status = ExitStatus::from_raw(0x7f00);
    assert_told(
        "searches",
        &[
            &GitError::NoGit(io_error()),
            &GitError::NoRepository { tree: path("linux"), text: text("not a git repository") },
            &GitError::NoCommit { tree: path("linux"), rev: text("v9.9") },
            &GitError::Owner {
                tree: path("linux"),
                command: text("git config --global --add safe.directory /src/linux"),
            },
            &GitError::Shallow {
                tree: path("linux"),
                lacks: text("\"v6.1\""),
                command: text("git -C linux fetch --unshallow --tags"),
            },
            &GitError::Failed { what: text("worktree add"), text: text("it exists") },
            &GitError::Mute(text("?")),
            &StateError::NoPlace,
            &StateError::Io { path: path("state"), source: io_error() },
            &StateError::Busy(path("state")),
            &StateError::Damaged { path: path("table.json"), source: json_error() },
            &StateError::Another { path: path("state"), found: text("v6.11 to v6.12") },
            &LabError::Interrupted,
            &LabError::Io { path: path("log"), source: io_error() },
            &LabError::Checkout { commit: text("0123456789ab"), log: path("git.log") },
            &LabError::Guest(text("qemu-system-x86_64 is not installed")),
            &BuildError::Io { path: path("build"), source: io_error() },
            &BuildError::Command { status, log: path("build.log") },
            &BootError::Kernel(text("its kernel panicked")),
            &BootError::Harness(text("no agent")),
            &BootError::Interrupted,
        ],
    );
}

#[test]
fn of_reports() {
    let two = || (text("a.json"), text("b.json"));
    let (first, second) = two();
    let twice = MergeError::Twice { target: text("x86_64"), shard: text("1/2"), first, second };
    let (first, second) = two();
    assert_told(
        "reports",
        &[
            &WantedError::Format { name: text("xml") },
            &WantedError::NoName("json"),
            &WantedError::Stdout("json"),
            &WantedError::Twice(path("a.json")),
            &DestinationError::NoFolder { path: path("no/a.json"), folder: path("no") },
            &DestinationError::Folder(path("no")),
            &DestinationError::Dangling { path: path("a.json"), target: path("b.json") },
            &DestinationError::Device { path: path("/dev/vda"), what: "a block device" },
            &DestinationError::Device { path: path("s"), what: "a socket" },
            &DestinationError::NoReader(path("fifo")),
            &DestinationError::File { path: path("a.json"), error: io_error() },
            &DestinationError::NoNew { path: path("no/a.json"), folder: path("no"), error: io_error() },
            &DestinationError::Others(path("/tmp/a.json")),
            &ReadError::Form(json_error()),
            &ReadError::Line { number: 3, error: json_error() },
            &ReadError::Stranger { number: 3, what: "case", name: text("a::b") },
            &ReadError::Other,
            &ReadError::Version { format: text("kconform-report"), version: 2 },
            &DiffError::NoTargets(text("native"), text("x86_64")),
            &DiffError::NoCases,
            &DiffError::NoTarget { side: "second", name: text("x"), known: text("native") },
            &MergeError::Nothing,
            &MergeError::Differs { first, second, what: text("the case files are not the same") },
            &MergeError::Missing(vec![Gap { target: text("x86_64"), shards: vec![2, 3], count: 3 }]),
            &twice,
            &MergeError::Holes,
            &MergeError::Broken(text("a.json")),
            &SubmissionError::Origin(text("My CI")),
            &SubmissionError::Build(text("1234")),
            &SubmissionError::NoTarget { name: text("x"), known: text("native") },
        ],
    );
}

#[test]
fn of_the_command_line() {
    assert_told(
        "command_line",
        &[
            &FilesError::Io { path: path("cases"), source: io_error() },
            &FilesError::Nothing(path("cases")),
            &FilesError::Yml(path("a.yml")),
            &FilesError::Control { path: path("a\x1b[2J.yaml"), found: '\x1b' },
            &SuiteError::Mistakes { count: 1, text: text("error: …") },
            &SuiteError::Mistakes { count: 2, text: text("error: …") },
            &NothingSelected {
                what: text("no case is called \"x\""),
                nearest: Some(text("y")),
                pattern: None,
            },
            &NothingSelected { what: text("no case is called \"x\""), nearest: None, pattern: None },
            &ShardError::Form(text("3")),
            &ShardError::Outside(Shard { index: 9, count: 8 }),
            &ShardError::NoNumber { name: "CI_NODE_INDEX", value: text("x") },
            &ShardError::NoIndex,
            &ShardError::NoCount("JOB_COMPLETION_INDEX"),
            &ChooseError::NoTarget { name: text("x86_65"), nearest: Some(text("x86_64")) },
            &ChooseError::NoTarget { name: text("toaster"), nearest: None },
            &CliError::Fetch(text("no place")),
            &CliError::Report { path: path("a.json"), error: io_error() },
            &CliError::Unreadable { path: path("a.json"), error: io_error() },
            &CliError::NoReport { path: path("a.json"), error: ReadError::Other },
            &CliError::Shard(ShardError::Form(text("3"))),
            &CliError::Usage(text("a mistake")),
            &CliError::Output(io_error()),
        ],
    );
}

#[test]
fn of_agents() {
    assert_told(
        "agents",
        &[
            &WireError::Io(io_error()),
            &WireError::Closed,
            &WireError::Length(4_294_967_295),
            &kconform_plan::read_frame::<u64>(&mut &[1, 0, 0, 0, 0xff][..]).expect_err("no number"),
            &Broken::Stream(WireError::Closed),
            &Broken::Silent(Duration::from_millis(3400)),
            &Broken::Agent(text("the port to the host is gone")),
            &Broken::OutOfTurn(text("Ran")),
            &Broken::Interrupted,
            &Broken::Stale(text("its sources are ab, not cd")),
            &Unusable {
                what: text("there is no agent"),
                mend: Some(text("ci/agents riscv64")),
                not_set_up: true,
            },
            &Unusable { what: text("there is no agent"), mend: None, not_set_up: true },
        ],
    );
}
