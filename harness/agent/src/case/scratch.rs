//! The directory that cases find themselves in: empty, writable for everybody, theirs for the time of one case.

use std::ffi::{CStr, CString};

use kconform_plan::{Op, Step};

use crate::reach::Reach;
use crate::sys;

/// The directory; it is also the agent's own working directory, so that each case inherits it.
pub(crate) struct Scratch {
    parent: String,
    /// A new name is taken when a directory cannot be emptied.
    generation: u32,
    path: CString,
    fd: i32,
    id: (u64, u64),
}

const MODE: libc::mode_t = 0o777;
/// A case may have mounted several things on the directory, one over the other.
const MOST_MOUNTS: u32 = 16;

impl Scratch {
    /// Makes the directory below `parent`, which is made too if need be, and goes there.
    pub(crate) fn make(parent: &str) -> sys::Result<Scratch> {
        // The working directory will be another one.
        let parent =
            std::path::absolute(parent).map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))?;
        let parent = parent.to_string_lossy().into_owned();
        let mut scratch = Scratch { parent, generation: 0, path: CString::default(), fd: -1, id: (0, 0) };
        scratch.enter()?;
        Ok(scratch)
    }

    fn enter(&mut self) -> sys::Result<()> {
        sys::make_dir(&sys::c_string(&self.parent), 0o700)?;
        let path = sys::c_string(&format!("{}/case{}", self.parent, self.generation));
        if sys::stat(&path).is_ok_and(|s| s.st_mode & libc::S_IFMT != libc::S_IFDIR) {
            sys::unlink_at(libc::AT_FDCWD, &path, 0)?;
        }
        sys::make_dir(&path, MODE)?;
        sys::change_mode(&path, MODE)?;
        let fd = sys::open(&path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW)?;
        if self.fd >= 0 {
            sys::close(self.fd);
        }
        let stat = sys::stat_fd(fd)?;
        (self.path, self.fd, self.id) = (path, fd, (stat.st_dev, stat.st_ino));
        sys::change_dir(&self.path)?;
        if is_empty(fd) || empty(fd).is_ok() { Ok(()) } else { Err(libc::ENOTEMPTY) }
    }

    /// Makes the directory as it was before the case: there, empty, with nothing mounted on it.
    pub(crate) fn tidy(&mut self) -> sys::Result<()> {
        for _ in 0..MOST_MOUNTS {
            match sys::stat(&self.path) {
                Ok(s) if (s.st_dev, s.st_ino) == self.id => {
                    if s.st_mode & 0o7777 != MODE {
                        sys::change_mode(&self.path, MODE)?;
                    }
                    break;
                }
                Ok(_) if sys::unmount(&self.path).is_ok() => {}
                _ => return self.renew(),
            }
        }
        if is_empty(self.fd) {
            return Ok(());
        }
        let emptied = empty(self.fd);
        // Emptying may have gone elsewhere for an umount.
        sys::change_dir(&self.path)?;
        emptied.or_else(|_| {
            self.generation += 1;
            self.renew()
        })
    }

    fn renew(&mut self) -> sys::Result<()> {
        self.enter().or_else(|_| {
            self.generation += 1;
            self.enter()
        })
    }
}

/// Whether steps that ended well cannot have changed the directory, so that it need not be looked at: most cases make maps
/// and programs. Children are not trusted: one that crashed may have left a core file.
pub(crate) fn untouched_by(steps: &[Step], reach: Reach) -> bool {
    fn is_alone(steps: &[Step]) -> bool {
        steps.iter().all(|step| match &step.op {
            Op::Call(_) => true,
            Op::Repeat { steps, .. } | Op::Sysctl { steps, .. } => is_alone(steps),
            Op::Parallel(lists) => lists.iter().all(|steps| is_alone(steps)),
            Op::Fork(_) | Op::Exec(_) | Op::Unprivileged { .. } | Op::SendFd { .. } => false,
        })
    }
    !reach.anything && is_alone(steps)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = empty(self.fd);
        let _ = sys::change_dir(c"/");
        let _ = sys::unlink_at(libc::AT_FDCWD, &self.path, libc::AT_REMOVEDIR);
    }
}

/// The names in a directory, `.` and `..` left out.
fn names(fd: i32, mut each: impl FnMut(&CStr) -> bool) {
    let mut entries = [0; 1024];
    let _ = sys::seek(fd, 0, libc::SEEK_SET);
    loop {
        let length = sys::directory_entries(fd, &mut entries).unwrap_or(0);
        let mut rest = &entries[..length];
        if rest.is_empty() {
            return;
        }
        // struct linux_dirent64 (getdents(2)): d_ino, d_off, d_reclen at 16, d_type, d_name at 19.
        while let (Some(low), Some(high)) = (rest.get(16), rest.get(17)) {
            let size = usize::from(u16::from_ne_bytes([*low, *high]));
            let Some(entry) = rest.get(..size).filter(|e| e.len() > 19) else { return };
            rest = &rest[size..];
            let Ok(name) = CStr::from_bytes_until_nul(&entry[19..]) else { continue };
            if name != c"." && name != c".." && !each(name) {
                return;
            }
        }
    }
}

fn is_empty(fd: i32) -> bool {
    let mut empty = true;
    names(fd, |_| {
        empty = false;
        false
    });
    empty
}

/// Removes all that is in a directory. Mounts are undone, never entered: rmdir(2) and unlink(2) of a mount point fail
/// with EBUSY, whatever is in it.
fn empty(fd: i32) -> sys::Result<()> {
    let mut all = Vec::new();
    names(fd, |name| {
        all.push(name.to_owned());
        true
    });
    all.iter().try_for_each(|name| remove(fd, name, MOST_MOUNTS))
}

fn remove(at: i32, name: &CStr, tries: u32) -> sys::Result<()> {
    let gone = match sys::unlink_at(at, name, 0) {
        // POSIX says EPERM for a directory, Linux EISDIR.
        Err(libc::EISDIR | libc::EPERM) => sys::unlink_at(at, name, libc::AT_REMOVEDIR),
        other => other,
    };
    match gone {
        Ok(()) | Err(libc::ENOENT) => Ok(()),
        Err(libc::EBUSY) if tries > 0 => {
            sys::change_dir_fd(at)?;
            sys::unmount(name)?;
            remove(at, name, tries - 1)
        }
        Err(libc::ENOTEMPTY) if tries > 0 => {
            let inner = sys::open_at(at, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW)?;
            let emptied = empty(inner);
            sys::close(inner);
            emptied?;
            remove(at, name, tries - 1)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use kconform_plan::Value;

    use super::*;

    #[test]
    fn only_harmless_steps_of_one_process_leave_the_directory_unlooked_at() {
        let step = |op| [Step { index: 0, op }];
        let harmless = Reach::default();
        let repeat = |steps: &[Step]| {
            let steps = steps.to_vec();
            step(Op::Repeat { times: Value::Number(1), slot: None, steps })
        };
        assert!(untouched_by(&[], harmless));
        assert!(!untouched_by(&[], Reach { anything: true, ..harmless }));
        assert!(untouched_by(&repeat(&[]), harmless));
        let child = step(Op::Fork(Vec::new()));
        assert!(!untouched_by(&child, harmless));
        assert!(!untouched_by(&repeat(&child), harmless));
        assert!(!untouched_by(&step(Op::Parallel(vec![Vec::new(), child.to_vec()])), harmless));
    }
}
