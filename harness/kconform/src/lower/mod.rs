//! From a checked [`Case`] to the [`Plan`] for one kernel: names become numbers of its ABI, buffers become bytes in its
//! byte order, sizes are computed, and of several outcomes the one that holds there is chosen. Pure: the same bytes
//! come out on every host.

mod attr;
mod buffer;
mod call;
mod outcome;
mod outputs;
mod steps;
#[cfg(test)]
mod tests;
mod uapi;
mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use kconform_plan::{Plan, SetSysctl};

use crate::case::{CallStep, Case, Outcome, Probe, Step};
use crate::kernel::{Kernel, Unmet};
pub(crate) use outcome::{goes_on, last, may_succeed};
use steps::Steps;
use value::Abi;

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
    /// For each argument of a system call which of the written ones it is; `None`: it was left out, and is 0.
    pub order: Vec<Option<usize>>,
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

/// The time that a probe gets, before a target's own factor.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// Lowers a case. `timeout_factor` is the target's: emulated kernels get more time.
///
/// # Errors
/// What the case needs and this kernel (or user) does not have; also what no plan can be made of, such as a buffer of
/// absurd size.
pub fn lower(case: &Case, kernel: &Kernel, timeout_factor: f64) -> Result<Lowered, Unmet> {
    kernel.has_a_root()?;
    let (kernel, sysctls) = kernel.prepared(case)?;
    if case.guest_only && kernel.host {
        return Err(Unmet { reason: "not run on this machine's own kernel (guest_only)".into() });
    }
    lower_steps(&case.steps, case.timeout, sysctls, &kernel, timeout_factor)
}

/// Lowers the steps of a probe, with the default timeout and these sysctls set, which are those of the case that needs it.
///
/// # Errors
/// As [`lower`].
pub fn lower_probe(
    probe: &Probe,
    sysctls: &[SetSysctl],
    kernel: &Kernel,
    timeout_factor: f64,
) -> Result<Lowered, Unmet> {
    lower_steps(&probe.steps, PROBE_TIME, sysctls.to_vec(), &kernel.with(sysctls), timeout_factor)
}

fn lower_steps(
    steps: &[Step],
    timeout: Duration,
    sysctls: Vec<SetSysctl>,
    kernel: &Kernel,
    factor: f64,
) -> Result<Lowered, Unmet> {
    let mut lowering = Steps { abi: Abi::new(kernel), calls: BTreeMap::new(), factor };
    let steps = lowering.lower(steps)?;
    kernel.lets(&steps)?;
    let slot_names = lowering.abi.slots;
    let slots = slot_names.len() as u32;
    let plan = Plan { slots, timeout_ms: milliseconds(timeout, factor), sysctls, steps };
    Ok(Lowered { plan, calls: lowering.calls, slot_names })
}

/// A time in milliseconds on a target that is slower by a factor; never 0.
fn milliseconds(time: Duration, factor: f64) -> u64 {
    ((time.as_secs_f64() * factor * 1000.0).ceil() as u64).max(1)
}
