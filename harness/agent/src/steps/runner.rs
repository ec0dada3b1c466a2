//! Goes through the steps of one process of a case (or one thread of a `parallel` block).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use kconform_plan::{Op, Record, RecordKind, Step, Trouble, Value};

use crate::log::{Cell, Log, State};
use crate::memory::buffers::{Area, Slots, number};
use crate::steps::privileges::drop_privileges;
use crate::sys;
use crate::trouble::Tried;

/// A thread's steps did not go as expected, so the others of its process stop too. Each forked child clears its copy.
static STOP: AtomicBool = AtomicBool::new(false);

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    /// The next step.
    Next,
    /// Nothing: the case is over, and well.
    Over,
    /// Nothing: something was not as expected.
    Surprised,
    /// Nothing: the agent could not do what a step asks for.
    Troubled,
}

impl Flow {
    /// What a process says of itself when its steps ended like this.
    pub(crate) fn state(self) -> State {
        match self {
            Flow::Next => State::Finished,
            Flow::Over => State::Over,
            Flow::Surprised => State::Surprised,
            Flow::Troubled => State::Troubled,
        }
    }
}

/// One process (or thread) on its way through its steps.
pub(crate) struct Runner {
    /// Where it writes what happens.
    pub(crate) log: Log,
    /// When the case began, on the monotonic clock.
    pub(crate) began: u64,
    /// Saved values.
    pub(crate) slots: Slots,
    /// The counts of the enclosing `repeat` blocks.
    pub(crate) iteration: Vec<u32>,
    /// The memory of calls, by step.
    pub(crate) areas: BTreeMap<u32, Option<Area>>,
    /// Where this process says how far it has come.
    pub(crate) cell: Cell,
    /// Where its next child will; used again when that one is gone.
    pub(crate) child: Option<Cell>,
    /// Nobody else reads or writes the log while it runs: it is neither one of several threads, nor in an image that another
    /// process follows.
    pub(crate) alone: bool,
}

impl Runner {
    /// At the beginning of a case, or of an `exec` block.
    pub(crate) fn new(log: Log, began: u64, slots: Slots, iteration: Vec<u32>) -> Runner {
        let (areas, cell) = (BTreeMap::new(), log.first());
        Runner { log, began, slots, iteration, areas, cell, child: None, alone: false }
    }

    /// Runs the steps, says how they ended, and ends the process.
    pub(crate) fn run(mut self, steps: &[Step]) -> ! {
        let flow = self.steps(steps);
        self.cell.set(flow.state());
        sys::exit(0)
    }

    /// Runs steps until one of them ends the case.
    pub(crate) fn steps(&mut self, steps: &[Step]) -> Flow {
        for step in steps {
            if Runner::stopped() {
                return Flow::Next;
            }
            let flow = self.step(step);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    fn step(&mut self, step: &Step) -> Flow {
        let nth = step.index;
        let done = match &step.op {
            Op::Call(call) => self.call(nth, call),
            Op::Fork(steps) => self.in_child(nth, |_| Ok(()), steps),
            Op::Exec(steps) => self.in_new_image(nth, steps),
            Op::Unprivileged { capabilities, steps } => {
                self.in_child(nth, |_| drop_privileges(*capabilities), steps)
            }
            Op::Parallel(lists) => self.in_threads(lists),
            Op::Repeat { times, slot, steps } => self.repeat(nth, times, *slot, steps),
            Op::SendFd { fd, slot, steps } => self.with_sent_fd(nth, fd, *slot, steps),
            Op::Sysctl { settings, steps } => self.with_sysctls(nth, settings, steps),
        };
        done.unwrap_or_else(|trouble| self.report(nth, trouble))
    }

    /// Writes down what could not be done.
    pub(crate) fn report(&self, step: u32, trouble: Trouble) -> Flow {
        self.log.trouble(step, &self.iteration, self.time(), trouble);
        Flow::Troubled
    }

    /// Writes down what happened.
    pub(crate) fn record(&self, step: u32, kind: RecordKind) {
        self.log.add(&Record { step, iteration: self.iteration.clone(), time_ns: self.time(), kind });
    }

    fn time(&self) -> u64 {
        sys::now().saturating_sub(self.began)
    }

    /// A value that does not depend on buffers.
    pub(crate) fn number(&self, value: &Value) -> Tried<u64> {
        number(value, &self.slots, &[])
    }

    /// Keeps a value for later steps.
    pub(crate) fn keep(&mut self, slot: u32, value: kconform_plan::Saved) {
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(value);
    }

    /// Makes the other threads of this process stop after their current step.
    pub(crate) fn stop_others() {
        STOP.store(true, Ordering::Relaxed);
    }

    /// Another thread of this process came to an end that ends the case.
    pub(crate) fn stopped() -> bool {
        STOP.load(Ordering::Relaxed)
    }

    /// A forked child is a process of its own.
    pub(crate) fn become_child(&mut self, cell: Cell) {
        STOP.store(false, Ordering::Relaxed);
        self.cell = cell;
        self.child = None;
    }
}
