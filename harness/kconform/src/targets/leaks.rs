//! What cases leave behind, in words, and whether it is somebody else's.

mod keys;

use std::collections::BTreeSet;

use kconform_plan::{Left, ObjectKind, Place, Trace};

use crate::case::Case;
use crate::judge::{Failure, FailureKind, Verdict};

/// Whether what cases leave behind is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaks {
    /// It is not.
    #[default]
    Ignored,
    /// It is, where the agent may: that needs CAP_SYS_ADMIN.
    Looked,
    /// It is; where the agent may not, nothing is known of any case.
    Demanded,
}

/// The verdict on a case that left these things behind.
pub(super) fn outlived(case: &Case, traces: &[Trace]) -> Verdict {
    let got = list(traces);
    Verdict::Failed(Box::new(Failure {
        kind: FailureKind::Leaked,
        place: case.place.clone(),
        step: None,
        iteration: Vec::new(),
        text: format!("what the case made outlives its processes: {got}"),
        expected: "nothing to be left".into(),
        got,
        ret: None,
        also: traces.iter().filter_map(|trace| Some((case.place.clone(), remedy(trace)?))).collect(),
    }))
}

/// What was left, in one line.
pub(super) fn list(traces: &[Trace]) -> String {
    traces.iter().map(|trace| describe(&trace.left)).collect::<Vec<_>>().join(", ")
}

/// What a trace is, in a few words: `program 12 "count" (BPF_PROG_TYPE_XDP, pinned at /sys/fs/bpf/x)`.
fn describe(left: &Left) -> String {
    match left {
        Left::Object { kind, id, number, name, places } => {
            let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
            let more: Vec<_> = type_name(*kind, *number).into_iter().chain(places.iter().map(held)).collect();
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("{} {id}{name}{more}", kind_word(*kind))
        }
        Left::Sysctl { path, before, after } => format!("{path}, which was {before:?} and is {after:?}"),
        Left::Directory(path) => format!("the directory {path}"),
        Left::Attachment { program, name, place, attached } => {
            let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
            match attached {
                true => format!("program {program}{name}, {}", held(place)),
                false => format!("program {program}{name}, which is no longer {}", held(place)),
            }
        }
        Left::Key { id, kind, description, change } => keys::describe(*id, kind, description, change),
    }
}

fn kind_word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Map => "map",
        ObjectKind::Program => "program",
        ObjectKind::Link => "link",
        ObjectKind::Btf => "BTF",
    }
}

fn type_name(kind: ObjectKind, number: u32) -> Option<String> {
    // The first of each, UNSPEC, is in no table.
    let nth = (number as usize).checked_sub(1);
    let (name, prefix) = match kind {
        ObjectKind::Map => {
            (nth.and_then(|n| kconform_abi::bpf::map_types().get(n)).map(|t| t.name), "map type")
        }
        ObjectKind::Program => {
            (nth.and_then(|n| kconform_abi::bpf::program_types().get(n)).map(|t| t.name), "program type")
        }
        ObjectKind::Link => {
            (nth.and_then(|n| kconform_abi::bpf::link_types().get(n)).map(|t| t.name), "link type")
        }
        ObjectKind::Btf => return None,
    };
    Some(name.map_or_else(|| format!("{prefix} {number}"), str::to_owned))
}

fn held(place: &Place) -> String {
    match place {
        Place::Pin(path) => format!("pinned at {path}"),
        Place::Cgroup { path, attach_type } => {
            format!("attached to the cgroup {path} by {}", attach_name(*attach_type))
        }
        Place::Device { name, attach_type } => {
            format!("attached to {name} by {}", attach_name(*attach_type))
        }
        Place::Network { attach_type } => {
            format!("attached to the network namespace by {}", attach_name(*attach_type))
        }
        Place::Link(id) => format!("attached by link {id}"),
    }
}

fn attach_name(number: u32) -> String {
    let name = kconform_abi::bpf::attach_type_name(number);
    name.map_or_else(|| format!("attach type {number}"), str::to_owned)
}

/// What undoes a trace: a command, or that it is done.
fn remedy(trace: &Trace) -> Option<String> {
    let (kind, id, number, places) = match &trace.left {
        Left::Object { kind, id, number, places, .. } => (kind, id, number, places),
        Left::Sysctl { path, .. } if trace.undone => return Some(format!("{path} was put back")),
        Left::Sysctl { path, before, .. } => {
            return Some(format!("{path}: to undo it: sysctl -w {}='{before}'", sysctl_name(path)));
        }
        Left::Directory(path) if trace.undone => return Some(format!("{path} was removed")),
        Left::Directory(path) => return Some(format!("{path}: to undo it: rmdir {path}")),
        Left::Attachment { program, place, attached, .. } => {
            let mut commands = commands(*program, std::slice::from_ref(place));
            if !attached {
                commands.iter_mut().for_each(|command| *command = command.replace(" detach ", " attach "));
            }
            return Some(undoes(format!("program {program}"), trace.undone, &commands));
        }
        Left::Key { id, change, .. } => return Some(keys::remedy(*id, change, trace.undone)),
    };
    let what = format!("{} {id}", kind_word(*kind));
    let commands = commands(*id, places);
    if trace.undone || !commands.is_empty() {
        return Some(undoes(what, trace.undone, &commands));
    }
    let struct_ops = *kind == ObjectKind::Map && type_name(*kind, *number)?.ends_with("STRUCT_OPS");
    match kind {
        ObjectKind::Map if struct_ops => {
            Some(format!("{what}: to undo it: bpftool struct_ops unregister id {id}"))
        }
        ObjectKind::Link => Some(format!("{what}: to undo it: bpftool link detach id {id}")),
        // It goes with its link.
        ObjectKind::Program if !places.is_empty() => None,
        ObjectKind::Program => Some(format!(
            "{what}: what holds it was not found; `tc filter`, `ip link` and `bpftool net` may tell"
        )),
        // It goes with the program that uses it.
        ObjectKind::Map | ObjectKind::Btf => None,
    }
}

