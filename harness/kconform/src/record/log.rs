//! What `strace -f -v -xx` wrote of a program, as events.

use std::collections::{HashMap, HashSet};

use kconform_abi::bpf::{self, Command, FieldKind};
use kconform_abi::{Arch, MemberKind, structure};

use super::call::{Bpf, Call, Event, FieldValue, Kind, Made, Memory};
use super::decode::{
    Extent, extent, fields_that_count, is_output, is_pointer, made_by, number_in, number_of,
};
use super::said::{Reader, Said};

/// An address that stands for one that the log does not have.
const SOMEWHERE: u64 = 0x1000;

/// Calls that make a process or a thread.
const FORKS: &[&str] = &["clone", "clone3", "fork", "vfork"];

/// What tools debug with. A program loads without it.
const DEBUG: &[&str] = &["func_info", "line_info", "core_relos"];

/// What else belongs to that.
const DEBUG_SIZES: &[&str] = &[
    "func_info_rec_size",
    "func_info_cnt",
    "line_info_rec_size",
    "line_info_cnt",
    "core_relo_rec_size",
    "core_relo_cnt",
];

/// A log that was read.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// The program and its arguments, if the log has its execve(2).
    pub(crate) called: Vec<String>,
    /// What is to be said of it: the line, from 1, and what.
    pub(crate) notes: Vec<(usize, String)>,
}

/// Why a log says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The arguments are numbers.
    #[error(
        "line {0}: bpf(2) stands there as bare numbers (-e raw=bpf, or -X raw), which say nothing of the attr; write the log with: strace -f -v -xx -s 65536 -o LOG PROGRAM"
    )]
    Raw(usize),
    /// It is something else.
    #[error("there is no line of strace in it; write the log with: strace -f -v -xx -s 65536 -o LOG PROGRAM")]
    Foreign,
}

/// Reads a log of a program on a machine of this architecture.
///
/// # Errors
/// [`LogError`].
pub(crate) fn read_log(text: &str, arch: Arch) -> Result<Log, LogError> {
    let mut lines = Lines { arch, ..Lines::default() };
    let mut any = false;
    for (number, line) in (1..).zip(text.lines()) {
        any |= lines.line(number, line)?;
    }
    if any { Ok(lines.log) } else { Err(LogError::Foreign) }
}

#[derive(Debug)]
struct Lines {
    arch: Arch,
    log: Log,
    /// The beginnings of calls that others came between, by their process.
    begun: HashMap<i32, (usize, String)>,
    known: HashSet<i32>,
    /// The process of the line before.
    last: i32,
    /// Where bpf file systems are mounted.
    mounts: Vec<String>,
    /// Files in them.
    pinned: HashSet<String>,
}

impl Default for Lines {
    fn default() -> Lines {
        let (begun, known, pinned, log) = Default::default();
        Lines { arch: Arch::X86_64, log, begun, known, last: 0, mounts: vec!["/sys/fs/bpf".into()], pinned }
    }
}

/// A call as it stands there.
struct Written<'l> {
    line: usize,
    pid: i32,
    name: &'l str,
    arguments: Vec<Said>,
    ret: i64,
}

