//! From a checked [`Case`] to the [`Plan`] for one kernel: names become numbers of its ABI, buffers become bytes in its
//! byte order, sizes are computed, and of several outcomes the one that holds there is chosen. Pure: the same bytes
//! come out on every host.

use std::collections::BTreeMap;

use kconform_plan::Plan;

use crate::case::{CallStep, Case, Outcome, Probe};
use crate::kernel::{Kernel, Unmet};

/// A case for one kernel: the plan, and the way back from its numbers to the case.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// What the agent runs.
    pub plan: Plan,
    /// The calls, by the index of their step.
    pub calls: BTreeMap<u32, LoweredCall>,
    /// The names of the plan's slots, as written after `save:`, without `$`.
    pub slot_names: Vec<String>,
}

/// The way back from a call's numbers to its step in the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoweredCall {
    /// Which outcome is expected on this kernel.
    pub outcome: Chosen,
    /// The names of the plan's outputs ([`kconform_plan::Call::outputs`]), in their order: an attr field, `arg0` …
    /// `arg5`, `data`, or what `as` says.
    pub output_names: Vec<String>,
    /// For each of [`kconform_plan::Expect::outputs`], the index of what asks for it in [`Outcome::expect`].
    pub expects: Vec<usize>,
}

/// Which outcome of a step holds on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The step's own.
    Own,
    /// That of the `except` with this index.
    Except(usize),
}

impl Chosen {
    /// The outcome itself. `step` must be the step that was lowered.
    pub fn of(self, step: &CallStep) -> &Outcome {
        match self {
            Chosen::Own => &step.outcome,
            Chosen::Except(nth) => &step.except[nth].outcome,
        }
    }
}

/// Lowers a case. `timeout_factor` is the target's: emulated kernels get more time.
///
/// # Errors
/// What the case needs and this kernel (or user) does not have; also a case that asks for absurd amounts of memory.
pub fn lower(case: &Case, kernel: &Kernel, timeout_factor: f64) -> Result<Lowered, Unmet> {
    let _ = (case, kernel, timeout_factor);
    Err(Unmet { reason: "lowering is not there yet".into() })
}

/// Lowers the steps of a probe, with the default timeout.
///
/// # Errors
/// As [`lower`].
pub fn lower_probe(probe: &Probe, kernel: &Kernel, timeout_factor: f64) -> Result<Lowered, Unmet> {
    let _ = (probe, kernel, timeout_factor);
    Err(Unmet { reason: "lowering is not there yet".into() })
}
