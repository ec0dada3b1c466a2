//! Errnos: those of errno(3), which are the same on every architecture here, and those that the kernel keeps to itself.

use crate::generated::errnos::{ALIASES, ERRNOS};

/// What never may reach user space (include/linux/errno.h), with the words of its comments.
const INTERNAL: &[(i32, &str, &str)] = &[
    (512, "ERESTARTSYS", "To be restarted by the signal code"),
    (513, "ERESTARTNOINTR", "To be restarted"),
    (514, "ERESTARTNOHAND", "To be restarted if no handler"),
    (515, "ENOIOCTLCMD", "No ioctl command"),
    (516, "ERESTART_RESTARTBLOCK", "To be restarted by restart_syscall"),
    (517, "EPROBE_DEFER", "Driver requests probe retry"),
    (518, "EOPENSTALE", "Open found a stale dentry"),
    (519, "ENOPARAM", "Parameter not supported"),
    (521, "EBADHANDLE", "Illegal NFS file handle"),
    (522, "ENOTSYNC", "Update synchronization mismatch"),
    (523, "EBADCOOKIE", "Cookie is stale"),
    (524, "ENOTSUPP", "Operation is not supported (in the kernel)"),
    (525, "ETOOSMALL", "Buffer or request is too small"),
    (526, "ESERVERFAULT", "An untranslatable error occurred"),
    (527, "EBADTYPE", "Type not supported by server"),
    (528, "EJUKEBOX", "Request initiated, but will not complete before timeout"),
    (529, "EIOCBQUEUED", "Iocb queued, will get completion event"),
    (530, "ERECALLCONFLICT", "Conflict with recalled state"),
    (531, "ENOGRACE", "NFS file lock reclaim refused"),
];

/// The number of an errno, internal ones and second names too: `EWOULDBLOCK`, `EDEADLOCK`, `ENOTSUP`, `EFSBADCRC`,
/// `EFSCORRUPTED`.
pub fn number(name: &str) -> Option<i32> {
    known(name).map(|(_, number)| number)
}

/// The name and the number of an errno that is named, by its first name or a second one.
pub fn known(name: &str) -> Option<(&'static str, i32)> {
    let first = rows().find(|row| row.1 == name).map(|row| (row.1, row.0));
    first.or_else(|| ALIASES.iter().copied().find(|row| row.0 == name))
}

/// The name of a (positive) errno: of several the one that strace prints.
pub fn name(number: i32) -> Option<&'static str> {
    row(number).map(|row| row.1)
}

/// A (positive) errno as it is written in a case: by its name, or by its number if it has none.
pub fn written(number: i32) -> String {
    name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// What strerror(3) says of it, or the kernel's own words for an internal one.
pub fn text(number: i32) -> Option<&'static str> {
    row(number).map(|row| row.2)
}

/// Whether user space must never see it: from ERESTARTSYS (512) up, as far as a syscall can return an error at all
/// (`MAX_ERRNO`, 4095).
pub fn is_internal(number: i32) -> bool {
    (512..=4095).contains(&number)
}

/// All names, second and internal ones too.
pub fn names() -> impl Iterator<Item = &'static str> {
    rows().map(|row| row.1).chain(ALIASES.iter().map(|row| row.0))
}

fn rows() -> impl Iterator<Item = &'static (i32, &'static str, &'static str)> {
    ERRNOS.iter().chain(INTERNAL)
}

fn row(number: i32) -> Option<&'static (i32, &'static str, &'static str)> {
    let table = if number < 512 { ERRNOS } else { INTERNAL };
    table.binary_search_by_key(&number, |row| row.0).ok().map(|index| &table[index])
}
