//! Steps and blocks, and what blocks need of the agent.

use std::collections::BTreeMap;

use kconform_plan::{Op, Step, Value};

use super::value::Abi;
use super::{LoweredCall, call};
use crate::case::{self, StepKind};
use crate::kernel::Unmet;

const CAP_SETGID: u8 = 6;
const CAP_SETUID: u8 = 7;

/// Lowers steps and keeps the ways back.
pub(super) struct Steps<'k> {
    pub(super) abi: Abi<'k>,
    pub(super) calls: BTreeMap<u32, LoweredCall>,
    pub(super) factor: f64,
}

impl Steps<'_> {
    pub(super) fn lower(&mut self, steps: &[case::Step]) -> Result<Vec<Step>, Unmet> {
        steps.iter().map(|step| Ok(Step { index: step.index, op: self.op(step)? })).collect()
    }

    fn op(&mut self, step: &case::Step) -> Result<Op, Unmet> {
        Ok(match &step.kind {
            StepKind::Call(call) => {
                let (lowered, back) = call::lower(&mut self.abi, call, self.factor)?;
                self.calls.insert(step.index, back);
                Op::Call(Box::new(lowered))
            }
            StepKind::Fork(steps) => Op::Fork(self.lower(steps)?),
            StepKind::Exec(steps) => Op::Exec(self.lower(steps)?),
            StepKind::Unprivileged { capabilities, steps } => {
                self.can_drop_to(capabilities)?;
                let mask = capabilities.iter().fold(0, |mask, &number| mask | 1 << (number & 63));
                Op::Unprivileged { capabilities: mask, steps: self.lower(steps)? }
            }
            StepKind::Parallel(lists) => {
                Op::Parallel(lists.iter().map(|steps| self.lower(steps)).collect::<Result<_, _>>()?)
            }
            StepKind::Repeat { times, counter, steps } => Op::Repeat {
                times: self.abi.value(times)?,
                slot: counter.as_ref().map(|name| self.abi.slot(name)),
                steps: self.lower(steps)?,
            },
            StepKind::SendFd { fd, steps } => {
                // What is sent may itself be called `$fd` outside; the child has slots of its own.
                let fd = self.abi.value(fd)?;
                Op::SendFd { fd, slot: self.abi.slot("fd"), steps: self.lower(steps)? }
            }
            StepKind::Sysctl { settings, steps } => {
                if self.abi.kernel.host {
                    return Err(Unmet {
                        reason: "sysctls are not changed on this machine's own kernel".into(),
                    });
                }
                let mut lowered = Vec::new();
                for (name, value) in settings {
                    let value = self.abi.value(value)?;
                    if let Value::Number(number) = value {
                        self.abi.kernel.can_set(&name.value, number as i64)?;
                    }
                    lowered.push((name.value.replace('.', "/"), value));
                }
                Op::Sysctl { settings: lowered, steps: self.lower(steps)? }
            }
        })
    }

    /// Becoming uid 65534 needs two capabilities, and nobody keeps what they do not have.
    fn can_drop_to(&self, capabilities: &[u8]) -> Result<(), Unmet> {
        let kernel = self.abi.kernel;
        let missing = [CAP_SETGID, CAP_SETUID].iter().chain(capabilities).find(|&&number| {
            // CAP_SYS_ADMIN stands in for nothing here: the capability itself is handed on.
            kernel.capabilities.checked_shr(number.into()).unwrap_or(0) & 1 == 0
        });
        missing.map_or(Ok(()), |&number| Err(Unmet { reason: kernel.lacks_capability(number) }))
    }
}
