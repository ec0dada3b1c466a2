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

/// The real-time signals from 33 on, as strace prints them: 32 is `SIGRTMIN`.
const REAL_TIME: [&str; 32] = [
    "SIGRT_1", "SIGRT_2", "SIGRT_3", "SIGRT_4", "SIGRT_5", "SIGRT_6", "SIGRT_7", "SIGRT_8", "SIGRT_9",
    "SIGRT_10", "SIGRT_11", "SIGRT_12", "SIGRT_13", "SIGRT_14", "SIGRT_15", "SIGRT_16", "SIGRT_17",
    "SIGRT_18", "SIGRT_19", "SIGRT_20", "SIGRT_21", "SIGRT_22", "SIGRT_23", "SIGRT_24", "SIGRT_25",
    "SIGRT_26", "SIGRT_27", "SIGRT_28", "SIGRT_29", "SIGRT_30", "SIGRT_31", "SIGRT_32",
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

/// The name of a signal, of several the one that strace prints.
pub fn name(number: i32) -> Option<&'static str> {
    let nth = |first| usize::try_from(number.checked_sub(first)?).ok();
    match number {
        ..32 => NAMES.get(nth(1)?).copied(),
        32 => Some("SIGRTMIN"),
        33.. => REAL_TIME.get(nth(33)?).copied(),
    }
}

/// All names, second ones too.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(OTHERS.into_iter().map(|row| row.0))
}
