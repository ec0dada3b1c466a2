//! The steps of a case and what came back, written as strace prints them.

use std::collections::HashMap;

use kconform_abi::bpf::{COMMON_ATTR, Command};
use kconform_plan::{
    BtfQuery, BtfWant, Bytes, ChildEnd, End, Observation, Op, RecordKind, Saved, Step as PlanStep, is_error,
};

use crate::arguments;
use crate::case::{
    Address, Arg, Attr, AttrSlot, Call, CallStep, CommonAttr, Expr, Piece, PieceKind, Step, StepKind, Term,
    Text, TextPart,
};
use crate::lower::{Chosen, Lowered, LoweredCall};
use crate::place::Placed;

/// The steps that were begun, one line each, blocks indented; the line of `failed` (a step's number and its place in
/// the enclosing `repeat` blocks) starts with `>`.
pub(crate) fn transcript(
    steps: &[Step],
    lowered: &Lowered,
    seen: &Observation,
    failed: Option<(u32, &[u32])>,
) -> Vec<String> {
    let line = |line: &Line<'_>| {
        let mark = if failed == Some((line.step.index, &line.iteration)) { '>' } else { ' ' };
        format!("{mark} {}{}", "  ".repeat(line.depth), line.text())
    };
    // Only the last round of a repetition is shown: those before it went as expected.
    lines(steps, lowered, seen, Rounds::Last).iter().map(line).collect()
}

/// Which rounds of `repeat` blocks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounds {
    /// The last one that was begun.
    Last,
    /// All.
    All,
}

/// A step that was begun.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// The step.
    pub(crate) step: &'a Step,
    /// Its place in the enclosing `repeat` blocks.
    pub(crate) iteration: Vec<u32>,
    /// How many blocks it is in.
    pub(crate) depth: usize,
    /// A call with its arguments, or a block.
    pub(crate) shown: LineKind,
}

/// What a line says.
#[derive(Debug)]
pub(crate) enum LineKind {
    /// A call and what came back.
    Call {
        /// `bpf`, `fcntl`, `peek`.
        name: String,
        /// As strace prints them, outputs with what they held afterwards.
        args: Vec<String>,
        /// What came back: `3`, `-1 EINVAL (Invalid argument)`, `? +++ killed by SIGBUS +++`.
        back: String,
    },
    /// A block, with what is to be said of its end.
    Block {
        /// `fork`, `repeat`.
        name: &'static str,
        /// `round 3`, `+++ exited with 1 +++`; often empty.
        note: String,
    },
}

impl Line<'_> {
    /// The line as it is read.
    pub(crate) fn text(&self) -> String {
        match &self.shown {
            LineKind::Call { name, args, back } => format!("{name}({}) = {back}", args.join(", ")),
            LineKind::Block { name, note } if note.is_empty() => format!("{name}:"),
            LineKind::Block { name, note } => format!("{name}: {note}"),
        }
    }
}

/// The steps that were begun, in the order of the case.
pub(crate) fn lines<'a>(
    steps: &'a [Step],
    lowered: &'a Lowered,
    seen: &'a Observation,
    rounds: Rounds,
) -> Vec<Line<'a>> {
    let mut events: HashMap<(u32, &[u32]), Event<'_>> = HashMap::new();
    for record in &seen.records {
        let event = events.entry((record.step, record.iteration.as_slice())).or_default();
        match &record.kind {
            RecordKind::Begin { slots, .. } => event.begin = Some(slots),
            RecordKind::Done { ret, outputs, attempts, .. } => event.done = Some((*ret, outputs, *attempts)),
            RecordKind::Child(end) => event.child = Some(*end),
            RecordKind::Trouble(trouble) => event.trouble = Some(&trouble.what),
            RecordKind::Skipped { first, count } => event.skipped = Some((*first, *count)),
        }
    }
    let mut printer = Printer { lowered, events, rounds, end: seen.end, lines: Vec::new() };
    printer.block(steps, &lowered.plan.steps, &[], 0);
    printer.lines
}

#[derive(Default)]
struct Event<'a> {
    begin: Option<&'a [(u32, Saved)]>,
    done: Option<(i64, &'a [Bytes], u32)>,
    child: Option<ChildEnd>,
    trouble: Option<&'a str>,
    skipped: Option<(u32, u32)>,
}

struct Printer<'a> {
    lowered: &'a Lowered,
    events: HashMap<(u32, &'a [u32]), Event<'a>>,
    rounds: Rounds,
    end: End,
    lines: Vec<Line<'a>>,
}

