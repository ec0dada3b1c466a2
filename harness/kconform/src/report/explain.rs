//! What a case does, in words that need no knowledge of the case format; with the numbers of an architecture.

use std::fmt::Write;

use kconform_abi::bpf::{COMMON_ATTR, FieldKind};
use kconform_abi::{Arch, capability, signal};
use kconform_plan::{BtfQuery, BtfWant};

use crate::arguments;
use crate::btf::kind_word;
use crate::case::{
    Address, Arg, Attr, AttrSlot, Call, CallStep, Case, CommonAttr, Errno, Expr, Outcome, Piece, PieceKind,
    Requires, RetWant, Step, StepKind, Term,
};
use crate::insn::PAGE_SIZE;
use crate::judge::describe_wanted;
use crate::style::Style;
use crate::wants::{SettingsWant, SysctlWant};

/// Explains a case with the numbers that it has on that architecture.
pub fn explain(case: &Case, arch: Arch, style: Style) -> String {
    let mut words = Words { arch, out: String::new() };
    words.head(case, style);
    words.steps(&case.steps, 0);
    words.out
}

struct Words {
    arch: Arch,
    out: String,
}

impl Words {
    fn line(&mut self, depth: usize, text: &str) {
        for (nth, line) in text.lines().enumerate() {
            // What goes on is set in by a bit.
            let further = if nth == 0 { "" } else { "  " };
            // Writing to a string cannot fail.
            let _ = writeln!(self.out, "{}{further}{line}", "  ".repeat(depth));
        }
    }

    fn head(&mut self, case: &Case, style: Style) {
        self.line(0, &style.strong(&case.id));
        self.line(1, &style.dim(&case.place.to_string()));
        if let Some(about) = &case.about {
            self.line(1, about.trim());
        }
        if !case.source.is_empty() {
            self.line(1, &format!("Who says so: {}.", case.source.join("; ")));
        }
        let needs: Vec<String> = case.requires.iter().flat_map(requirements).collect();
        match needs.is_empty() {
            true => self.line(1, "It runs on every kernel."),
            false => self.line(1, &format!("It is skipped unless there is {}.", needs.join(", and "))),
        }
        if case.requires.iter().any(|requires| requires.settings.can_be_set()) {
            self.line(1, "In a guest its sysctls are set for it, and put back after it.");
        }
        let asked: Vec<String> = case.btf.iter().map(type_words).collect();
        if !asked.is_empty() {
            self.line(1, &format!("It is skipped unless the kernel's BTF has {}.", asked.join(", and ")));
        }
        for probe in &case.needs {
            self.line(1, &format!("It is skipped where the probe {} does not find its feature.", probe.name));
        }
        if case.guest_only {
            self.line(1, "It never runs on the host's own kernel.");
        }
        if case.fresh {
            self.line(1, "It has a guest for itself, which is thrown away afterwards.");
        } else if case.exclusive {
            self.line(1, "Nothing else runs on the kernel meanwhile.");
        }
        for issue in &case.known_issues {
            let when = requirements(&issue.when);
            let when =
                if when.is_empty() { "everywhere".into() } else { format!("with {}", when.join(", and ")) };
            self.line(1, &format!("It is known to fail {when}: {}.", issue.because));
        }
        self.line(
            1,
            &format!("It may take {} s. Numbers are those of {}.", case.timeout.as_secs_f64(), self.arch),
        );
        self.out.push('\n');
    }

    fn steps(&mut self, steps: &[Step], depth: usize) {
        for step in steps {
            let number = step.index + 1;
            let block = match &step.kind {
                StepKind::Call(call) => {
                    self.call(number, step, call, depth);
                    continue;
                }
                StepKind::Fork(_) => "in a child process, which inherits everything:".into(),
                StepKind::Exec(_) => {
                    "in a child process after execve(2), with the fds that survive it:".into()
                }
                StepKind::Unprivileged { capabilities, .. } if capabilities.is_empty() => {
                    "in a child process without any privilege (uid 65534):".into()
                }
                StepKind::Unprivileged { capabilities, .. } => {
                    format!("in a child process (uid 65534) with only {}:", names(capabilities))
                }
                StepKind::Parallel(_) => "at the same time, each in a thread of its own:".into(),
                StepKind::Repeat { times, .. } => format!("{} times:", self.number(times)),
                StepKind::SendFd { fd, .. } => {
                    format!(
                        "in a child process that gets the fd {} through a socket, as $fd:",
                        self.number(fd)
                    )
                }
                StepKind::Sysctl { settings, .. } => {
                    let set = |(name, value): &(crate::place::Placed<String>, Expr)| {
                        format!("{} set to {}", name.value, self.number(value))
                    };
                    let settings: Vec<String> = settings.iter().map(set).collect();
                    format!("with {} (put back afterwards):", settings.join(", "))
                }
            };
            self.line(depth, &format!("{number}. {block}"));
            for (nth, list) in step.kind.blocks().iter().enumerate() {
                if step.kind.blocks().len() > 1 {
                    self.line(depth + 1, &format!("thread {}:", nth + 1));
                }
                self.steps(list, depth + 1);
            }
        }
    }

