//! Blocks whose steps run in a child, in threads, or several times.

use std::sync::Barrier;

use kconform_plan::{ChildEnd, RecordKind, Saved, Step, Trouble, Value};

use crate::log::{Cell, Mark, State};
use crate::steps::runner::{Flow, Runner};
use crate::sys::{self, Ended};
use crate::trouble::{Tried, trouble};

impl Runner {
    /// Runs steps in a forked child that is first made ready there, and waits for it.
    pub(crate) fn in_child(
        &mut self,
        step: u32,
        ready: impl FnOnce(&mut Runner) -> Tried<()>,
        steps: &[Step],
    ) -> Tried<Flow> {
        let cell = self.next_cell()?;
        match sys::fork().map_err(trouble("fork"))? {
            0 => self.be_child(step, cell, ready, steps),
            child => self.await_child(step, child, cell),
        }
    }

    /// A cell in which the next child says how far it has come.
    pub(crate) fn next_cell(&mut self) -> Tried<Cell> {
        let none = || Trouble { what: "room in the log for a child".into(), errno: libc::ENOSPC };
        let cell = self.child.or_else(|| self.log.cell()).ok_or_else(none)?;
        self.child = Some(cell);
        cell.set(State::Running);
        Ok(cell)
    }

    fn be_child(
        &mut self,
        step: u32,
        cell: Cell,
        ready: impl FnOnce(&mut Runner) -> Tried<()>,
        steps: &[Step],
    ) -> ! {
        self.become_child(cell);
        let flow = match ready(self) {
            Ok(()) => self.steps(steps),
            Err(trouble) => self.report(step, trouble),
        };
        cell.set(flow.state());
        sys::exit(0)
    }

    /// Waits for a child and says what follows from its end.
    pub(crate) fn await_child(&mut self, step: u32, child: libc::pid_t, cell: Cell) -> Tried<Flow> {
        self.child_ended(step, sys::wait(child, 0), cell)
    }

    /// Says what follows from a child's end. What the child said of itself counts; how it ended counts only when it said
    /// nothing, so an `exit_group(0)` in between cannot be taken for a good end.
    pub(crate) fn child_ended(
        &mut self,
        step: u32,
        ended: sys::Result<Option<(libc::pid_t, Ended)>>,
        cell: Cell,
    ) -> Tried<Flow> {
        let state = cell.get();
        let (end, flow) = match (state, ended) {
            (State::Troubled, _) => return Ok(Flow::Troubled),
            (State::Finished, _) => (ChildEnd::Finished, Flow::Next),
            (State::Over, _) => (ChildEnd::Finished, Flow::Over),
            (State::Surprised, _) => (ChildEnd::Surprised, Flow::Surprised),
            (_, Ok(Some((_, Ended::Exited(status))))) => (ChildEnd::Exited(status), Flow::Surprised),
            (_, Ok(Some((_, Ended::Signaled(signal))))) => {
                let expected = state == State::Dying(signal);
                (ChildEnd::Signaled(signal), if expected { Flow::Next } else { Flow::Surprised })
            }
            (_, Ok(None)) => return Err(Trouble { what: "wait for the child".into(), errno: 0 }),
            (_, Err(errno)) => return Err(Trouble { what: "wait for the child".into(), errno }),
        };
        self.record(step, RecordKind::Child(end));
        Ok(flow)
    }

