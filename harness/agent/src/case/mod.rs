//! Runs one case: a process for it, its time, and what it leaves behind.

pub(crate) mod apart;
pub(crate) mod child;
pub(crate) mod ground;
pub(crate) mod leftovers;
pub(crate) mod scratch;
pub(crate) mod spare;
mod sysctl;

use kconform_plan::{End, Observation, Plan, Record, RecordKind};

use crate::kernel_log::KernelLog;
use crate::log::{Log, State};
use crate::memory::heap;
use crate::panic;
use crate::reach::Reach;
use crate::signals::Signals;
use crate::sys::{self, Ended};
use crate::traces::look::Shares;
use crate::traces::objects::Objects;
use apart::Place;
use child::{OomScore, be_clean, run_steps};
use ground::Ground;
use leftovers::Swept;
use scratch::Scratch;
use spare::Spare;
use sysctl::{Before, Set};

/// All that outlives a case.
pub(crate) struct Cases {
    pub(crate) log: Log,
    pub(crate) signals: Signals,
    pub(crate) scratch: Scratch,
    pub(crate) kernel_log: KernelLog,
    pub(crate) oom_score: OomScore,
    pub(crate) place: Place,
    pub(crate) shares: Shares,
    pub(crate) ground: Ground,
    /// The next case's process, if there is one already.
    pub(crate) spare: Option<Spare>,
    pub(crate) objects: Objects,
}

/// What became of a case.
pub(crate) enum Outcome {
    /// It is over and cleaned up.
    Ran(Observation),
    /// It is over, but the agent cannot go on, for this reason: a fresh one is to take over.
    Spent(Observation, String),
    /// The host went away, or the agent is to end; everything is killed.
    Abandoned,
}

/// Why the agent stopped waiting for a case's own process.
enum Waited {
    Ended(Ended, Left),
    TimedOut,
    Abandoned,
}

/// Whether processes are left when the case's own has ended.
#[derive(PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

impl Cases {
    /// Runs a case, which has this number; `watched` tells when the host goes away.
    pub(crate) fn run(&mut self, id: u64, plan: &Plan, mut watched: Option<libc::pollfd>) -> Outcome {
        let reach = Reach::of(&plan.steps);
        self.objects.before(&plan.steps, reach);
        self.log.reset();
        let set = match self.set(plan) {
            Ok(set) => set,
            Err(end) => return Outcome::Ran(self.observe(sys::now(), end, Swept::default())),
        };
        let sysctls = Before::read(&plan.steps);
        let began = sys::now();
        let case = match self.start(plan, began) {
            Ok(case) => case,
            Err(errno) => {
                let put_back = set.put_back();
                let seen = self.observe(began, End::NotStarted(errno), Swept::default());
                return match put_back {
                    Ok(()) => Outcome::Ran(seen),
                    Err(why) => Outcome::Spent(seen, why),
                };
            }
        };
        let deadline = began.saturating_add(plan.timeout_ms.saturating_mul(1_000_000));
        let (end, swept) = match self.wait(case, deadline, &mut watched) {
            Waited::Ended(ended, Left::Nothing) => (self.end(ended), Swept::default()),
            Waited::Ended(ended, Left::Something) => (self.end(ended), leftovers::sweep(case, self.signals)),
            Waited::TimedOut => {
                let _ = sys::kill(case, libc::SIGKILL);
                let swept = leftovers::sweep(case, self.signals);
                // It may have come to its end in the very last moment.
                let finished = swept.main.map(|ended| self.end(ended)).filter(|end| *end == End::Finished);
                (finished.unwrap_or(End::TimedOut), swept)
            }
            Waited::Abandoned => {
                leftovers::sweep(case, self.signals);
                sysctls.put_back();
                let _ = set.put_back();
                return Outcome::Abandoned;
            }
        };
        for (step, trouble) in sysctls.put_back() {
            let (iteration, kind) = (Vec::new(), RecordKind::Trouble(trouble));
            self.log.add(&Record { step, iteration, time_ns: sys::now() - began, kind });
        }
        let put_back = set.put_back();
        let untouched = end == End::Finished && scratch::untouched_by(&plan.steps, reach);
        let tidied = if untouched { Ok(()) } else { self.scratch.tidy() };
        let hindrance =
            hindrance(swept.stuck, tidied).or(put_back.err()).or_else(|| self.ground.mend(reach).err());
        let mut observation = self.observe(began, end, swept);
        observation.unusual = reach.anything;
        observation.lingers = self.objects.after(id, &plan.steps);
        match hindrance {
            Some(why) => Outcome::Spent(observation, why),
            None => Outcome::Ran(observation),
        }
    }

