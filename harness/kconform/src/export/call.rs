//! A call: its arguments, what it must do, what is kept of it.

use kconform_abi::Arch;
use kconform_abi::bpf::{COMMON_ATTR, Command};

use crate::arguments;
use crate::case::{self, Arg, Attr, CallStep, CommonAttr, Except, Outcome, RetWant, Step, StepKind};
use crate::place::{Place, Placed};

use super::names::{identifier, literal};
use super::numbers::number;
use super::outputs::{Outputs, Part};
use super::state::{Export, Kind};
use super::{ExportError, uncovered};

/// Calls that return twice.
const TWICE: &[&str] = &["fork", "vfork", "clone", "clone3"];

/// What an outcome asks, as C: a condition, and what is said where it does not hold.
pub(super) struct Check {
    pub(super) good: String,
    pub(super) what: String,
    /// The memory that is shown.
    pub(super) part: Option<Part>,
}

impl Export<'_> {
    pub(super) fn call(&mut self, step: &Step, call: &CallStep) -> Result<(), ExportError> {
        self.forget_step(super::fields::names(call));
        let (format, args) = self.shown(call);
        let at = literal(place(&call.key).as_bytes());
        match call.eventually {
            Some(time) => {
                let until = format!("until{}", step.index);
                self.out.open(&format!("for (long long {until} = in_ms({});;) {{", time.as_millis()));
            }
            None => self.out.open("{"),
        }
        let begun = self.out.text.len();
        let mut outputs = Outputs::default();
        let made = self.make(call, &mut outputs)?;
        if self.out.text.len() > begun {
            self.out.blank();
        }
        self.out.line(&format!("begin({at}, {format}{args});"));
        self.signals(call)?;
        self.out.line(&format!("ret = {made};"));
        if call.eventually.is_some() {
            self.try_again(step, call, &outputs)?;
        }
        self.out.line("done(ret);");
        let mut head = "if";
        for except in &call.except {
            let Except { when, outcome, because, .. } = except;
            let condition = self.condition(when)?;
            let line = format!("{head} ({condition}) {{");
            if head == "if" {
                self.out.open(&line)
            } else {
                self.out.turn(&line)
            }
            if let Some(because) = because {
                self.out.comment(because);
            }
            self.outcome(call, outcome, &outputs)?;
            head = "} else if";
        }
        if head != "if" {
            self.out.turn("} else {");
        }
        self.outcome(call, &call.outcome, &outputs)?;
        if head != "if" {
            self.out.close("}");
        }
        if call.eventually.is_some() {
            self.out.line("break;");
        }
        self.out.close("}");
        Ok(())
    }

    /// Says before the call that it kills the process, where it does.
    fn signals(&mut self, call: &CallStep) -> Result<(), ExportError> {
        let of = |outcome: &Outcome| outcome.signal.as_ref().map_or(0, |signal| signal.value);
        let mut signal = of(&call.outcome).to_string();
        if of(&call.outcome) == 0 && call.except.iter().all(|except| of(&except.outcome) == 0) {
            return Ok(());
        }
        for except in call.except.iter().rev() {
            let condition = self.condition(&except.when)?;
            signal = format!("{condition} ? {} : {signal}", of(&except.outcome));
        }
        let name = kconform_abi::signal::name(of(&call.outcome)).unwrap_or("none");
        self.out.line(&format!("dies_of({signal}); /* {name} */"));
        Ok(())
    }

    /// Repeats the step where it does not hold yet.
    fn try_again(&mut self, step: &Step, call: &CallStep, outputs: &Outputs) -> Result<(), ExportError> {
        let mut good = self.all_good(&call.outcome, outputs)?;
        for except in call.except.iter().rev() {
            let (condition, other) =
                (self.condition(&except.when)?, self.all_good(&except.outcome, outputs)?);
            good = format!("({condition} ? ({other}) : ({good}))");
        }
        self.out.open(&format!("if (!({good}) && again(until{})) {{", step.index));
        if gives_fd(&call.call) {
            self.out.line("if (ret >= 0)");
            self.out.line("\tclose(ret);");
        }
        self.out.line("continue;");
        self.out.close("}");
        Ok(())
    }

    fn all_good(&mut self, outcome: &Outcome, outputs: &Outputs) -> Result<String, ExportError> {
        let checks = self.checks(outcome, outputs)?;
        Ok(checks.into_iter().map(|check| format!("({})", check.good)).collect::<Vec<_>>().join(" && "))
    }

    /// What an outcome checks and keeps.
    fn outcome(&mut self, call: &CallStep, outcome: &Outcome, outputs: &Outputs) -> Result<(), ExportError> {
        for check in self.checks(outcome, outputs)? {
            let Check { good, what, part } = check;
            let what = literal(what.as_bytes());
            match part {
                Some(part) => {
                    self.out.line(&format!("EXPECT_MEMORY({good}, {what}, {}, {});", part.data, part.size));
                }
                None => self.out.line(&format!("EXPECT({good}, {what});")),
            }
        }
        /// Ends the process where the case goes on only after another outcome.
        const OVER: &str = "end(OVER); /* what follows relies on another outcome */";
        let last = crate::lower::last(&call.outcome, outcome);
        let goes_on = crate::lower::goes_on(outcome, &last);
        match (last.success, last.errnos.as_slice()) {
            (false, []) => {}
            _ if !goes_on => self.out.line(OVER),
            (success, errnos) => {
                let mut ends: Vec<String> = errnos
                    .iter()
                    .map(|&errno| format!("ret == -{}", kconform_abi::errno::written(errno)))
                    .collect();
                ends.extend(success.then(|| "ret >= 0".to_owned()));
                self.out.line(&format!("if ({})", ends.join(" || ")));
                self.out.line(&format!("\t{OVER}"));
            }
        }
        if goes_on {
            self.saves(call, outcome, outputs)?;
        }
        Ok(())
    }

    fn saves(&mut self, call: &CallStep, outcome: &Outcome, outputs: &Outputs) -> Result<(), ExportError> {
        for save in &call.saves {
            let Some(output) = &save.output else {
                if !crate::lower::may_succeed(outcome) {
                    continue;
                }
                self.kinds.insert(save.name.clone(), Kind::Number);
                let saved = self.saved(&save.name);
                match outcome.ret {
                    RetWant::Either { .. } => {
                        self.out.line("if (ret >= 0)");
                        self.out.line(&format!("\t{saved} = ret;"));
                    }
                    _ => self.out.line(&format!("{saved} = ret;")),
                }
                continue;
            };
            let part = find(outputs, &output.value, &output.place)?;
            let is_number = part.is_number().unwrap_or(false);
            let kind = if is_number { Kind::Number } else { Kind::Bytes };
            if self.kinds.insert(save.name.clone(), kind).is_some_and(|other| other != kind) {
                return uncovered(
                    &save.place,
                    format!("${}, which is a number here and memory there,", save.name),
                );
            }
            let saved = self.saved(&save.name);
            match kind {
                Kind::Number => self.out.line(&format!("{saved} = {};", part.as_number())),
                Kind::Bytes => self.out.line(&format!("keep(&{saved}, {}, {});", part.data, part.size)),
            }
        }
        Ok(())
    }

    /// The call itself, after what it points to.
    fn make(&mut self, step: &CallStep, outputs: &mut Outputs) -> Result<String, ExportError> {
        match &step.call {
            case::Call::Bpf { command, known, attr, size, common } => {
                let command = self.expr(command)?;
                self.calls.insert("bpf".to_owned());
                self.bpf(outputs, &command, *known, (attr, size.as_ref()), common.as_deref())
            }
            case::Call::Syscall { name, args, names } => self.syscall(step, outputs, name, args, names),
            case::Call::Peek { address, size } => {
                let (address, (size, known)) = (self.expr(address)?, self.size(size)?);
                let data = self.local("data");
                self.out.line(&format!("__u8 *{data} = MEMORY({size});"));
                let names = vec!["data".to_owned()];
                let made = format!("peek({address}, {data}, {size})");
                outputs.places.push(Part { names, data, size, known, number: None });
                Ok(made)
            }
            case::Call::Poke { address, data } => {
                let address = self.expr(address)?;
                let buffer = self.buffer("data", data)?;
                Ok(format!("poke({address}, {}, {})", buffer.data, buffer.size))
            }
        }
    }

    fn bpf(
        &mut self,
        outputs: &mut Outputs,
        command: &str,
        known: Option<&'static Command>,
        (attr, size): (&Attr, Option<&case::Expr>),
        common: Option<&CommonAttr>,
    ) -> Result<String, ExportError> {
        let written = self.attr(outputs, known, attr, size, "attr")?;
        let Some(common) = common else {
            return Ok(match written.plain && size.is_none() {
                true => format!("sys_bpf({command}, {}, {})", written.data, written.size),
                false => format!("SYS(__NR_bpf, {command}, (long)({}), {})", written.data, written.size),
            });
        };
        let mut more = Outputs::default();
        let second =
            self.attr(&mut more, Some(&COMMON_ATTR), &common.attr, common.size.as_ref(), "common")?;
        outputs.named.append(&mut more.named);
        for mut part in more.places {
            for name in &mut part.names {
                *name = match name.as_str() {
                    "arg1" => "arg3".to_owned(),
                    field if field.contains('.') => name.clone(),
                    field => CommonAttr::output_name(known, field),
                };
            }
            outputs.places.push(part);
        }
        let (data, size) = (written.data, written.size);
        let args = format!("{command}, (long)({data}), {size}, (long)({}), {}", second.data, second.size);
        Ok(format!("SYS(__NR_bpf, {args})"))
    }

    fn syscall(
        &mut self,
        step: &CallStep,
        outputs: &mut Outputs,
        name: &str,
        args: &[Placed<Arg>],
        names: &[&'static str],
    ) -> Result<String, ExportError> {
        if TWICE.contains(&name) {
            return uncovered(&step.key, format!("the call {name}, which returns twice,"));
        }
        let on = |arch: Arch| arguments::order(arch, name, names, args.len()).ok();
        let orders: Vec<_> =
            Arch::ALL.iter().filter(|arch| arch.syscall(name).is_some()).filter_map(|&a| on(a)).collect();
        let order = match orders.as_slice() {
            [] => (0..args.len()).map(Some).collect(),
            [first, others @ ..] if others.iter().all(|other| other == first) => first.clone(),
            _ => {
                return uncovered(&step.key, "this");
            }
        };
        let prototype = Arch::ALL.iter().find_map(|&arch| kconform_abi::prototype(arch, name));
        let mut written = Vec::new();
        for (at, nth) in order.iter().enumerate() {
            let Some((nth, arg)) = nth.and_then(|nth| Some((nth, args.get(nth)?))) else {
                written.push("0".to_owned());
                continue;
            };
            written.push(match &arg.value {
                Arg::Expr(expr) => self.expr(expr)?,
                Arg::Address(address) => self.address(*address),
                Arg::Buffer(piece) => {
                    let called =
                        prototype.and_then(|known| known.params.get(at)).map(|param| identifier(param.name));
                    let buffer = self.buffer(&called.unwrap_or_else(|| format!("arg{at}")), piece)?;
                    outputs.named.extend(buffer.parts);
                    outputs.named.append(&mut self.inner);
                    let mut all = vec![arguments::output_name(names, nth)];
                    all.extend(arguments::also_called(name, names, nth).into_iter().map(str::to_owned));
                    let data = buffer.data;
                    let value = format!("(long){data}");
                    outputs.places.push(Part {
                        names: all,
                        data,
                        size: buffer.size,
                        known: buffer.known,
                        number: None,
                    });
                    value
                }
            });
        }
        let number = match name.parse::<u64>() {
            Ok(value) => number(value),
            Err(_) => {
                self.calls.insert(name.to_owned());
                format!("__NR_{name}")
            }
        };
        written.insert(0, number);
        if written.len() == 1 {
            written.push("0".to_owned());
        }
        Ok(format!("SYS({})", written.join(", ")))
    }
}

fn gives_fd(call: &case::Call) -> bool {
    match call {
        case::Call::Bpf { known, .. } => known.is_some_and(Command::gives_fd),
        case::Call::Syscall { name, .. } => kconform_abi::gives_fd(name),
        case::Call::Peek { .. } | case::Call::Poke { .. } => false,
    }
}

/// The part of that name, which the file was checked for.
pub(super) fn find<'o>(outputs: &'o Outputs, name: &str, place: &Place) -> Result<&'o Part, ExportError> {
    match outputs.find(name) {
        Some(part) => Ok(part),
        None => uncovered(place, format!("the output {name}")),
    }
}

/// The line of a step.
pub(super) fn line_of(step: &Step) -> usize {
    match &step.kind {
        StepKind::Call(call) => call.key.line_column().0,
        _ => step.place.line_column().0,
    }
}

/// The file and the line.
pub(super) fn place(place: &Place) -> String {
    format!("{}:{}", place.path().display(), place.line_column().0)
}