    fn call(&mut self, number: u32, step: &Step, call: &CallStep, depth: usize) {
        let syscall = |name: &str| match self.arch.syscall(name) {
            None if name.parse::<u64>().is_ok() => format!("system call {name}"),
            Some(n) => format!("{name}(2), system call {n}"),
            None => format!("{name}(2), which {} lacks: the case is skipped there", self.arch),
        };
        let (head, args) = match &call.call {
            Call::Bpf { command, attr, size, known, common } => {
                let mut args = self.attr(attr);
                let known = known.map(|known| format!("{} bytes", known.size));
                let size = size.as_ref().map(|size| self.number(size)).or(known).unwrap_or_default();
                args.push(format!("size of the attr: {size}"));
                if let Some(CommonAttr { attr, size }) = common.as_deref() {
                    args.extend(self.attr(attr).into_iter().map(|line| format!("in common: {line}")));
                    let usual = || format!("{} bytes", COMMON_ATTR.size);
                    let size = size.as_ref().map_or_else(usual, |size| self.number(size));
                    args.push(format!("in common: size of the attr: {size}"));
                }
                (format!("{}, command {}", syscall("bpf"), self.number(command)), args)
            }
            Call::Syscall { name, args, names } => {
                let known = kconform_abi::prototype(self.arch, name);
                let arg = |(nth, written): (usize, Option<usize>)| {
                    let param = known.and_then(|known| known.params.get(nth));
                    let called = param.map_or(String::new(), |param| format!(" ({})", param.name));
                    let arg = written.and_then(|written| args.get(written));
                    let shown = arg.map_or_else(|| "0".to_owned(), |arg| self.arg(&arg.value));
                    format!("argument {}{called}: {shown}", nth + 1)
                };
                let args = match arguments::order(self.arch, name, names, args.len()) {
                    Ok(order) => order.into_iter().enumerate().map(arg).collect(),
                    Err(lacks) => {
                        vec![format!("argument {lacks}: {} lacks it, the case is skipped there", self.arch)]
                    }
                };
                (syscall(name), args)
            }
            Call::Peek { address, size } => (
                format!("read {} bytes of its own memory at {}", self.number(size), self.number(address)),
                vec![],
            ),
            Call::Poke { address, data } => {
                (format!("write {} to its own memory at {}", self.piece(data), self.number(address)), vec![])
            }
        };
        let (line, _) = step.place.line_column();
        self.line(depth, &format!("{number}. {head}   (line {line})"));
        if let Some(about) = &step.about {
            self.line(depth + 2, &format!("“{}”", about.trim()));
        }
        args.iter().for_each(|arg| self.line(depth + 2, arg));
        let mut must = self.outcome(&call.outcome);
        if let Some(time) = call.eventually {
            must.push_str(&format!(", within {} s", time.as_secs_f64()));
        }
        self.line(depth + 1, &format!("→ it must {must}."));
        for except in &call.except {
            let because = except.because.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
            let when = requirements(&except.when).join(", and ");
            self.line(
                depth + 1,
                &format!("→ with {when} it must {} instead{because}.", self.outcome(&except.outcome)),
            );
        }
        for save in &call.saves {
            let what = save.output.as_ref().map_or("what it returns", |output| &output.value);
            self.line(depth + 1, &format!("→ {what} is kept as ${}.", save.name));
        }
    }

    fn attr(&self, attr: &Attr) -> Vec<String> {
        match attr {
            Attr::Address(address) => vec![format!("attr: {}", address_words(*address))],
            Attr::Pointer(expr) => vec![format!("attr: the address {}", self.number(expr))],
            Attr::Buffer(piece) => vec![format!("attr: {}", self.piece(piece))],
            Attr::Fields(fields) => fields
                .iter()
                .map(|field| {
                    let (name, in_place) = match &field.slot {
                        AttrSlot::Field(field) => (field.name.to_owned(), field.kind == FieldKind::Chars),
                        AttrSlot::Offset(offset) => (format!("from byte {offset} on"), true),
                    };
                    match &field.value.value {
                        Arg::Buffer(piece) if in_place => format!("{name} = {}", self.piece(piece)),
                        arg => format!("{name} = {}", self.arg(arg)),
                    }
                })
                .collect(),
        }
    }