    /// Runs each list in a thread of its own, started together.
    pub(crate) fn in_threads(&mut self, lists: &[Vec<Step>]) -> Tried<Flow> {
        let together = Barrier::new(lists.len());
        let threads: Vec<Runner> = lists.iter().map(|_| self.for_thread()).collect();
        let ends = std::thread::scope(|scope| {
            let mut started = Vec::with_capacity(lists.len());
            for (mut runner, steps) in threads.into_iter().zip(lists) {
                let together = &together;
                let thread =
                    std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, move || {
                        together.wait();
                        let flow = runner.steps(steps);
                        if flow != Flow::Next {
                            Runner::stop_others();
                        }
                        (runner, flow)
                    });
                match thread {
                    Ok(thread) => started.push(thread),
                    // The others wait at the barrier for ever, so the process ends here, with its reason.
                    Err(error) => self.give_up(lists, error.raw_os_error().unwrap_or(0)),
                }
            }
            started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut worst = Flow::Next;
        for (runner, flow) in ends.into_iter().flatten() {
            self.areas.extend(runner.areas);
            worst = worst.max(flow);
        }
        Ok(worst)
    }

    fn for_thread(&self) -> Runner {
        let mut runner = Runner::new(self.log, self.began, self.slots.clone(), self.iteration.clone());
        // A step that ran before (in a `repeat`) finds its memory again.
        runner.areas.clone_from(&self.areas);
        runner.cell = self.cell;
        runner
    }

    fn give_up(&self, lists: &[Vec<Step>], errno: i32) -> ! {
        let step = lists.iter().flatten().map(|s| s.index).min().unwrap_or(1).saturating_sub(1);
        let flow = self.report(step, Trouble { what: "start a thread".into(), errno });
        self.cell.set(flow.state());
        sys::exit(0)
    }

    /// Runs steps several times. Of many rounds the first and the last are kept.
    pub(crate) fn repeat(
        &mut self,
        step: u32,
        times: &Value,
        slot: Option<u32>,
        steps: &[Step],
    ) -> Tried<Flow> {
        let times = u32::try_from(self.number(times)?)
            .map_err(|_| Trouble { what: "repeat so often".into(), errno: libc::ERANGE })?;
        let depth = self.iteration.len();
        let mut flow = Flow::Next;
        let mut rounds = Rounds::default();
        let begin = self.log.mark();
        for count in 0..times {
            self.iteration.truncate(depth);
            if self.alone {
                self.make_room(step, begin, &mut rounds, count);
            }
            self.iteration.push(count);
            if let Some(slot) = slot {
                self.keep(slot, Saved::Number(u64::from(count)));
            }
            flow = self.steps(steps);
            if flow != Flow::Next || Runner::stopped() {
                break;
            }
        }
        self.iteration.truncate(depth);
        Ok(flow)
    }

    /// Before a round: where the log has become long, forgets those before the last, which all went as expected.
    fn make_room(&mut self, step: u32, begin: Mark, rounds: &mut Rounds, count: u32) {
        let now = self.log.mark();
        match rounds.forgettable {
            None if self.log.is_long(begin, now) || self.log.is_long(Mark::default(), now) => {
                rounds.forgettable = Some((now, count));
            }
            Some((from, first)) if count > first + 1 && self.log.is_long(from, now) => {
                self.log.forget(from, rounds.last);
                // It may have been among what is forgotten.
                self.child = None;
                self.record(step, RecordKind::Skipped { first, count: count - 1 - first });
            }
            _ => {}
        }
        rounds.last = self.log.mark();
    }

    /// Runs steps in a child that has the fd only by SCM_RIGHTS.
    pub(crate) fn with_sent_fd(&mut self, step: u32, fd: &Value, slot: u32, steps: &[Step]) -> Tried<Flow> {
        let fd = self.number(fd)? as i32;
        let (ours, theirs) = sys::socket_pair().map_err(trouble("socketpair"))?;
        let cell = self.next_cell()?;
        let child = match sys::fork() {
            Ok(0) => self.be_child(step, cell, |runner| runner.receive(fd, ours, theirs, slot), steps),
            Ok(child) => child,
            Err(errno) => {
                sys::close(ours);
                sys::close(theirs);
                return Err(Trouble { what: "fork".into(), errno });
            }
        };
        sys::close(theirs);
        let sent = sys::send_fd(ours, fd);
        // Without the fd the child reads an end of file, and ends.
        sys::close(ours);
        let flow = self.await_child(step, child, cell);
        sent.map_err(trouble(format!("send fd {fd}")))?;
        flow
    }

    fn receive(&mut self, fd: i32, ours: i32, theirs: i32, slot: u32) -> Tried<()> {
        sys::close(fd);
        if fd != ours {
            sys::close(ours);
        }
        let received = sys::receive_fd(theirs).map_err(trouble("receive the fd"))?;
        sys::close(theirs);
        self.keep(slot, Saved::Number(received as u64));
        Ok(())
    }
}

/// What a `repeat` has written down so far.
#[derive(Default)]
struct Rounds {
    /// Where what may be forgotten begins, and with which round.
    forgettable: Option<(Mark, u32)>,
    /// Where the last round begins.
    last: Mark,
}
