//! What the kernel logged while a case ran, and whether it became tainted.

use crate::sys;

/// At most so many lines are kept for a case.
const MOST_LINES: usize = 2000;

/// An open /dev/kmsg, at its end.
pub(crate) struct KernelLog {
    kmsg: Option<i32>,
    tainted: Option<i32>,
    taint: u64,
    /// Room for one record. It is kept, as zeroing it would touch pages for nothing: mostly there is none.
    record: Vec<u8>,
}

/// One read is one record, of at most so many bytes (`CONSOLE_EXT_LOG_MAX`, later `PRINTK_MESSAGE_MAX`).
const RECORD: usize = 8192;

impl KernelLog {
    /// Opens the log at its end; without the right to (`dmesg_restrict`, no device) it stays silent.
    pub(crate) fn open() -> KernelLog {
        let kmsg = sys::open(c"/dev/kmsg", libc::O_RDONLY | libc::O_NONBLOCK).ok().filter(|&fd| {
            let ended = sys::seek(fd, 0, libc::SEEK_END);
            ended.inspect_err(|_| sys::close(fd)).is_ok()
        });
        let tainted = sys::open(c"/proc/sys/kernel/tainted", libc::O_RDONLY).ok();
        let mut log = KernelLog { kmsg, tainted, taint: 0, record: vec![0; RECORD] };
        log.taint = log.read_taint();
        log
    }

    /// The log can be read.
    pub(crate) fn readable(&self) -> bool {
        self.kmsg.is_some()
    }

    /// The kernel's taint when it was last read.
    pub(crate) fn taint(&self) -> u64 {
        self.taint
    }

    /// The lines since the last look, and the taint before and after if it changed. Not all that taints is logged: who
    /// writes to /proc/sys/kernel/tainted says nothing.
    pub(crate) fn news(&mut self) -> (Vec<String>, Option<(u64, u64)>) {
        let lines = self.lines();
        let before = self.taint;
        self.taint = self.read_taint();
        let changed = (before != self.taint).then_some((before, self.taint));
        (lines, changed)
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(kmsg) = self.kmsg else { return lines };
        while lines.len() < MOST_LINES {
            match sys::read(kmsg, &mut self.record) {
                Ok(0) => break,
                Ok(length) => lines.push(text(&self.record[..length])),
                // Records were overwritten before they were read; the next read goes on with the oldest one left.
                Err(libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        lines
    }

    fn read_taint(&self) -> u64 {
        let mut text = [0; 32];
        let length = self.tainted.and_then(|fd| sys::read_start(fd, &mut text).ok()).unwrap_or(0);
        std::str::from_utf8(&text[..length]).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
    }
}

/// The text of a record (Documentation/ABI/testing/dev-kmsg): behind `;`, without the dictionary on the lines below it.
fn text(record: &[u8]) -> String {
    let text = record.splitn(2, |&b| b == b';').nth(1).unwrap_or(record);
    let line = text.split(|&b| b == b'\n').next().unwrap_or(text);
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_and_dictionary_are_cut_off() {
        assert_eq!(text(b"4,1234,5678,-;BUG: a; b\n SUBSYSTEM=x\n"), "BUG: a; b");
        assert_eq!(text(b"odd"), "odd");
    }
}
