//! A call as a step of a case.

use std::collections::HashSet;

use kconform_abi::bpf::{FieldKind, Use, field_use};
use kconform_abi::{Arch, errno, structure};

use super::call::{Bpf, FieldValue, Kind, Memory, Object};
use super::decode::{is_output, is_pointer, named, number_at};
use super::insns;
use super::names::{Handle, Step};
use super::pieces::{characters, flags, is_text, number_of_field, per_cpu, piece, string, words};
use super::yaml::Value;

/// Bytes of a log that a case has room for, if the program's log was shorter.
const ROOM: usize = 64 << 10;

/// Where pins are in a case: its own bpf file system.
const FOLDER: &str = "fs";

/// A step in lines that belong together.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// The name of the call, and its arguments.
    pub(crate) call: Option<(&'static str, Value)>,
    /// `save`
    pub(crate) save: Option<String>,
    /// `errno`
    pub(crate) errno: Option<String>,
    /// `expect`
    pub(crate) expect: Vec<(String, Value)>,
    /// Whether it is about something in a bpf file system.
    pub(crate) pins: bool,
}

/// Writes steps.
pub(crate) struct Steps<'a> {
    pub(crate) handles: &'a [Handle],
    /// Handles that a step names.
    pub(crate) used: HashSet<usize>,
    /// Maps in which BPF_MAP_GET_NEXT_KEY found more than one key: their order is by chance.
    pub(crate) walked: HashSet<usize>,
}

