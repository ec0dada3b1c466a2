//! What a kernel's log says of its health: the words that it prints when something is wrong. From kernel/panic.c,
//! lib/bug.c, arch/*/mm/fault.c, arch/*/kernel/traps.c, mm/kasan/report.c, mm/kfence/report.c, lib/ubsan.c,
//! kernel/locking/lockdep.c, kernel/rcu/tree_stall.h, kernel/watchdog.c, kernel/hung_task.c.

/// How bad a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The kernel found something that must not be, and goes on.
    Warning,
    /// The kernel faulted in a process's context, and killed the process.
    Oops,
    /// The kernel gave up.
    Panic,
}

/// Something that is wrong with a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in a few words: `a soft lockup`.
    pub what: &'static str,
}

/// The first row that fits counts.
const SIGNS: &[(&str, Severity, &str)] = &[
    ("Kernel panic - not syncing", Severity::Panic, "a panic"),
    ("BUG: KASAN", Severity::Warning, "a KASAN report"),
    ("BUG: KFENCE", Severity::Warning, "a KFENCE report"),
    ("BUG: KMSAN", Severity::Warning, "a KMSAN report"),
    ("BUG: KCSAN", Severity::Warning, "a KCSAN report"),
    ("UBSAN: ", Severity::Warning, "a UBSAN report"),
    ("BUG: soft lockup", Severity::Oops, "a soft lockup"),
    ("hard LOCKUP", Severity::Oops, "a hard lockup"),
    ("kernel BUG at ", Severity::Oops, "a BUG"),
    ("general protection fault, ", Severity::Oops, "a general protection fault"),
    ("general protection fault: ", Severity::Oops, "a general protection fault"),
    ("double fault", Severity::Oops, "a double fault"),
    ("BUG: unable to handle ", Severity::Oops, "an oops"),
    ("BUG: kernel NULL pointer dereference", Severity::Oops, "an oops"),
    ("Unable to handle kernel ", Severity::Oops, "an oops"),
    ("Internal error: ", Severity::Oops, "an oops"),
    ("Oops: ", Severity::Oops, "an oops"),
    ("Oops [#", Severity::Oops, "an oops"),
    ("possible circular locking dependency", Severity::Warning, "a lockdep report"),
    ("possible recursive locking", Severity::Warning, "a lockdep report"),
    ("inconsistent lock state", Severity::Warning, "a lockdep report"),
    ("suspicious RCU usage", Severity::Warning, "a lockdep report"),
    ("blocked for more than", Severity::Warning, "a hung task"),
    ("detected stalls on CPUs", Severity::Warning, "an RCU stall"),
    ("self-detected stall", Severity::Warning, "an RCU stall"),
    ("BUG: ", Severity::Warning, "a BUG"),
    ("WARNING: CPU: ", Severity::Warning, "a kernel warning"),
    ("WARNING: ", Severity::Warning, "a kernel warning"),
    ("------------[ cut here ]", Severity::Warning, "a kernel warning"),
];

/// What the kernel says of its settings in the words of a warning: arch/arm64/kernel/proton-pack.c and
/// arch/x86/kernel/cpu/bugs.c, unpriv_ebpf_notify(), when the unprivileged are let into bpf(2).
const NOTICES: &[&str] = &["WARNING: Unprivileged eBPF is enabled"];

/// What a line says of a fault, if it does.
pub fn fault_in(line: &str) -> Option<Fault> {
    if NOTICES.iter().any(|notice| line.contains(notice)) {
        return None;
    }
    let sign = SIGNS.iter().find(|(sign, ..)| line.contains(sign));
    sign.map(|&(_, severity, what)| Fault { severity, what })
}

/// The worst that lines say; the first of those that are equally bad.
pub fn worst<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Fault> {
    let mut worst: Option<Fault> = None;
    for fault in lines.into_iter().filter_map(fault_in) {
        if worst.is_none_or(|other| other.severity < fault.severity) {
            worst = Some(fault);
        }
    }
    worst
}

/// Lines of a fault that are shown from its beginning, and from its end.
const SHOWN: (usize, usize) = (40, 12);

/// What is to be shown of a log in which something is wrong: from the first sign on (all of it where there is none),
/// without what helps nobody who reads it: entries of a trace that the kernel itself does not believe (`? f+0x1/0x2`),
/// registers and opcodes. Of a long one, its beginning and its end.
pub fn excerpt(lines: &[String]) -> Vec<String> {
    let first = lines.iter().position(|line| fault_in(line).is_some()).unwrap_or(0);
    let mut shown: Vec<String> = lines[first..].iter().filter(|line| !is_noise(line)).cloned().collect();
    let (head, tail) = SHOWN;
    if shown.len() > head + tail + 1 {
        let end = shown.len() - tail;
        let left_out = format!("[{} more lines]", end - head);
        shown.splice(head..end, [left_out]);
    }
    shown
}

