//! Directories, files by name, and mounts.

use std::ffi::CStr;

use libc::{c_int, c_void};

use super::{Result, c_string, check, check_size, close, open_at, read};

/// mkdir(2); a directory that is there already is as good.
pub(crate) fn make_dir(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    match check(unsafe { libc::mkdir(path.as_ptr(), mode) }) {
        Ok(_) | Err(libc::EEXIST) => Ok(()),
        Err(e) => Err(e),
    }
}

/// chmod(2).
pub(crate) fn change_mode(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// chdir(2).
pub(crate) fn change_dir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// fchdir(2).
pub(crate) fn change_dir_fd(fd: c_int) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fchdir(fd) }).map(drop)
}

/// unlinkat(2).
pub(crate) fn unlink_at(at: c_int, name: &CStr, flags: c_int) -> Result<()> {
    // SAFETY: `name` ends in NUL.
    check(unsafe { libc::unlinkat(at, name.as_ptr(), flags) }).map(drop)
}

/// getdents64(2).
pub(crate) fn directory_entries(fd: c_int, into: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes to a valid place.
    check_size(unsafe { libc::syscall(libc::SYS_getdents64, fd, into.as_mut_ptr(), into.len()) } as isize)
}

/// stat(2) not following a symbolic link.
pub(crate) fn stat(path: &CStr) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` ends in NUL, `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::lstat(path.as_ptr(), answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
}

/// fstat(2).
pub(crate) fn stat_fd(fd: c_int) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::fstat(fd, answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
}

/// stat(2).
pub(crate) fn stat_following(path: &CStr) -> Result<libc::stat> {
    let mut answer = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` ends in NUL, `answer` is a valid place, and all-zero is a valid stat.
    check(unsafe { libc::stat(path.as_ptr(), answer.as_mut_ptr()) })?;
    // SAFETY: initialised (with zeros at least) above.
    Ok(unsafe { answer.assume_init() })
}

/// mount(2).
pub(crate) fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> Result<()> {
    let (source, target, kind, data) = (c_string(source), c_string(target), c_string(kind), c_string(data));
    // SAFETY: all strings end in NUL and outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast::<c_void>())
    })
    .map(drop)
}

/// umount2(2), lazily, not following a symbolic link.
pub(crate) fn unmount(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) }).map(drop)
}

/// open_tree(2) of a directory: a copy of the mounts from there on, attached nowhere.
pub(crate) fn clone_tree(directory: c_int) -> Result<c_int> {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | (libc::AT_RECURSIVE | libc::AT_EMPTY_PATH) as u32;
    // SAFETY: the path ends in NUL.
    check_size(unsafe { libc::syscall(libc::SYS_open_tree, directory, c"".as_ptr(), flags) } as isize)
        .map(|fd| fd as c_int)
}

/// move_mount(2): puts such a copy over a directory.
pub(crate) fn attach_tree(tree: c_int, over: &CStr) -> Result<()> {
    /// `MOVE_MOUNT_F_EMPTY_PATH` of linux/mount.h.
    const EMPTY_PATH: c_int = 4;
    // SAFETY: both paths end in NUL.
    check_size(unsafe {
        libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), libc::AT_FDCWD, over.as_ptr(), EMPTY_PATH)
    } as isize)
    .map(drop)
}

/// fchdir(2) and chroot(2).
pub(crate) fn change_root(directory: c_int) -> Result<()> {
    change_dir_fd(directory)?;
    // SAFETY: the path ends in NUL.
    check(unsafe { libc::chroot(c".".as_ptr()) }).map(drop)
}

/// Whether two fds, opened with `O_PATH` or not, are of one directory of one mount. `infos` is /proc/self/fdinfo.
pub(crate) fn is_same_directory(one: c_int, other: c_int, infos: c_int) -> bool {
    let place = |fd| Some((mount_of(fd, infos)?, stat_fd(fd).ok()?));
    match (place(one), place(other)) {
        (Some((mount, a)), Some((other_mount, b))) => {
            mount == other_mount && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
        }
        _ => false,
    }
}

/// The id of an fd's mount, as proc(5) tells it.
fn mount_of(fd: c_int, infos: c_int) -> Option<u64> {
    let info = open_at(infos, &c_string(&fd.to_string()), libc::O_RDONLY).ok()?;
    let mut text = [0; 512];
    let read = read(info, &mut text);
    close(info);
    let text = std::str::from_utf8(&text[..read.ok()?]).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}