impl Lines {
    /// Whether the line is one of strace.
    fn line(&mut self, number: usize, line: &str) -> Result<bool, LogError> {
        if let Some(words) = line.trim().strip_prefix("strace: Process ") {
            if let Some(pid) = words.strip_suffix(" attached").and_then(|pid| pid.parse().ok()) {
                self.appears(number, pid);
            }
            return Ok(true);
        }
        let (pid, rest) = prefix(line);
        let pid = pid.unwrap_or(self.last);
        self.last = pid;
        if rest.starts_with("+++ ") {
            self.log.events.push(Event::End(pid));
            return Ok(true);
        }
        if rest.starts_with("--- ") || rest.starts_with("[ Process PID=") {
            return Ok(true);
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            self.appears(number, pid);
            self.begun.insert(pid, (number, begun.trim_end().to_owned()));
            return Ok(true);
        }
        let resumed = rest.strip_prefix("<... ").and_then(|rest| Some(rest.split_once(" resumed>")?.1));
        let whole = match resumed {
            None => rest.to_owned(),
            Some(end) => match self.begun.remove(&pid) {
                Some((_, begun)) => format!("{begun} {end}"),
                None => return Ok(true),
            },
        };
        let Some((name, arguments)) = whole.split_once('(') else { return Ok(false) };
        // An old strace does not know the call.
        let bare = name.strip_prefix("syscall_").and_then(|digits| digits.parse().ok());
        if bare.is_some() && bare == self.arch.syscall("bpf") {
            return Err(LogError::Raw(number));
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') || name.is_empty()
        {
            return Ok(false);
        }
        self.appears(number, pid);
        let mut reader = Reader::new(arguments);
        let said = reader.arguments();
        let ret = said.as_ref().and_then(|_| returned(reader.rest()));
        match (said, ret) {
            (Some(arguments), Some(ret)) => {
                self.call(&Written { line: number, pid, name, arguments, ret })?;
            }
            // It never returned.
            (Some(_), None) if reader.rest().trim() == "= ?" => {}
            _ if name == "bpf" => self.note(number, "this call of bpf(2) cannot be read, and is left out"),
            _ => {}
        }
        Ok(true)
    }

    fn note(&mut self, line: usize, text: impl Into<String>) {
        self.log.notes.push((line, text.into()));
    }

    /// A process or thread is in the log.
    fn appears(&mut self, line: usize, pid: i32) {
        if !self.known.insert(pid) || self.known.len() == 1 {
            return;
        }
        let forking = self
            .begun
            .iter()
            .find(|(_, (_, call))| FORKS.iter().any(|name| call.starts_with(&format!("{name}("))));
        let (parent, thread) = match forking {
            Some((&parent, (_, call))) => (parent, call.contains("CLONE_FILES")),
            None => {
                self.note(line, format!("nothing says which process made {pid}; it is taken for a child of the first one that has the same fds (add clone, clone3, fork and vfork to strace's -e trace)"));
                let first = self.known.iter().copied().filter(|&other| other != pid).min().unwrap_or(pid);
                (first, false)
            }
        };
        self.log.events.push(Event::Fork { parent, child: pid, thread });
    }

    fn call(&mut self, call: &Written<'_>) -> Result<(), LogError> {
        let number = |nth: usize| call.arguments.get(nth).and_then(Said::number);
        let fd = |nth: usize| number(nth).map(|fd| fd as i32);
        let kind = match call.name {
            "bpf" => self.bpf(call)?.map(Kind::Bpf),
            "perf_event_open" => self.perf(call),
            "close" => fd(0).map(|fd| Kind::Close(fd, fd)),
            "close_range" => fd(0)
                .zip(number(1))
                .filter(|_| number(2).is_some_and(|flags| flags & 4 == 0))
                .map(|(first, last)| Kind::Close(first, i32::try_from(last).unwrap_or(i32::MAX))),
            "dup" | "dup2" | "dup3" => fd(0).map(Kind::Dup),
            "fcntl" => {
                let duplicates =
                    ["F_DUPFD", "F_DUPFD_CLOEXEC"].iter().any(|name| number_of(name) == number(1));
                fd(0).filter(|_| duplicates).map(Kind::Dup)
            }
            "mmap" if fd(4).is_some_and(|fd| fd >= 0) => {
                (|| Some(Kind::Mmap([number(1)?, number(2)?, number(3)?, number(4)?, number(5)?])))()
            }
            "ioctl" => (|| Some(Kind::Ioctl([number(0)?, number(1)?, number(2).unwrap_or(0)])))(),
            "unlink" | "unlinkat" => {
                let path = call.arguments.iter().find_map(text);
                path.filter(|path| self.pinned.contains(*path)).map(|path| Kind::Unlink(self.within(path)))
            }
            "mount" if call.ret == 0 => {
                if let [_, to, kind, ..] = call.arguments.as_slice()
                    && text(kind) == Some("bpf")
                {
                    self.mounts.extend(text(to).map(|path| path.trim_end_matches('/').to_owned()));
                }
                None
            }
            "execve" if call.ret == 0 => {
                self.execs(call);
                None
            }
            name if FORKS.contains(&name) => {
                self.forks(call);
                None
            }
            _ => None,
        };
        if let Some(kind) = kind {
            self.log.events.push(Event::Call(Box::new(Call { tid: call.pid, kind, ret: call.ret })));
        }
        Ok(())
    }

    fn execs(&mut self, call: &Written<'_>) {
        if let (true, Some(Said::List { items, .. })) = (self.log.called.is_empty(), call.arguments.get(1)) {
            self.log.called = items.iter().filter_map(text).map(str::to_owned).collect();
        }
        self.log.events.push(Event::Exec { process: call.pid, former: call.pid, open: None });
    }

    fn forks(&mut self, call: &Written<'_>) {
        let Ok(child) = i32::try_from(call.ret) else { return };
        if child <= 0 || !self.known.insert(child) {
            return;
        }
        let flags = call.arguments.iter().find_map(|argument| match argument {
            Said::Struct { members, .. } => members.iter().find(|(name, _)| name == "flags")?.1.number(),
            _ => None,
        });
        // Of clone(2) the flags come second, by name or not.
        let flags = flags.or_else(|| call.arguments.get(1)?.number()).unwrap_or(0);
        let thread = number_of("CLONE_FILES").is_some_and(|files| flags & files != 0)
            && call.name.starts_with("clone");
        self.log.events.push(Event::Fork { parent: call.pid, child, thread });
    }

    fn perf(&mut self, call: &Written<'_>) -> Option<Kind> {
        let Some(Said::Struct { members, cut }) = call.arguments.first() else {
            return Some(Kind::Perf { attr: Vec::new(), args: [0; 4] });
        };
        if *cut {
            self.note(
                call.line,
                "the log does not say all of perf_event_attr (strace -v does); the rest is taken for 0",
            );
        }
        let layout = structure(self.arch, "perf_event_attr")?;
        let mut attr = vec![0; layout.size as usize];
        for (name, said) in members {
            let (Some(member), Some(number)) = (layout.member(name), said.number()) else { continue };
            let number = match member.kind {
                MemberKind::Bits { .. } => number << member.shift(self.arch),
                _ => number,
            };
            let range = member.offset as usize..(member.offset + member.size) as usize;
            or_into(attr.get_mut(range)?, number);
        }
        let at =
            |nth: usize| call.arguments.get(nth).and_then(Said::number).map(|number| number as i32 as i64);
        Some(Kind::Perf { attr, args: [at(1)?, at(2)?, at(3)?, at(4).unwrap_or(0)] })
    }

    fn bpf(&mut self, call: &Written<'_>) -> Result<Option<Bpf>, LogError> {
        let number = call.arguments.first().and_then(Said::number).unwrap_or(u64::from(u32::MAX));
        let command = u32::try_from(number).ok().and_then(bpf::command_by_number);
        let size = call.arguments.get(2).and_then(Said::number).unwrap_or(0);
        let mut found = Bpf {
            number,
            command,
            fields: None,
            beyond: Vec::new(),
            size,
            made: None,
            shape: None,
            open: Vec::new(),
            untold: Vec::new(),
            dropped: Vec::new(),
        };
        let members = match call.arguments.get(1) {
            Some(Said::Struct { members, cut }) => {
                if *cut {
                    found.dropped.push("the rest of the attr");
                }
                members
            }
            // The kernel could read it, and strace did not.
            Some(Said::Number(address)) if *address != 0 && call.ret != FAULT => {
                return Err(LogError::Raw(call.line));
            }
            _ => return Ok(Some(found)),
        };
        let Some(command) = command else { return Ok(Some(found)) };
        let mut told = HashMap::new();
        flatten("", members, command, &mut told);
        if let Some((_, Said::Text { bytes, .. })) =
            members.iter().find(|(name, _)| name.is_empty() || name == "extra_data")
            && bytes.iter().any(|&byte| byte != 0)
        {
            found.beyond.clone_from(bytes);
        }
        let mut attr = vec![0; command.size as usize];
        for field in command.fields {
            let number = match told.get(field.name) {
                Some(Said::Number(number)) => *number,
                Some(Said::Other(words)) => {
                    found.untold.push(format!("{} ({words})", field.name));
                    0
                }
                Some(_) if is_pointer(field) => SOMEWHERE,
                _ => 0,
            };
            let range = field.offset as usize..(field.offset + field.size.min(8)) as usize;
            if field.kind != FieldKind::Chars
                && number != 0
                && let Some(place) = attr.get_mut(range)
            {
                or_into(place, number);
            }
        }
        let (mut fields, mut unsized_outputs) = (Vec::new(), Vec::new());
        for field in fields_that_count(command, &attr) {
            let number = number_in(&attr, field);
            let mut value = FieldValue { field, number, after: number, memory: None };
            if DEBUG_SIZES.contains(&field.name) && number != 0 {
                continue;
            }
            if DEBUG.contains(&field.name) && number != 0 {
                found.dropped.push(field.name);
                continue;
            }
            // The types that they are about go with them.
            if field.name == "prog_btf_fd"
                && number != 0
                && DEBUG.iter().any(|name| points(told.get(name).copied()))
            {
                found.dropped.push(field.name);
                continue;
            }
            if field.kind == FieldKind::Chars || is_pointer(field) && number != 0 {
                let cpus = 1;
                let room = extent(command, field, &attr, None, cpus);
                match self.memory(command, field, told.get(field.name).copied(), room) {
                    Some(memory) => value.memory = Some(memory),
                    None if field.kind == FieldKind::Chars => {}
                    None if is_output(command, field) => unsized_outputs.push(field.name.to_owned()),
                    None => found.untold.push(field.name.to_owned()),
                }
            }
            fields.push(value);
        }
        if found.untold.is_empty() {
            found.untold = unsized_outputs;
        }
        if command.name == "BPF_OBJ_PIN"
            && call.ret == 0
            && let Some(path) = told.get("pathname").copied().and_then(text)
        {
            self.pinned.insert(path.to_owned());
        }
        found.fields = Some(fields);
        found.made =
            (command.gives_fd() && call.ret >= 0).then(|| Made { object: made_by(command), id: None });
        Ok(Some(found))
    }

    /// The path within a bpf file system, as far as the log tells.
    fn within(&self, path: &str) -> String {
        let inside = |mount: &String| path.strip_prefix(mount.as_str())?.strip_prefix('/');
        self.mounts.iter().find_map(inside).unwrap_or(path.trim_start_matches(['/', '.'])).to_owned()
    }

    /// What a field points to, as far as the log says it or the call does not depend on it.
    fn memory(
        &self,
        command: &Command,
        field: &'static bpf::Field,
        said: Option<&Said>,
        room: Extent,
    ) -> Option<Memory> {
        let of = |before: Vec<u8>| Memory { before, ..Memory::default() };
        if is_output(command, field) {
            let size = match room {
                Extent::Bytes(size) | Extent::Log(size) => size,
                _ => return None,
            };
            let after = match said {
                Some(Said::Text { bytes, cut: false }) => bytes.clone(),
                Some(Said::Struct { members, .. }) => info(members),
                _ => Vec::new(),
            };
            return Some(Memory { before: vec![0; size.min(MOST)], after, ..Memory::default() });
        }
        match said? {
            Said::Text { bytes, cut: false } => Some(match field.kind {
                FieldKind::Chars => {
                    let mut all = bytes.clone();
                    all.resize(field.size as usize, 0);
                    of(all)
                }
                _ => {
                    let path = String::from_utf8_lossy(bytes);
                    let pinned = (field.name == "pathname").then(|| self.within(&path));
                    Memory { pinned, ..of(bytes.clone()) }
                }
            }),
            Said::List { items, cut: false } if field.name == "insns" => {
                Some(of(items.iter().map(insn).collect::<Option<Vec<_>>>()?.concat()))
            }
            Said::List { items, cut: false } => match room {
                Extent::Texts(_) => {
                    let texts: Option<Vec<String>> =
                        items.iter().map(|item| Some(text(item)?.to_owned())).collect();
                    Some(Memory { texts: texts?, ..of(vec![0; 8 * items.len()]) })
                }
                Extent::Bytes(size) if !items.is_empty() && size.is_multiple_of(items.len()) => {
                    let width = size / items.len();
                    let mut all = vec![0; size];
                    for (place, item) in all.chunks_mut(width).zip(items) {
                        or_into(place, item.number()?);
                    }
                    (width <= 8).then(|| of(all))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// Whether it is an address.
fn points(said: Option<&Said>) -> bool {
    said.and_then(Said::number).is_some_and(|number| number != 0)
}

/// -EFAULT
const FAULT: i64 = -14;

/// Bytes of room for what the kernel writes.
const MOST: usize = 1 << 20;

/// The process that a line begins with, and what follows it and a time.
fn prefix(line: &str) -> (Option<i32>, &str) {
    let (mut pid, mut rest) = (None, line.trim());
    if let Some((number, behind)) = rest.strip_prefix("[pid").and_then(|rest| rest.split_once(']')) {
        pid = number.trim().parse().ok();
        rest = behind.trim_start();
    }
    while let Some((word, behind)) = rest.split_once(char::is_whitespace) {
        let is_time =
            word.contains([':', '.']) && word.chars().all(|c| c.is_ascii_digit() || ":.+".contains(c));
        match word.parse() {
            Ok(number) if pid.is_none() => pid = Some(number),
            _ if is_time => {}
            _ => break,
        }
        rest = behind.trim_start();
    }
    (pid, rest)
}

/// What a call returned, as it stands behind its arguments: a negative errno for an error.
fn returned(rest: &str) -> Option<i64> {
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    if word == "-1" {
        let name = behind.trim_start().split([' ', '(']).next()?;
        return kconform_abi::errno::number(name).map(|number| -i64::from(number));
    }
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| number as i64),
        None => word.parse().ok(),
    }
}

/// Text without its NUL.
fn text(said: &Said) -> Option<&str> {
    let Said::Text { bytes, cut: false } = said else { return None };
    std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()
}

/// Members by the names that fields have: `test={retval=7}` is `retval`, `link_create={kprobe_multi={cnt=1}}` is
/// `kprobe_multi.cnt`.
fn flatten<'s>(
    path: &str,
    members: &'s [(String, Said)],
    command: &Command,
    told: &mut HashMap<&'static str, &'s Said>,
) {
    for (name, said) in members {
        let whole = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let starts = std::iter::once(0).chain(whole.match_indices('.').map(|(at, _)| at + 1));
        let field = starts.into_iter().find_map(|at| command.field(&whole[at..]));
        // `info={bpf_fd=3, info_len=80, info={…}}`: the part of the attr is called as one of its fields.
        let is_part =
            |members: &[(String, Said)]| members.iter().any(|(name, _)| command.field(name).is_some());
        match (field, said) {
            (_, Said::Struct { members, .. }) if field.is_none() || is_part(members) => {
                flatten(&whole, members, command, told);
            }
            (Some(field), said) => {
                told.insert(field.name, said);
            }
            (None, _) => {}
        }
    }
}

/// What strace tells of a `struct bpf_map_info` or `struct bpf_prog_info`.
fn info(members: &[(String, Said)]) -> Vec<u8> {
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    let of = match () {
        () if has("max_entries") => "bpf_map_info",
        () if has("xlated_prog_len") => "bpf_prog_info",
        () => return Vec::new(),
    };
    let Some(layout) = structure(Arch::X86_64, of) else { return Vec::new() };
    let mut bytes = vec![0; layout.size as usize];
    for (name, said) in members {
        let Some(member) = layout.member(name) else { continue };
        let Some(place) = bytes.get_mut(member.offset as usize..(member.offset + member.size) as usize)
        else {
            continue;
        };
        match said {
            Said::Number(number) => or_into(place, *number),
            Said::Text { bytes, .. } => place.iter_mut().zip(bytes).for_each(|(there, byte)| *there = *byte),
            _ => {}
        }
    }
    bytes
}

/// Writes a number into memory, in this machine's byte order, beside what is there.
fn or_into(place: &mut [u8], number: u64) {
    let all = number.to_ne_bytes();
    let size = place.len().min(8);
    let bytes = if cfg!(target_endian = "big") { &all[8 - size..] } else { &all[..size] };
    for (there, byte) in place.iter_mut().zip(bytes) {
        *there |= byte;
    }
}

/// `{code=BPF_ALU64|BPF_K|BPF_MOV, dst_reg=BPF_REG_0, src_reg=BPF_REG_0, off=0, imm=0}`: struct bpf_insn.
fn insn(said: &Said) -> Option<Vec<u8>> {
    let Said::Struct { members, cut: false } = said else { return None };
    let of = |wanted: &str| members.iter().find(|(name, _)| name == wanted)?.1.number();
    let (dst, src) = (of("dst_reg")? as u8 & 15, of("src_reg")? as u8 & 15);
    let registers = if cfg!(target_endian = "big") { dst << 4 | src } else { src << 4 | dst };
    let mut bytes = vec![of("code")? as u8, registers];
    bytes.extend((of("off")? as i16).to_ne_bytes());
    bytes.extend((of("imm")? as i32).to_ne_bytes());
    Some(bytes)
}
