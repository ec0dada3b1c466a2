//! A machine over ssh: a real sshd on loopback.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, not_here};

const CASES: &str = "cases:
  - {name: is there, steps: [{getpid: []}]}
  - {name: fails, steps: [{getpid: [], ret: -5}]}
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