    /// What a case without steps comes to. It takes no process, so that a restored guest, which is asked for it, answers
    /// the sooner.
    pub(crate) fn nothing(&mut self) -> Observation {
        self.log.reset();
        self.observe(sys::now(), End::Finished, Swept::default())
    }

    /// Sets the sysctls of a plan; on somebody's machine none is ever set.
    fn set(&self, plan: &Plan) -> Result<Set, End> {
        match (self.place, plan.sysctls.is_empty()) {
            (Place::Machine, false) => Err(End::NotSet { nth: 0, errno: libc::EPERM }),
            _ => Set::all(&plan.sysctls),
        }
    }

    fn start(&mut self, plan: &Plan, began: u64) -> sys::Result<libc::pid_t> {
        if let Some(case) = self.spare.take().and_then(Spare::begin) {
            return Ok(case);
        }
        let forked = self.oom_score.fork();
        if forked == Ok(0) {
            self.be_case(plan, began)
        }
        forked
    }

    fn be_case(&self, plan: &Plan, began: u64) -> ! {
        heap::start_afresh();
        panic::tell_log(self.log);
        be_clean();
        run_steps(self.log, plan, began, self.place)
    }

    fn wait(&self, case: libc::pid_t, deadline: u64, watched: &mut Option<libc::pollfd>) -> Waited {
        loop {
            let left = deadline.saturating_sub(sys::now());
            if left == 0 {
                return Waited::TimedOut;
            }
            let heard = match self.signals.wait(watched, Some(left)) {
                Ok(heard) => heard,
                Err(_) => return Waited::Abandoned,
            };
            if heard.end || watched.is_some_and(|w| w.revents != 0) {
                return Waited::Abandoned;
            }
            // The signal may not have come: see `Signals::wait`.
            if let Some((ended, left)) = reap(case) {
                return Waited::Ended(ended, left);
            }
        }
    }

    /// What the case's process said of itself counts; see `Runner::child_ended`.
    fn end(&self, ended: Ended) -> End {
        match (self.log.first().get(), ended) {
            (State::Running | State::Dying(_), Ended::Exited(status)) => End::Exited(status),
            (State::Running | State::Dying(_), Ended::Signaled(signal)) => End::Signaled(signal),
            _ => End::Finished,
        }
    }

    fn observe(&mut self, began: u64, end: End, swept: Swept) -> Observation {
        let records = self.log.records();
        let (kernel_log, taint) = self.kernel_log.news();
        Observation {
            records,
            end,
            duration_ns: sys::now().saturating_sub(began),
            kernel_log,
            taint,
            left_behind: swept.killed,
            lingers: false,
            unusual: false,
            dropped: self.log.dropped(),
        }
    }
}

/// Why no other case can follow, if so.
fn hindrance(stuck: bool, tidied: sys::Result<()>) -> Option<String> {
    match tidied {
        _ if stuck => Some("a process of the case cannot be killed".into()),
        Err(errno) => Some(format!("no scratch directory: errno {errno}")),
        Ok(()) => None,
    }
}

/// Reaps all that has ended; how the case's own process did, if it is among that.
fn reap(case: libc::pid_t) -> Option<(Ended, Left)> {
    let mut main = None;
    loop {
        match sys::wait(-1, libc::WNOHANG) {
            Ok(Some((pid, ended))) if pid == case => main = Some(ended),
            Ok(Some(_)) => {}
            Ok(None) => return main.map(|ended| (ended, Left::Something)),
            Err(_) => return main.map(|ended| (ended, Left::Nothing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_other_cases_from_following_is_said() {
        let said = [(false, Ok(())), (true, Ok(())), (true, Err(libc::EIO)), (false, Err(libc::ENOSPC))]
            .map(|(stuck, tidied)| hindrance(stuck, tidied));
        let stuck = || Some("a process of the case cannot be killed".to_owned());
        assert_eq!(said, [None, stuck(), stuck(), Some("no scratch directory: errno 28".to_owned())]);
    }
}