/// What lines of a dump of registers begin with, behind the time: arch/x86/kernel/process_64.c, arch/riscv/kernel/process.c,
/// arch/arm64/kernel/process.c, arch/s390/kernel/dumpstack.c. Where it happened (`RIP: 0010:f`, `epc : f`) is kept, unless
/// that was user space.
const REGISTERS: &[&str] = &[
    "RIP: 0033:",
    "RSP: ",
    "RAX: ",
    "RDX: ",
    "RBP: ",
    "R10: ",
    "R13: ",
    "FS:  ",
    "CS:  ",
    "CR2: ",
    "DR0: ",
    "DR3: ",
    "Code: ",
    "gp : ",
    "t0 : ",
    "t1 : ",
    "t2 : ",
    "t5 : ",
    "s1 : ",
    "s2 : ",
    "s3 : ",
    "s5 : ",
    "s8 : ",
    "s11: ",
    "a1 : ",
    "a2 : ",
    "a4 : ",
    "a5 : ",
    "a7 : ",
    "x29: ",
    "x26: ",
    "x23: ",
    "x20: ",
    "x17: ",
    "x14: ",
    "x11: ",
    "x8 : ",
    "x5 : ",
    "x2 : ",
    "sp : ",
    "Krnl GPRS:",
    "User GPRS:",
];

fn is_noise(line: &str) -> bool {
    let text = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        // The time (or a caller's number) of a console; an address of a trace is no time.
        Some((time, text)) if time.trim_start().starts_with(|c: char| c.is_ascii_digit()) => text,
        _ => line,
    };
    let text = text.trim_start();
    text.starts_with("? ") || text.contains("] ? ") || REGISTERS.iter().any(|name| text.starts_with(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Lines as kernels print them.
    const LINES: &[&str] = &[
        "[    1.2] Kernel panic - not syncing: sysrq triggered crash",
        "BUG: KASAN: slab-out-of-bounds in htab_map_update_elem+0x1/0x2",
        "BUG: KFENCE: use-after-free read in f+0x1/0x2",
        "BUG: KMSAN: uninit-value in f+0x1/0x2",
        "BUG: KCSAN: data-race in f+0x1/0x2 / g+0x1/0x2",
        "UBSAN: array-index-out-of-bounds in kernel/bpf/core.c:1:2",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [a:1]",
        "watchdog: Watchdog detected hard LOCKUP on cpu 0",
        "kernel BUG at mm/slub.c:1!",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP",
        "general protection fault: 0000 [#1] SMP",
        "traps: PANIC: double fault, error_code: 0x0",
        "BUG: unable to handle page fault for address: 0",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Unable to handle kernel NULL pointer dereference at virtual address 0",
        "Internal error: Oops - BUG: 00000000f2000800 [#1] SMP",
        "Oops: 0002 [#1] SMP",
        "Oops [#1]",
        "WARNING: possible circular locking dependency detected",
        "WARNING: possible recursive locking detected",
        "WARNING: inconsistent lock state",
        "WARNING: suspicious RCU usage",
        "INFO: task a:1 blocked for more than 122 seconds.",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "BUG: sleeping function called from invalid context at kernel/a.c:1",
        "WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1 f+0x1/0x2",
        "WARNING: kernel/bpf/verifier.c:1 at f+0x1/0x2, CPU#0: a/1",
        "------------[ cut here ]------------",
        "WARNING: Unprivileged eBPF is enabled, data leaks possible via Spectre v2 BHB attacks!",
        "kconform-agent[2927]: segfault at 10 ip 0000000000255b59",
        "traps: a[7] general protection fault ip:1 sp:2 error:0",
        "random: crng init done",
    ];

    #[test]
    fn what_a_line_says() {
        let told = LINES.iter().map(|line| match fault_in(line) {
            Some(Fault { severity, what }) => format!("{severity:?}, {what} <- {line}\n"),
            None => format!("nothing <- {line}\n"),
        });
        insta::assert_snapshot!(told.collect::<String>());
        let shown = |sign: &str| LINES.iter().any(|line| line.contains(sign));
        assert!(SIGNS.iter().all(|(sign, ..)| shown(sign)), "each sign is in a line");
    }

    #[rstest]
    #[case("[    1.0]  ? f+0x1/0x2", true)]
    #[case(" ? f+0x1/0x2", true)]
    #[case("[    1.0] [<ffffffff80a6da48>] ? f+0x1/0x2", true)]
    #[case("[    1.0] [<ffffffff80a6da48>] f+0x1/0x2", false)]
    #[case("[   44.030892] RAX: 0000000000000000 RBX: 0000000000800000", true)]
    #[case("RIP: 0033:0x2f7c39", true)]
    #[case("[   44.0] RIP: 0010:bpf_prog_d71d16b1d383b0e6_f+0x65/0x87", false)]
    #[case("[   44.0]  gp : ffffffff81c5e1c0 tp : ff6000000240b300", true)]
    #[case("epc : f+0x1/0x2", false)]
    #[case("Call Trace:", false)]
    fn noise(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(is_noise(line), expected);
    }

    #[test]
    fn of_a_long_log_both_ends_are_shown() {
        let mut lines: Vec<String> = (0..100).map(|n| format!("f{n}+0x1/0x2")).collect();
        lines.insert(5, "Oops [#1]".into());
        let shown = excerpt(&lines);
        assert_eq!((shown.len(), shown[0].as_str(), shown[52].as_str()), (53, "Oops [#1]", "f99+0x1/0x2"));
        assert_eq!(shown[40], "[44 more lines]");
        assert_eq!(excerpt(&lines[..5]), lines[..5]);
    }

    #[test]
    fn the_worst_counts_and_of_equals_the_first() {
        let lines = ["------------[ cut here ]", "WARNING: CPU: 0", "Oops: 0002 [#1]", "Oops [#2]"];
        assert_eq!(worst(lines).map(|fault| fault.severity), Some(Severity::Oops));
        assert_eq!(worst(lines[..2].iter().copied()).map(|fault| fault.what), Some("a kernel warning"));
        assert_eq!(worst(["all is well"]), None);
    }
}
