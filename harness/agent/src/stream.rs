//! The byte stream to the host.

use std::io::{self, Read, Write};

use kconform_plan::{FromAgent, SERIAL_SHARE, write_frame};

use crate::case::leftovers;
use crate::signals::Signals;
use crate::sys;

/// What carries the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A socket or a pair of pipes: when it ends, the host is gone.
    Host,
    /// A virtio-serial port: nobody at the other end for a while (a snapshot is restored, say) is no end.
    Port,
    /// A serial line, which loses what comes while nobody makes room for it.
    Serial,
}

/// The stream, buffered on the way in.
pub(crate) struct Stream {
    pub(crate) input: i32,
    pub(crate) output: i32,
    pub(crate) kind: Kind,
    pub(crate) signals: Signals,
    /// What was read ahead; bytes outside of `at..end` are stale.
    ahead: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes read off a serial line that the host has not been told of.
    untold: usize,
}

/// How long to wait before a port without a host is looked at again.
const PORT_PAUSE_NS: u64 = 5_000_000;
const CHUNK: usize = 16 << 10;

impl Stream {
    pub(crate) fn new(input: i32, output: i32, kind: Kind, signals: Signals) -> Stream {
        Stream { input, output, kind, signals, ahead: vec![0; CHUNK], at: 0, end: 0, untold: 0 }
    }

    /// What to watch while a case runs, to learn that the host is gone.
    pub(crate) fn watched(&self) -> Option<libc::pollfd> {
        let hang_up = libc::pollfd { fd: self.input, events: libc::POLLRDHUP, revents: 0 };
        (self.kind == Kind::Host).then_some(hang_up)
    }

    /// Reads what is there, waiting for it; 0 bytes when the host is gone or the agent is to end.
    fn fill(&mut self) -> io::Result<usize> {
        (self.at, self.end) = (0, 0);
        let read = loop {
            // Nobody ends the agent of a guest by a signal, so it waits in read(2): the less of the kernel a restored guest
            // has to translate, the sooner it answers. What has ended meanwhile is reaped with the next case.
            if self.kind != Kind::Port {
                let mut input = Some(libc::pollfd { fd: self.input, events: libc::POLLIN, revents: 0 });
                let heard = self.signals.wait(&mut input, None).map_err(io::Error::from_raw_os_error)?;
                if heard.end {
                    break 0;
                }
                if heard.child {
                    leftovers::reap_strangers();
                }
                if input.is_none_or(|i| i.revents == 0) {
                    continue;
                }
            }
            match (sys::read(self.input, &mut self.ahead), self.kind) {
                (Ok(0), Kind::Port) => sys::pause_ns(PORT_PAUSE_NS),
                (Ok(read), _) => break read,
                (Err(libc::EINTR | libc::EAGAIN), _) => {}
                (Err(libc::ECONNRESET), Kind::Host) => break 0,
                (Err(errno), _) => return Err(io::Error::from_raw_os_error(errno)),
            }
        };
        self.end = read;
        self.make_room(read)?;
        Ok(read)
    }

    /// Lets the host send more over a serial line.
    fn make_room(&mut self, read: usize) -> io::Result<()> {
        self.untold += read;
        if self.kind != Kind::Serial || self.untold < SERIAL_SHARE {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.untold) as u32;
        write_frame(self, &FromAgent::Took { bytes }).map_err(io::Error::other)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end && self.fill()? == 0 {
            return Ok(0);
        }
        let count = into.len().min(self.end - self.at);
        into[..count].copy_from_slice(&self.ahead[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::write_some(self.output, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
