//! QEMU's monitor, as far as saving and restoring a guest needs it (QEMU Machine Protocol: a JSON object a line).

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

/// Nothing that is asked of it here takes longer than a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// What QEMU calls our end of the stream that a guest's state goes through.
const STATE: &str = "state";

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

    /// Stops a guest and says its state, without the memory that is in a file.
    pub(in crate::guest) fn save(&mut self) -> io::Result<Vec<u8>> {
        let mut stream = self.migrate("migrate")?;
        let mut state = Vec::new();
        stream.read_to_end(&mut state)?;
        self.completed()?;
        Ok(state)
    }

    /// Gives a guest its state, with which it goes on. A QEMU that cannot make use of it ends.
    pub(in crate::guest) fn restore(&mut self, state: &[u8]) -> io::Result<()> {
        let mut stream = self.migrate("migrate-incoming")?;
        stream.write_all(state)?;
        stream.shutdown(Shutdown::Write)
    }

    /// Begins a migration to or from the stream that comes back; memory that is in a file is left where it is. All is
    /// said at once, while QEMU may still be coming up.
    fn migrate(&mut self, command: &str) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let on = |capability: &str| json!({"capability": capability, "state": true});
        let capabilities = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
        let commands = [
            ("qmp_capabilities", json!({}), None),
            ("migrate-set-capabilities", capabilities, None),
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
        loop {
            match self.status.as_deref() {
                Some("completed") => return Ok(()),
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
        qmp.migrate("migrate").unwrap();
        assert_eq!(qmp.completed().unwrap_err().to_string(), "the migration failed");
    }

    #[test]
    fn what_the_monitor_refuses_is_an_error() {
        let (mut qmp, _theirs) = monitor(&format!("{HELLO}{{\"error\":{{\"desc\":\"no\"}}}}\n"));
        let error = qmp.save().unwrap_err();
        assert_eq!(error.to_string(), "migrate-set-capabilities: {\"desc\":\"no\"}");
    }
}
