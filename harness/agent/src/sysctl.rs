//! `sysctl` blocks, and what must be put back after a case, whatever became of it.

use kconform_plan::{Op, Step, Trouble, Value};

use crate::runner::{Flow, Runner, Tried, trouble};
use crate::sys;

/// The values that sysctls had before a case that sets them.
pub(crate) struct Before(Vec<(u32, String, Vec<u8>)>);

impl Before {
    /// Reads all sysctls that a case may set; nothing for the many that set none.
    pub(crate) fn read(steps: &[Step]) -> Before {
        let mut before = Before(Vec::new());
        before.collect(steps);
        before
    }

    fn collect(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.op {
                Op::Call(_) => {}
                Op::Parallel(lists) => lists.iter().for_each(|list| self.collect(list)),
                Op::Sysctl { settings, steps } => {
                    for (name, _) in settings {
                        let known = self.0.iter().any(|(_, path, _)| *path == place(name));
                        if let (false, Ok(value)) = (known, sys::read_file(&place(name))) {
                            self.0.push((step.index, place(name), value));
                        }
                    }
                    self.collect(steps);
                }
                Op::Fork(steps)
                | Op::Exec(steps)
                | Op::Unprivileged { steps, .. }
                | Op::Repeat { steps, .. }
                | Op::SendFd { steps, .. } => self.collect(steps),
            }
        }
    }

    /// Puts back what the case did not; says what could not be, by step.
    pub(crate) fn put_back(&self) -> Vec<(u32, Trouble)> {
        let mut left = Vec::new();
        for (step, path, value) in &self.0 {
            if sys::read_file(path).as_ref() != Ok(value)
                && let Err(errno) = sys::write_file(path, value)
            {
                left.push((*step, Trouble { what: format!("put back {path}"), errno }));
            }
        }
        left
    }
}

fn place(name: &str) -> String {
    format!("/proc/sys/{name}")
}

impl Runner {
    /// Runs steps with sysctls set. A process that does not come to putting them back leaves that to the agent.
    pub(crate) fn with_sysctls(
        &mut self,
        step: u32,
        settings: &[(String, Value)],
        steps: &[Step],
    ) -> Tried<Flow> {
        let mut old = Vec::with_capacity(settings.len());
        let mut set = Ok(());
        for (name, value) in settings {
            let path = place(name);
            set = self.set_sysctl(&path, value).map(|before| old.push((path, before)));
            if set.is_err() {
                break;
            }
        }
        let flow = set.map(|()| self.steps(steps));
        for (path, before) in old.iter().rev() {
            if let Err(errno) = sys::write_file(path, before) {
                self.report(step, Trouble { what: format!("put back {path}"), errno });
                return Ok(Flow::Troubled);
            }
        }
        flow
    }

    fn set_sysctl(&self, path: &str, value: &Value) -> Tried<Vec<u8>> {
        let value = self.number(value)? as i64;
        let before = sys::read_file(path).map_err(trouble(format!("read {path}")))?;
        sys::write_file(path, value.to_string().as_bytes())
            .map_err(trouble(format!("write {value} to {path}")))?;
        Ok(before)
    }
}
