//! Watches a program's system calls and notes those that are recorded, with the memory that they were given.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kconform_abi::bpf::{self, Command, FieldKind};
use kconform_abi::{Arch, syscall_name};
use kconform_trace::{Entry, Tracee, Watcher, read};

use super::call::{Bpf, Call, Event, FieldValue, Kind, Made, Memory, Object, Shape};
use super::decode::{
    Extent, extent, fields_that_count, is_pointer, made_by, number_at, number_in, number_of,
};

/// Bytes of the longest path, with its NUL (linux/limits.h).
const PATH_MAX: usize = 4096;

/// bpf(2) takes no attr above a page.
const MOST_ATTR: usize = 4096;

/// Bytes of a buffer that are kept.
const MOST_MEMORY: usize = 1 << 20;

/// Bytes of a log that are kept.
const MOST_LOG: usize = 64 << 10;

/// Texts of a list that are kept.
const MOST_TEXTS: usize = 512;

/// Notes what a program does.
pub(crate) struct Notes {
    arch: Arch,
    cpus: usize,
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// 32-bit calls, which are not recorded.
    pub(crate) compat: usize,
    /// Calls that have not returned yet, by thread.
    open: HashMap<i32, Kind>,
    /// Where the attrs of calls of bpf(2) are.
    attrs: HashMap<i32, u64>,
    names: HashMap<u64, Option<&'static str>>,
}

/// `AUDIT_ARCH_…` of linux/audit.h: the machine of its ELF files, 64 bits, little-endian.
fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
        Arch::Riscv64 => 0xc000_00f3,
        Arch::S390x => 0x8000_0016,
    }
}

