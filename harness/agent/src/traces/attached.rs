//! Programs that a case attaches to cgroups without a link, or detaches from them (`BPF_PROG_ATTACH`, `BPF_PROG_DETACH`). They
//! stay when its processes have gone, and no namespace keeps cgroups apart that are mounted: so what is attached is asked
//! before such a case and after it, and put back.

use kconform_plan::{Call, Left, Piece, Place, Step, Trace, Value, calls};

use crate::reach::{BPF_PROG_ATTACH, BPF_PROG_DETACH};
use crate::sys::{self, Closing};
use crate::traces::kinds::{KINDS, describe, program};
use crate::traces::places::ATTACH_TYPES;
use crate::traces::trees::directories;
use crate::traces::words::{is_named_program, words};

/// Of `enum bpf_cmd` (linux/bpf.h).
const OBJ_GET: u64 = 7;
const PROG_GET_FD_BY_ID: u64 = 13;
/// Where `attach_type` is in the attr of these commands.
const ATTACH_TYPE_AT: u32 = 8;
/// `BPF_F_ALLOW_OVERRIDE` and `BPF_F_ALLOW_MULTI`: how a cgroup takes programs of a type.
const KEPT_FLAGS: u32 = 3;
/// More words of a plan are not looked at.
const MOST_WORDS: usize = 256;

/// What is attached to a cgroup by an attach type.
struct Attached {
    path: String,
    attach_type: u32,
    flags: u32,
    /// The programs, which are held so that they can be attached again.
    programs: Vec<(u32, Option<Closing>)>,
}

/// What was attached before a case.
#[derive(Default)]
pub(crate) struct Attachments {
    types: Vec<u32>,
    all: Vec<Attached>,
    /// The last id of a program then.
    last: u32,
}

impl Attachments {
    /// Looks at the cgroups, if the steps attach or detach anything. `last` is the last id of a program.
    pub(crate) fn before(steps: &[Step], last: u32) -> Attachments {
        let mut types = Vec::new();
        attach_types(steps, &mut types);
        types.sort_unstable();
        types.dedup();
        let all = look(&mut types);
        Attachments { types, all, last }
    }

    /// What is attached otherwise now, put back as far as it is surely the case's. A new program of which that is not sure is
    /// left to those who look for objects.
    pub(crate) fn after(mut self, steps: &[Step], shared: bool) -> Vec<Trace> {
        if self.types.is_empty() {
            return Vec::new();
        }
        let now = look(&mut self.types);
        let mut names = Vec::new();
        words(steps, MOST_WORDS, &mut names);
        // Of a program that was there before it the case must have got an fd.
        let gets_others = calls_bpf(steps, |command| [OBJ_GET, PROG_GET_FD_BY_ID].contains(&command));
        let detaches = calls_bpf(steps, |command| command == BPF_PROG_DETACH);
        let mut traces = Vec::new();
        for after in &now {
            let before = self.all.iter().find(|before| before.is_where(after));
            let had =
                |id: u32| before.is_some_and(|before| before.programs.iter().any(|(had, _)| *had == id));
            let mut displaces = false;
            for (id, fd) in after.programs.iter().filter(|(id, _)| !had(*id)) {
                let is_new = *id > self.last;
                let is_its = !shared || if is_new { is_named_program(*id, &names) } else { gets_others };
                let left = after.trace(*id, true);
                let undone = is_its && fd.as_ref().is_some_and(|fd| after.detach(fd));
                displaces |= undone;
                if undone || !is_new {
                    traces.push(Trace { left, undone });
                }
            }
            for (id, fd) in before.into_iter().flat_map(|before| &before.programs) {
                if after.programs.iter().all(|(has, _)| has != id) {
                    let is_its = !shared || detaches || displaces;
                    let flags = before.map_or(0, |before| before.flags & KEPT_FLAGS);
                    let undone = is_its && fd.as_ref().is_some_and(|fd| after.attach(fd, flags));
                    traces.push(Trace { left: after.trace(*id, false), undone });
                }
            }
        }
        traces
    }
}

impl Attached {
    fn is_where(&self, other: &Attached) -> bool {
        (&self.path, self.attach_type) == (&other.path, other.attach_type)
    }

    fn trace(&self, id: u32, attached: bool) -> Left {
        let (_, name) = describe(program(id)).unwrap_or_default();
        let place = Place::Cgroup { path: self.path.clone(), attach_type: self.attach_type };
        Left::Attachment { program: id, name, place, attached }
    }

    fn detach(&self, program: &Closing) -> bool {
        directory(&self.path)
            .is_some_and(|cgroup| sys::detach(cgroup.0 as u32, program.0, self.attach_type).is_ok())
    }

    fn attach(&self, program: &Closing, flags: u32) -> bool {
        let attach = |cgroup: Closing| sys::attach(cgroup.0 as u32, program.0, self.attach_type, flags);
        directory(&self.path).is_some_and(|cgroup| attach(cgroup).is_ok())
    }
}

fn directory(path: &str) -> Option<Closing> {
    sys::open(&sys::c_string(path), libc::O_RDONLY | libc::O_DIRECTORY).ok().map(Closing)
}

/// What is attached by these types, in every cgroup; types that cgroups do not have are left out.
fn look(types: &mut Vec<u32>) -> Vec<Attached> {
    let mut found = Vec::new();
    if types.is_empty() {
        return found;
    }
    for path in directories("cgroup2") {
        let Some(cgroup) = directory(&path) else { continue };
        types.retain(|attach_type| sys::attached(cgroup.0 as u32, *attach_type) != Err(libc::EINVAL));
        for &attach_type in types.iter() {
            let Ok((ids, flags)) = sys::attached(cgroup.0 as u32, attach_type) else { continue };
            let open = |id| sys::open_object(KINDS[program(id).0].1, id).ok().map(Closing);
            let programs = ids.into_iter().map(|id| (id, open(id))).collect();
            found.push(Attached { path: path.clone(), attach_type, flags, programs });
        }
    }
    found
}

/// The attach types of what the steps attach or detach; all where that is not known.
fn attach_types(steps: &[Step], found: &mut Vec<u32>) {
    for call in bpf_calls(steps) {
        let attaches = [None, Some(BPF_PROG_ATTACH), Some(BPF_PROG_DETACH)].contains(&command(call));
        match attach_type(call) {
            _ if !attaches => {}
            Some(attach_type) => found.push(attach_type),
            None => found.extend(ATTACH_TYPES),
        }
    }
}

fn attach_type(call: &Call) -> Option<u32> {
    let Some(Value::Address(attr)) = call.args.get(1) else { return None };
    let attr = call.buffers.get(*attr as usize)?;
    let overlay = attr.overlays.iter().rfind(|overlay| overlay.offset == ATTACH_TYPE_AT)?;
    match &overlay.piece {
        Piece::Value { value: Value::Number(number), width: 4, shift: 0 } => u32::try_from(*number).ok(),
        Piece::Bytes(bytes) => bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)),
        _ => None,
    }
}

/// A command of bpf(2), if it is known beforehand.
fn command(call: &Call) -> Option<u64> {
    match call.args.first() {
        Some(Value::Number(command)) => Some(*command),
        Some(_) => None,
        None => Some(0),
    }
}

/// Whether a call of bpf(2) may have such a command.
fn calls_bpf(steps: &[Step], is_it: impl Fn(u64) -> bool) -> bool {
    bpf_calls(steps).any(|call| command(call).is_none_or(&is_it))
}

fn bpf_calls(steps: &[Step]) -> impl Iterator<Item = &Call> {
    calls(steps).filter(|call| call.is(libc::SYS_bpf as u64))
}
