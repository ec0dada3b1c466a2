//! A process that waits for its case.
//!
//! A guest's agent forks one before it says that it is ready, so that it is in the guest's snapshot: the first case of each
//! restored guest then finds its process there. Under emulation a fork is dear at that moment, since QEMU has translated none
//! of the kernel's code yet. All later cases get a process forked for them.

use std::io::{self, Read};

use kconform_plan::{ToAgent, read_frame};

use crate::case::{Cases, MOST_OWN, be_clean_but_for_fds, run_steps};
use crate::log::Log;
use crate::stream::write_some;
use crate::{heap, panic, sys};

/// Where the process has its pipes until it begins: no case's fd is there, and no fd of the agent's.
const PLAN: i32 = MOST_OWN;
const READY: i32 = MOST_OWN + 1;

/// The process, and what it will be told.
pub(crate) struct Spare {
    case: libc::pid_t,
    /// Where it reads its plan.
    pipe: i32,
    /// The last message from the host, byte by byte.
    heard: Vec<u8>,
}

impl Spare {
    /// Forks it, and waits until all that is left to it is to read its plan. `None` where that fails: then cases have
    /// processes of their own.
    pub(crate) fn fork(cases: &Cases) -> Option<Spare> {
        let (plan, pipe) = sys::pipe().ok()?;
        let spare = match sys::pipe() {
            Ok((read, ready)) => {
                let forked = cases.oom_score.fork();
                if forked == Ok(0) {
                    wait_for_plan(cases.log, plan, ready);
                }
                sys::close(ready);
                // Nothing comes but its end, which the process brings about.
                let _ = sys::read(read, &mut [0]);
                sys::close(read);
                forked.ok()
            }
            Err(_) => None,
        };
        sys::close(plan);
        if spare.is_none() {
            sys::close(pipe);
        }
        spare.map(|case| Spare { case, pipe, heard: Vec::new() })
    }

    /// A stream that the next message is read from, to be handed on.
    pub(crate) fn listen<'a, S: Read>(&'a mut self, stream: &'a mut S) -> impl Read + 'a {
        self.heard.clear();
        Overheard { stream, heard: &mut self.heard }
    }

    /// Hands the last message on, a case to be run. `None` when the process is gone.
    pub(crate) fn begin(self) -> Option<libc::pid_t> {
        let mut rest = &self.heard[..];
        while !rest.is_empty() {
            let Ok(written) = write_some(self.pipe, rest) else { break };
            rest = &rest[written..];
        }
        sys::close(self.pipe);
        rest.is_empty().then_some(self.case)
    }
}

/// The process's own life.
fn wait_for_plan(log: Log, plan: i32, ready: i32) -> ! {
    heap::start_afresh();
    panic::tell_log(log);
    if sys::dup_exactly(plan, PLAN).is_err() || sys::dup_exactly(ready, READY).is_err() {
        sys::exit(1);
    }
    sys::close_below(MOST_OWN);
    be_clean_but_for_fds();
    sys::close(READY);
    // It ends with the pipe, and when what it hears is no case, which is said as the end of its process.
    let Ok(ToAgent::Run { plan, .. }) = read_frame(&mut Pipe(PLAN)) else { sys::exit(1) };
    sys::close(PLAN);
    run_steps(log, &plan, sys::now())
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

struct Pipe(i32);

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        sys::read(self.0, into).map_err(io::Error::from_raw_os_error)
    }
}