impl Notes {
    pub(crate) fn new(arch: Arch) -> Notes {
        let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        let last = possible.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<usize>().ok());
        Notes {
            arch,
            cpus: last.map_or(1, |last| last + 1),
            events: Vec::new(),
            compat: 0,
            open: HashMap::new(),
            attrs: HashMap::new(),
            names: HashMap::new(),
        }
    }

    /// The call as it begins; `None` for one that is not recorded.
    fn begins(&mut self, tid: i32, Entry { number, args }: Entry) -> Option<Kind> {
        let arch = self.arch;
        let name = *self.names.entry(number).or_insert_with(|| syscall_name(arch, number));
        let fd = |at: usize| args[at] as i32;
        Some(match name? {
            "bpf" => Kind::Bpf(self.bpf(tid, args)),
            "perf_event_open" => {
                let size = number_at(&read(tid, args[0].wrapping_add(4), 4), 0, 4) as usize;
                let attr = read(tid, args[0], if size == 0 { 64 } else { size.min(MOST_ATTR) });
                Kind::Perf { attr, args: [fd(1).into(), fd(2).into(), fd(3).into(), args[4] as i64] }
            }
            "close" => Kind::Close(fd(0), fd(0)),
            // With CLOSE_RANGE_CLOEXEC (4) nothing is closed yet.
            "close_range" if args[2] & 4 == 0 => {
                Kind::Close(fd(0), fd(1).max(i32::MAX * i32::from(fd(1) < 0)))
            }
            "dup" | "dup2" | "dup3" => Kind::Dup(fd(0)),
            "fcntl" => {
                let duplicates =
                    ["F_DUPFD", "F_DUPFD_CLOEXEC"].iter().any(|name| number_of(name) == Some(args[1]));
                duplicates.then(|| Kind::Dup(fd(0)))?
            }
            "mmap" if arch != Arch::S390x && fd(4) >= 0 => {
                Kind::Mmap([args[1], args[2], args[3], args[4], args[5]])
            }
            "ioctl" => Kind::Ioctl([args[0], args[1], args[2]]),
            "unlink" => Kind::Unlink(self.pinned(tid, &text(tid, args[0])?)?),
            "unlinkat" => Kind::Unlink(self.pinned(tid, &text(tid, args[1])?)?),
            _ => return None,
        })
    }

    fn bpf(&self, tid: i32, args: [u64; 6]) -> Bpf {
        let [number, address, size, ..] = args;
        let number = u64::from(number as u32);
        let size = u64::from(size as u32);
        let command = u32::try_from(number).ok().and_then(bpf::command_by_number);
        let attr = read(tid, address, (size as usize).min(MOST_ATTR));
        let mut call = Bpf {
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
        if attr.len() < (size as usize).min(MOST_ATTR) {
            return call;
        }
        let Some(command) = command else { return Bpf { beyond: attr, ..call } };
        let beyond = attr.get(command.size as usize..).unwrap_or_default();
        if beyond.iter().any(|&byte| byte != 0) {
            call.beyond = beyond.to_vec();
        }
        let fields = fields_that_count(command, &attr);
        call.open = fields
            .iter()
            .filter(|field| field.kind == FieldKind::Fd)
            .map(|field| number_in(&attr, field) as u32 as i32)
            .filter_map(|fd| Some((fd, link(tid, fd)?)))
            .collect();
        if let Some(map) = fields.iter().find(|field| field.name == "map_fd") {
            call.shape = found(tid, number_in(&attr, map) as u32 as i32).1;
        }
        let value = |field| self.field(tid, command, field, &attr, call.shape);
        call.fields = Some(fields.into_iter().map(value).collect());
        self.fd_array(tid, &mut call);
        call
    }

    fn field(
        &self,
        tid: i32,
        command: &Command,
        field: &'static bpf::Field,
        attr: &[u8],
        shape: Option<Shape>,
    ) -> FieldValue {
        let number = number_in(attr, field);
        let mut value = FieldValue { field, number, after: number, memory: None };
        if field.kind == FieldKind::Chars {
            let at = field.offset as usize;
            let before =
                (at..at + field.size as usize).map(|at| attr.get(at).copied().unwrap_or(0)).collect();
            value.memory = Some(Memory { before, ..Memory::default() });
        }
        if !is_pointer(field) || number == 0 {
            return value;
        }
        let whole = |length: usize| Some(read(tid, number, length)).filter(|bytes| bytes.len() == length);
        value.memory = match extent(command, field, attr, shape, self.cpus) {
            Extent::Bytes(length) => {
                whole(length.min(MOST_MEMORY)).map(|before| Memory { before, ..Memory::default() })
            }
            Extent::Text => text(tid, number).map(|text| Memory {
                pinned: (field.name == "pathname").then(|| self.pinned(tid, &text)).flatten(),
                before: text.into_bytes(),
                ..Memory::default()
            }),
            Extent::Log(length) => {
                Some(Memory { before: vec![0; length.min(MOST_LOG)], ..Memory::default() })
            }
            Extent::Texts(count) => whole(8 * count.min(MOST_TEXTS)).and_then(|before| {
                let texts: Option<Vec<String>> =
                    before.chunks_exact(8).map(|word| text(tid, number_at(word, 0, 8))).collect();
                Some(Memory { texts: texts?, before, ..Memory::default() })
            }),
            Extent::Unknown => None,
        };
        value
    }

    /// `fd_array` without a count is as long as the instructions ask for: BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, and
    /// the offset of a kfunc of a module.
    fn fd_array(&self, tid: i32, call: &mut Bpf) {
        let insns = call.field("insns").and_then(|insns| insns.memory.clone()).unwrap_or_default().before;
        let asked = super::insns::fd_array_length(&insns);
        if let Some(array) = call.fields.iter_mut().flatten().find(|value| value.field.name == "fd_array")
            && array.number != 0
            && array.memory.as_ref().is_none_or(|memory| memory.before.is_empty())
        {
            let before = read(tid, array.number, 4 * asked);
            array.memory = Some(Memory { before, ..Memory::default() });
        }
    }

    /// The path within a bpf file system that a path of the thread leads to.
    fn pinned(&self, tid: i32, path: &str) -> Option<String> {
        let cwd = std::fs::read_link(format!("/proc/{tid}/cwd")).unwrap_or_default();
        let path = cwd.join(path);
        let folder = path.parent()?.canonicalize().ok()?;
        let path = folder.join(path.file_name()?);
        let mounts = std::fs::read_to_string(format!("/proc/{tid}/mountinfo")).unwrap_or_default();
        let over = mounts.lines().filter_map(mount).filter(|(point, _)| path.starts_with(point));
        // The last of the longest is on top.
        let (point, kind) = over.max_by_key(|(point, _)| point.as_os_str().len())?;
        let within = path.strip_prefix(&point).ok()?.to_str()?;
        (kind == "bpf").then(|| within.to_owned())
    }

    fn after(&self, tid: i32, kind: &mut Kind, ret: i64) {
        let Kind::Bpf(call) = kind else { return };
        if let Some(command) = call.command.filter(|command| command.gives_fd())
            && let Ok(fd) = i32::try_from(ret)
            && fd >= 0
        {
            let (found, shape) = found(tid, fd);
            call.made = Some(found.unwrap_or(Made { object: made_by(command), id: None }));
            call.shape = call.shape.or(shape);
        }
    }

    /// The attr and the memory as they are after the call.
    fn written(&self, tid: i32, kind: &mut Kind, attr_at: u64) {
        let Kind::Bpf(call) = kind else { return };
        let Some(command) = call.command else { return };
        let attr = read(tid, attr_at, call.size.min(command.size.into()) as usize);
        for value in call.fields.iter_mut().flatten() {
            value.after = number_in(&attr, value.field);
            let Some(memory) = value.memory.as_mut().filter(|_| is_pointer(value.field)) else { continue };
            if ["log_buf", "btf_log_buf"].contains(&value.field.name) {
                memory.after = log(tid, value.number, memory.before.len());
            } else if super::decode::is_output(command, value.field) {
                memory.after = read(tid, value.number, memory.before.len());
            }
        }
    }
}

