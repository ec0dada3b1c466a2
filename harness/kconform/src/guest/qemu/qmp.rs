//! QEMU's monitor, as far as saving and restoring a guest needs it (QEMU Machine Protocol: a JSON object a line).

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

/// Nothing that is asked of it here takes longer than a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// What QEMU calls our end of the stream that a guest's state goes through.
const STATE: &str = "state";
/// What QEMU calls our end of the stream to its debugger.
const DEBUGGER: &str = "debugger";

/// A conversation with a QEMU's monitor.
pub(in crate::guest) struct Qmp {
    stream: BufReader<UnixStream>,
    /// What was last said of a migration.
    status: Option<String>,
}

impl Qmp {
    /// A conversation that has yet to begin.
    pub(super) fn new(stream: UnixStream) -> io::Result<Qmp> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Qmp { stream: BufReader::new(stream), status: None })
    }

    /// Stops a guest and says its state, without the memory that is in a file. `stopped` is done before its CPUs and devices
    /// are looked at.
    pub(in crate::guest) fn save(
        &mut self,
        stopped: &mut dyn FnMut(&mut Qmp) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let mut stream = self.migrate("migrate", &["pause-before-switchover"])?;
        // It says more than a socket holds before it is stopped.
        let reader = thread::spawn(move || {
            let mut state = Vec::new();
            stream.read_to_end(&mut state).map(|_| state)
        });
        self.reached("pre-switchover")?;
        stopped(self)?;
        self.does("migrate-continue", json!({"state": "pre-switchover"}))?;
        self.completed()?;
        reader.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }

    /// A stream to QEMU's debugger. It stops the guest, which does not go on by itself.
    pub(super) fn debugger(&mut self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        self.say("getfd", &json!({"fdname": DEBUGGER}), Some(theirs.as_fd()))?;
        self.answered("getfd")?;
        let address = json!({"type": "fd", "data": {"str": DEBUGGER}});
        let socket = json!({"type": "socket", "data": {"addr": address, "server": false}});
        self.does("chardev-add", json!({"id": DEBUGGER, "backend": socket}))?;
        let command = format!("gdbserver chardev:{DEBUGGER}");
        self.does("human-monitor-command", json!({"command-line": command}))?;
        Ok(ours)
    }

    fn does(&mut self, command: &str, arguments: Value) -> io::Result<()> {
        self.say(command, &arguments, None)?;
        self.answered(command)
    }

    /// Gives a guest its state, with which it goes on. A QEMU that cannot make use of it ends.
    pub(in crate::guest) fn restore(&mut self, state: &[u8]) -> io::Result<()> {
        let mut stream = self.migrate("migrate-incoming", &[])?;
        stream.write_all(state)?;
        stream.shutdown(Shutdown::Write)
    }

    /// Begins a migration to or from the stream that comes back; memory that is in a file is left where it is. All is
    /// said at once, while QEMU may still be coming up.
    fn migrate(&mut self, command: &str, more: &[&str]) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let capabilities: Vec<_> = ["x-ignore-shared", "events"]
            .iter()
            .chain(more)
            .map(|capability| json!({"capability": capability, "state": true}))
            .collect();
        let commands = [
            ("qmp_capabilities", json!({}), None),
            ("migrate-set-capabilities", json!({"capabilities": capabilities}), None),
            ("getfd", json!({"fdname": STATE}), Some(theirs.as_fd())),
            (command, json!({"uri": format!("fd:{STATE}")}), None),
        ];
        for (command, arguments, fd) in &commands {
            self.say(command, arguments, *fd)?;
        }
        for (command, ..) in commands {
            self.answered(command)?;
        }
        Ok(ours)
    }

    /// Waits until a migration has ended well.
    pub(in crate::guest) fn completed(&mut self) -> io::Result<()> {
        self.reached("completed")
    }

    fn reached(&mut self, status: &str) -> io::Result<()> {
        loop {
            match self.status.as_deref() {
                Some(reached) if reached == status => return Ok(()),
                Some(ended @ ("failed" | "cancelled")) => {
                    return Err(io::Error::other(format!("the migration {ended}")));
                }
                _ => self.read()?,
            };
        }
    }

    fn say(&mut self, command: &str, arguments: &Value, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let text = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        match fd {
            Some(fd) => send_fd(self.stream.get_ref(), text.as_bytes(), fd),
            None => self.stream.get_mut().write_all(text.as_bytes()),
        }
    }

    /// Waits for the answer to a command.
    fn answered(&mut self, command: &str) -> io::Result<()> {
        loop {
            // QEMU's greeting and events may come before it.
            let message = self.read()?;
            if let Some(error) = message.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            if message.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let message: Value = serde_json::from_str(&line)?;
        if message["event"] == "MIGRATION" {
            self.status = message["data"]["status"].as_str().map(str::to_owned);
        }
        Ok(message)
    }
}

/// Sends a short message with an fd, which QEMU takes for the `getfd` in it (SCM_RIGHTS in unix(7)).
fn send_fd(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    match sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HELLO: &str = "{\"QMP\":{}}\n{\"event\":\"X\"}\n{\"return\":{}}\n";
    const RETURN: &str = "{\"return\":{}}\n";

    /// A monitor that says these lines, whatever it is asked, and the end that it hears us at.
    fn monitor(lines: &str) -> (Qmp, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(lines.as_bytes()).unwrap();
        (Qmp::new(ours).unwrap(), theirs)
    }

    #[test]
    fn a_guest_goes_on_when_the_monitor_says_so() {
        let event =
            |status: &str| format!("{{\"event\":\"MIGRATION\",\"data\":{{\"status\":\"{status}\"}}}}\n");
        let said = format!("{HELLO}{RETURN}{RETURN}{}{RETURN}{}", event("active"), event("completed"));
        let (mut qmp, mut theirs) = monitor(&said);
        qmp.restore(b"").unwrap();
        assert_eq!(qmp.status.as_deref(), Some("active"), "nobody waits for the end");
        drop(qmp);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).unwrap();
        let commands: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let commands: Vec<_> = commands.iter().map(|command| command["execute"].as_str().unwrap()).collect();
        assert_eq!(commands, ["qmp_capabilities", "migrate-set-capabilities", "getfd", "migrate-incoming"]);
        let (mut qmp, _theirs) = monitor(&said.replace("completed", "failed"));
        qmp.migrate("migrate", &[]).unwrap();
        assert_eq!(qmp.completed().unwrap_err().to_string(), "the migration failed");
    }

    #[test]
    fn what_the_monitor_refuses_is_an_error() {
        let (mut qmp, _theirs) = monitor(&format!("{HELLO}{{\"error\":{{\"desc\":\"no\"}}}}\n"));
        let error = qmp.save(&mut |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "migrate-set-capabilities: {\"desc\":\"no\"}");
    }
}
