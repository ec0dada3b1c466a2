//! A process that waits for its case.
//!
//! A guest's agent forks one before it says that it is ready, so that it is in the guest's snapshot: the first case of each
//! restored guest then finds its process there. Under emulation each path through the kernel is dear when it is gone for the
//! first time, since QEMU has translated none of it yet: so what the case takes need not be forked, piped or paged in. All
//! later cases get a process forked for them.

use std::io::{self, Read};

use kconform_plan::{ToAgent, read_frame};

use crate::case::apart::Place;
use crate::case::child::{MOST_OWN, OomScore, be_clean_but_for_fds, run_steps};
use crate::log::Log;
use crate::memory::heap;
use crate::memory::populate::Pages;
use crate::sys::{self, Map};
use crate::{panic, signals};

/// Where the process has its pipe until it is ready: no case's fd is there, and no fd of the agent's.
const READY: i32 = MOST_OWN;
/// Room for a message. A case that takes more gets a process forked for it.
const LETTER: usize = 64 << 10;
/// Tells the process that its case is there.
const BEGIN: i32 = libc::SIGUSR1;

/// The process, and what it will be told.
pub(crate) struct Spare {
    case: libc::pid_t,
    /// Memory that it shares, for the message that it is to run.
    letter: *mut u8,
    /// The last message from the host, byte by byte.
    heard: Vec<u8>,
}

impl Spare {
    /// Forks it, and waits until all that is left to it is to hear of its case. `None` where that fails: then cases have
    /// processes of their own.
    pub(crate) fn fork(log: Log, oom_score: &OomScore) -> Option<Spare> {
        let letter = sys::map(LETTER, Map::Shared).ok()?;
        let (read, ready) = sys::pipe().ok()?;
        let heard = Vec::with_capacity(LETTER);
        let pages = Pages::find(log);
        let forked = oom_score.fork();
        if forked == Ok(0) {
            wait_for_plan(log, &pages, letter, ready);
        }
        sys::close(ready);
        // Nothing comes but its end, which the process brings about.
        let _ = sys::read(read, &mut [0]);
        sys::close(read);
        pages.populate();
        Some(Spare { case: forked.ok()?, letter, heard })
    }

    /// A stream that the next message is read from, to be handed on.
    pub(crate) fn listen<'a, S: Read>(&'a mut self, stream: &'a mut S) -> impl Read + 'a {
        self.heard.clear();
        Overheard { stream, heard: &mut self.heard }
    }

    /// Hands the last message on, a case to be run. `None` when the process is gone or the message is too long for it.
    pub(crate) fn begin(self) -> Option<libc::pid_t> {
        // Whether it is there is asked as it is asked for any child when a case is over.
        loop {
            match sys::wait(-1, libc::WNOHANG) {
                Ok(None) => break,
                Ok(Some((ended, _))) if ended != self.case => {}
                Ok(Some(_)) | Err(_) => return None,
            }
        }
        if self.heard.len() > LETTER {
            let _ = sys::kill(self.case, libc::SIGKILL);
            let _ = sys::wait(self.case, 0);
            return None;
        }
        // SAFETY: the letter is so long and stays mapped; the process looks into it when it has the signal.
        unsafe { self.letter.copy_from_nonoverlapping(self.heard.as_ptr(), self.heard.len()) };
        sys::kill(self.case, BEGIN).ok().map(|()| self.case)
    }
}

/// The process's own life.
fn wait_for_plan(log: Log, pages: &Pages, letter: *mut u8, ready: i32) -> ! {
    heap::start_afresh();
    panic::tell_log(log);
    if sys::dup_exactly(ready, READY).is_err() {
        sys::exit(1);
    }
    sys::close_below(READY);
    be_clean_but_for_fds();
    signals::block_only(BEGIN);
    pages.populate();
    sys::close(READY);
    signals::wait_for(BEGIN);
    signals::unblock();
    // SAFETY: the letter is so long, stays mapped, and is not written any more.
    let mut message = unsafe { std::slice::from_raw_parts(letter, LETTER) };
    // What it hears is a case: nothing else is handed on.
    let Ok(ToAgent::Run { plan, .. }) = read_frame(&mut message) else { sys::exit(1) };
    // Only guests have such a process.
    run_steps(log, &plan, sys::now(), Place::Guest)
}

struct Overheard<'a, S> {
    stream: &'a mut S,
    heard: &'a mut Vec<u8>,
}

impl<S: Read> Read for Overheard<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.heard.extend_from_slice(&into[..read]);
        Ok(read)
    }
}