impl Watcher for Notes {
    fn enters(&mut self, Tracee { tid, audit_arch: of }: Tracee, entry: Entry) {
        if of != audit_arch(self.arch) {
            self.compat += 1;
            return;
        }
        if let Some(kind) = self.begins(tid, entry) {
            self.open.insert(tid, kind);
            if let Some(Kind::Bpf(_)) = self.open.get(&tid) {
                self.attrs.insert(tid, entry.args[1]);
            }
        }
    }

    fn returns(&mut self, Tracee { tid, .. }: Tracee, ret: i64) {
        let Some(mut kind) = self.open.remove(&tid) else { return };
        // From ERESTARTSYS on: it begins again by itself.
        if (-4095..=-512).contains(&ret)
            && kconform_abi::errno::name(-ret as i32).is_some_and(|name| name.starts_with("ERESTART"))
        {
            return;
        }
        if let Some(attr) = self.attrs.remove(&tid) {
            self.written(tid, &mut kind, attr);
        }
        self.after(tid, &mut kind, ret);
        self.events.push(Event::Call(Box::new(Call { tid, kind, ret })));
    }

    fn forks(&mut self, parent: i32, child: i32) {
        let thread = group(child).is_some_and(|group| Some(group) == self::group(parent));
        self.events.push(Event::Fork { parent, child, thread });
    }

    fn execs(&mut self, process: i32, former: i32) {
        self.open.remove(&former);
        let fds = std::fs::read_dir(format!("/proc/{process}/fd")).ok();
        let number =
            |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let open = fds.map(|fds| fds.filter_map(number).collect());
        self.events.push(Event::Exec { process, former, open });
    }

    fn ends(&mut self, tid: i32) {
        self.open.remove(&tid);
        self.attrs.remove(&tid);
        self.events.push(Event::End(tid));
    }
}

/// The process of a thread.
fn group(tid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn link(tid: i32, fd: i32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{tid}/fd/{fd}")).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// What an fd is, as /proc/PID/fdinfo says it (kernel/bpf/syscall.c: bpf_map_show_fdinfo() and its like).
fn found(tid: i32, fd: i32) -> (Option<Made>, Option<Shape>) {
    let text = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).unwrap_or_default();
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse::<u32>().ok()
    };
    let shape = || {
        Some(Shape {
            map_type: word("map_type")?,
            key_size: word("key_size")?,
            value_size: word("value_size")?,
        })
    };
    // A link tells of its program too, a program of its BTF.
    let kinds = [
        ("link_id", Object::Link),
        ("map_id", Object::Map),
        ("prog_id", Object::Prog),
        ("btf_id", Object::Btf),
    ];
    let made = kinds.into_iter().find_map(|(name, object)| Some(Made { object, id: Some(word(name)?) }));
    (made, shape())
}

/// Mount point and type of a line of /proc/PID/mountinfo (proc(5)).
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?.replace("\\040", " ");
    Some((Path::new(&point).to_owned(), after.split(' ').next()?))
}

/// The text at an address, up to its NUL.
fn text(tid: i32, address: u64) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < PATH_MAX {
        let more = read(tid, address.wrapping_add(bytes.len() as u64), 256);
        if let Some(end) = more.iter().position(|&byte| byte == 0) {
            bytes.extend(&more[..end]);
            return String::from_utf8(bytes).ok();
        }
        if more.len() < 256 {
            return None;
        }
        bytes.extend(more);
    }
    None
}

/// What is written of a log, without its NUL.
fn log(tid: i32, address: u64, most: usize) -> Vec<u8> {
    let mut bytes = read(tid, address, most);
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
