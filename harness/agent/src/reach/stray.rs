//! Whether a case may write to a file, or make a directory, of which its plan does not tell the place: by a relative path from
//! a directory that it has gone to or opened, through a link or a mount of its own, or by a program that it starts.
//!
//! Cases find themselves in their scratch directory, and relative paths lead to what is in it. Out of it, and into /proc/sys or
//! /sys, leads only what a plan names: a directory there or above, a kind of file system, `..`, another process's root. A case
//! that names none of these, or opens nothing to write, cannot stray.

use kconform_plan::{Buffer, Call, Function, Piece, Step, Value, calls};

/// Calls that go elsewhere, or bring what is elsewhere here.
const ROAMING: &[libc::c_long] = &[
    libc::SYS_chdir,
    libc::SYS_chroot,
    libc::SYS_fchdir,
    libc::SYS_fsmount,
    libc::SYS_linkat,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_symlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
];

/// Calls that may write anywhere, and where is not seen in their arguments.
const ANYWHERE: &[libc::c_long] =
    &[libc::SYS_execve, libc::SYS_execveat, libc::SYS_io_uring_enter, libc::SYS_open_by_handle_at];

/// Calls that open or make what is named: the positions of the directory (`None`: the working directory), of the path, and of
/// the flags by which it is known whether something is written (`None`: it always may be).
struct Opens(libc::c_long, Option<usize>, usize, Option<usize>);

const OPENING: &[Opens] = &[
    Opens(libc::SYS_mkdirat, Some(0), 1, None),
    Opens(libc::SYS_openat, Some(0), 1, Some(2)),
    Opens(libc::SYS_openat2, Some(0), 1, None),
    Opens(libc::SYS_truncate, None, 0, None),
    #[cfg(target_arch = "x86_64")]
    Opens(libc::SYS_creat, None, 0, None),
    #[cfg(target_arch = "x86_64")]
    Opens(libc::SYS_mkdir, None, 0, None),
    #[cfg(target_arch = "x86_64")]
    Opens(libc::SYS_open, None, 0, Some(1)),
];

/// Kinds of file systems that lead to directories which the whole kernel shares, wherever they are mounted.
const KINDS: &[&str] = &["cgroup", "cgroup2", "configfs", "debugfs", "sysfs", "tracefs"];
/// Where these are mounted.
const PLACES: &[&str] = &["/sys/fs/cgroup", "/sys/kernel/config", "/sys/kernel/debug", "/sys/kernel/tracing"];

/// What a case may reach by another way than its name from the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strays {
    /// Files below /proc/sys.
    pub(crate) sysctls: bool,
    /// Directories below /sys that can be made there.
    pub(crate) directories: bool,
}

/// What these steps may write to, or make, by another way than its name from the root.
pub(crate) fn strays(steps: &[Step]) -> Strays {
    let mut found = Found::default();
    calls(steps).for_each(|call| found.call(call));
    let Found { leads, unknown, relative, roams, anywhere } = found;
    let strays = unknown || roams && relative;
    Strays {
        sysctls: anywhere || strays && leads.sysctls,
        directories: anywhere || strays && leads.directories,
    }
}

/// All text that the steps are given, as far as `most` go.
pub(crate) fn texts_of(steps: &[Step], most: usize, found: &mut Vec<String>) {
    let texts = calls(steps).flat_map(|call| call.buffers.iter().flat_map(texts));
    found.extend(texts.take(most.saturating_sub(found.len())));
}

#[derive(Default)]
struct Found {
    /// Something is called that may write anywhere.
    anywhere: bool,
    /// What can be reached by what is named.
    leads: Strays,
    /// Something is opened to write, or made, whose place is not known.
    unknown: bool,
    /// The same, by a path that leads elsewhere only where [`ROAMING`] calls are made.
    relative: bool,
    roams: bool,
}

impl Found {
    fn call(&mut self, call: &Call) {
        let Function::Syscall(number) = call.function else { return };
        let is_in = |list: &[libc::c_long]| list.iter().any(|&listed| listed as u64 == number);
        self.anywhere |= is_in(ANYWHERE);
        if number == libc::SYS_mount as u64 && is_of_propagation(call) {
            return;
        }
        self.roams |= is_in(ROAMING);
        for text in call.buffers.iter().flat_map(texts) {
            self.leads.sysctls |= text == "proc" || leads(&text, &["/proc/sys"]);
            self.leads.directories |= KINDS.contains(&text.as_str()) || leads(&text, PLACES);
        }
        if let Some(opens) = OPENING.iter().find(|opens| opens.0 as u64 == number) {
            self.opens(call, opens);
        }
    }

