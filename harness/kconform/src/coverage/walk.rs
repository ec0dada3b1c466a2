//! Through the steps of cases, following what names stand for.

use std::collections::HashMap;

use kconform_abi::bpf::{self, ElementCommand};
use kconform_abi::{Arch, constant};

use super::fields;
use super::seen::{Ends, Seen};
use super::written::{Thing, Written, thing};
use crate::arguments;
use crate::case::{Arg, Attr, Call, CallStep, Case, Expr, Step, StepKind, Term};
use crate::place::Placed;

/// Goes through all cases.
pub(super) fn walk(cases: &[Case]) -> Seen {
    let mut seen = Seen::default();
    for case in cases {
        let mut walk = Walk { seen: &mut seen, names: HashMap::new(), pins: HashMap::new() };
        walk.steps(&case.steps);
    }
    seen
}

struct Walk<'a> {
    seen: &'a mut Seen,
    /// What saved names stand for.
    names: HashMap<String, Thing>,
    /// What is pinned where.
    pins: HashMap<String, Thing>,
}

impl Walk<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.kind {
                StepKind::Call(call) => self.call(call),
                // What they save, the steps that follow see too.
                StepKind::Repeat { steps, .. } | StepKind::Sysctl { steps, .. } => self.steps(steps),
                StepKind::SendFd { fd, steps } => {
                    let sent = self.thing(fd);
                    self.inside(|walk| {
                        walk.names.insert("fd".into(), sent);
                        walk.steps(steps);
                    });
                }
                other => {
                    for steps in other.blocks() {
                        self.inside(|walk| walk.steps(steps));
                    }
                }
            }
        }
    }

    /// Names that are saved there stay there.
    fn inside(&mut self, run: impl FnOnce(&mut Self)) {
        let names = self.names.clone();
        run(self);
        self.names = names;
    }

    fn call(&mut self, step: &CallStep) {
        let ends = Ends::of(step);
        let mut made = Thing::Other;
        match &step.call {
            Call::Bpf { known: Some(command), attr, .. } => {
                self.seen.commands.entry(command.name).or_default().add(&ends);
                if let Attr::Fields(written) = attr {
                    let attr = Written { command, fields: written };
                    let names = &self.names;
                    fields::note(self.seen, &attr, step, &ends, |expr| thing(names, expr));
                    made = self.bpf(&attr, &ends);
                }
            }
            Call::Syscall { name, args, names } => made = self.syscall(name, args, names, &ends),
            Call::Bpf { .. } | Call::Peek { .. } | Call::Poke { .. } => {}
        }
        for save in &step.saves {
            let thing = if save.output.is_none() { made } else { Thing::Other };
            self.names.insert(save.name.clone(), thing);
        }
    }

    /// Notes a command whose attr can be read, and says what its fd is of.
    fn bpf(&mut self, attr: &Written<'_>, ends: &Ends) -> Thing {
        let map = || attr.expr("map_fd").map_or(Thing::Other, |fd| self.thing(fd));
        match attr.command.name {
            "BPF_MAP_CREATE" => {
                let map_type = attr.number("map_type").and_then(map_type);
                self.element(map_type, ElementCommand::Create, ends);
                Thing::Map(map_type)
            }
            "BPF_PROG_LOAD" => {
                let of = |number| bpf::program_types().iter().find(|row| is(row.name, number));
                let program_type = attr.number("prog_type").and_then(of).map(|row| row.name);
                if let Some(name) = program_type {
                    self.seen.programs.entry(name).or_default().add(ends);
                }
                Thing::Program(program_type)
            }
            "BPF_LINK_CREATE" | "BPF_RAW_TRACEPOINT_OPEN" => {
                if ends.success
                    && let Some(link) = self.link_type(attr)
                {
                    self.seen.links.insert(link);
                }
                Thing::Link
            }
            "BPF_OBJ_PIN" => {
                if let (Some(path), Some(fd)) = (attr.path(), attr.expr("bpf_fd")) {
                    let thing = self.thing(fd);
                    self.pins.insert(path, thing);
                }
                Thing::Other
            }
            "BPF_OBJ_GET" => {
                attr.path().and_then(|path| self.pins.get(&path)).copied().unwrap_or(Thing::Other)
            }
            "BPF_MAP_GET_FD_BY_ID" => Thing::Map(None),
            "BPF_PROG_GET_FD_BY_ID" => Thing::Program(None),
            "BPF_LINK_GET_FD_BY_ID" => Thing::Link,
            "BPF_BTF_LOAD" | "BPF_BTF_GET_FD_BY_ID" => Thing::Btf,
            name => {
                let command = ElementCommand::ALL.into_iter().find(|c| c.command() == Some(name));
                if let (Some(command), Thing::Map(map_type)) = (command, map()) {
                    self.element(map_type, command, ends);
                }
                Thing::Other
            }
        }
    }

    fn element(&mut self, map_type: Option<&'static str>, command: ElementCommand, ends: &Ends) {
        if let Some(map_type) = map_type {
            self.seen.elements.entry((map_type, command)).or_default().add(ends);
        }
    }

    fn link_type(&self, attr: &Written<'_>) -> Option<&'static str> {
        let attach = attr.number("attach_type").unwrap_or(0);
        let program = attr.expr("prog_fd").map_or(Thing::Other, |fd| self.thing(fd));
        let by_attach = || {
            let links = bpf::link_types().iter();
            // 0 is a cgroup's ingress, and what is left out where the program alone decides.
            links.filter(|_| attach != 0).find(|row| row.attach_types.iter().any(|name| is(name, attach)))
        };
        let by_program = || {
            let Thing::Program(Some(name)) = program else { return None };
            bpf::link_types().iter().find(|row| row.program_types.contains(&name))
        };
        by_attach().or_else(by_program).map(|row| row.name)
    }

    fn syscall(&mut self, name: &str, args: &[Placed<Arg>], names: &[&'static str], ends: &Ends) -> Thing {
        let order = Arch::ALL.iter().find_map(|&arch| arguments::order(arch, name, names, args.len()).ok());
        let arg = |index: usize| match &args.get((*order.as_ref()?.get(index)?)?)?.value {
            Arg::Expr(expr) => Some(expr),
            _ => None,
        };
        match name {
            "dup" | "dup2" | "dup3" => arg(0).map_or(Thing::Other, |fd| self.thing(fd)),
            "fcntl" if arg(1).is_some_and(|what| what.text.starts_with("F_DUPFD")) => {
                arg(0).map_or(Thing::Other, |fd| self.thing(fd))
            }
            "close" => {
                if let Some([Term::Saved(name)]) = arg(0).map(|fd| &fd.terms[..]) {
                    self.names.insert(name.clone(), Thing::Closed);
                }
                Thing::Other
            }
            "mmap" => {
                if let Some(Thing::Map(map_type)) = arg(4).map(|fd| self.thing(fd)) {
                    self.element(map_type, ElementCommand::Mmap, ends);
                }
                Thing::Other
            }
            _ => Thing::Other,
        }
    }

    fn thing(&self, expr: &Expr) -> Thing {
        thing(&self.names, expr)
    }
}

fn is(name: &str, number: u64) -> bool {
    constant(Arch::X86_64, name) == Some(number)
}

fn map_type(number: u64) -> Option<&'static str> {
    bpf::map_types().iter().map(|row| row.name).find(|name| is(name, number))
}