fn undoes(what: String, undone: bool, commands: &[String]) -> String {
    let commands = commands.join("; ");
    if undone {
        return format!("{what}: that was undone ({commands})");
    }
    format!("{what}: to undo it: {commands}")
}

/// A sysctl as sysctl(8) takes it.
fn sysctl_name(path: &str) -> &str {
    path.strip_prefix("/proc/sys/").unwrap_or(path)
}

/// Commands that undo what holds an object. (bpftool takes attach types by their names in lower case.)
fn commands(id: u32, places: &[Place]) -> Vec<String> {
    let short = |attach_type: u32| {
        let name = attach_name(attach_type).to_lowercase();
        name.strip_prefix("bpf_").unwrap_or(&name).to_owned()
    };
    let command = |place: &Place| match place {
        Place::Pin(path) => Some(format!("rm {path}")),
        Place::Cgroup { path, attach_type } => {
            Some(format!("bpftool cgroup detach {path} {} id {id}", short(*attach_type)))
        }
        Place::Device { name, attach_type } => {
            Some(format!("bpftool net detach {} dev {name}", short(*attach_type)))
        }
        Place::Network { attach_type } => {
            Some(format!("bpftool prog detach id {id} {}", short(*attach_type)))
        }
        Place::Link(_) => None,
    };
    places.iter().filter_map(command).collect()
}

/// What of two runs of a case is the same, but for ids: what only one of them left may be somebody else's.
pub(super) fn again(first: &[Trace], second: Vec<Trace>) -> Vec<Trace> {
    let likeness = |trace: &Trace| match &trace.left {
        Left::Object { kind, number, name, .. } => (Some(*kind), *number, name.clone()),
        Left::Sysctl { path, .. } | Left::Directory(path) => (None, 0, path.clone()),
        Left::Attachment { name, place, attached, .. } => {
            (None, 0, format!("{name} {} {attached}", held(place)))
        }
        Left::Key { kind, description, change, .. } => {
            (None, 0, format!("{kind} {description} {}", keys::likeness(change)))
        }
    };
    let first: BTreeSet<_> = first.iter().map(likeness).collect();
    second.into_iter().filter(|trace| first.contains(&likeness(trace))).collect()
}

/// Leaves out what a process of this machine has an fd of: the agent's cases have ended, so it is somebody else's. With one
/// object what else is theirs may go, so then all but what is known to be held by something is left out.
pub(super) fn unheld(traces: Vec<Trace>) -> Vec<Trace> {
    let ids: Vec<String> = traces.iter().filter_map(|trace| info_line(&trace.left)).collect();
    if ids.is_empty() {
        return traces;
    }
    let infos = held_by_processes();
    let is_held = |trace: &Trace| info_line(&trace.left).is_some_and(|line| infos.contains(&line));
    let any = traces.iter().any(is_held);
    let stays = |trace: &Trace| match &trace.left {
        Left::Object { places, .. } => !is_held(trace) && (!any || !places.is_empty()),
        Left::Sysctl { .. } | Left::Directory(_) | Left::Attachment { .. } | Left::Key { .. } => true,
    };
    traces.into_iter().filter(stays).collect()
}

/// The line of /proc/PID/fdinfo/FD that names an object (`bpf_map_show_fdinfo()` and its like in kernel/bpf/).
fn info_line(left: &Left) -> Option<String> {
    let Left::Object { kind, id, .. } = left else { return None };
    let key = match kind {
        ObjectKind::Map => "map_id",
        ObjectKind::Program => "prog_id",
        ObjectKind::Link => "link_id",
        ObjectKind::Btf => "btf_id",
    };
    Some(format!("{key}:\t{id}"))
}

/// Those lines of all processes that may be looked at.
fn held_by_processes() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let keys = ["map_id:", "prog_id:", "link_id:", "btf_id:"];
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in
        processes.filter(|p| p.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
    {
        for fd in std::fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(fd.path()).unwrap_or_default();
            let of_bpf = text.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
            lines.extend(of_bpf.map(str::to_owned));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