    fn opens(&mut self, call: &Call, Opens(_, directory, path, flags): &Opens) {
        const WRITES: u64 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) as u64;
        let argument = |nth: usize| call.args.get(nth).copied().unwrap_or(Value::Number(0));
        if let Some(flags) = flags
            && let Value::Number(flags) = argument(*flags)
            && flags & WRITES == 0
        {
            return;
        }
        let here = Value::Number(libc::AT_FDCWD as u32 as u64);
        let is_here = directory.is_none_or(|directory| match argument(directory) {
            Value::Number(fd) => Value::Number(fd & u64::from(u32::MAX)) == here,
            _ => false,
        });
        let Value::Address(buffer) = argument(*path) else {
            // Not a path at all, or one that the case has made up.
            self.unknown |= !matches!(argument(*path), Value::Number(0) | Value::Unmapped);
            return;
        };
        match call.buffers.get(buffer as usize).and_then(path_of) {
            None => self.unknown = true,
            Some(path) if path.starts_with('/') => match is_plain(&path) {
                // By its name it is looked at.
                true if ["/proc/", "/sys/"].iter().any(|top| path.starts_with(top)) => {}
                true => self.relative = true,
                false => self.unknown = true,
            },
            Some(path) if is_here && is_plain(&path) => self.relative = true,
            Some(_) => self.unknown = true,
        }
    }
}

/// A path that leads where it says: without `..`, and not through a process's root, directories and fds in /proc.
fn is_plain(path: &str) -> bool {
    let odd = |part: &str| ["", ".", ".."].contains(&part);
    let rest = path.strip_prefix('/').unwrap_or(path);
    let magic = |part: &str| ["root", "cwd", "fd", "map_files", "task"].contains(&part);
    !(rest.split('/').any(odd) || path.starts_with("/proc/") && rest.split('/').any(magic))
}

/// Whether what is named so leads to one of these places: is above it, in it, or somewhere else than it says.
fn leads(text: &str, places: &[&str]) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_odd = text.split('/').any(|part| ["..", "cwd", "root"].contains(&part)) || text.contains("//");
    let odd = is_odd || text.contains("/./");
    odd || text.starts_with('/')
        && places.iter().any(|place| is_within(text, place) || is_within(place, text))
}

/// Whether a mount(2) only says how mounts are told to other namespaces (mount_namespaces(7)).
fn is_of_propagation(call: &Call) -> bool {
    const PROPAGATION: u64 = libc::MS_PRIVATE | libc::MS_SHARED | libc::MS_SLAVE | libc::MS_UNBINDABLE;
    matches!(call.args.get(3), Some(Value::Number(flags)) if flags & PROPAGATION != 0)
}

/// The path that a buffer holds, if that is known: a number that is written into it says nothing of where it leads.
fn path_of(buffer: &Buffer) -> Option<String> {
    if !buffer.overlays.is_empty() {
        return None;
    }
    let mut path = Vec::new();
    for piece in &buffer.pieces {
        match piece {
            Piece::Bytes(bytes) => path.extend_from_slice(bytes),
            Piece::Decimal(_) => path.push(b'0'),
            Piece::Zero(_) => path.push(0),
            Piece::Value { .. } | Piece::Saved(_) => return None,
        }
    }
    let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    path.truncate(end);
    String::from_utf8(path).ok()
}

