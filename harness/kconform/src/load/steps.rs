//! Steps: calls with what they must do, and blocks of steps.

use std::borrow::Cow;
use std::time::Duration;

use crate::case::{CallStep, Outcome, Save, Step, StepKind};
use crate::place::Span;
use crate::yaml::reader::{find, mended};
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::call::CALLS;
use super::case_reader::CaseReader;
use super::expr::{Fit, literal};
use super::names::Kept;
use super::outputs::{Output, Outputs};

/// The keys of a step that are not its call.
pub(super) const KEYS: &[&str] =
    &["errno", "ret", "save", "expect", "signal", "except", "about", "eventually"];
/// The keys whose value is steps.
pub(super) const BLOCKS: &[&str] =
    &["fork", "exec", "unprivileged", "parallel", "repeat", "send_fd", "sysctl"];
/// Keys of `sysctl` that are not settings.
const SYSCTL_STEPS: &str = "steps";

const STAYS: &str = "saved here, and kept inside its block";

/// Steps, and where the process that runs them is killed for certain.
struct Run {
    steps: Vec<Step>,
    killed: Option<Span>,
}

/// Keys of a step that speak of the call's outputs.
const OF_OUTPUTS: &[&str] = &["expect", "except", "save"];

impl CaseReader<'_> {
    /// The steps of a case or probe, numbered from 0.
    pub(crate) fn steps(&mut self, node: &Node) -> Option<Vec<Step>> {
        self.next_step = 0;
        self.run(node).map(|run| run.steps)
    }

    fn run(&mut self, node: &Node) -> Option<Run> {
        let items = self.list(node, "steps")?;
        if items.is_empty() {
            self.wrong(node.span, "no steps");
        }
        let mut steps = Vec::new();
        let mut killed: Option<Span> = None;
        for item in items {
            if let Some(by) = killed {
                self.wrong_see(item.span, "a step that is never reached", by, "the process is killed here");
            }
            let read = self.step(item);
            if let Some((_, Some(by))) = &read {
                killed = killed.or(Some(*by));
            }
            steps.push(read.map(|(step, _)| step));
        }
        Some(Run { steps: steps.into_iter().collect::<Option<_>>()?, killed })
    }

    fn step(&mut self, node: &NodeRef) -> Option<(Step, Option<Span>)> {
        let index = self.next_step;
        self.next_step += 1;
        let Some(entries) = node.entries() else {
            let help = "a step is a call: - close: [$fd]";
            self.wrong_help(node.span, format!("{} where a step belongs", node.what()), help);
            return None;
        };
        let before = self.hits;
        let what = self.what_is_done(node, entries);
        let rest: Vec<Entry>;
        let mut read = Cow::Borrowed(entries);
        if let Some(what) = what.as_ref().filter(|_| self.hits > before) {
            rest = entries.iter().filter(|e| e.key_span != what.key_span).cloned().collect();
            read = mended(&rest, KEYS);
        }
        let entries = &*read;
        let about = find(entries, "about").map(|e| self.texts(&e.value, "a remark").join(" "));
        let what = what?;
        let what = &what;
        let (kind, killed) = if BLOCKS.contains(&&*what.key) {
            for other in entries.iter().filter(|e| KEYS.contains(&&*e.key) && &*e.key != "about") {
                let help = "it goes with a call, not with a block";
                self.wrong_help(other.key_span, format!("{} beside {}", other.key, what.key), help);
            }
            self.block(what)?
        } else {
            let call = self.call_step(what, entries)?;
            let killed =
                call.outcome.signal.as_ref().map(|s| Span { start: s.place.start, end: s.place.end });
            (StepKind::Call(Box::new(call)), killed)
        };
        Some((Step { index, place: self.place(node.span), about, kind }, killed))
    }

    /// The entry that is the step's call or block; everything else must be known.
    fn what_is_done(&mut self, node: &Node, entries: &[Entry]) -> Option<Entry> {
        let others: Vec<_> = entries.iter().filter(|e| !KEYS.contains(&&*e.key)).collect();
        let known = |e: &&Entry| {
            BLOCKS.contains(&&*e.key) || CALLS.contains(&&*e.key) || kconform_abi::syscall_known(&e.key)
        };
        let words = || KEYS.iter().chain(BLOCKS).chain(CALLS).copied().chain(kconform_abi::syscall_names());
        let meant = |entry: &Entry| {
            let near = kconform_abi::nearest(&entry.key, words()).filter(|near| !KEYS.contains(near))?;
            Some(Entry { key: near.into(), ..entry.clone() })
        };
        match others.as_slice() {
            [] => {
                self.wrong_help(
                    node.span,
                    "a step without a call",
                    "write bpf: [ … ] or any syscall by name",
                );
                return None;
            }
            [only] if !known(only) => {
                self.unknown(only.key_span, "syscall", &only.key, words(), None);
                return meant(only);
            }
            _ => {}
        }
        // Where nothing is a call for certain, one of them was to be it.
        let call = others.iter().find(|e| known(e));
        let misspelt = others.iter().filter(|_| call.is_none()).find(|e| meant(e).is_some());
        if let Some(misspelt) = misspelt {
            self.unknown(misspelt.key_span, "syscall", &misspelt.key, words(), None);
        }
        let guessed = |e: &&&Entry| misspelt.is_some_and(|m| m.key_span == e.key_span);
        for other in others.iter().filter(|e| !known(e) && !guessed(e)) {
            let all = format!("beside the call a step has {}", KEYS.join(", "));
            self.unknown(other.key_span, "key of a step:", &other.key, KEYS.iter().copied(), Some(&all));
        }
        if let Some(misspelt) = misspelt {
            return meant(misspelt);
        }
        let mut calls = others.into_iter().filter(known);
        let call = calls.next();
        if let (Some(first), Some(second)) = (call, calls.next()) {
            let text = format!("a second call in one step: {}", second.key);
            self.wrong_see(second.key_span, text, first.key_span, "the first one");
            return None;
        }
        if call.is_none() {
            self.wrong(node.span, "a step without a call");
        }
        call.cloned()
    }

    fn call_step(&mut self, what: &Entry, entries: &[Entry]) -> Option<CallStep> {
        let mut outputs = Outputs::default();
        let call = self.call(what, &mut outputs);
        if call.is_none() && !outputs.all_known {
            // Of its outputs nothing is known, but the rest of its outcome can be read.
            let rest: Vec<_> = entries.iter().filter(|e| !OF_OUTPUTS.contains(&&*e.key)).cloned().collect();
            self.outcome(&rest, &Outputs::default());
            self.declare_anyway(entries);
            return None;
        }
        let outcome = self.outcome(entries, &outputs);
        let except = match find(entries, "except") {
            Some(entry) => self.excepts(&entry.value, &outputs),
            None => Some(Vec::new()),
        };
        let eventually = find(entries, "eventually").map(|e| self.seconds(&e.value));
        let saves = match find(entries, "save") {
            Some(entry) => self.saves(&entry.value, &outputs),
            None => Some(Vec::new()),
        };
        let (Some(call), Some(outcome), Some(saves)) = (call, outcome, saves) else {
            self.declare_anyway(entries);
            return None;
        };
        let saves = self.keep(saves, &outcome, entries);
        let eventually = match eventually {
            Some(eventually) => Some(eventually?),
            None => None,
        };
        let key = self.place(what.key_span);
        Some(CallStep { call, key, outcome, except: except?, saves, eventually })
    }

    /// Puts what a step saves into scope. A call that must or may fail returns nothing to rely on; its outputs can be kept.
    fn keep(
        &mut self,
        saves: Vec<(Save, Option<Output>)>,
        outcome: &Outcome,
        entries: &[Entry],
    ) -> Vec<Save> {
        let fails = !outcome.ret.may_succeed();
        let may_fail = !outcome.ret.errnos().is_empty();
        let mut kept = Vec::new();
        for (save, output) in saves {
            let span = Span { start: save.place.start, end: save.place.end };
            if outcome.signal.is_some() || may_fail && output.is_none() {
                // Where `errno` is a parameter, other rows of the table may well succeed.
                let (how, why) = match outcome.signal {
                    Some(_) => ("can never be saved", "the process is killed before it could be saved"),
                    None if fails => {
                        ("can never be saved", "the call must fail, and returns nothing to save")
                    }
                    None => ("is not always saved", "the call may fail, and returns nothing to save then"),
                };
                let beside = find(entries, "errno").or(find(entries, "signal"));
                if let Some(beside) = beside.filter(|e| self.written_beside(e)) {
                    let text = format!("{} {how}", save.name);
                    self.wrong_see(span, text, beside.key_span, why);
                }
                self.names.lost(&save.name, span, why);
                continue;
            }
            self.declare(&save.name, output.map_or(Kept::Number, |o| o.kept()), span);
            kept.push(save);
        }
        kept
    }

    /// Of a step that is wrong the names still count: what uses them is not wrong because of it.
    fn declare_anyway(&mut self, entries: &[Entry]) {
        let Some(save) = find(entries, "save") else { return };
        let names: Vec<(String, Span)> = match &save.value.kind {
            Kind::Scalar(scalar) => vec![(scalar.text.clone(), save.value.span)],
            Kind::Map(entries) => entries.iter().map(|e| (e.key.to_string(), e.key_span)).collect(),
            Kind::List(_) => Vec::new(),
        };
        for (name, span) in names {
            self.declare(&name, Kept::Either, span);
        }
    }

    /// A time in seconds.
    pub(crate) fn seconds(&mut self, node: &Node) -> Option<Duration> {
        let text = self.word(node, "a number of seconds")?;
        let seconds = text.parse::<f64>().ok().filter(|s| *s > 0.0 && *s <= 86400.0);
        let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        if duration.is_none() {
            let help = "write 10 or 0.5, at most a day";
            self.wrong_help(node.span, format!("{text} is not a number of seconds"), help);
        }
        duration
    }

    fn block(&mut self, what: &Entry) -> Option<(StepKind, Option<Span>)> {
        let node = &*what.value;
        if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
            let help = format!("{} is a block of steps here, not a syscall", what.key);
            self.wrong_help(node.span, "no steps", help);
            return None;
        }
        let mark = self.names.mark();
        match &*what.key {
            "fork" => Some((StepKind::Fork(self.inner(node)?), None)),
            "exec" => Some((StepKind::Exec(self.inner(node)?), None)),
            "unprivileged" => Some((self.unprivileged(node)?, None)),
            "parallel" => {
                let mut threads = Vec::new();
                let mut killed = None;
                for thread in self.list(node, "lists of steps")? {
                    let run = self.run(thread);
                    self.names.forget(mark, STAYS);
                    killed = killed.or(run.as_ref().and_then(|r| r.killed));
                    threads.push(run.map(|r| r.steps));
                }
                Some((StepKind::Parallel(threads.into_iter().collect::<Option<_>>()?), killed))
            }
            "repeat" => self.repeat(node),
            "send_fd" => Some((self.send_fd(node)?, None)),
            _ => self.sysctl(what),
        }
    }

    /// Steps that run in another process: what they save stays there.
    fn inner(&mut self, node: &Node) -> Option<Vec<Step>> {
        let mark = self.names.mark();
        let run = self.run(node);
        self.names.forget(mark, STAYS);
        run.map(|run| run.steps)
    }

    fn unprivileged(&mut self, node: &Node) -> Option<StepKind> {
        if let Kind::List(_) = &node.kind {
            return Some(StepKind::Unprivileged { capabilities: Vec::new(), steps: self.inner(node)? });
        }
        let entries = &*self.mapping(node, "an unprivileged block", &["capabilities", "steps"])?;
        let capabilities = match find(entries, "capabilities") {
            Some(entry) => self.capabilities(&entry.value),
            None => Some(Vec::new()),
        };
        let steps = self.required(entries, "steps", node)?;
        let steps = self.inner(&steps.value);
        Some(StepKind::Unprivileged { capabilities: capabilities?, steps: steps? })
    }

    fn repeat(&mut self, node: &Node) -> Option<(StepKind, Option<Span>)> {
        let entries = &*self.mapping(node, "a repeat block", &["times", "as", "steps"])?;
        let times = self.required(entries, "times", node);
        let times = times.and_then(|e| self.expr(&e.value, Fit { bytes: 4, signed: false, what: "times" }));
        if let Some(times) = &times
            && literal(times) == Some(0)
        {
            let span = Span { start: times.place.start, end: times.place.end };
            self.wrong(span, "steps that are repeated 0 times never run");
        }
        let counter = match find(entries, "as") {
            Some(entry) => {
                let name = self.filled(&entry.value, "a name").map(str::to_owned);
                let name = name.and_then(|name| self.new_name(&name, entry.value.span));
                if let Some(name) = &name {
                    self.declare(name, Kept::Number, entry.value.span);
                }
                Some(name?)
            }
            None => None,
        };
        let steps = self.required(entries, "steps", node)?;
        let run = self.run(&steps.value)?;
        Some((StepKind::Repeat { times: times?, counter, steps: run.steps }, run.killed))
    }

    fn send_fd(&mut self, node: &Node) -> Option<StepKind> {
        let entries = &*self.mapping(node, "a send_fd block", &["fd", "steps"])?;
        let fd = self.required(entries, "fd", node)?;
        let sent = self.expr(&fd.value, Fit { bytes: 4, signed: true, what: "a file descriptor" });
        let steps = self.required(entries, "steps", node)?;
        let mark = self.names.mark();
        self.declare("fd", Kept::Number, fd.key_span);
        let run = self.run(&steps.value);
        self.names.forget(mark, STAYS);
        Some(StepKind::SendFd { fd: sent?, steps: run?.steps })
    }

    fn sysctl(&mut self, what: &Entry) -> Option<(StepKind, Option<Span>)> {
        let node = &*what.value;
        let Some(entries) = node.entries() else {
            let help = "write sysctl: {kernel.unprivileged_bpf_disabled: 0, steps: [ … ]}";
            self.wrong_help(node.span, format!("{} where settings belong", node.what()), help);
            return None;
        };
        if !self.may_set_sysctls {
            let help = "a case that sets one says exclusive: true and guest_only: true, or fresh: true";
            self.wrong_help(what.key_span, "a sysctl is set in a case that shares its kernel", help);
        }
        let mut settings = Vec::new();
        for entry in entries.iter().filter(|e| &*e.key != SYSCTL_STEPS) {
            let dotted = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if !entry.key.contains('.') || !entry.key.chars().all(dotted) || entry.key.contains("..") {
                let help = "a sysctl is named like kernel.unprivileged_bpf_disabled";
                self.wrong_help(entry.key_span, format!("{} is not a sysctl", entry.key), help);
            }
            let value = self.expr(&entry.value, Fit { what: "a sysctl", ..Fit::ANY });
            settings.push(value.map(|value| (self.placed(entry.key_span, entry.key.to_string()), value)));
        }
        if settings.is_empty() {
            self.wrong(node.span, "no sysctl to set");
        }
        let steps = self.required(entries, SYSCTL_STEPS, node)?;
        let run = self.run(&steps.value)?;
        let settings = settings.into_iter().collect::<Option<_>>()?;
        Some((StepKind::Sysctl { settings, steps: run.steps }, run.killed))
    }

    /// An entry that cannot be left out.
    pub(crate) fn required<'n>(&mut self, entries: &'n [Entry], key: &str, node: &Node) -> Option<&'n Entry> {
        let entry = find(entries, key);
        if entry.is_none() {
            self.wrong(node.span, format!("`{key}` is missing"));
        }
        entry
    }
}
