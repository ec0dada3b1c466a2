//! Steps and blocks as C.

use std::collections::BTreeSet;

use crate::case::{Expr, Probe, Step, StepKind};

use super::names::literal;
use super::state::{Export, Kind};
use super::{ExportError, uncovered};

impl Export<'_> {
    /// A function of steps: the case's own, a probe's, those of a thread or of a fresh image.
    pub(super) fn function(&mut self, head: &str, steps: &[Step]) -> Result<(), ExportError> {
        let outer = std::mem::take(&mut self.out);
        self.out.line(head);
        self.out.open("{");
        let body = self.steps(steps);
        self.out.close("}");
        let done = std::mem::replace(&mut self.out, outer);
        body?;
        let has_calls = has_calls(steps);
        let text = if has_calls { done.text.replacen("{\n", "{\n\tlong ret;\n\n", 1) } else { done.text };
        self.functions.push_str(&text);
        self.functions.push('\n');
        Ok(())
    }

    /// The function of a probe.
    pub(super) fn probe(&mut self, probe: &Probe, name: &str) -> Result<(), ExportError> {
        self.function(&format!("static void {name}(void)"), &probe.steps)
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), ExportError> {
        for (nth, step) in steps.iter().enumerate() {
            if nth > 0 {
                self.out.blank();
            }
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), ExportError> {
        if let Some(about) = &step.about {
            self.out.comment(about);
        }
        match &step.kind {
            StepKind::Call(call) => self.call(step, call)?,
            StepKind::Fork(steps) => self.child("if (in_child(\"fork\")) {", None, steps)?,
            StepKind::Unprivileged { capabilities, steps } => {
                self.capabilities.extend([6, 7]);
                self.capabilities.extend(capabilities);
                let names: Vec<_> =
                    capabilities.iter().map(|&number| kconform_abi::capability::called(number)).collect();
                let mask = capabilities.iter().fold(0_u64, |mask, &number| mask | 1 << (number & 63));
                let mut drop = format!("drop_privileges({mask:#x});");
                if !names.is_empty() {
                    drop.push_str(&format!(" /* but for {} */", names.join(", ")));
                }
                self.child("if (in_child(\"unprivileged\")) {", Some(&drop), steps)?;
            }
            StepKind::SendFd { fd, steps } => {
                self.forget_step(BTreeSet::new());
                let fd = self.expr(fd)?;
                let got = self.saved("fd");
                self.child(&format!("if (in_child_with({fd}, &{got})) {{"), None, steps)?;
            }
            StepKind::Repeat { times, counter, steps } => {
                self.repeat(step, times, counter.as_deref(), steps)?
            }
            StepKind::Exec(steps) => {
                if self.kinds.values().any(|kind| *kind == Kind::Bytes) {
                    return uncovered(&step.place, "an exec block after memory was saved");
                }
                self.images.push(step.index);
                self.function(&format!("static void image{}(void)", step.index), steps)?;
                self.out.line(&format!("in_new_image({});", step.index));
            }
            StepKind::Parallel(lists) => {
                for (nth, steps) in lists.iter().enumerate() {
                    self.function(
                        &format!("static void thread{}_{nth}(struct saved saved)", step.index),
                        steps,
                    )?;
                }
                let names: Vec<_> =
                    (0..lists.len()).map(|nth| format!("thread{}_{nth}", step.index)).collect();
                let all = names.join(", ");
                self.out.line(&format!(
                    "in_threads({}, (void (*[])(struct saved)){{ {all} }}, saved);",
                    lists.len()
                ));
            }
            StepKind::Sysctl { settings, steps } => {
                self.forget_step(BTreeSet::new());
                self.out.open("{");
                let mut undo = Vec::new();
                for (nth, (name, value)) in settings.iter().enumerate() {
                    let path = literal(kconform_plan::sysctl_path(&name.value).as_bytes());
                    let value = self.expr(value)?;
                    self.out.line(&format!("char old{nth}_{0}[256], new{nth}_{0}[32];", step.index));
                    self.out.blank();
                    self.out.line(&format!(
                        "snprintf(new{nth}_{0}, sizeof(new{nth}_{0}), \"%lld\", (long long)({value}));",
                        step.index
                    ));
                    self.out.line(&format!("with_sysctl({path}, new{nth}_{0}, old{nth}_{0});", step.index));
                    undo.push(format!("with_sysctl({path}, old{nth}_{}, NULL);", step.index));
                }
                self.steps(steps)?;
                undo.iter().rev().for_each(|line| self.out.line(line));
                self.out.close("}");
            }
        }
        Ok(())
    }

    /// A block in a child.
    fn child(&mut self, head: &str, first: Option<&str>, steps: &[Step]) -> Result<(), ExportError> {
        self.out.open(head);
        if let Some(first) = first {
            self.out.line(first);
        }
        self.steps(steps)?;
        self.out.line("end(FINISHED);");
        self.out.close("}");
        Ok(())
    }

    fn repeat(
        &mut self,
        step: &Step,
        times: &Expr,
        counter: Option<&str>,
        steps: &[Step],
    ) -> Result<(), ExportError> {
        self.forget_step(BTreeSet::new());
        let times = self.expr(times)?;
        let round = format!("round{}", step.index);
        let hushed = format!("hushed{}", step.index);
        self.out.open(&format!("for (long {round} = 0, {hushed} = hush; {round} < (long)({times}); {round}++, hush = {hushed}) {{"));
        self.out.line(&format!("hush |= {round} > 2;"));
        self.out.line(&format!("begin_round({round});"));
        if let Some(counter) = counter {
            let saved = self.saved(counter);
            self.out.line(&format!("{saved} = {round};"));
        }
        self.steps(steps)?;
        self.out.close("}");
        Ok(())
    }
}

/// Whether a function of these steps makes calls itself.
fn has_calls(steps: &[Step]) -> bool {
    steps.iter().any(|step| match &step.kind {
        StepKind::Call(_) => true,
        StepKind::Exec(_) | StepKind::Parallel(_) => false,
        _ => step.kind.blocks().iter().any(|steps| has_calls(steps)),
    })
}
