//! The process of a case: how it is forked, what it begins with, and its steps.

use kconform_plan::Plan;

use crate::case::apart::{self, Place};
use crate::log::{Log, State};
use crate::reach::Reach;
use crate::steps::runner::Runner;
use crate::{signals, sys};

/// The agent's /proc/self/oom_score_adj, open, and what it says.
pub(crate) struct OomScore(Option<(i32, Vec<u8>)>);

impl OomScore {
    pub(crate) fn open() -> OomScore {
        const PATH: &str = "/proc/self/oom_score_adj";
        let own = sys::read_file(PATH).ok();
        OomScore(own.and_then(|own| Some((sys::open(&sys::c_string(PATH), libc::O_WRONLY).ok()?, own))))
    }

    /// Forks a child that goes first when memory runs out. The score is inherited, and two writes here to an open fd are
    /// cheaper than one open in each child.
    pub(crate) fn fork(&self) -> sys::Result<libc::pid_t> {
        let Some((fd, own)) = &self.0 else { return sys::fork() };
        let _ = sys::write_start(*fd, b"1000");
        let forked = sys::fork();
        if forked != Ok(0) {
            let _ = sys::write_start(*fd, own);
        }
        forked
    }
}

/// The case itself, in its process.
pub(crate) fn run_steps(log: Log, plan: &Plan, began: u64, place: Place) -> ! {
    if let Err(trouble) = apart::enter(Reach::of(&plan.steps), place) {
        let step = plan.steps.first().map_or(0, |step| step.index);
        log.trouble(step, &[], 0, trouble);
        log.first().set(State::Troubled);
        sys::exit(0)
    }
    let slots = vec![None; plan.slots as usize];
    Runner { alone: true, ..Runner::new(log, began, slots, Vec::new()) }.run(&plan.steps)
}

/// The agent's own fds are all below this.
pub(crate) const MOST_OWN: i32 = 32;

/// Makes a freshly forked process what each case begins with. (umask, limits, the working directory and the signals'
/// dispositions are the agent's own since its start.)
pub(crate) fn be_clean() {
    sys::close_from(0, MOST_OWN);
    be_clean_but_for_fds();
}

/// As [`be_clean`], where fds from 3 on are seen to by somebody else.
pub(crate) fn be_clean_but_for_fds() {
    signals::unblock();
    sys::new_session();
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0);
    // Three fds of one description, opened here so that no case can change another's.
    if sys::open_kept(c"/dev/null", libc::O_RDWR) == Ok(0) {
        let _ = sys::dup(0);
        let _ = sys::dup(0);
    }
}
