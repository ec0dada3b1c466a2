//! QEMU's monitor, as far as saving and restoring a guest needs it (QEMU Machine Protocol: a JSON object a line).

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Nothing that is asked of it here takes longer than a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// A conversation with a QEMU's monitor.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Takes up the conversation: a greeting, and no further capabilities.
    pub(super) fn new(stream: UnixStream) -> io::Result<Qmp> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Qmp { stream: BufReader::new(stream) };
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Saves a guest's state, without its memory, into a file, and stops the guest.
    pub(super) fn save(&mut self, file: &Path) -> io::Result<()> {
        self.migrate("migrate", &format!("exec:cat > {}", quoted(file)?))
    }

    /// Restores a guest's state from a file, and sets the guest going.
    pub(super) fn restore(&mut self, file: &Path) -> io::Result<()> {
        self.migrate("migrate-incoming", &format!("exec:cat {}", quoted(file)?))
    }

    /// Migrates to or from a command; memory that is in a file is left where it is (x-ignore-shared).
    fn migrate(&mut self, command: &str, uri: &str) -> io::Result<()> {
        let on = |capability: &str| json!({"capability": capability, "state": true});
        let capabilities = json!({"capabilities": [on("x-ignore-shared"), on("events")]});
        self.execute("migrate-set-capabilities", capabilities)?;
        self.execute(command, json!({"uri": uri}))?;
        loop {
            let message = self.read()?;
            match message["data"]["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(io::Error::other(format!("{command} failed"))),
                _ => {}
            }
        }
    }

    fn execute(&mut self, command: &str, arguments: Value) -> io::Result<()> {
        let text = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.stream.get_mut().write_all(text.as_bytes())?;
        loop {
            // Events may come before the answer.
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
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

/// A path as a word for the shell that QEMU's `exec:` runs.
fn quoted(path: &Path) -> io::Result<String> {
    let path = path.to_str().ok_or_else(|| io::Error::other("a path that is no UTF-8"))?;
    Ok(format!("'{}'", path.replace('\'', r"'\''")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A monitor that says these lines, whatever it is asked.
    fn monitor(lines: &str) -> io::Result<Qmp> {
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(lines.as_bytes())?;
        let qmp = Qmp::new(ours);
        // Keeps it open for what is written to it.
        std::mem::forget(theirs);
        qmp
    }

    const HELLO: &str = "{\"QMP\":{}}\n{\"event\":\"X\"}\n{\"return\":{}}\n";

    #[test]
    fn a_guest_is_saved_when_the_monitor_says_so() {
        let said = format!(
            "{HELLO}{0}{0}{{\"event\":\"STOP\"}}\n{{\"event\":\"MIGRATION\",\"data\":{{\"status\":\"active\"}}}}\n\
             {{\"event\":\"MIGRATION\",\"data\":{{\"status\":\"completed\"}}}}\n",
            "{\"return\":{}}\n"
        );
        monitor(&said).unwrap().save(Path::new("/x")).unwrap();
    }

    #[test]
    fn what_the_monitor_refuses_is_an_error() {
        let said = format!("{HELLO}{{\"error\":{{\"desc\":\"no\"}}}}\n");
        let error = monitor(&said).unwrap().save(Path::new("/x")).unwrap_err();
        assert_eq!(error.to_string(), "migrate-set-capabilities: {\"desc\":\"no\"}");
    }

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
