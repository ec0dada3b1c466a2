//! A machine over ssh: a real sshd on loopback, and a program instead of ssh that makes things go wrong.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::program::{Place, assert_said, is_root, not_here};

const CASES: &str = "cases:
  - {name: is there, steps: [{getpid: []}]}
  - {name: fails, steps: [{getpid: [], ret: 0}]}
  - {name: kills itself, steps: [{getpid: [], save: me}, {kill: [$me, SIGKILL]}, {getpid: []}]}
  - {name: goes on, steps: [{close_range: [0, 0xffffffff, 0]}, {getpid: []}]}
";

/// An sshd for one test, which lets its own user in by key. Dropping it ends it.
struct Sshd {
    child: Child,
    destination: String,
    client: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.expect("ssh-keygen can be run").success());
}

/// `None` where there is no sshd.
fn sshd(place: &Place) -> Option<Sshd> {
    let program = Path::new("/usr/sbin/sshd");
    if !program.exists() {
        return None;
    }
    let folder = place.folder();
    let (host, own, board) = (folder.join("host"), folder.join("own"), folder.join("board"));
    key(&host);
    key(&own);
    std::fs::create_dir(&board).expect("a folder");
    // The folder that sshd's unprivileged part is locked up in; systemd makes it, where there is one.
    let _ = std::fs::create_dir("/run/sshd");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let config = folder.join("sshd_config");
    let text = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\nUsePAM no\n\
         StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSetEnv TMPDIR={}\n",
        host.display(),
        own.display(),
        board.display()
    );
    std::fs::write(&config, text).expect("a file");
    let mut command = Command::new(program);
    command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("sshd can be started");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "sshd does not listen");
        std::thread::yield_now();
    }
    let client = format!(
        "ssh -F none -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        own.display()
    );
    let user = Command::new("id").arg("-un").output().expect("id can be run").stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    Some(Sshd { child, destination: format!("ssh://{user}@127.0.0.1:{port}"), client })
}

/// Without an sshd there is nothing to test. CI installs one and says so; a user's machine is not given a server for it.
fn no_sshd() {
    assert!(std::env::var_os("KCONFORM_REQUIRE_SSHD").is_none_or(|v| v.is_empty()), "sshd is not installed");
    not_here("ssh: there is no /usr/sbin/sshd (Debian: openssh-server)");
}