impl<'a> Printer<'a> {
    fn block(&mut self, steps: &'a [Step], plan: &[PlanStep], at: &[u32], depth: usize) {
        for (step, planned) in steps.iter().zip(plan) {
            match &step.kind {
                StepKind::Call(call) => self.call(step, call, planned, at, depth),
                StepKind::Repeat { .. } => self.repeat(step, planned, at, depth),
                _ => self.nested(step, planned, at, depth),
            }
        }
    }

    fn line(&mut self, step: &'a Step, at: &[u32], depth: usize, shown: LineKind) {
        self.lines.push(Line { step, iteration: at.to_vec(), depth, shown });
    }

    fn call(&mut self, step: &'a Step, call: &CallStep, planned: &PlanStep, at: &[u32], depth: usize) {
        let (Some(event), Op::Call(plan), Some(lowered)) =
            (self.events.get(&(step.index, at)), &planned.op, self.lowered.calls.get(&step.index))
        else {
            return;
        };
        let Some(slots) = event.begin else { return };
        let names = &self.lowered.slot_names;
        let saved = |name: &str| {
            let slot = names.iter().position(|n| n == name)? as u32;
            slots.iter().find(|(s, _)| *s == slot).map(|(_, value)| value)
        };
        let outputs = event.done.map(|(_, outputs, _)| outputs);
        let big_endian = plan.expect.big_endian;
        let (name, args) = Shown { saved: &saved, outputs, lowered, big_endian }.call(call);
        let back = match event.done {
            Some((ret, _, attempts)) => {
                let again =
                    if attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() };
                format!("{}{again}", returned(ret))
            }
            None => match self.end {
                End::TimedOut => "? <unfinished: its time was over>".into(),
                End::Signaled(n) => format!("? +++ killed by {} +++", signal(n)),
                End::Exited(status) => format!("? +++ exited with {status} +++"),
                _ => "?".into(),
            },
        };
        self.line(step, at, depth, LineKind::Call { name, args, back });
    }

    fn repeat(&mut self, step: &'a Step, planned: &PlanStep, at: &[u32], depth: usize) {
        let (Some(steps), Some(plan)) = (step.kind.blocks().first(), planned.op.blocks().first()) else {
            return;
        };
        let inside = |(number, iteration): &&(u32, &[u32])| {
            *number > step.index && iteration.len() > at.len() && iteration.starts_with(at)
        };
        let Some(last) = self.events.keys().filter(inside).map(|(_, iteration)| iteration[at.len()]).max()
        else {
            return;
        };
        let begin = if self.rounds == Rounds::All { 0 } else { last };
        let forgotten = self.events.get(&(step.index, at)).and_then(|event| event.skipped);
        let (first, count) = forgotten.unwrap_or((last.saturating_add(1), 0));
        let next = first.saturating_add(count);
        for nth in (begin..first.min(last.saturating_add(1))).chain(next.max(begin)..=last) {
            if nth == next && count > 0 {
                let note = format!("rounds {first} to {} went as expected", nth - 1);
                self.line(step, at, depth, LineKind::Block { name: "repeat", note });
            }
            self.line(step, at, depth, LineKind::Block { name: "repeat", note: format!("round {nth}") });
            let round: Vec<u32> = at.iter().copied().chain([nth]).collect();
            self.block(steps, plan, &round, depth + 1);
        }
    }

    fn nested(&mut self, step: &'a Step, planned: &PlanStep, at: &[u32], depth: usize) {
        let event = self.events.get(&(step.index, at));
        let begun = self.events.iter().any(|((number, iteration), e)| {
            *number > step.index && iteration.starts_with(at) && e.begin.is_some()
        });
        if event.is_none() && !begun {
            return;
        }
        let note = match event.map(|e| (e.child, e.trouble)) {
            Some((_, Some(trouble))) => format!("could not be set up: {trouble}"),
            Some((Some(ChildEnd::Exited(status)), _)) => format!("+++ exited with {status} +++"),
            Some((Some(ChildEnd::Signaled(n)), _)) => format!("+++ killed by {} +++", signal(n)),
            _ => String::new(),
        };
        let name = match &step.kind {
            StepKind::Fork(_) => "fork",
            StepKind::Exec(_) => "exec",
            StepKind::Unprivileged { .. } => "unprivileged",
            StepKind::Parallel(_) => "parallel",
            StepKind::SendFd { .. } => "send_fd",
            StepKind::Sysctl { .. } => "sysctl",
            StepKind::Call(_) | StepKind::Repeat { .. } => "",
        };
        self.line(step, at, depth, LineKind::Block { name, note });
        for (steps, plan) in step.kind.blocks().iter().zip(planned.op.blocks()) {
            self.block(steps, plan, at, depth + 1);
        }
    }
}

