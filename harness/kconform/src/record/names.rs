//! Which fd of which process is what: calls are tied to those that made their fds, and what cannot be expressed is set apart.

use std::collections::{BTreeMap, HashMap, HashSet};

use kconform_abi::bpf::FieldKind;

use super::call::{Bpf, Call, Event, Kind, Object, Shape};
use super::decode::number_at;
use super::insns;

/// An fd that a call made.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    /// What it is.
    pub(crate) object: Object,
    /// The kernel's number for the object.
    pub(crate) id: Option<u32>,
    /// The name of its variable.
    pub(crate) name: String,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Item<'e> {
    /// A step.
    Step(Step<'e>),
    /// It cannot be expressed: the call, and why not.
    Left(String, String),
    /// A part of the next step that is left out, and why.
    Partly(String, String),
}

/// A call with what its fds are.
#[derive(Debug)]
pub(crate) struct Step<'e> {
    /// The call.
    pub(crate) call: &'e Call,
    /// Handles by the fds that the call names.
    pub(crate) fds: BTreeMap<i32, usize>,
    /// The handle that it made.
    pub(crate) made: Option<usize>,
}

/// The fds of a process.
type Fds = HashMap<i32, usize>;

/// All calls in order, and the handles that they name.
#[derive(Debug, Default)]
pub(crate) struct Resolved<'e> {
    /// The calls.
    pub(crate) items: Vec<Item<'e>>,
    /// The handles.
    pub(crate) handles: Vec<Handle>,
    /// Calls that nothing depends on, and that were taken out.
    pub(crate) unneeded: usize,
    processes: HashMap<i32, i32>,
    fds: HashMap<i32, Fds>,
    taken: HashSet<String>,
    /// What is pinned, by the path within its file system.
    pinned: HashMap<String, usize>,
}

/// Follows the fds of all processes.
pub(crate) fn resolve(events: &[Event]) -> Resolved<'_> {
    let mut all = Resolved::default();
    for event in events {
        match event {
            Event::Call(call) => all.call(call),
            Event::Fork { parent, child, thread } => {
                let process = all.process(*parent);
                if *thread {
                    all.processes.insert(*child, process);
                } else {
                    let fds = all.fds.get(&process).cloned().unwrap_or_default();
                    all.fds.insert(*child, fds);
                }
            }
            Event::Exec { process, open, .. } => {
                let fds = all.fds.entry(*process).or_default();
                // What bpf(2) returns is closed by execve(2).
                fds.retain(|fd, _| open.as_ref().is_some_and(|open| open.contains(fd)));
            }
            Event::End(tid) => {
                all.processes.remove(tid);
            }
        }
    }
    all.take_out_unneeded();
    all
}

impl<'e> Resolved<'e> {
    fn process(&self, tid: i32) -> i32 {
        self.processes.get(&tid).copied().unwrap_or(tid)
    }

    fn call(&mut self, call: &'e Call) {
        let process = self.process(call.tid);
        let known = |fd: i32, all: &Resolved<'_>| all.fds.get(&process).and_then(|fds| fds.get(&fd)).copied();
        match &call.kind {
            Kind::Close(first, last) if call.ret == 0 => {
                if first == last
                    && let Some(handle) = known(*first, self)
                {
                    self.items.push(Item::Step(Step { call, fds: [(*first, handle)].into(), made: None }));
                }
                self.fds.entry(process).or_default().retain(|fd, _| !(*first..=*last).contains(fd));
            }
            Kind::Dup(fd) => {
                if let Ok(to) = i32::try_from(call.ret)
                    && to >= 0
                {
                    let handle = known(*fd, self);
                    let fds = self.fds.entry(process).or_default();
                    fds.remove(&to);
                    fds.extend(handle.map(|handle| (to, handle)));
                }
            }
            Kind::Close(..) | Kind::Unlink(_) if call.ret < 0 => {}
            Kind::Unlink(_) | Kind::Close(..) => {
                self.items.push(Item::Step(Step { call, fds: BTreeMap::new(), made: None }));
            }
            Kind::Mmap([.., fd, _]) | Kind::Ioctl([fd, ..]) => {
                let fd = *fd as i32;
                let Some(handle) = known(fd, self) else { return };
                let mut fds = BTreeMap::from([(fd, handle)]);
                if let Kind::Ioctl([_, _, argument]) = &call.kind {
                    fds.extend(known(*argument as i32, self).map(|handle| (*argument as i32, handle)));
                }
                self.items.push(Item::Step(Step { call, fds, made: None }));
            }
            Kind::Perf { attr, args } => self.perf(call, process, attr, args),
            Kind::Bpf(bpf) => self.bpf(call, process, bpf),
        }
    }

    fn left(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.items.push(Item::Left(what.into(), why.into()));
    }

