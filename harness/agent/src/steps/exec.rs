//! `exec` blocks: the child turns into a fresh image of the agent, which goes on with the block's steps.
//!
//! The image gets its steps, and a log of its own, in a memfd that it maps and closes before its first step, so that the
//! steps see exactly the fds that survive execve(2). The waiting parent moves that log's records to its own as they come.

use kconform_plan::{Saved, Step, Trouble, decode, encode};

use crate::log::{Cell, Cursor, Log, State};
use crate::memory::areas::{self, Memory};
use crate::panic;
use crate::steps::runner::{Flow, Runner};
use crate::sys::{self, Ended, Map};
use crate::trouble::{Tried, trouble};

/// The first argument of the agent when it is the image of an `exec` block; the second is the memfd's number.
pub const EXEC_WORD: &str = "--go-on-after-exec";

/// Bytes that the image's log may take at most.
const LOG: usize = 16 << 20;
/// Where the memfd is moved, out of the way of the case's own fds; lower where RLIMIT_NOFILE does not allow it.
const HIGH_FDS: [i32; 3] = [1000, 200, 60];
/// The first pause between two looks at the child, and the longest.
const PAUSES_NS: (u64, u64) = (100_000, 4_000_000);

/// What the image is given.
type Given = (Vec<Step>, Vec<Option<Saved>>, Vec<u32>, u64);

/// Memory that goes through an execve(2): the image's log, then the length of what it is given, then that.
struct Luggage {
    fd: i32,
    start: *mut u8,
    length: usize,
    log: Log,
}

impl Luggage {
    fn pack(given: &[u8], log_size: usize) -> Tried<Luggage> {
        let length = log_size + size_of::<u64>() + given.len();
        let fd = sys::memory_file(length).map_err(trouble("memfd_create"))?;
        let high = HIGH_FDS.iter().find_map(|&from| sys::fcntl(fd, libc::F_DUPFD, from).ok());
        if high.is_some() {
            sys::close(fd);
        }
        let fd = high.unwrap_or(fd);
        let start =
            sys::map(length, Map::File(fd)).inspect_err(|_| sys::close(fd)).map_err(trouble("mmap"))?;
        // SAFETY: so many bytes were mapped just now, all zeros, and stay mapped until `drop`, after the child's end.
        let log = unsafe {
            let behind = start.add(log_size);
            behind.cast::<u64>().write(given.len() as u64);
            std::ptr::copy_nonoverlapping(given.as_ptr(), behind.add(size_of::<u64>()), given.len());
            Log::make(start, log_size)
        };
        Ok(Luggage { fd, start, length, log })
    }
}

impl Drop for Luggage {
    fn drop(&mut self) {
        // SAFETY: mapped by `pack`, and the log is not used any more.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

impl Runner {
    /// Runs steps in a forked child's fresh image.
    pub(crate) fn in_new_image(&mut self, step: u32, steps: &[Step]) -> Tried<Flow> {
        let given = encode(&(steps, &self.slots, &self.iteration, self.began))
            .map_err(|_| Trouble { what: "encode the steps".into(), errno: 0 })?;
        let room = self.log.free().clamp(4096, LOG) / 4096 * 4096;
        let luggage = Luggage::pack(&given, room)?;
        let child = match sys::fork() {
            Ok(0) => self.become_image(step, luggage.fd, luggage.log.first()),
            forked => forked,
        };
        sys::close(luggage.fd);
        let child = child.map_err(trouble("fork"))?;
        let ended = self.follow(child, &luggage.log);
        self.child_ended(step, ended, luggage.log.first())
    }

    fn become_image(&mut self, step: u32, fd: i32, cell: Cell) -> ! {
        self.become_child(cell);
        let args =
            [sys::c_string("kconform-agent"), sys::c_string(EXEC_WORD), sys::c_string(&fd.to_string())];
        let errno = match sys::exec(c"/proc/self/exe", &args) {
            // The case has taken its /proc away.
            libc::ENOENT => sys::exec(&sys::own_path(), &args),
            errno => errno,
        };
        self.report(step, Trouble { what: "execve /proc/self/exe".into(), errno });
        cell.set(State::Troubled);
        sys::exit(0)
    }

    /// Waits for the child and takes over what it writes down, as it comes: should this process be killed meanwhile (the
    /// case's time is over, say), what is known by then is not lost.
    fn follow(&self, child: libc::pid_t, log: &Log) -> sys::Result<Option<(libc::pid_t, Ended)>> {
        let mut cursor = Cursor::default();
        let mut pause = PAUSES_NS.0;
        loop {
            let ended = sys::wait(child, libc::WNOHANG);
            let over = ended != Ok(None);
            log.read(&mut cursor, over, |record| self.log.add_encoded(record));
            if over {
                self.log.drop_more(log.dropped());
                return ended;
            }
            sys::pause_ns(pause);
            pause = (2 * pause).min(PAUSES_NS.1);
        }
    }
}

/// Goes on as the image of an `exec` block, with the memfd of that number.
pub fn resume(fd: &str) -> ! {
    let Some((log, given)) = fd.parse().ok().and_then(unpack) else { sys::exit(2) };
    panic::tell_log(log);
    let (steps, slots, iteration, began) = given;
    let runner = Runner::new(log, began, slots, iteration);
    if let Err(errno) = areas::set_up(Memory::AsUsed) {
        let step = steps.first().map_or(1, |s| s.index).saturating_sub(1);
        runner.report(step, Trouble { what: "mmap address space".into(), errno });
        log.first().set(State::Troubled);
        sys::exit(0)
    }
    runner.run(&steps)
}

fn unpack(fd: i32) -> Option<(Log, Given)> {
    let length = usize::try_from(sys::stat_fd(fd).ok()?.st_size).ok()?;
    let start = sys::map(length, Map::File(fd)).ok()?;
    sys::close(fd);
    // SAFETY: the parent's `pack` laid it out like this; it stays mapped for the life of the process.
    unsafe {
        let log = Log::join(start);
        let behind = start.add(log.capacity());
        let given = behind.cast::<u64>().read() as usize;
        let bytes = std::slice::from_raw_parts(behind.add(size_of::<u64>()), given);
        Some((log, decode(bytes).ok()?))
    }
}
