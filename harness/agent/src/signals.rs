//! Signals as the agent hears of them, and as a case finds them.

use crate::sys;

/// The agent's signals: all blocked, those that mean something read from a signalfd, or waited for.
#[derive(Clone, Copy)]
pub(crate) struct Signals {
    fd: i32,
    /// Who started the agent.
    parent: libc::pid_t,
}

/// What has been heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// A child has ended.
    pub(crate) child: bool,
    /// The agent is to end.
    pub(crate) end: bool,
}

/// Comes when the thread that started the agent ends: then it is looked whether its process has ended too.
pub(crate) const PARENT_ENDED: i32 = libc::SIGHUP;

/// How long a wait with a limit may last before the caller looks itself for what it waits for.
const LOOK_AGAIN_NS: u64 = 50_000_000;

/// The signals that mean something.
const HEARD: [i32; 3] = [libc::SIGCHLD, libc::SIGTERM, PARENT_ENDED];

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::zeroed();
    // SAFETY: `set` is a valid place, initialised by sigemptyset; the signal numbers are valid.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

fn set_mask(set: &libc::sigset_t) {
    // SAFETY: `set` is valid, and nobody asks for the old mask.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) };
}

/// An empty mask: what a case begins with. (Dispositions are the default ones since [`Signals::take`].)
pub(crate) fn unblock() {
    set_mask(&set_of(&[]));
}

/// Blocks one signal and no other.
pub(crate) fn block_only(signal: i32) {
    set_mask(&set_of(&[signal]));
}

/// Waits for a signal, which is blocked.
pub(crate) fn wait_for(signal: i32) {
    while !matches!(sys::wait_for_signal(&set_of(&[signal]), None), Ok(Some(_))) {}
}

/// Waits for a nanosecond, by which the kernel programs its timer anew and handles all that is due. A guest that was restored
/// from a snapshot needs it where QEMU does not carry an armed timer over (the ACLINT of riscv64 in QEMU 7.2): it would wait
/// for ever for an interrupt that nobody raises, and put off every later one. (The host sees to the timer of CPUs with Sstc:
/// since Linux 7.2 this does not program that.)
pub(crate) fn fire_timer() {
    // A signal that nobody sends: one that means something would be lost here.
    let _ = sys::wait_for_signal(&set_of(&[libc::SIGUSR2]), Some(1));
}

impl Signals {
    /// Gives all signals their default disposition and blocks them.
    pub(crate) fn take() -> sys::Result<Signals> {
        for signal in 1..=64 {
            // SAFETY: a default disposition needs no handler; SIGKILL, SIGSTOP and libc's own are refused, harmlessly.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        let mut all = std::mem::MaybeUninit::zeroed();
        // SAFETY: `all` is a valid place, initialised by sigfillset.
        let all = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            all.assume_init()
        };
        set_mask(&all);
        // SAFETY: the set is valid.
        let fd = unsafe { libc::signalfd(-1, &set_of(&HEARD), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 { Err(sys::errno()) } else { Ok(Signals { fd, parent: sys::parent() }) }
    }

    /// Whether the process that started the agent has ended.
    pub(crate) fn is_orphan(&self) -> bool {
        sys::parent() != self.parent
    }

    /// Reads what has come.
    pub(crate) fn hear(&self) -> Heard {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut heard = Heard::default();
        let mut all = [0; 4 * SIZE];
        let read = sys::read(self.fd, &mut all).unwrap_or(0);
        for info in all[..read].chunks_exact(SIZE) {
            let field = |at: usize| info[at..].first_chunk().map_or(0, |n| u32::from_ne_bytes(*n));
            // `ssi_signo`, and `ssi_pid` behind two more.
            self.take_in(field(0) as i32, field(12) as i32, &mut heard);
        }
        heard
    }

    /// What a signal means; the sender is 0 when it is in no PID namespace of the agent's.
    fn take_in(&self, signal: i32, sender: libc::pid_t, heard: &mut Heard) {
        match signal {
            libc::SIGCHLD => heard.child = true,
            // As PID 1 the agent is spared SIGKILL from its cases; what else they send it means nothing either.
            _ if sender != 0 && sys::pid() == 1 => {}
            PARENT_ENDED => heard.end |= self.is_orphan(),
            _ => heard.end = true,
        }
    }

    /// Waits until a signal comes, `also` has something, or the time is over, or for less; what was heard.
    pub(crate) fn wait(&self, also: &mut Option<libc::pollfd>, limit_ns: Option<u64>) -> sys::Result<Heard> {
        let mut heard = Heard::default();
        let Some(other) = also else {
            // Less of the kernel than poll(2) and a read, which a restored guest would have to translate.
            if let Some((signal, sender)) = sys::wait_for_signal(&set_of(&HEARD), limit_ns)? {
                self.take_in(signal, sender, &mut heard);
            }
            return Ok(heard);
        };
        let mut fds = [libc::pollfd { fd: self.fd, events: libc::POLLIN, revents: 0 }, *other];
        // gVisor wakes nobody that polls a signalfd when a child ends.
        let limit_ns = limit_ns.map(|limit| limit.min(LOOK_AGAIN_NS));
        sys::poll(&mut fds, limit_ns)?;
        other.revents = fds[1].revents;
        Ok(if fds[0].revents != 0 { self.hear() } else { heard })
    }
}