    fn perf(&mut self, call: &'e Call, process: i32, attr: &[u8], args: &[i64; 4]) {
        let of = number_at(attr, 0, 4);
        let why = match of {
            _ if attr.len() < 64 => Some("its attr cannot be read"),
            2 => Some("a tracepoint's number is of this kernel"),
            6.. => Some("the PMU's number is of this machine"),
            _ if args[0] > 0 => Some("it is about a process of the time"),
            _ => None,
        };
        if let Some(why) = why {
            return self.left("perf_event_open", why);
        }
        let made = self.make(call, process, Object::Perf, None, "");
        self.items.push(Item::Step(Step { call, fds: BTreeMap::new(), made }));
    }

    fn bpf(&mut self, call: &'e Call, process: i32, bpf: &Bpf) {
        if let Some(why) = inexpressible(bpf) {
            return self.left(bpf.name(), why);
        }
        let by_id = ["map_id", "prog_id", "btf_id", "link_id"].into_iter().find_map(|name| bpf.field(name));
        if bpf.command.is_some_and(|command| command.name.ends_with("_GET_FD_BY_ID")) && call.ret >= 0 {
            let id = by_id.map(|value| value.number as u32);
            let made = bpf.made;
            let same = |handle: &Handle| {
                handle.id.is_some()
                    && handle.id == id
                    && made.is_some_and(|made| made.object == handle.object)
            };
            let Some(found) = self.handles.iter().position(same) else {
                return self.left(bpf.name(), "the object was there before, or comes from elsewhere");
            };
            self.fds.entry(process).or_default().insert(call.ret as i32, found);
            let name = self.handles[found].name.clone();
            return self.left(bpf.name(), format!("ids differ on each machine; ${name} is used for its fd"));
        }
        if by_id.is_some() && bpf.command.is_some_and(|command| command.name.ends_with("_GET_FD_BY_ID")) {
            return self.left(bpf.name(), "ids differ on each machine");
        }
        let mut fds = BTreeMap::new();
        for (fd, needed) in fds_of(bpf) {
            let handle = self.fds.get(&process).and_then(|fds| fds.get(&fd)).copied();
            match handle {
                Some(handle) => {
                    fds.insert(fd, handle);
                }
                None if !needed => {}
                None => {
                    let open = bpf.open.iter().find(|(open, _)| *open == fd);
                    if let Some((_, path)) = open {
                        let why = format!("fd {fd} ({path}) does not come from a call that is recorded");
                        return self.left(bpf.name(), why);
                    }
                    if call.ret >= 0 {
                        return self
                            .left(bpf.name(), format!("fd {fd} does not come from a call that is recorded"));
                    }
                }
            }
        }
        let pinned = path_of(bpf).and_then(|path| self.pinned.get(path)).copied();
        if bpf.is(&["BPF_OBJ_GET"]) && call.ret >= 0 {
            let known = bpf
                .made
                .and_then(|made| made.id)
                .is_some_and(|id| self.handles.iter().any(|handle| handle.id == Some(id)));
            if !known && pinned.is_none() {
                return self.left(
                    bpf.name(),
                    "what is pinned there was made before; record the program that makes it too",
                );
            }
        }
        let made = bpf.made.filter(|_| call.ret >= 0).and_then(|made| {
            let same = self
                .handles
                .iter()
                .find(|handle| made.id.is_some() && handle.id == made.id && handle.object == made.object)
                .or(pinned.filter(|_| made.id.is_none()).map(|pinned| &self.handles[pinned]));
            let object = same.map_or(made.object, |handle| handle.object);
            let name = same.map(|handle| handle.name.clone()).unwrap_or_else(|| name_of(bpf));
            self.make(call, process, object, made.id, &name)
        });
        if let (true, 0, Some(path)) = (bpf.is(&["BPF_OBJ_PIN"]), call.ret, path_of(bpf)) {
            self.pinned.extend(fds.values().next().map(|&handle| (path.to_owned(), handle)));
        }
        if !bpf.dropped.is_empty() {
            let what = format!("{} of {}", bpf.dropped.join(", "), bpf.name());
            self.items.push(Item::Partly(what, NOT_FOLLOWED.to_owned()));
        }
        self.items.push(Item::Step(Step { call, fds, made }));
    }

    fn make(
        &mut self,
        call: &Call,
        process: i32,
        object: Object,
        id: Option<u32>,
        name: &str,
    ) -> Option<usize> {
        let fd = i32::try_from(call.ret).ok().filter(|fd| *fd >= 0)?;
        let name = if name.is_empty() { object.word() } else { name };
        let mut own = name.to_owned();
        let mut count = 1;
        while !self.taken.insert(own.clone()) {
            count += 1;
            own = format!("{name}_{count}");
        }
        let handle = self.handles.len();
        self.handles.push(Handle { object, id, name: own });
        self.fds.entry(process).or_default().insert(fd, handle);
        Some(handle)
    }