impl Steps<'_> {
    pub(crate) fn written(&self, step: &Step<'_>) -> Written {
        let ret = step.call.ret;
        let mut out = Written {
            save: step
                .made
                .filter(|made| self.used.contains(made))
                .map(|made| self.handles[made].name.clone()),
            errno: (ret < 0).then(|| errno::written(-ret as i32)),
            ..Written::default()
        };
        let name = |fd: i32| step.fds.get(&fd).map(|&handle| format!("${}", self.handles[handle].name));
        let fd = |fd: i32| Value::word(name(fd).unwrap_or_else(|| fd.to_string()));
        let number = |value: u64| Value::word(insns::number(value as i64));
        out.call = Some(match &step.call.kind {
            Kind::Bpf(bpf) => ("bpf", self.bpf(step, bpf, &mut out)),
            Kind::Perf { attr, args } => {
                let [pid, cpu, group, perf_flags] = *args;
                let flags_of = flags(
                    perf_flags as u64,
                    &["PERF_FLAG_FD_CLOEXEC", "PERF_FLAG_FD_NO_GROUP", "PERF_FLAG_FD_OUTPUT"],
                );
                let group = fd(group as i32);
                let words = [
                    Value::word(pid.to_string()),
                    Value::word(cpu.to_string()),
                    group,
                    Value::word(flags_of),
                ];
                ("perf_event_open", Value::List([vec![perf_attr(attr)], words.to_vec()].concat()))
            }
            Kind::Close(first, _) => ("close", Value::List(vec![fd(*first)])),
            Kind::Dup(from) => ("dup", Value::List(vec![fd(*from)])),
            Kind::Mmap([length, protection, how, of, offset]) => {
                let protection = flags(*protection, &["PROT_READ", "PROT_WRITE", "PROT_EXEC"]);
                let how = flags(*how, &["MAP_SHARED", "MAP_PRIVATE", "MAP_FIXED", "MAP_POPULATE"]);
                let length = match length {
                    4096 => "PAGE_SIZE".to_owned(),
                    length if length % 4096 == 0 => format!("{} * PAGE_SIZE", length / 4096),
                    length => length.to_string(),
                };
                let all =
                    [Value::word("null"), Value::word(length), Value::word(protection), Value::word(how)];
                ("mmap", Value::List([all.to_vec(), vec![fd(*of as i32), number(*offset)]].concat()))
            }
            Kind::Ioctl([of, request, argument]) => {
                let name_of_it = named("PERF_EVENT_IOC_", *request);
                let request = name_of_it.map_or_else(|| number(*request), Value::word);
                let argument = name(*argument as i32)
                    .filter(|_| *argument != 0)
                    .map_or_else(|| number(*argument), Value::word);
                ("ioctl", Value::List(vec![fd(*of as i32), request, argument]))
            }
            Kind::Unlink(path) => {
                out.pins = true;
                let path = string(&format!("{FOLDER}/{path}"));
                ("unlinkat", Value::List(vec![Value::word("AT_FDCWD"), path, Value::word("0")]))
            }
        });
        out
    }

    fn bpf(&self, step: &Step<'_>, bpf: &Bpf, out: &mut Written) -> Value {
        let Some(command) = bpf.command else { return Value::List(vec![Value::word(bpf.name())]) };
        let name = |fd: i32| step.fds.get(&fd).map(|&handle| self.handles[handle].name.clone());
        let mut attr: Vec<(String, Value)> = Vec::new();
        for value in bpf.all() {
            let field = value.field;
            if field_use(command, field) == Some(Use::Output) {
                if step.call.ret >= 0 && ["retval", "fd_type"].contains(&field.name) {
                    out.expect.push((field.name.to_owned(), Value::word(value.after.to_string())));
                }
                continue;
            }
            if is_computed(bpf, value) {
                continue;
            }
            let written = match field.kind {
                FieldKind::Chars => {
                    let bytes =
                        value.memory.as_ref().map(|memory| memory.before.as_slice()).unwrap_or_default();
                    if bytes.iter().all(|&byte| byte == 0) {
                        continue;
                    }
                    characters(bytes)
                }
                FieldKind::Fd => {
                    let fd = value.number as u32 as i32;
                    match name(fd) {
                        Some(name) => Value::word(format!("${name}")),
                        None if fd == 0 => continue,
                        // It was not open; nor is -1.
                        None => Value::word("-1"),
                    }
                }
                FieldKind::Pointer if value.number == 0 => continue,
                FieldKind::Pointer => match &value.memory {
                    Some(memory) => self.buffer(step, bpf, value, memory, out),
                    None if value.number >> 63 == 1 => Value::word("kernel"),
                    None => Value::word("unmapped"),
                },
                FieldKind::Int if value.number == 0 && !is_zero_count(bpf, value) => continue,
                FieldKind::Int => Value::word(number_of_field(command.name, field.name, value.number)),
            };
            attr.push((field.name.to_owned(), written));
        }
        let mut args = vec![Value::word(command.name), Value::Map(attr)];
        if command.name == "BPF_MAP_GET_NEXT_KEY" && self.is_walked(step) {
            out.errno = Some("[none, ENOENT]".to_owned());
        }
        if !bpf.beyond.is_empty() || bpf.size > 4096 {
            if let Value::Map(attr) = &mut args[1] {
                attr.push((format!("\"@{}\"", command.size), super::pieces::hex(&bpf.beyond)));
            }
            args.push(Value::word(bpf.size.to_string()));
        }
        Value::List(args)
    }

    /// What a pointer of an attr points to.
    fn buffer(
        &self,
        step: &Step<'_>,
        bpf: &Bpf,
        value: &FieldValue,
        memory: &Memory,
        out: &mut Written,
    ) -> Value {
        let name = |fd: i32| step.fds.get(&fd).map(|&handle| self.handles[handle].name.clone());
        let Some(command) = bpf.command else { return piece(&memory.before) };
        let zeros = |length: usize| Value::one("out", Value::word(length.to_string()));
        let succeeded = step.call.ret >= 0;
        let text = || string(&String::from_utf8_lossy(&memory.before));
        let shape = bpf.shape.unwrap_or_default();
        match value.field.name {
            "pathname" => match &memory.pinned {
                Some(path) => {
                    out.pins = true;
                    string(&format!("{FOLDER}/{path}"))
                }
                None => text(),
            },
            "license" | "name" => text(),
            "insns" => {
                let texts = insns::written(&memory.before, &name).into_iter().map(Value::Text);
                Value::one("insns", Value::List(texts.collect()))
            }
            "func_info" | "line_info" | "core_relos" if memory.before.len().is_multiple_of(4) => {
                words(&memory.before)
            }
            "fd_array" => {
                let fd = |fd: &[u8]| {
                    let fd = number_at(fd, 0, 4) as i32;
                    Value::word(name(fd).map_or_else(|| fd.to_string(), |name| format!("${name}")))
                };
                Value::one("i32", Value::List(memory.before.chunks_exact(4).map(fd).collect()))
            }
            "kprobe_multi.syms" => {
                let texts = memory.texts.iter().map(|text| Value::one("addr_of", string(text)));
                Value::one("list", Value::List(texts.collect()))
            }
            "log_buf" | "btf_log_buf" => {
                if let Some(line) = last_line(&memory.after).filter(|_| !succeeded) {
                    let contains = Value::one("contains", string_without_end(&line));
                    out.expect.push((value.field.name.to_owned(), contains));
                }
                zeros(memory.before.len().min(ROOM))
            }
            "info" => self.info(step, memory, succeeded, out),
            "value"
                if !is_output(command, value.field)
                    && shape.of_fds()
                    && name(number_at(&memory.before, 0, 4) as i32).is_some() =>
            {
                let fd = name(number_at(&memory.before, 0, 4) as i32).unwrap_or_default();
                Value::one("u32", Value::word(format!("${fd}")))
            }
            "value" if shape.per_cpu() => {
                let size = shape.value_size as usize;
                if !is_output(command, value.field) {
                    return per_cpu(&memory.before, size).unwrap_or_else(|| piece(&memory.before));
                }
                if let Some(all) = per_cpu(&memory.after, size).filter(|_| succeeded) {
                    out.expect.push(("value".to_owned(), all));
                }
                Value::one("percpu", zeros(size))
            }
            _ if is_output(command, value.field) => {
                let certain = match value.field.name {
                    "value" => !shape.of_fds(),
                    "next_key" => !self.is_walked(step),
                    "data_out" => true,
                    _ => false,
                };
                if certain && succeeded && memory.after.len() == memory.before.len() {
                    let written = bpf.field("data_size_out").filter(|_| value.field.name == "data_out");
                    let end = written
                        .map_or(memory.after.len(), |size| (size.after as usize).min(memory.after.len()));
                    let whole = end == memory.after.len();
                    let bytes = piece(&memory.after[..end]);
                    let bytes = if whole { bytes } else { Value::one("prefix", bytes) };
                    if end > 0 {
                        out.expect.push((value.field.name.to_owned(), bytes));
                    }
                }
                zeros(memory.before.len().max(1))
            }
            _ => piece(&memory.before),
        }
    }

    fn is_walked(&self, step: &Step<'_>) -> bool {
        step.fds.values().any(|handle| self.walked.contains(handle))
    }

    /// `struct bpf_map_info` and its like: what is the same on every machine is expected.
    fn info(&self, step: &Step<'_>, memory: &Memory, succeeded: bool, out: &mut Written) -> Value {
        let object = step.fds.values().map(|&handle| self.handles[handle].object).next();
        let (of, members): (_, &[&str]) = match object {
            Some(Object::Map) => {
                ("bpf_map_info", &["type", "key_size", "value_size", "max_entries", "map_flags", "name"])
            }
            Some(Object::Prog) => ("bpf_prog_info", &["type", "name"]),
            _ => return Value::one("out", Value::word(memory.before.len().to_string())),
        };
        let layout = structure(Arch::X86_64, of);
        let Some(layout) = layout.filter(|_| succeeded && memory.before.iter().all(|&byte| byte == 0)) else {
            return Value::one("out", Value::word(memory.before.len().to_string()));
        };
        let mut asked = Vec::new();
        for member in members.iter().filter_map(|name| layout.member(name)) {
            let range = member.offset as usize..(member.offset + member.size) as usize;
            let Some(bytes) = memory.after.get(range).filter(|bytes| bytes.iter().any(|&byte| byte != 0))
            else {
                continue;
            };
            let number = number_at(bytes, 0, bytes.len().min(8));
            let expected = match member.name {
                "name" => Value::one("prefix", characters(bytes)),
                "type" if object == Some(Object::Map) => Value::word(number_of_field("", "map_type", number)),
                "type" => Value::word(number_of_field("", "prog_type", number)),
                name => Value::word(number_of_field("BPF_MAP_CREATE", name, number)),
            };
            asked.push((member.name.to_owned(), Value::one("as", Value::word(member.name))));
            out.expect.push((member.name.to_owned(), expected));
        }
        Value::one("struct", Value::List(vec![Value::word(of), Value::Map(asked)]))
    }
}

