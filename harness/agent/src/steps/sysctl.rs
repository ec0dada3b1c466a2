//! `sysctl` blocks.

use kconform_plan::{Step, Trouble, Value};

use crate::steps::runner::{Flow, Runner};
use crate::sys;
use crate::trouble::{Tried, trouble};

/// Where the file of a sysctl is, whose name has slashes.
pub(crate) fn place(name: &str) -> String {
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
