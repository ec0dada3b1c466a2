//! Signals of signal(7): the numbers are the same on every architecture here.

/// From 1 on, in the order of their numbers.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Second names, and the real-time signals that have one. The numbers are the kernel's: the C library keeps the first
/// two real-time signals to itself, and its `SIGRTMIN` is 34.
const OTHERS: [(&str, i32); 5] =
    [("SIGIOT", 6), ("SIGCLD", 17), ("SIGPOLL", 29), ("SIGRTMIN", 32), ("SIGRTMAX", 64)];

/// The number of a signal, written `SIGBUS`; `SIGRT_n` is the n-th real-time signal, as strace prints it.
pub fn number(name: &str) -> Option<i32> {
    let first = NAMES.iter().zip(1..).find(|row| *row.0 == name).map(|row| row.1);
    let other = || OTHERS.iter().find(|row| row.0 == name).map(|row| row.1);
    let real_time =
        || Some(32 + name.strip_prefix("SIGRT_")?.parse::<u8>().ok().filter(|n| *n <= 32)? as i32);
    first.or_else(other).or_else(real_time)
}

/// The name of a signal; real-time signals but the first and last have none.
pub fn name(number: i32) -> Option<&'static str> {
    match number {
        32 => Some("SIGRTMIN"),
        64 => Some("SIGRTMAX"),
        _ => NAMES.get(usize::try_from(number.checked_sub(1)?).ok()?).copied(),
    }
}

/// All names, second ones too.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(OTHERS.into_iter().map(|row| row.0))
}