    /// Takes out what only looks whether the kernel can do something: objects that were closed and never used.
    fn take_out_unneeded(&mut self) {
        let count = self.items.len();
        let is_made = |step: &Step<'_>| step.made.is_some();
        let is_close = |step: &Step<'_>| matches!(step.call.kind, Kind::Close(..));
        // From the end: what a later call that stays needs, stays.
        let mut used: HashSet<usize> = HashSet::new();
        let mut closed: HashSet<usize> = HashSet::new();
        let mut keep = vec![true; count];
        for (at, item) in self.items.iter().enumerate().rev() {
            let Item::Step(step) = item else { continue };
            if is_close(step) {
                closed.extend(step.fds.values());
                keep[at] = step.fds.values().any(|&handle| self.handles[handle].object == Object::Link);
                continue;
            }
            let probe = is_made(step)
                && step.made.is_some_and(|made| closed.contains(&made) && !used.contains(&made));
            let libbpf = matches!(&step.call.kind, Kind::Bpf(bpf) if step.call.ret < 0 && name_of(bpf).starts_with("libbpf_"));
            keep[at] =
                !(probe && !matches!(self.handles[step.made.unwrap_or(0)].object, Object::Link) || libbpf);
            if keep[at] {
                used.extend(step.fds.values());
            }
        }
        let stays = |(item, keep): (&Item<'_>, &bool)| *keep && matches!(item, Item::Step(_));
        if !self.items.iter().zip(&keep).any(stays) {
            return;
        }
        let is_call = |item: &Item<'_>| matches!(item, Item::Step(step) if !is_close(step));
        self.unneeded = self.items.iter().zip(&keep).filter(|(item, keep)| is_call(item) && !**keep).count();
        let mut keep = keep.into_iter();
        self.items.retain(|_| keep.next().unwrap_or(true));
    }

    /// Whether a step that is there names the handle.
    pub(crate) fn used(&self) -> HashSet<usize> {
        let steps =
            self.items.iter().filter_map(|item| if let Item::Step(step) = item { Some(step) } else { None });
        steps.flat_map(|step| step.fds.values().copied()).collect()
    }
}

/// Why something that strace does not follow is left out.
const NOT_FOLLOWED: &str = "the log does not have it";

/// Why a call cannot be a step, if it cannot.
fn inexpressible(bpf: &Bpf) -> Option<String> {
    let Some(command) = bpf.command else {
        return Some("the command is not known, or has BPF_COMMON_ATTRS".to_owned());
    };
    if bpf.fields.is_none() {
        return Some("its attr cannot be read".to_owned());
    }
    if !bpf.untold.is_empty() {
        return Some(format!("the log does not say all of {}", bpf.untold.join(" and ")));
    }
    if command.name.ends_with("_GET_NEXT_ID") {
        return Some("ids differ on each machine".to_owned());
    }
    if let Some(own) = bpf.field("insns").and_then(|insns| insns::kernels_own(&insns.memory.as_ref()?.before))
    {
        return Some(format!("{own} in its instructions has an id of this kernel's types"));
    }
    let machine = [
        ("attach_btf_id", "the number of a type of this kernel"),
        ("kprobe_multi.addrs", "addresses of this kernel"),
        ("target_ifindex", "the number of a network device"),
        ("uprobe_multi.path", "a program of this machine"),
    ];
    let set = machine.iter().find(|(name, _)| bpf.number_of(name) != 0);
    set.map(|(name, what)| format!("{name} is {what}"))
}

/// The path within a bpf file system that a call names.
fn path_of(bpf: &Bpf) -> Option<&str> {
    bpf.field("pathname")?.memory.as_ref()?.pinned.as_deref()
}

/// The fds that a call names; whether it needs each.
fn fds_of(bpf: &Bpf) -> Vec<(i32, bool)> {
    let mut all = Vec::new();
    for value in bpf.all() {
        if value.field.kind == FieldKind::Fd
            && (value.number != 0 || matches!(value.field.name, "map_fd" | "prog_fd" | "bpf_fd" | "link_fd"))
        {
            let needed = !bpf.is(&["BPF_OBJ_GET"]);
            all.push((value.number as u32 as i32, needed));
        }
        let Some(memory) = &value.memory else { continue };
        match value.field.name {
            "insns" => all.extend(insns::fds(&memory.before).into_iter().map(|fd| (fd, true))),
            "fd_array" => {
                all.extend(memory.before.chunks_exact(4).map(|fd| (number_at(fd, 0, 4) as i32, false)))
            }
            "value" if bpf.is(&["BPF_MAP_UPDATE_ELEM"]) && bpf.shape.is_some_and(Shape::of_fds) => {
                all.push((number_at(&memory.before, 0, 4) as i32, true));
            }
            _ => {}
        }
    }
    all
}

/// The name that a program gave an object, as a variable.
fn name_of(bpf: &Bpf) -> String {
    let name = ["map_name", "prog_name"].into_iter().find_map(|name| bpf.field(name)?.memory.as_ref());
    let bytes = name.map(|memory| memory.before.as_slice()).unwrap_or_default();
    let text: String = bytes.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect();
    let word: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let word = word.trim_matches('_');
    if word.starts_with(|c: char| c.is_ascii_digit()) || word == "ret" {
        String::new()
    } else {
        word.to_owned()
    }
}
