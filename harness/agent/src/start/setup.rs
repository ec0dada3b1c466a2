//! What the agent makes of its process before the first case, natively and in a guest alike.

use crate::case::Cases;
use crate::case::apart::Place;
use crate::case::child::OomScore;
use crate::case::ground::Ground;
use crate::case::scratch::Scratch;
use crate::kernel_log::KernelLog;
use crate::log::{self, Log};
use crate::memory::areas::{self, Memory};
use crate::memory::{heap, program};
use crate::panic;
use crate::signals::{PARENT_ENDED, Signals};
use crate::start::machine;
use crate::sys::{self, Ended};
use crate::traces::look::Shares;
use crate::traces::objects::Objects;
use crate::trouble::{Failed, failed};

/// Bytes of private memory that a native case may use: enough for any case, too little to hurt the machine.
const NATIVE_DATA: u64 = 1 << 30;

/// Where an old kernel's agent stops looking for inherited fds: the usual RLIMIT_NOFILE.
const MOST_INHERITED: i32 = 1024;

/// The fds of a native agent's stream, moved out of the way of 0 to 2.
pub(crate) struct Fds {
    pub(crate) input: i32,
    pub(crate) output: i32,
}

/// Moves the stream away, keeps stderr for messages, closes all else that was inherited, and puts /dev/null in place.
/// When stdin is a socket it serves both directions.
pub(crate) fn move_fds() -> Result<Fds, Failed> {
    let is_socket = sys::stat_fd(0).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFSOCK);
    let (input, output, messages) = (3, 4, 5);
    sys::dup_exactly(0, input).map_err(failed("stdin"))?;
    sys::dup_exactly(if is_socket { input } else { 1 }, output).map_err(failed("stdout"))?;
    let told = sys::dup_exactly(2, messages).is_ok();
    panic::tell_people(if told { messages } else { -1 });
    sys::close_from(if told { 6 } else { 5 }, MOST_INHERITED);
    null_stdio()?;
    Ok(Fds { input, output })
}

/// Puts /dev/null at fds 0 to 2.
pub(crate) fn null_stdio() -> Result<(), Failed> {
    let null = sys::open(c"/dev/null", libc::O_RDWR).map_err(failed("/dev/null"))?;
    for fd in 0..=2 {
        sys::dup_to(null, fd).map_err(failed("/dev/null"))?;
    }
    if null > 2 {
        sys::close(null);
    }
    Ok(())
}

/// Where the agent may, its mounts become its own, and it goes on as PID 1 of a PID namespace of its own: a case cannot
/// see, let alone kill, processes of the user's, and when the agent ends the kernel ends all that is left. Gives what is to be
/// told of it: what cannot be had, too. And whether the machine's files are sealed.
pub(crate) fn enter_namespaces(stream: &Fds, signals: &Signals, scratch: &str) -> (Vec<String>, bool) {
    let mut remarks = Vec::new();
    if let Err(errno) = sys::unshare(libc::CLONE_NEWNS) {
        remarks.push(match errno {
            libc::EPERM => "cases have no namespaces of their own: that needs CAP_SYS_ADMIN".to_owned(),
            errno => format!("cases have no namespaces of their own: unshare: errno {errno}"),
        });
        return (remarks, false);
    }
    leave_chroot();
    let _ = sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    machine::enter_namespaces(&mut remarks);
    let sealed = machine::seal_files(scratch, &mut remarks);
    if let Err(errno) = sys::unshare(libc::CLONE_NEWPID) {
        remarks.push(machine::shared("PID", errno));
        return (remarks, sealed);
    }
    match sys::fork() {
        Ok(0) => {
            let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0);
            // The parent's /proc would show other processes' numbers.
            let _ =
                sys::mount("proc", "/proc", "proc", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "");
        }
        Ok(agent) => stand_by(agent, stream, signals),
        // Nothing can be forked any more: no case will run either, and that is said there.
        Err(_) => {}
    }
    (remarks, sealed)
}

