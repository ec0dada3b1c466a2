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

/// What a line says of a fault, if it does.
pub fn fault_in(line: &str) -> Option<Fault> {
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("[    1.2] Kernel panic - not syncing: sysrq triggered crash", Some("a panic"))]
    #[case("BUG: KASAN: slab-out-of-bounds in htab_map_update_elem+0x1/0x2", Some("a KASAN report"))]
    #[case("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [a:1]", Some("a soft lockup"))]
    #[case("Unable to handle kernel NULL pointer dereference at virtual address 0", Some("an oops"))]
    #[case("WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1 f+0x1/0x2", Some("a kernel warning"))]
    #[case("kconform-agent[2927]: segfault at 10 ip 0000000000255b59", None)]
    #[case("traps: a[7] general protection fault ip:1 sp:2 error:0", None)]
    #[case("random: crng init done", None)]
    #[case("BUG: unable to handle page fault for address: 0", Some("an oops"))]
    #[case("Oops [#1]", Some("an oops"))]
    #[case("kernel BUG at mm/slub.c:1!", Some("a BUG"))]
    fn lines(#[case] line: &str, #[case] what: Option<&str>) {
        assert_eq!(fault_in(line).map(|fault| fault.what), what);
    }

    #[test]
    fn the_worst_counts_and_of_equals_the_first() {
        let lines = ["------------[ cut here ]", "WARNING: CPU: 0", "Oops: 0002 [#1]", "Oops [#2]"];
        assert_eq!(worst(lines).map(|fault| fault.severity), Some(Severity::Oops));
        assert_eq!(worst(lines[..2].iter().copied()).map(|fault| fault.what), Some("a kernel warning"));
        assert_eq!(worst(["all is well"]), None);
    }
}