    fn arg(&self, arg: &Arg) -> String {
        match arg {
            Arg::Expr(expr) => self.number(expr),
            Arg::Address(address) => address_words(*address).to_owned(),
            Arg::Buffer(piece) => format!("a pointer to {}", self.piece(piece)),
        }
    }

    /// As written, with the value where constants stand in it.
    fn number(&self, expr: &Expr) -> String {
        let constants = expr.terms.iter().any(|term| !matches!(term, Term::Number(_)));
        let mut value = 0;
        for term in &expr.terms {
            value |= match term {
                Term::Constant(name) if name != PAGE_SIZE => match kconform_abi::constant(self.arch, name) {
                    Some(n) => n,
                    None => return format!("{} ({name} is not there on {})", expr.text, self.arch),
                },
                _ => match term.value(self.arch, None) {
                    Some(n) => n,
                    None => return expr.text.clone(),
                },
            };
        }
        match (constants, value as i64) {
            (false, _) => expr.text.clone(),
            (true, same) if expr.text == same.to_string() => expr.text.clone(),
            (true, small @ -4096..=4096) => format!("{} ({small})", expr.text),
            (true, _) => format!("{} ({value:#x})", expr.text),
        }
    }

    fn numbers(&self, list: &[Expr]) -> String {
        list.iter().map(|expr| self.number(expr)).collect::<Vec<_>>().join(", ")
    }

    fn pieces(&self, pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| self.piece(piece)).collect::<Vec<_>>().join("; then ")
    }

    fn piece(&self, piece: &Piece) -> String {
        let words = match &piece.kind {
            PieceKind::Numbers { width: 1, values, .. } => format!("the bytes {}", self.numbers(values)),
            PieceKind::Numbers { width, values, .. } if values.len() == 1 => {
                format!("the {width}-byte number {}", self.numbers(values))
            }
            PieceKind::Numbers { width, values, .. } => {
                format!("the {width}-byte numbers {}", self.numbers(values))
            }
            PieceKind::Str(text) => format!("the text {:?} and its NUL", text.to_string()),
            PieceKind::Hex(bytes) => {
                let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("the bytes {}", hex.join(" "))
            }
            PieceKind::Zero(count) => format!("{} zero bytes", self.number(count)),
            PieceKind::Fill { byte, count } => {
                format!("{} bytes of {}", self.number(count), self.number(byte))
            }
            PieceKind::Out(count) => format!("room for {} bytes", self.number(count)),
            PieceKind::PercpuAll(piece) => format!("for each CPU {}", self.piece(piece)),
            PieceKind::PercpuEach(pieces) => format!("CPU by CPU {}", self.pieces(pieces)),
            PieceKind::List(pieces) => self.pieces(pieces),
            PieceKind::AddrOf(pieces) => format!("the address of ({})", self.pieces(pieces)),
            PieceKind::Insns(insns) => {
                let lines: Vec<String> = insns.iter().map(|insn| format!("  {}", insn.value.text)).collect();
                format!("BPF instructions:\n{}", lines.join("\n"))
            }
            PieceKind::Times { count, piece } => {
                format!("{} times {}", self.number(count), self.piece(piece))
            }
            PieceKind::Struct { size, members } => {
                let members = members
                    .iter()
                    .map(|(member, piece)| format!("{} = {}", member_of(member), self.piece(piece)));
                let members = members.collect::<Vec<_>>().join("; ");
                format!("a struct {} of the kernel, zeros but for {members}", size.name)
            }
            PieceKind::Uapi { structure, members } => {
                let members = members.iter().map(|(name, value)| match &value.value {
                    Arg::Buffer(piece) => format!("{} = {}", name.value, self.piece(piece)),
                    value => format!("{} = {}", name.value, self.arg(value)),
                });
                let members = members.collect::<Vec<_>>().join("; ");
                match members.is_empty() {
                    true => format!("a struct {structure} of zeros"),
                    false => format!("a struct {structure}, zeros but for {members}"),
                }
            }
            PieceKind::Saved(name) => format!("the bytes kept as ${name}"),
            PieceKind::Number(expr) => self.number(expr),
        };
        match &piece.name {
            Some(name) => format!("{words} (called {})", name.value),
            None => words,
        }
    }

    fn outcome(&self, outcome: &Outcome) -> String {
        if let Some(killed) = &outcome.signal {
            let name = signal::name(killed.value).unwrap_or("a signal");
            return format!("kill the process with {name}");
        }
        let mut must = self.ret(&outcome.ret);
        for (name, want) in &outcome.expect {
            let joined = want.place.text().split_whitespace().collect::<Vec<_>>().join(" ");
            must.push_str(&match &outcome.ret {
                RetWant::Either { .. } => format!("; if it succeeds, {} must then hold {joined}", name.value),
                _ => format!(", and {} must then hold {joined}", name.value),
            });
        }
        must
    }

    fn ret(&self, want: &RetWant) -> String {
        let fail = |errnos: &[Errno]| {
            let errnos: Vec<String> = errnos.iter().map(describe_wanted).collect();
            format!("fail with {}", errnos.join(" or "))
        };
        match want {
            RetWant::Success => "succeed".into(),
            RetWant::Errno(errnos) => fail(errnos),
            RetWant::Either { success, errnos } => format!("{} or {}", self.ret(success), fail(errnos)),
            RetWant::Exactly(expr) => format!("return {}", self.number(expr)),
            RetWant::Range { min, max } => {
                let bounds = [("at least", min), ("at most", max)];
                let bounds = bounds.iter().filter_map(|(words, bound)| {
                    bound.as_ref().map(|bound| format!("{words} {}", self.number(bound)))
                });
                format!("return {}", bounds.collect::<Vec<_>>().join(" and "))
            }
        }
    }
}

