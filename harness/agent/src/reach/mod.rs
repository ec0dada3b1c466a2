//! What the calls of a case may change beside its own processes: what it is kept apart from, and what is looked at when it is
//! over. Known from the plan alone, so that the many cases that only make maps and programs pay for nothing.

pub(crate) mod stray;

use kconform_plan::{Call, Function, Piece, Step, Value, calls};

/// Calls that change nothing that outlives the process: no file, no mount, no limit, no other process. A call that is not in
/// this list is not harmless: what is written goes to an fd, and all but openat(2) and the like make fds of nobody else's. (bpf(2) pins in a bpffs only, and attaches as [`Reach::network`] says.)
const HARMLESS: &[libc::c_long] = &[
    libc::SYS_bpf,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_ftruncate,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_perf_event_open,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_setsockopt,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_unshare,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls that may leave something in the network namespace: an address, a rule, a program, a port that is not free yet.
const NETWORK: &[libc::c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_ioctl,
    libc::SYS_listen,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
];

/// Calls that make what an IPC namespace holds (ipc_namespaces(7)).
const IPC: &[libc::c_long] = &[libc::SYS_mq_open, libc::SYS_msgget, libc::SYS_semget, libc::SYS_shmget];

/// Calls that reach keys (keyrings(7)): by themselves, or by a program that they start.
const KEYS: &[libc::c_long] =
    &[libc::SYS_add_key, libc::SYS_execve, libc::SYS_execveat, libc::SYS_keyctl, libc::SYS_request_key];

/// Calls that change mounts, or the file systems that other mounts share.
const MOUNTS: &[libc::c_long] = &[
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_umount2,
];

/// Calls by which root changes another process from inside, or takes part in what it has: of what they did to the agent not
/// all can be seen.
const OTHERS: &[libc::c_long] = &[
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_setns,
];

/// The libc crate lacks it for some architectures, other ones with glibc than with musl: asm-generic/unistd.h, the tables of
/// arch/x86 and arch/s390.
const KEXEC_FILE_LOAD: libc::c_long = if cfg!(target_arch = "x86_64") {
    320
} else if cfg!(target_arch = "s390x") {
    381
} else {
    294
};

/// Calls that change the whole kernel, for good or without a way to see it.
const KERNEL: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    KEXEC_FILE_LOAD,
    libc::SYS_kexec_load,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
];

/// `BPF_COMMON_ATTRS` of linux/bpf.h, beside a command.
const BPF_COMMON_ATTRS: u32 = 1 << 16;
/// `BPF_PROG_ATTACH` of linux/bpf.h: what is attached stays when the process has gone. And `BPF_PROG_DETACH`.
pub(crate) const BPF_PROG_ATTACH: u64 = 8;
pub(crate) const BPF_PROG_DETACH: u64 = 9;
/// `SOL_SOCKET`: options of the socket itself. Those of other levels reach further (netfilter's tables).
const SOL_SOCKET: u64 = libc::SOL_SOCKET as u64;

/// What a case may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Anything at all.
    pub(crate) anything: bool,
    /// What its network namespace holds.
    pub(crate) network: bool,
    /// Programs that are attached without a link.
    pub(crate) attaches: bool,
    /// What its IPC namespace holds.
    pub(crate) ipc: bool,
    /// Keys that outlive it.
    pub(crate) keys: bool,
    /// Mounts, and file systems as a whole.
    pub(crate) mounts: bool,
    /// The inside of other processes.
    pub(crate) others: bool,
    /// The kernel as a whole.
    pub(crate) kernel: bool,
    /// It names a file of /proc or /sys.
    pub(crate) proc_or_sys: bool,
}

impl Reach {
    /// What these steps may change, wherever they run.
    pub(crate) fn of(steps: &[Step]) -> Reach {
        let mut reach = Reach::default();
        // The sysctls of blocks are put back, whatever becomes of the case.
        calls(steps).for_each(|call| reach.call(call));
        reach
    }

    fn call(&mut self, call: &Call) {
        let Function::Syscall(number) = call.function else { return };
        let is_in = |list: &[libc::c_long]| list.iter().any(|&listed| listed as u64 == number);
        let given = |nth: usize, harmless: &dyn Fn(u64) -> bool| match call.args.get(nth) {
            Some(Value::Number(given)) => harmless(*given),
            None => harmless(0),
            Some(_) => false,
        };
        // A flag beside the command says that a struct bpf_common_attr comes with it.
        let is_bpf = |command: u64| {
            number == libc::SYS_bpf as u64
                && !given(0, &|given| given as u32 & !BPF_COMMON_ATTRS != command as u32)
        };
        self.attaches |= is_bpf(BPF_PROG_ATTACH) || is_bpf(BPF_PROG_DETACH);
        let network = is_in(NETWORK)
            || is_bpf(BPF_PROG_ATTACH)
            || number == libc::SYS_setsockopt as u64 && !given(1, &|level| level == SOL_SOCKET);
        // On s390x all of SysV's IPC is one call.
        #[cfg(target_arch = "s390x")]
        let ipc = is_in(IPC) || number == libc::SYS_ipc as u64;
        #[cfg(not(target_arch = "s390x"))]
        let ipc = is_in(IPC);
        self.network |= network;
        self.ipc |= ipc;
        if is_in(HARMLESS) {
            return;
        }
        self.anything = true;
        self.keys |= is_in(KEYS);
        self.mounts |= is_in(MOUNTS);
        self.others |= is_in(OTHERS) || names(call, b"/mem");
        self.kernel |= is_in(KERNEL);
        self.proc_or_sys |= names(call, b"proc") || names(call, b"sys");
    }
}

