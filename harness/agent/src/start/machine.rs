//! Keeps the machine that an agent runs on from its cases: what they leave in namespaces and files goes with the agent.

use std::collections::BTreeMap;

use crate::sys;

/// Namespaces that a native agent lives in, beside those of mounts and processes.
const NAMESPACES: [(libc::c_int, &str); 4] = [
    (libc::CLONE_NEWIPC, "IPC"),
    (libc::CLONE_NEWUTS, "UTS"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
    (libc::CLONE_NEWNET, "network"),
];

/// Where everybody may leave files: cases see an empty one of their own.
const PRIVATE: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// File systems that hold no files of a disk, but speak to the kernel.
const KERNELS: [&str; 16] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "proc",
    "pstore",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Options of a mount that stay when it is made read-only.
const OPTIONS: [(&str, libc::c_ulong); 7] = [
    ("nosuid", libc::MS_NOSUID),
    ("nodev", libc::MS_NODEV),
    ("noexec", libc::MS_NOEXEC),
    ("noatime", libc::MS_NOATIME),
    ("nodiratime", libc::MS_NODIRATIME),
    ("relatime", libc::MS_RELATIME),
    ("nosymfollow", 256),
];

/// Moves the agent, whose mounts are its own already, to namespaces of its own. What cannot be had is remarked.
pub(crate) fn enter_namespaces(remarks: &mut Vec<String>) {
    for (kind, name) in NAMESPACES {
        match sys::unshare(kind) {
            Ok(()) if kind == libc::CLONE_NEWNET => sys::loopback_up(),
            Ok(()) => {}
            Err(errno) => remarks.push(shared(name, errno)),
        }
    }
}

/// What is told where there can be no namespace of a kind.
pub(crate) fn shared(name: &str, errno: i32) -> String {
    format!("cases share this machine's {name} namespace: unshare: errno {errno}")
}

/// Makes all files of the machine read-only, but for an empty /tmp and the like and the directory `scratch`. What cannot be
/// done is remarked. Whether it is done.
pub(crate) fn seal_files(scratch: &str, remarks: &mut Vec<String>) -> bool {
    let Ok(scratch) = std::path::absolute(scratch) else { return false };
    let scratch = scratch.to_string_lossy().into_owned();
    if sys::make_dir(&sys::c_string(&scratch), 0o777).is_err() {
        return false;
    }
    let Ok(kept) = sys::open(&sys::c_string(&scratch), libc::O_PATH | libc::O_DIRECTORY) else {
        return false;
    };
    let sealed = seal(&scratch, kept);
    if let Err(failed) = &sealed {
        remarks.push(not_sealed(failed));
    }
    sys::close(kept);
    sealed.is_ok()
}

type Sealed = Result<(), (String, i32)>;

fn not_sealed((what, errno): &(String, i32)) -> String {
    format!("cases can write to this machine's files: {what}: errno {errno}")
}

fn failed(what: impl Into<String>) -> impl FnOnce(i32) -> (String, i32) {
    let what = what.into();
    move |errno| (what, errno)
}

fn seal(scratch: &str, kept: i32) -> Sealed {
    let mounts = sys::read_file("/proc/self/mountinfo").map_err(failed("/proc/self/mountinfo"))?;
    let mounts = mounted(&String::from_utf8_lossy(&mounts));
    let mut own = vec![scratch];
    for place in PRIVATE {
        // A symbolic link leads to another of them, or to a disk that is made read-only.
        let is_directory =
            sys::stat(&sys::c_string(place)).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR);
        if is_directory {
            sys::mount("kconform", place, "tmpfs", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777")
                .map_err(failed(format!("mount {place}")))?;
            own.push(place);
        }
    }
    // It may be hidden by one of those now.
    let ancestors = scratch.match_indices('/').map(|(at, _)| &scratch[..at]).chain([scratch]);
    for ancestor in ancestors.filter(|ancestor| !ancestor.is_empty()) {
        let path = sys::c_string(ancestor);
        if sys::stat(&path).is_err() {
            sys::make_dir(&path, 0o755).map_err(failed(format!("mkdir {ancestor}")))?;
        }
    }
    sys::mount(&format!("/proc/self/fd/{kept}"), scratch, "", libc::MS_BIND, "")
        .map_err(failed(format!("mount {scratch}")))?;
    // gVisor mounts the link of /proc itself there. Without it the directory is one of the new tmpfs, or as it was.
    let path = sys::c_string(scratch);
    if sys::stat(&path).is_ok_and(|s| s.st_mode & libc::S_IFMT != libc::S_IFDIR) {
        sys::unmount(&path).map_err(failed(format!("mount {scratch}")))?;
    }
    for (place, Mounted { kind, flags, read_only }) in &mounts {
        let is_kernels = KERNELS.contains(&kind.as_str());
        if is_kernels || *read_only || own.contains(&place.as_str()) {
            continue;
        }
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | flags;
        match sys::mount("", place, "", flags, "") {
            // What others hide, or nobody may look at, cannot be reached by a case either.
            Ok(()) | Err(libc::ENOENT | libc::EACCES | libc::ENOTDIR | libc::EINVAL) => {}
            Err(errno) => return Err(failed(format!("remount {place}"))(errno)),
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    kind: String,
    flags: libc::c_ulong,
    read_only: bool,
}

/// What is mounted where, of several things the uppermost, by the lines of /proc/PID/mountinfo (proc(5)).
fn mounted(lines: &str) -> BTreeMap<String, Mounted> {
    let mut all = BTreeMap::new();
    for line in lines.lines() {
        let Some((mount, system)) = line.split_once(" - ") else { continue };
        let (mut fields, kind) = (mount.split(' ').skip(4), system.split(' ').next());
        let (Some(place), Some(options), Some(kind)) = (fields.next(), fields.next(), kind) else { continue };
        let has = |name: &str| options.split(',').any(|option| option == name);
        let flags = OPTIONS.iter().filter(|(name, _)| has(name)).fold(0, |all, (_, flag)| all | flag);
        all.insert(unescaped(place), Mounted { kind: kind.into(), flags, read_only: has("ro") });
    }
    all
}

/// Text in which blanks and backslashes are written `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_stays_writable_is_named() {
        let told = not_sealed(&failed("remount /srv")(libc::EBUSY));
        assert_eq!(told, "cases can write to this machine's files: remount /srv: errno 16");
    }

    #[test]
    fn the_uppermost_mounts_are_read_with_their_options() {
        let lines = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     2 1 0:2 / /a\\040b ro,nosuid,nodev - tmpfs none rw\n\
                     3 1 8:2 / /proc rw - ext4 /dev/vdb rw\n\
                     4 1 0:3 / /proc rw,noexec - proc proc rw\n\
                     odd\n";
        let read = mounted(lines);
        let mount = |kind: &str, flags, read_only| Mounted { kind: kind.into(), flags, read_only };
        assert_eq!(read.len(), 3);
        assert_eq!(read["/"], mount("ext4", libc::MS_RELATIME, false));
        assert_eq!(read["/a b"], mount("tmpfs", libc::MS_NOSUID | libc::MS_NODEV, true));
        assert_eq!(read["/proc"], mount("proc", libc::MS_NOEXEC, false));
        assert_eq!(unescaped("a\\134b\\"), "a\\b\\");
    }
}