fn signal(n: i32) -> String {
    kconform_abi::signal::name(n).map_or_else(|| format!("signal {n}"), str::to_owned)
}

fn returned(ret: i64) -> String {
    if !is_error(ret) {
        return if ret.unsigned_abs() > 0xffff { format!("{ret:#x}") } else { ret.to_string() };
    }
    let errno = -ret as i32;
    match kconform_abi::errno::name(errno) {
        Some(name) => format!("-1 {name} ({})", kconform_abi::errno::text(errno).unwrap_or("unknown")),
        None => format!("-1 errno {errno}"),
    }
}

/// Whether an output is of `struct bpf_common_attr`, not of the command's attr.
fn is_common(known: Option<&'static Command>, name: &str) -> bool {
    COMMON_ATTR.field(name).is_some() && CommonAttr::output_name(known, name) == name
}

/// A call as it is written in its case: `$name` for saved values, and what outputs take for what they hold.
pub(crate) fn written(step: &CallStep) -> String {
    let order = match &step.call {
        Call::Syscall { name, args, names } => {
            let on = |arch| arguments::order(arch, name, names, args.len()).ok();
            let first = kconform_abi::Arch::ALL.iter().find_map(|&arch| on(arch));
            first.unwrap_or_else(|| (0..args.len()).map(Some).collect())
        }
        _ => Vec::new(),
    };
    let lowered = LoweredCall { outcome: Chosen::Own, output_names: Vec::new(), expects: Vec::new(), order };
    let (name, args) =
        Shown { saved: &|_| None, outputs: None, lowered: &lowered, big_endian: false }.call(step);
    format!("{name}({})", args.join(", "))
}

/// A piece of memory as it is written in its case.
pub(crate) fn written_piece(piece: &Piece) -> String {
    let lowered = LoweredCall {
        outcome: Chosen::Own,
        output_names: Vec::new(),
        expects: Vec::new(),
        order: Vec::new(),
    };
    Shown { saved: &|_| None, outputs: None, lowered: &lowered, big_endian: false }.piece(piece)
}

struct Shown<'a> {
    saved: &'a dyn Fn(&str) -> Option<&'a Saved>,
    outputs: Option<&'a [Bytes]>,
    lowered: &'a LoweredCall,
    big_endian: bool,
}

