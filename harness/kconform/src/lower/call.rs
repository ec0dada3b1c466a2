//! One call: its arguments and memory, its outputs, what it must do and what is kept of it.

use kconform_abi::bpf::{COMMON_ATTR, Command};
use kconform_plan::{Call, Expect, Function, Region, Save, Source, Value};

use super::buffer::Memory;
use super::outputs::{Outputs, Place};
use super::value::Abi;
use super::{LoweredCall, attr, outcome};
use crate::arguments;
use crate::case::{self, Arg, CallStep, CommonAttr, Expr};
use crate::kernel::Unmet;
use crate::place::Placed;

/// A call's function and arguments, with the memory that they point to.
struct Made {
    function: Function,
    args: Vec<Value>,
    memory: Memory,
    places: Vec<Place>,
    order: Vec<Option<usize>>,
}

/// Lowers a call.
pub(super) fn lower(abi: &mut Abi<'_>, step: &CallStep, factor: f64) -> Result<(Call, LoweredCall), Unmet> {
    let made = make(abi, &step.call)?;
    abi.reserve(made.memory.size())?;
    let mut outputs = Outputs::of_memory(&made.memory, &made.places);
    let chosen = outcome::choose(abi, step);
    let outcome = chosen.of(step);
    let mut find = |name: &str| outputs.find(name, &made.memory, &made.places);

    let wanted = outcome.expect.iter().map(|(name, _)| find(&name.value)).collect::<Result<Vec<_>, _>>()?;
    let last = outcome::last(&step.outcome, outcome);
    let saves = match outcome::goes_on(outcome, &last) {
        true => saves(abi, step, outcome::may_succeed(outcome), &mut find)?,
        false => Vec::new(),
    };
    let mut wants = Vec::new();
    for (output, (_, want)) in wanted.into_iter().zip(&outcome.expect) {
        let size = outputs.size(output, &made.memory);
        wants.push((output, outcome::want(abi, want, size)?));
    }
    let expect = Expect {
        ret: outcome::ret(abi, &outcome.ret)?,
        outputs: wants,
        signal: outcome.signal.as_ref().map(|signal| signal.value),
        big_endian: abi.big_endian(),
    };
    let lowered = LoweredCall {
        outcome: chosen,
        output_names: outputs.names,
        expects: (0..outcome.expect.len()).collect(),
        order: made.order,
    };
    let call = Call {
        function: made.function,
        args: made.args,
        buffers: made.memory.buffers,
        outputs: outputs.list,
        saves,
        expect,
        last,
        eventually_ms: step.eventually.map(|time| super::milliseconds(time, factor)),
        gives_fd: match &step.call {
            case::Call::Bpf { known, .. } => known.is_some_and(Command::gives_fd),
            case::Call::Syscall { name, .. } => kconform_abi::gives_fd(name),
            case::Call::Peek { .. } | case::Call::Poke { .. } => false,
        },
    };
    Ok((call, lowered))
}

/// What is kept. A call that fails as it should has no return value to keep, but may have written something.
fn saves(
    abi: &mut Abi<'_>,
    step: &CallStep,
    may_succeed: bool,
    find: &mut dyn FnMut(&str) -> Result<u32, Unmet>,
) -> Result<Vec<Save>, Unmet> {
    let mut saves = Vec::new();
    for save in &step.saves {
        let from = match &save.output {
            Some(output) => Source::Output(find(&output.value)?),
            None if may_succeed => Source::Ret,
            None => continue,
        };
        saves.push(Save { slot: abi.slot(&save.name), from });
    }
    Ok(saves)
}

fn make(abi: &mut Abi<'_>, call: &case::Call) -> Result<Made, Unmet> {
    match call {
        case::Call::Bpf { command, known, attr, size, common } => {
            bpf(abi, command, *known, (attr, size.as_ref()), common.as_deref())
        }
        case::Call::Syscall { name, args, names } => syscall(abi, name, args, names),
        case::Call::Peek { address, size } => peek(abi, address, size),
        case::Call::Poke { address, data } => {
            let mut memory = Memory::default();
            memory.buffer(abi, data)?;
            let args = vec![abi.value(address)?];
            Ok(Made { function: Function::Poke, args, memory, places: Vec::new(), order: Vec::new() })
        }
    }
}

fn bpf(
    abi: &mut Abi<'_>,
    command: &Expr,
    known: Option<&'static Command>,
    (attr, size): (&case::Attr, Option<&Expr>),
    common: Option<&CommonAttr>,
) -> Result<Made, Unmet> {
    let mut memory = Memory::default();
    let command = abi.value(command)?;
    let ([address, size], mut places) = attr::lower(abi, &mut memory, known, attr, size)?;
    let mut args = vec![command, address, size];
    if let Some(CommonAttr { attr, size }) = common {
        let (more, of) = attr::lower(abi, &mut memory, Some(&COMMON_ATTR), attr, size.as_ref())?;
        args.extend(more);
        places.extend(of.into_iter().map(|place| Place { name: common_name(known, place.name), ..place }));
    }
    Ok(Made { function: number(abi, "bpf")?, args, memory, places, order: Vec::new() })
}

/// The name of a part of `struct bpf_common_attr` beside the attr of a command.
fn common_name(known: Option<&'static Command>, name: String) -> String {
    match name.as_str() {
        "arg1" => "arg3".to_owned(),
        field if field.contains('.') => name,
        field => CommonAttr::output_name(known, field),
    }
}

fn syscall(
    abi: &mut Abi<'_>,
    name: &str,
    args: &[Placed<Arg>],
    names: &[&'static str],
) -> Result<Made, Unmet> {
    let function = number(abi, name)?;
    let arch = abi.kernel.arch;
    let order = arguments::order(arch, name, names, args.len())
        .map_err(|lacks| Unmet { reason: format!("{name} has no argument {lacks} on {arch}") })?;
    let mut memory = Memory::default();
    let mut places = Vec::new();
    let mut values = Vec::new();
    for nth in &order {
        let Some((nth, arg)) = nth.and_then(|nth| Some((nth, args.get(nth)?))) else {
            values.push(Value::Number(0));
            continue;
        };
        values.push(match &arg.value {
            Arg::Expr(expr) => abi.value(expr)?,
            Arg::Address(address) => abi.address(*address),
            Arg::Buffer(piece) => {
                let buffer = memory.buffer(abi, piece)?;
                let also = arguments::also_called(name, names, nth);
                let name = arguments::output_name(names, nth);
                places.push(Place { name, also, buffer, region: Region::Whole });
                Value::Address(buffer)
            }
        });
    }
    Ok(Made { function, args: values, memory, places, order })
}

fn peek(abi: &mut Abi<'_>, address: &Expr, size: &Expr) -> Result<Made, Unmet> {
    let mut memory = Memory::default();
    let bytes = abi.known(size)?;
    memory.zeroed(bytes)?;
    let places = vec![Place { name: "data".into(), also: Vec::new(), buffer: 0, region: Region::Whole }];
    let args = vec![abi.value(address)?, Value::Number(bytes)];
    Ok(Made { function: Function::Peek, args, memory, places, order: Vec::new() })
}

fn number(abi: &Abi<'_>, name: &str) -> Result<Function, Unmet> {
    let arch = abi.kernel.arch;
    let by_number = || name.parse().ok();
    arch.syscall(name)
        .or_else(by_number)
        .map(Function::Syscall)
        .ok_or_else(|| Unmet { reason: format!("the system call {name} does not exist on {}", arch.name()) })
}
