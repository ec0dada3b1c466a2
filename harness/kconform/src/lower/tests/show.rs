//! Plans in a form that can be read and compared by eye: a line a call, then its memory, outputs and expectations.

use std::fmt::Write as _;

use kconform_plan::{Buffer, Call, Function, Op, Piece, Region, Ret, Source, Step, Value, Want};

use crate::lower::Lowered;

/// The whole plan.
pub(super) fn show(lowered: &Lowered) -> String {
    let mut text = format!("{} ms, slots {:?}\n", lowered.plan.timeout_ms, lowered.slot_names);
    steps(&mut text, lowered, &lowered.plan.steps, 0);
    text
}

fn steps(text: &mut String, lowered: &Lowered, list: &[Step], depth: usize) {
    for step in list {
        let indent = "  ".repeat(depth);
        let mut block = |head: String, inner: &[Step]| {
            writeln!(text, "{indent}{}: {head}", step.index).expect("a string");
            steps(text, lowered, inner, depth + 1);
        };
        match &step.op {
            Op::Call(call) => {
                let lines = call_lines(lowered, step.index, call);
                let body = lines.join(&format!("\n{indent}     "));
                writeln!(text, "{indent}{}: {body}", step.index).expect("a string");
            }
            Op::Fork(inner) => block("fork".into(), inner),
            Op::Exec(inner) => block("exec".into(), inner),
            Op::Unprivileged { capabilities, steps } => {
                block(format!("unprivileged {capabilities:#x}"), steps);
            }
            Op::Parallel(lists) => lists.iter().for_each(|inner| block("thread".into(), inner)),
            Op::Repeat { times, slot, steps } => block(format!("repeat {} as {slot:?}", value(times)), steps),
            Op::SendFd { fd, slot, steps } => block(format!("send {} as ${slot}", value(fd)), steps),
            Op::Sysctl { settings, steps } => {
                let set = settings.iter().map(|(path, v)| format!("{path}={}", value(v)));
                block(format!("sysctl {}", set.collect::<Vec<_>>().join(" ")), steps);
            }
        }
    }
}

fn call_lines(lowered: &Lowered, index: u32, call: &Call) -> Vec<String> {
    let back = &lowered.calls[&index];
    let args: Vec<_> = call.args.iter().map(value).collect();
    let function = match call.function {
        Function::Syscall(number) => format!("syscall {number}"),
        Function::Peek => "peek".into(),
        Function::Poke => "poke".into(),
    };
    let mut head = format!("{function}({}) = {}", args.join(", "), ret(&call.expect.ret));
    if let Some(signal) = call.expect.signal {
        write!(head, ", signal {signal}").expect("a string");
    }
    if let Some(time) = call.eventually_ms {
        write!(head, ", within {time} ms").expect("a string");
    }
    match (call.last.success, call.last.errnos.as_slice()) {
        (false, []) => {}
        (true, []) => head.push_str(", then the end"),
        (success, errnos) => {
            write!(head, ", the end after {errnos:?} (success: {success})").expect("a string")
        }
    }
    let mut lines = vec![head];
    let buffers = call.buffers.iter().enumerate();
    lines.extend(buffers.map(|(nth, buffer)| format!("b{nth}: {}", contents(buffer))));
    for (output, name) in call.outputs.iter().zip(&back.output_names) {
        lines.push(format!("{name} is b{}{}", output.buffer, region(output.region)));
    }
    for (output, wanted) in &call.expect.outputs {
        lines.push(format!("{} holds {}", back.output_names[*output as usize], want(wanted)));
    }
    for save in &call.saves {
        let from = match save.from {
            Source::Ret => "ret",
            Source::Output(output) => &back.output_names[output as usize],
        };
        lines.push(format!("${} = {from}", save.slot));
    }
    lines
}

fn contents(buffer: &Buffer) -> String {
    let overlays = buffer.overlays.iter().map(|o| format!("@{} {}", o.offset, piece(&o.piece)));
    buffer.pieces.iter().map(piece).chain(overlays).collect::<Vec<_>>().join(" ")
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Piece::Zero(count) => format!("0*{count}"),
        Piece::Value { value: v, width, shift: 0 } => format!("({}):{width}", value(v)),
        Piece::Value { value: v, width, shift } => format!("({} >> {shift}):{width}", value(v)),
        Piece::Decimal(slot) => format!("decimal(${slot})"),
        Piece::Saved(slot) => format!("bytes(${slot})"),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Number(number) if *number > u64::from(u32::MAX) => format!("{number:#x}"),
        Value::Number(number) => number.to_string(),
        Value::Slot(slot, 0) => format!("${slot}"),
        Value::Slot(slot, bits) => format!("${slot}|{bits:#x}"),
        Value::Address(buffer) => format!("&b{buffer}"),
        Value::Unmapped => "unmapped".into(),
        Value::ReadOnly => "readonly".into(),
        Value::Length(buffer, unit) => format!("len(b{buffer})/{unit}"),
    }
}

fn region(region: Region) -> String {
    match region {
        Region::Whole => String::new(),
        Region::Pieces { first, count } => format!(" pieces {first}..{}", first + count),
        Region::Range { offset, length } => format!(" bytes {offset}..{}", offset + length),
    }
}

fn ret(wanted: &Ret) -> String {
    match wanted {
        Ret::Success => "success".into(),
        Ret::Errno(errnos) => format!("errno {errnos:?}"),
        Ret::Exactly(exactly) => value(exactly),
        Ret::Range { min, max } => bounds(min.as_ref(), max.as_ref()),
        Ret::Either { success, errnos } => format!("{} or errno {errnos:?}", ret(success)),
    }
}

fn bounds(min: Option<&Value>, max: Option<&Value>) -> String {
    format!("{}..={}", min.map_or(String::new(), value), max.map_or(String::new(), value))
}

fn want(wanted: &Want) -> String {
    let bytes = |pieces: &[Piece]| pieces.iter().map(piece).collect::<Vec<_>>().join(" ");
    match wanted {
        Want::Bytes(pieces) => bytes(pieces),
        Want::Number(number) => format!("number {}", value(number)),
        Want::Contains(pieces) => format!("contains {}", bytes(pieces)),
        Want::Prefix(pieces) => format!("prefix {}", bytes(pieces)),
        Want::Not(inner) => format!("not {}", want(inner)),
        Want::Any(wants) => format!("any of [{}]", wants.iter().map(want).collect::<Vec<_>>().join(", ")),
        Want::Range { min, max, signed } => {
            let kind = if *signed { "signed" } else { "unsigned" };
            format!("{} {kind}", bounds(min.as_ref(), max.as_ref()))
        }
        Want::Strided { stride, slots } => {
            let slots: Vec<_> = slots.iter().map(|slot| bytes(slot)).collect();
            format!("slots of {stride}: [{}]", slots.join(", "))
        }
    }
}