/// All text of a buffer, that lies together or by itself.
fn texts(buffer: &Buffer) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |bytes: &[u8]| {
        let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
        all.extend(words.filter_map(|word| String::from_utf8(word.to_vec()).ok()));
    };
    let mut together = Vec::new();
    for piece in &buffer.pieces {
        match piece {
            Piece::Bytes(bytes) => together.extend_from_slice(bytes),
            Piece::Decimal(_) => together.push(b'0'),
            _ => together.push(0),
        }
    }
    add(&together);
    for overlay in &buffer.overlays {
        if let Piece::Bytes(bytes) = &overlay.piece {
            add(bytes);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use kconform_plan::{Expect, Last, Op, Ret};

    use super::*;

    /// A call whose arguments are these numbers, or these texts.
    fn call(number: libc::c_long, args: &[&str]) -> Step {
        let expect = Expect { ret: Ret::Success, outputs: Vec::new(), signal: None, big_endian: false };
        let mut buffers = Vec::new();
        let mut argument = |arg: &&str| match (arg.parse::<i64>(), arg.strip_prefix('$')) {
            (Ok(number), _) => Value::Number(number as u64),
            (_, Some(slot)) => Value::Slot(slot.parse().expect("a slot"), 0),
            _ => {
                let pieces = vec![Piece::Bytes([arg.as_bytes(), b"\0"].concat())];
                buffers.push(Buffer { pieces, ..Buffer::default() });
                Value::Address(buffers.len() as u32 - 1)
            }
        };
        let args = args.iter().map(&mut argument).collect();
        let function = Function::Syscall(number as u64);
        let (outputs, saves, last, eventually_ms) = (Vec::new(), Vec::new(), Last::default(), None);
        let call =
            Call { function, args, buffers, outputs, saves, expect, last, eventually_ms, gives_fd: false };
        Step { index: 0, op: Op::Call(Box::new(call)) }
    }

    #[test]
    fn cases_that_may_write_where_they_do_not_say_stray() {
        let open =
            |directory: &str, path: &str, flags: &str| call(libc::SYS_openat, &[directory, path, flags]);
        let chdir = |path: &str| call(libc::SYS_chdir, &[path]);
        let mount = |source: &str, target: &str, kind: &str| call(libc::SYS_mount, &[source, target, kind]);
        let symlink = |to: &str| call(libc::SYS_symlinkat, &[to, "-100", "link"]);
        let stray = [
            vec![chdir("/proc/sys/kernel"), open("-100", "panic_on_warn", "1")],
            vec![chdir("/"), open("-100", "proc/sys/kernel/panic_on_warn", "2")],
            vec![open("-100", "/proc/sys", "0"), open("$0", "kernel/panic_on_warn", "1")],
            vec![open("-100", "/", "0"), call(libc::SYS_fchdir, &["$0"]), open("-100", "proc/sys/x", "1")],
            vec![open("-100", "../../../../proc/sys/kernel/panic_on_warn", "1")],
            vec![open("-100", "/proc/self/root/proc/sys/kernel/panic_on_warn", "1")],
            vec![open("-100", "/proc//sys/kernel/panic_on_warn", "1")],
            vec![mount("none", "here", "proc"), open("-100", "here/sys/kernel/panic_on_warn", "1")],
            vec![mount("/proc/sys", "/mnt", "none"), open("-100", "/mnt/kernel/panic_on_warn", "1")],
            vec![symlink("/proc/sys"), open("-100", "link/kernel/panic_on_warn", "1")],
            vec![call(libc::SYS_execve, &["/bin/sh", "0", "0"])],
            vec![Step { index: 0, op: Op::Fork(vec![chdir("/proc"), open("-100", "x", "1")]) }],
        ];
        for (nth, steps) in stray.iter().enumerate() {
            assert!(strays(steps).sysctls, "{nth}");
        }
        let make = |directory: &str, path: &str| call(libc::SYS_mkdirat, &[directory, path, "0"]);
        let making = [
            vec![open("-100", "/sys/fs/cgroup", "0"), make("$0", "x")],
            vec![mount("none", "cg", "cgroup2"), make("-100", "cg/x")],
            vec![chdir("/sys/kernel/tracing/instances"), make("-100", "x")],
        ];
        for (nth, steps) in making.iter().enumerate() {
            assert_eq!(strays(steps), Strays { sysctls: false, directories: true }, "{nth}");
        }
        let known = [
            vec![],
            vec![open("-100", "file", "1"), open("-100", "/dev/null", "2")],
            // That is looked at by its name.
            vec![open("-100", "/proc/sys/kernel/panic_on_warn", "1")],
            vec![call(libc::SYS_mkdirat, &["-100", "/sys/fs/cgroup/x", "0"])],
            // Nothing is written.
            vec![chdir("/proc/sys/kernel"), open("-100", "panic_on_warn", "0")],
            vec![open("-100", "/proc/self/fd/3", "0")],
            vec![open("-100", "/proc/self/fd/3", "1")],
            // It leads nowhere.
            vec![call(libc::SYS_mount, &["none", "/", "0", "278528", "0"]), make("-100", "fs")],
            vec![mount("bpf", "fs", "bpf"), make("-100", "fs/directory")],
            vec![mount("none", "here", "tmpfs"), open("-100", "here/file", "1")],
            vec![chdir("directory"), open("-100", "file", "1")],
            vec![open("-100", "directory", "0"), open("$0", "file", "1")],
        ];
        for (nth, steps) in known.iter().enumerate() {
            assert_eq!(strays(steps), Strays::default(), "{nth}");
        }
    }
}