impl Shown<'_> {
    /// The name and the arguments.
    fn call(&self, step: &CallStep) -> (String, Vec<String>) {
        match &step.call {
            Call::Bpf { command, attr, size, known, common } => {
                let of = |name: &str| common.is_some() && is_common(*known, name);
                let attr = self.attr(attr, &|name| name.to_owned(), &|name| !of(name));
                let size = match (size, known) {
                    (Some(size), _) => self.expr(size),
                    (None, Some(known)) => known.size.to_string(),
                    (None, None) => String::from("sizeof(attr)"),
                };
                let mut args = vec![self.expr(command), attr, size];
                if let Some(common) = common {
                    let name = |field: &str| CommonAttr::output_name(*known, field);
                    args.push(self.attr(&common.attr, &name, &of));
                    let size = common.size.as_ref().map(|size| self.expr(size));
                    args.push(size.unwrap_or_else(|| COMMON_ATTR.size.to_string()));
                }
                ("bpf".into(), args)
            }
            Call::Syscall { name, args, names } => {
                let arg = |nth: &Option<usize>| match nth.and_then(|nth| Some((nth, args.get(nth)?))) {
                    Some((nth, arg)) => self.arg(&arg.value, &arguments::output_name(names, nth)),
                    None => "0".to_owned(),
                };
                (name.clone(), self.lowered.order.iter().map(arg).collect())
            }
            Call::Peek { address, size } => {
                let shown = [Some(self.expr(address)), Some(self.expr(size)), self.output("data")];
                ("peek".into(), shown.into_iter().flatten().collect())
            }
            Call::Poke { address, data } => ("poke".into(), vec![self.expr(address), self.piece(data)]),
        }
    }

    /// An attr, whose fields are outputs by these names, and which has written these outputs.
    fn attr(&self, attr: &Attr, called: &dyn Fn(&str) -> String, of: &dyn Fn(&str) -> bool) -> String {
        match attr {
            Attr::Address(address) => address_word(*address).into(),
            Attr::Pointer(expr) => self.expr(expr),
            Attr::Buffer(piece) => self.piece(piece),
            Attr::Fields(fields) => {
                let mut shown: Vec<String> = fields.iter().map(|field| self.field(field, called)).collect();
                shown.extend(self.written_back(fields, of));
                format!("{{{}}}", shown.join(", "))
            }
        }
    }

    fn field(&self, field: &crate::case::AttrField, called: &dyn Fn(&str) -> String) -> String {
        let name = field.key.text();
        let name = match &field.slot {
            AttrSlot::Field(_) if !name.is_empty() => name.trim_matches(['"', '\'']).to_owned(),
            AttrSlot::Field(known) => known.name.to_owned(),
            AttrSlot::Offset(offset) => format!("@{offset}"),
        };
        let output = called(&name);
        let value = self.arg(&field.value.value, &output);
        match (&field.value.value, self.output(&output)) {
            (Arg::Expr(_), Some(after)) => format!("{name}={value} => {after}"),
            _ => format!("{name}={value}"),
        }
    }

    /// Fields that the kernel wrote and the case did not.
    fn written_back(&self, fields: &[crate::case::AttrField], of: &dyn Fn(&str) -> bool) -> Vec<String> {
        let written = |name: &str| {
            fields.iter().any(|f| match &f.slot {
                AttrSlot::Field(field) => last_word(field.name) == last_word(name),
                AttrSlot::Offset(_) => false,
            })
        };
        let is_named_piece = |name: &str| {
            fields.iter().any(|f| matches!(&f.value.value, Arg::Buffer(piece) if has_name(piece, name)))
        };
        let names = self.lowered.output_names.iter();
        names
            .filter(|name| of(name) && !name.contains('.') && !written(name) && !is_named_piece(name))
            .filter_map(|name| Some(format!("{name} => {}", self.output(name)?)))
            .collect()
    }

    fn arg(&self, arg: &Arg, name: &str) -> String {
        match arg {
            Arg::Expr(expr) => self.expr(expr),
            Arg::Address(address) => address_word(*address).into(),
            Arg::Buffer(piece) => match (&piece.kind, self.output(name)) {
                (PieceKind::Out(_) | PieceKind::PercpuAll(_), Some(after)) if writes(piece) => after,
                _ => self.piece(piece),
            },
        }
    }

    fn output(&self, name: &str) -> Option<String> {
        let nth = self.lowered.output_names.iter().position(|n| n == name)?;
        let bytes = self.outputs?.get(nth)?.full();
        Some(match number_in(&bytes, self.big_endian) {
            Some(n) if n <= 0xffff => format!("[{n}]"),
            Some(n) => format!("[{n:#x}]"),
            None => memory(&bytes),
        })
    }

    fn expr(&self, expr: &Expr) -> String {
        if !expr.terms.iter().any(|term| matches!(term, Term::Saved(_))) {
            return expr.text.clone();
        }
        let term = |term: &Term| match term {
            Term::Number(n) => (*n as i64).to_string(),
            Term::Constant(name) => name.clone(),
            Term::Saved(name) => self.saved(name),
            Term::Btf(_) | Term::Layout(_) | Term::Arithmetic(_) => expr.text.clone(),
        };
        expr.terms.iter().map(term).collect::<Vec<_>>().join("|")
    }

    fn saved(&self, name: &str) -> String {
        match (self.saved)(name) {
            Some(Saved::Number(n)) if (*n as i64).unsigned_abs() > 0xffff => format!("{n:#x}"),
            Some(Saved::Number(n)) => (*n as i64).to_string(),
            Some(Saved::Bytes(bytes)) => memory(bytes),
            None => format!("${name}"),
        }
    }

    fn text(&self, text: &Text) -> String {
        let part = |part: &TextPart| match part {
            TextPart::Literal(literal) => literal.clone(),
            TextPart::Saved(name) => self.saved(name),
        };
        text.parts.iter().map(part).collect()
    }

    /// An instruction with saved values for their names.
    fn insn(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            shown.push_str(&self.saved(name));
            shown.push_str(rest);
        }
        shown
    }

    fn pieces(&self, pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| self.piece(piece)).collect::<Vec<_>>().join(", ")
    }

    fn piece(&self, piece: &Piece) -> String {
        if let Some(name) = &piece.name
            && writes(piece)
            && let Some(after) = self.output(&name.value)
        {
            return after;
        }
        match &piece.kind {
            PieceKind::Numbers { values, .. } => {
                let values: Vec<_> = values.iter().map(|v| self.expr(v)).collect();
                format!("[{}]", values.join(", "))
            }
            PieceKind::Str(text) => format!("{:?}", self.text(text)),
            PieceKind::Hex(bytes) => memory(bytes),
            PieceKind::Zero(n) => format!("[0 x {}]", self.expr(n)),
            PieceKind::Fill { byte, count } => format!("[{} x {}]", self.expr(byte), self.expr(count)),
            PieceKind::Out(n) => format!("[out {}]", self.expr(n)),
            PieceKind::PercpuAll(piece) => format!("[{} x CPUs]", self.piece(piece)),
            PieceKind::PercpuEach(pieces) => format!("[per CPU: {}]", self.pieces(pieces)),
            PieceKind::List(pieces) => format!("[{}]", self.pieces(pieces)),
            PieceKind::AddrOf(pieces) => format!("&[{}]", self.pieces(pieces)),
            PieceKind::Insns(insns) => {
                let insns: Vec<_> = insns.iter().map(|insn| self.insn(&insn.value.text)).collect();
                format!("[{}]", insns.join(", "))
            }
            PieceKind::Times { count, piece } => format!("[{} x {}]", self.expr(count), self.piece(piece)),
            PieceKind::Struct { members, .. } => {
                let member = |(query, piece): &(BtfQuery, Piece)| match &query.want {
                    BtfWant::Offset(name) => format!("{name}={}", self.piece(piece)),
                    _ => self.piece(piece),
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            PieceKind::Uapi { members, .. } => {
                let member = |(name, value): &(Placed<String>, Placed<Arg>)| {
                    format!("{}={}", name.value, self.arg(&value.value, ""))
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            PieceKind::Saved(name) => self.saved(name),
            PieceKind::Number(expr) => self.expr(expr),
        }
    }
}

/// A field's name without those of the structs that it is in: `info.bpf_fd` is `bpf_fd`.
fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn address_word(address: Address) -> &'static str {
    match address {
        Address::Null => "NULL",
        Address::Unmapped => "unmapped",
        Address::ReadOnly => "readonly",
        Address::Kernel => "kernel",
    }
}

fn writes(piece: &Piece) -> bool {
    match &piece.kind {
        PieceKind::Out(_) => true,
        PieceKind::PercpuAll(inner) | PieceKind::Times { piece: inner, .. } => writes(inner),
        _ => false,
    }
}

fn has_name(piece: &Piece, name: &str) -> bool {
    piece.name.as_ref().is_some_and(|n| n.value == name)
        || match &piece.kind {
            PieceKind::List(pieces) | PieceKind::PercpuEach(pieces) | PieceKind::AddrOf(pieces) => {
                pieces.iter().any(|p| has_name(p, name))
            }
            PieceKind::PercpuAll(inner) | PieceKind::Times { piece: inner, .. } => has_name(inner, name),
            PieceKind::Struct { members, .. } => members.iter().any(|(_, piece)| has_name(piece, name)),
            PieceKind::Uapi { members, .. } => members.iter().any(|(_, arg)| match &arg.value {
                Arg::Buffer(piece) => has_name(piece, name),
                Arg::Expr(_) | Arg::Address(_) => false,
            }),
            _ => false,
        }
}

/// Memory of 4 or 8 bytes as a number.
fn number_in(bytes: &[u8], big_endian: bool) -> Option<u64> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(u64::from(if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }));
    }
    let eight = <[u8; 8]>::try_from(bytes).ok()?;
    Some(if big_endian { u64::from_be_bytes(eight) } else { u64::from_le_bytes(eight) })
}

/// Memory as strace prints it, cut after 32 bytes.
fn memory(bytes: &[u8]) -> String {
    const MOST: usize = 32;
    let mut shown = String::from("\"");
    for &byte in bytes.iter().take(MOST) {
        match byte {
            b'"' | b'\\' => shown.extend(['\\', byte as char]),
            b'\n' => shown.push_str("\\n"),
            0x20..=0x7e => shown.push(byte as char),
            other => shown.push_str(&format!("\\x{other:02x}")),
        }
    }
    shown.push('"');
    if bytes.len() > MOST {
        shown.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    shown
}