/// Whether a count follows from its buffer, so that it need not be written.
fn is_computed(bpf: &Bpf, value: &FieldValue) -> bool {
    let Some(count) = value.field.count_of else { return false };
    let buffer = bpf.all().find(|other| is_pointer(other.field) && count.buffers.contains(&other.field.name));
    let Some(buffer) = buffer.filter(|buffer| buffer.number != 0) else { return false };
    value.number != 0 && buffer.memory.is_some() && buffer.field.name != "info"
}

/// 0 must be written where a buffer is there.
fn is_zero_count(bpf: &Bpf, value: &FieldValue) -> bool {
    let Some(count) = value.field.count_of else { return false };
    bpf.all().any(|other| other.number != 0 && count.buffers.contains(&other.field.name))
}

/// The last line of a log that says why.
fn last_line(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log).into_owned();
    let says =
        |line: &&str| !line.trim().is_empty() && !line.starts_with("processed ") && is_text(line.as_bytes());
    text.lines().rev().find(says).map(|line| line.trim().to_owned())
}

/// A text without its NUL, as `contains` takes it.
fn string_without_end(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// `{struct: [perf_event_attr, {…}]}`
fn perf_attr(attr: &[u8]) -> Value {
    let Some(layout) = structure(Arch::X86_64, "perf_event_attr") else { return piece(attr) };
    let mut members: Vec<(String, Value)> = Vec::new();
    let mut taken = HashSet::new();
    for member in layout.members {
        let Some(bytes) = attr.get(member.offset as usize..(member.offset + member.size) as usize) else {
            continue;
        };
        let number = number_at(bytes, 0, bytes.len().min(8));
        let number = match member.kind {
            kconform_abi::MemberKind::Bits { count, .. } => {
                let arch = Arch::from_name(std::env::consts::ARCH).unwrap_or(Arch::X86_64);
                number >> member.shift(arch) & ((1 << count) - 1)
            }
            _ => number,
        };
        if number == 0 || !taken.insert(member.bits()) {
            continue;
        }
        let kind = number_at(attr, 0, 4);
        let word = match (member.name, kind) {
            ("type", _) => named("PERF_TYPE_", number).map(str::to_owned),
            ("config", 0) => named("PERF_COUNT_HW_", number).map(str::to_owned),
            ("config", 1) => named("PERF_COUNT_SW_", number).map(str::to_owned),
            _ => None,
        };
        members.push((
            member.name.to_owned(),
            Value::word(word.unwrap_or_else(|| insns::number(number as i64))),
        ));
    }
    Value::one("struct", Value::List(vec![Value::word("perf_event_attr"), Value::Map(members)]))
}