/// Each requirement: `Linux >=5.6`.
fn requirements(requires: &Requires) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(requires.kernel.iter().map(|range| format!("Linux {}", range.value.text)));
    if !requires.page_size.is_empty() {
        let sizes: Vec<String> = requires.page_size.iter().map(u64::to_string).collect();
        all.push(format!("pages of {} bytes", sizes.join(" or ")));
    }
    if !requires.arch.is_empty() {
        let names: Vec<&str> = requires.arch.iter().map(|arch| arch.name()).collect();
        all.push(names.join(" or "));
    }
    if !requires.capabilities.is_empty() {
        all.push(names(&requires.capabilities));
    }
    let config = |(name, wanted): &(String, bool)| match wanted {
        true => name.clone(),
        false => format!("no {name}"),
    };
    all.extend(requires.config.iter().map(config));
    all.extend(settings(&requires.settings));
    match requires.privileged {
        Some(true) => all.push("privilege (CAP_BPF)".into()),
        Some(false) => all.push("a user without privilege".into()),
        None => {}
    }
    all
}

/// Each setting that is required: `net.core.bpf_jit_harden=0`.
fn settings(want: &SettingsWant) -> Vec<String> {
    let mut all: Vec<String> = want.sysctl.iter().map(SysctlWant::to_string).collect();
    all.extend(want.jit.map(|jit| if jit { "the BPF JIT" } else { "no BPF JIT that is on" }.to_owned()));
    if !want.lockdown.is_empty() {
        let levels: Vec<&str> = want.lockdown.iter().map(|level| level.name()).collect();
        all.push(format!("lockdown {}", levels.join(" or ")));
    }
    let no = |wanted: &bool| if *wanted { "" } else { "no " };
    all.extend(want.lsm.iter().map(|(name, wanted)| format!("{}LSM {name}", no(wanted))));
    all.extend(want.cmdline.iter().map(|(option, wanted)| format!("{}boot option {option}", no(wanted))));
    all
}

/// The member that is asked for.
fn member_of(query: &BtfQuery) -> &str {
    match &query.want {
        BtfWant::Offset(member) | BtfWant::Index(member) => member,
        BtfWant::Id | BtfWant::Size => "",
    }
}

/// What is asked of a type, as a thing that the BTF has.
fn type_words(query: &BtfQuery) -> String {
    let name = format!("{} {}", kind_word(query.kind), query.name);
    match member_of(query) {
        "" => name,
        member => format!("{member} in {name}"),
    }
}

fn names(capabilities: &[u8]) -> String {
    capabilities.iter().map(|&number| capability::called(number)).collect::<Vec<_>>().join(", ")
}

fn address_words(address: Address) -> &'static str {
    match address {
        Address::Null => "NULL",
        Address::Unmapped => "an address that is not mapped",
        Address::ReadOnly => "an address that cannot be written",
        Address::Kernel => "an address in the kernel's half",
    }
}