#[test]
fn cases_run_on_a_machine_over_ssh_and_leave_nothing_there() {
    let place = Place::with(CASES);
    let Some(sshd) = sshd(&place) else { return no_sshd() };
    let place = place.env("KCONFORM_SSH", &sshd.client);
    let said = place.say(&["run", "--target", &sshd.destination]).assert_status(1);
    assert_eq!(said.counts(&sshd.destination), "2 passed, 2 failed", "{}", said.all());
    assert!(said.out.contains("killed by SIGKILL"), "{}", said.all());
    let left: Vec<_> = std::fs::read_dir(place.folder().join("board")).expect("readable").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_machine_that_does_not_let_us_in_is_lost() {
    let place = Place::with(CASES);
    let Some(sshd) = sshd(&place) else { return no_sshd() };
    let place = place.env("KCONFORM_SSH", "ssh -F none -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR");
    let said = place.say(&["run", "--target", &sshd.destination]).assert_status(3);
    assert!(said.out.contains("Host key verification failed"), "{}", said.all());
    assert!(said.out.contains("4 lost"), "{}", said.all());
}

/// A program instead of ssh, which gets the same words; the last of them is the script to be run there. `$1` is the number
/// of the call.
pub(crate) fn with_ssh(cases: &str, script: &str) -> Place {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with(cases);
    let program = place.folder().join("ssh");
    let calls = place.folder().join("calls");
    std::fs::create_dir_all(place.folder().join("board")).expect("a folder");
    let text = format!(
        "#!/bin/sh\nfor there; do :; done\necho >>{0}\nset -- $(wc -l <{0})\nexport TMPDIR={1}\n{script}\n",
        calls.display(),
        place.folder().join("board").display()
    );
    std::fs::write(&program, text).expect("a program");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("the mode is set");
    let program = program.display().to_string();
    place.env("KCONFORM_SSH", &program)
}

const ONE: &str = "cases:\n  - {name: one, steps: [{close: [0]}]}\n";

/// Calls 1 to 3 ask what machine it is, copy the agent, and start it; those after them do so again.
#[rstest]
#[case::no_machine_to_reach(
    "unreachable",
    ONE,
    "echo 'ssh: connect to host board: No route to host' >&2; exit 255"
)]
#[case::no_machine_of_ours("another_machine", ONE, "echo kconform says pdp11")]
#[case::no_shell("no_shell", ONE, "echo 'This account is currently not available.'; exit 1")]
#[case::greeting("greeting", ONE, "echo Welcome to board-7; sh -c \"$there\"")]
#[case::no_room(
    "no_room",
    ONE,
    "[ $1 != 2 ] || { echo \"mktemp: No space left on device\" >&2; exit 1; }; sh -c \"$there\""
)]
#[case::no_start(
    "no_start",
    ONE,
    "[ $1 != 3 ] || { echo 'kconform-agent: Permission denied' >&2; exit 126; }; sh -c \"$there\""
)]
#[case::fresh("fresh", "cases:\n  - {name: one, fresh: true, steps: [{close: [0]}]}\n", "sh -c \"$there\"")]
#[case::lost_once("lost_once", ONE, "[ $1 != 3 ] || exec </dev/null; sh -c \"$there\"")]
#[case::lost_always("lost_always", ONE, "[ $(($1 % 3)) != 0 ] || exec </dev/null; sh -c \"$there\"")]
#[case::lost_at_a_probe(
    "lost_at_a_probe",
    "probes:\n  there: {absent: EBADF, steps: [{close: [0]}]}\ncases:\n  - {name: one, needs: there, steps: [{close: [0]}]}\n",
    "[ $(($1 % 3)) != 0 ] || exec </dev/null; sh -c \"$there\""
)]
fn what_happens_on_the_way_is_told(#[case] name: &str, #[case] cases: &str, #[case] script: &str) {
    let place = with_ssh(cases, script);
    let mut said = place.say(&["run", "--target", "ssh:board", "--verbose"]);
    said.out = said.out.replace(&release(), "[release]");
    // Which of the two it is depends on who is faster.
    said.out =
        said.out.replace("the stream to the agent broke: Broken pipe (os error 32)", "the stream was closed");
    assert_said!(format!("ssh_{name}"), said);
}

/// A board is somebody's: what may not be set there is no failure of its kernel.
#[test]
fn a_case_is_skipped_whose_sysctl_may_not_be_set() {
    if !is_root() {
        return not_here("a board where another user logs in: it needs root");
    }
    let case = "cases:
  - name: sets
    guest_only: true
    exclusive: true
    steps: [{sysctl: {kernel.pid_max: 40000, steps: [{close: [0]}]}}]
  - name: sets nothing
    guest_only: true
    steps: [{close: [0]}]
";
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c \"$there\"";
    let place = with_ssh(case, user).open_to_all();
    let board = place.folder().join("board");
    std::fs::set_permissions(board, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).expect("the mode");
    let said = place.say(&["run", "--target", "ssh:board"]).assert_status(0);
    assert_eq!(said.counts("ssh:board"), "1 passed, 1 skipped", "{}", said.all());
    let reason =
        "a sysctl cannot be set there (log in as root): write 40000 to /proc/sys/kernel/pid_max: EACCES";
    assert!(said.out.contains(reason), "{}", said.all());
}

/// `uname -r`
fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("readable").trim().to_owned()
}

#[rstest]
#[case::none("none", "")]
#[case::not_the_one_that_was_named("no_such", "no-such-ssh -F none")]
fn without_an_ssh_it_is_said_how_to_get_one(#[case] name: &str, #[case] program: &str) {
    let place = Place::with(ONE);
    let place = match program {
        "" => {
            let nothing = place.folder().display().to_string();
            place.env("PATH", &nothing)
        }
        program => place.env("KCONFORM_SSH", program),
    };
    assert_said!(format!("ssh_{name}"), place.say(&["run", "--target", "ssh:board"]));
}