/// Whether the bytes that a call is given hold this word.
fn names(call: &Call, word: &[u8]) -> bool {
    let holds = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => bytes.windows(word.len()).any(|part| part == word),
        _ => false,
    };
    call.buffers.iter().any(|buffer| {
        buffer.pieces.iter().any(holds) || buffer.overlays.iter().any(|overlay| holds(&overlay.piece))
    })
}

#[cfg(test)]
mod tests {
    use kconform_plan::{Buffer, Expect, Op, Ret};

    use super::*;

    fn call(number: libc::c_long, args: &[Value], text: &str) -> Vec<Step> {
        let expect = Expect { ret: Ret::Success, outputs: Vec::new(), signal: None, big_endian: false };
        let pieces = vec![Piece::Bytes(text.as_bytes().to_vec())];
        let call = Call {
            function: Function::Syscall(number as u64),
            args: args.to_vec(),
            buffers: vec![Buffer { pieces, ..Buffer::default() }],
            outputs: Vec::new(),
            saves: Vec::new(),
            expect,
            last: kconform_plan::Last::default(),
            eventually_ms: None,
            gives_fd: false,
        };
        vec![Step { index: 0, op: Op::Call(Box::new(call)) }]
    }

    fn of(number: libc::c_long, args: &[u64], text: &str) -> Reach {
        let args: Vec<Value> = args.iter().copied().map(Value::Number).collect();
        Reach::of(&call(number, &args, text))
    }

    const NOTHING: Reach = Reach {
        anything: false,
        network: false,
        attaches: false,
        ipc: false,
        keys: false,
        mounts: false,
        others: false,
        kernel: false,
        proc_or_sys: false,
    };
    const ANYTHING: Reach = Reach { anything: true, ..NOTHING };

    #[test]
    fn calls_reach_as_far_as_is_known_of_them() {
        assert_eq!(Reach::of(&[]), NOTHING);
        assert_eq!(of(libc::SYS_bpf, &[0], "/proc"), NOTHING);
        let attaches = Reach { attaches: true, ..NOTHING };
        assert_eq!(of(libc::SYS_bpf, &[BPF_PROG_ATTACH], ""), Reach { network: true, ..attaches });
        let in_common = BPF_PROG_ATTACH | u64::from(BPF_COMMON_ATTRS);
        assert_eq!(of(libc::SYS_bpf, &[in_common], ""), Reach { network: true, ..attaches });
        assert_eq!(of(libc::SYS_bpf, &[BPF_PROG_DETACH], ""), attaches);
        let unknown = Reach::of(&call(libc::SYS_bpf, &[Value::Slot(0, 0)], ""));
        assert_eq!(unknown, Reach { network: true, ..attaches });
        assert_eq!(of(libc::SYS_setsockopt, &[3, 1], ""), NOTHING);
        assert_eq!(of(libc::SYS_setsockopt, &[3, 0], ""), Reach { network: true, ..NOTHING });
        assert_eq!(of(libc::SYS_openat, &[], "file"), ANYTHING);
        assert_eq!(of(libc::SYS_prlimit64, &[1], ""), ANYTHING);
        assert_eq!(of(libc::SYS_openat, &[], "/proc/x"), Reach { proc_or_sys: true, ..ANYTHING });
        assert_eq!(
            of(libc::SYS_openat, &[], "/proc/1/mem"),
            Reach { proc_or_sys: true, others: true, ..ANYTHING }
        );
        assert_eq!(of(libc::SYS_sendto, &[], ""), Reach { network: true, ..ANYTHING });
        assert_eq!(of(libc::SYS_add_key, &[], ""), Reach { keys: true, ..ANYTHING });
        assert_eq!(of(libc::SYS_execve, &[], ""), Reach { keys: true, ..ANYTHING });
        assert_eq!(of(libc::SYS_umount2, &[], ""), Reach { mounts: true, ..ANYTHING });
        assert_eq!(of(libc::SYS_ptrace, &[], ""), Reach { others: true, ..ANYTHING });
        assert_eq!(of(libc::SYS_clock_settime, &[], ""), Reach { kernel: true, ..ANYTHING });
        #[cfg(not(target_arch = "s390x"))]
        assert_eq!(of(libc::SYS_shmget, &[], ""), Reach { ipc: true, ..ANYTHING });
    }

    #[test]
    fn blocks_reach_as_far_as_their_steps() {
        let harmless = || call(libc::SYS_bpf, &[Value::Number(0)], "");
        let not = || call(libc::SYS_openat, &[], "");
        let block = |op| Reach::of(&[Step { index: 0, op }]).anything;
        let repeat = |steps| Op::Repeat { times: Value::Number(1), slot: None, steps };
        assert!(!block(repeat(harmless())) && block(repeat(not())));
        assert!(!block(Op::Fork(harmless())) && block(Op::Fork(not())));
        assert!(
            !block(Op::Exec(harmless())) && block(Op::Exec(vec![Step { index: 1, op: Op::Fork(not()) }]))
        );
        assert!(block(Op::Parallel(vec![harmless(), not()])));
        let sysctl = |steps| Op::Sysctl { settings: Vec::new(), steps };
        assert!(!block(sysctl(harmless())) && block(sysctl(not())));
    }
}