/// In a chroot `/` is a directory somewhere in the namespace's tree: its mounts cannot be made private, and no case could make
/// a user namespace (user_namespaces(7), `EPERM`). So that directory, with the mounts below it, is put over the root of the
/// agent's own mount namespace. Where there is no chroot, or the kernel cannot do it (before 5.2), all stays as it is.
fn leave_chroot() {
    let (Ok(own), Ok(root), Ok(infos)) = (
        sys::open(c"/proc/self/ns/mnt", libc::O_RDONLY),
        sys::open(c"/", libc::O_PATH | libc::O_DIRECTORY),
        sys::open(c"/proc/self/fdinfo", libc::O_RDONLY | libc::O_DIRECTORY),
    ) else {
        return;
    };
    let here = std::env::current_dir();
    // It leads to the namespace's own root: kernel/nsproxy.c, fs/namespace.c: mntns_install().
    if sys::enter_namespace(own, libc::CLONE_NEWNS).is_ok() {
        let is_root = sys::open(c"/", libc::O_PATH | libc::O_DIRECTORY).is_ok_and(|top| {
            let is_root = sys::is_same_directory(root, top, infos);
            sys::close(top);
            is_root
        });
        if !is_root && put_over_root(root).is_err() {
            let _ = sys::change_root(root);
        }
        if let Ok(here) = here {
            let _ = sys::change_dir(&sys::c_string(&here.to_string_lossy()));
        }
    }
    for fd in [own, root, infos] {
        sys::close(fd);
    }
}

/// Makes a directory the root, for all processes of the namespace that come after.
fn put_over_root(directory: i32) -> sys::Result<()> {
    sys::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    let tree = sys::clone_tree(directory)?;
    let put = sys::attach_tree(tree, c"/").and_then(|()| sys::change_root(tree));
    sys::close(tree);
    put
}

/// What is left to the agent's parent: to end when the agent does, and when the host does, which ends the agent. (The
/// signal comes when the host's thread that started us ends, too; then nothing is to be done.)
fn stand_by(agent: libc::pid_t, stream: &Fds, signals: &Signals) -> ! {
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, PARENT_ENDED as u64, 0);
    sys::close(stream.input);
    sys::close(stream.output);
    if signals.is_orphan() {
        sys::exit(1);
    }
    loop {
        match sys::wait(agent, libc::WNOHANG) {
            Ok(Some((_, Ended::Exited(status)))) => sys::exit(status),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => sys::exit(1),
        }
        if signals.wait(&mut None, None).map_or(true, |heard| heard.end) {
            sys::exit(1);
        }
    }
}

/// What only an agent beside other processes does: it gathers its orphans, ends with its parent, leaves the user's session
/// keyring, and keeps cases from using up the machine's memory.
pub(crate) fn be_guest_of_the_machine() {
    // A kernel without keys has none.
    let _ = sys::leave_session_keyring();
    let _ = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0);
    // In a PID namespace of its own it has no parent that it can see, and is killed with it.
    if sys::pid() != 1 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, PARENT_ENDED as u64, 0);
    }
    let set_aside = (heap::ARENA + areas::POOL) as u64;
    let _ = sys::limit(libc::RLIMIT_DATA as _, NATIVE_DATA + set_aside);
}

/// All that cases need, with the scratch directory below `scratch`.
pub(crate) fn cases(signals: Signals, scratch: &str, place: Place, shares: Shares) -> Result<Cases, Failed> {
    sys::umask(0o022);
    let _ = sys::limit(libc::RLIMIT_CORE as _, 0);
    // Before Linux 5.11 maps and programs are charged to it (commit 80ee81e0403c), some while after they are closed even:
    // under the usual 64 KiB a case's outcome would hang on those before it.
    let _ = sys::lift_limit(libc::RLIMIT_MEMLOCK as _);
    areas::set_up(Memory::Ahead).map_err(failed("mmap address space"))?;
    let capacity = (sys::memory() / 8).clamp(1 << 20, log::CAPACITY as u64) as usize;
    let log = Log::new(capacity).map_err(failed("mmap the log"))?;
    let scratch = Scratch::make(scratch).map_err(failed(scratch))?;
    if place == Place::Guest {
        // The agent goes from one CPU to another when it is sent a seed: /proc shows CPUs that were named otherwise.
        let _ = sys::set_cpus(&sys::cpus());
        program::give_to_children();
    }
    Ok(Cases {
        log,
        signals,
        scratch,
        kernel_log: KernelLog::open(),
        oom_score: OomScore::open(),
        place,
        shares,
        ground: Ground::note(place),
        spare: None,
        objects: Objects::default(),
    })
}
