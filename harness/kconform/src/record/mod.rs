//! `kconform record`: a program's calls of bpf(2) become a case.
//!
//! A tracer (`watch`) or a log of strace (`log`, `said`) tells events (`call`), `decode` says which fields of an attr count and what they point to, `names`
//! ties fds to the calls that made them, `steps` and `pieces` say it in the words of case files, and `yaml` breaks lines.

mod call;
mod decode;
mod insns;
mod log;
mod names;
mod pieces;
mod said;
mod steps;
#[cfg(test)]
mod tests;
mod watch;
mod yaml;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use kconform_abi::Arch;
use kconform_trace::{TraceError, trace};

use call::{Event, Kind};
use log::{LogError, read_log};
use names::{Item, Resolved, resolve};
use steps::{Steps, Written};
use watch::Notes;
use yaml::{Value, comment, lines, quoted};

/// Columns before a step.
const STEP: usize = 6;

/// Steps that are the same, from which on a `repeat` is shorter.
const REPEATED: usize = 3;

/// A recorded program.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The case file.
    pub(crate) text: String,
    /// How many steps it has.
    pub(crate) steps: usize,
    /// How many calls cannot be expressed, and stand in comments.
    pub(crate) left_out: usize,
    /// How many calls were taken out because nothing depends on them.
    pub(crate) unneeded: usize,
    /// How many 32-bit calls there were, which are not recorded.
    pub(crate) compat: usize,
    /// How the program ended, if it ran.
    pub(crate) status: Option<ExitStatus>,
    /// What is to be said of lines of a log: which, from 1, and what.
    pub(crate) notes: Vec<(usize, String)>,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There are no tables for this machine.
    #[error("programs cannot be recorded on {0}: kconform has no tables of its system calls")]
    Arch(&'static str),
    /// The program cannot be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It did nothing that is recorded.
    #[error("{program} made no call of bpf(2) that a case can repeat{}{}", .status.map_or_else(String::new, |status| format!("; {status}")), told(left))]
    Nothing {
        /// As the user calls it.
        program: String,
        /// What was left out, and why.
        left: Vec<String>,
        /// How the program ended, if it ran.
        status: Option<ExitStatus>,
    },
    /// A log that cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A log that says nothing.
    #[error("{}: {source}", path.display())]
    Log {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: LogError,
    },
}

/// Runs a program and records it. With `apart` its standard output goes to standard error.
///
/// # Errors
/// It cannot be traced, or made no call that can be written.
pub(crate) fn record(words: &[OsString], apart: bool) -> Result<Recorded, RecordError> {
    let arch = Arch::from_name(std::env::consts::ARCH).ok_or(RecordError::Arch(std::env::consts::ARCH))?;
    let called: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut command = Command::new(words.first().cloned().unwrap_or_default());
    command.args(words.iter().skip(1));
    if apart {
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let mut notes = Notes::new(arch);
    let status = trace(command, &mut notes)?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let origin = format!("`{}` on Linux {}, {arch}", printable(&called.join(" ")), release.trim());
    let recorded = recorded(&notes.events, &called, &origin, Some(status))?;
    Ok(Recorded { compat: notes.compat, ..recorded })
}

/// Makes the same of a log of `strace -f -v -xx`.
///
/// # Errors
/// It cannot be read, or has no call that can be written.
pub(crate) fn record_log(path: &Path) -> Result<Recorded, RecordError> {
    let arch = Arch::from_name(std::env::consts::ARCH).ok_or(RecordError::Arch(std::env::consts::ARCH))?;
    let unreadable = |source| RecordError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let log = read_log(&String::from_utf8_lossy(&bytes), arch)
        .map_err(|source| RecordError::Log { path: path.to_owned(), source })?;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let program = printable(&log.called.join(" "));
    let origin = match program.as_str() {
        "" => format!("a log of strace, `{}`", printable(&file)),
        program => format!("a log of strace of `{program}`"),
    };
    let called = if log.called.is_empty() { vec![file] } else { log.called };
    let notes = log.notes;
    match recorded(&log.events, &called, &origin, None) {
        Ok(recorded) => Ok(Recorded { notes, ..recorded }),
        Err(RecordError::Nothing { program, mut left, status }) => {
            left.extend(notes.into_iter().map(|(line, note)| format!("line {line}: {note}")));
            Err(RecordError::Nothing { program, left, status })
        }
        Err(error) => Err(error),
    }
}

/// Reasons that are told of calls that were left out.
const MOST_REASONS: usize = 5;

/// The first reasons, each once, on lines of their own.
fn told(left: &[String]) -> String {
    let mut all: Vec<&String> = Vec::new();
    left.iter().for_each(|reason| {
        if !all.contains(&reason) {
            all.push(reason);
        }
    });
    let more = all.len().saturating_sub(MOST_REASONS);
    let mut text: String =
        all.iter().take(MOST_REASONS).map(|reason| format!("\n  left out: {reason}")).collect();
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    text
}

/// The case of what happened.
fn recorded(
    events: &[Event],
    called: &[String],
    origin: &str,
    status: Option<ExitStatus>,
) -> Result<Recorded, RecordError> {
    let resolved = resolve(events);
    let left_out = resolved.items.iter().filter(|item| matches!(item, Item::Left(..))).count();
    let File { text, steps, repeated } = write(&resolved, called, origin);
    if steps == 0 {
        let left = resolved.items.iter().filter_map(|item| match item {
            Item::Left(what, why) => Some(format!("{what}: {why}")),
            _ => None,
        });
        return Err(RecordError::Nothing { program: called.join(" "), left: left.collect(), status });
    }
    let unneeded = resolved.unneeded + repeated;
    Ok(Recorded { text, steps, left_out, unneeded, compat: 0, status, notes: Vec::new() })
}

/// A case file.
struct File {
    text: String,
    /// Calls that are steps of it.
    steps: usize,
    /// Calls that asked again what an object is.
    repeated: usize,
}

/// Writes the case file.
fn write(resolved: &Resolved<'_>, called: &[String], origin: &str) -> File {
    let steps = Steps { handles: &resolved.handles, used: resolved.used(), walked: walked(resolved) };
    let mut body = String::new();
    let mut count = 0;
    let mut folders: BTreeSet<String> = BTreeSet::new();
    let mut pins = false;
    let mut left: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut same: (String, usize) = (String::new(), 0);
    let mut asked: HashSet<String> = HashSet::new();
    let mut repeated = 0;
    for item in &resolved.items {
        let step = match item {
            Item::Left(what, why) | Item::Partly(what, why) => {
                flush(&mut body, &mut same);
                *left.entry((why.clone(), what.clone())).or_default() += 1;
                continue;
            }
            Item::Step(step) => step,
        };
        let written = steps.written(step);
        let text = step_text(&written, STEP);
        // What an object is, is asked once: a program that asks again learns nothing new.
        if matches!(&step.call.kind, Kind::Bpf(bpf) if bpf.is(&["BPF_OBJ_GET_INFO_BY_FD"]) && step.call.ret == 0)
            && let Some(handle) = step.fds.values().next()
        {
            let of = &resolved.handles[*handle];
            let name = format!("${}", of.name);
            let object = of.id.map_or_else(|| name.clone(), |id| format!("{:?} {id}", of.object));
            if !asked.insert(text.replace(&name, &object)) {
                repeated += 1;
                continue;
            }
        }
        count += 1;
        let mut folder_steps = String::new();
        if written.pins {
            pins = true;
            for folder in parents(step.call) {
                if folders.insert(folder.clone()) {
                    folder_steps.push_str(&format!(
                        "{:STEP$}- mkdirat: [AT_FDCWD, {{str: {}}}, 0o700]\n",
                        "",
                        quoted(&folder)
                    ));
                }
            }
        }
        if !left.is_empty() || !folder_steps.is_empty() || same.0 != text {
            flush(&mut body, &mut same);
        }
        say_left(&mut body, &mut left);
        body.push_str(&folder_steps);
        same = (text, same.1 + 1);
    }
    flush(&mut body, &mut same);
    say_left(&mut body, &mut left);
    let about = format!("Recorded from {origin}.");
    let mut out = lines(0, "about:", &Value::Text(about));
    out.push_str(&format!("requires: {}\n\ncases:\n", requires(resolved, pins)));
    out.push_str(&format!("  - name: {}\n    steps:\n", quoted(&case_name(called))));
    if pins {
        out.push_str(&comment(STEP, "A bpf file system of the case's own, for what the program pins."));
        out.push_str(&format!("{:STEP$}- mkdirat: [AT_FDCWD, {{str: fs}}, 0o755]\n", ""));
        out.push_str(&format!("{:STEP$}- mount: [{{str: bpf}}, {{str: fs}}, {{str: bpf}}, 0, null]\n", ""));
    }
    File { text: out + &body, steps: count, repeated }
}

/// Steps that are the same become one.
fn flush(body: &mut String, same: &mut (String, usize)) {
    let (text, count) = std::mem::take(same);
    if count < REPEATED || text.contains("save:") {
        body.push_str(&text.repeat(count));
    } else {
        for line in ["- repeat:".to_owned(), format!("    times: {count}"), "    steps:".to_owned()] {
            body.push_str(&format!("{:STEP$}{line}\n", ""));
        }
        body.extend(text.lines().map(|line| format!("{:STEP$}{line}\n", "")));
    }
}

/// Comments that stand for calls that are left out.
fn say_left(body: &mut String, left: &mut BTreeMap<(String, String), usize>) {
    for ((why, what), count) in std::mem::take(left) {
        let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
        body.push_str(&comment(STEP, &format!("Left out: {what}{times}: {why}.")));
    }
}

fn step_text(written: &Written, indent: usize) -> String {
    let Some((name, args)) = &written.call else { return String::new() };
    let mut out = lines(indent, &format!("- {name}:"), args);
    if let Some(save) = &written.save {
        out.push_str(&lines(indent + 2, "save:", &Value::word(save)));
    }
    if let Some(errno) = &written.errno {
        out.push_str(&lines(indent + 2, "errno:", &Value::word(errno)));
    }
    if !written.expect.is_empty() {
        out.push_str(&lines(indent + 2, "expect:", &Value::Map(written.expect.clone())));
    }
    out
}

/// The folders that a pin needs, from the top down.
fn parents(call: &call::Call) -> Vec<String> {
    let Kind::Bpf(bpf) = &call.kind else { return Vec::new() };
    let pinned =
        bpf.field("pathname").and_then(|path| path.memory.as_ref()?.pinned.as_deref()).unwrap_or_default();
    let parts: Vec<&str> = pinned.split('/').collect();
    (1..parts.len()).map(|count| format!("fs/{}", parts[..count].join("/"))).collect()
}

/// Maps of which BPF_MAP_GET_NEXT_KEY told several keys in an order that is by chance.
fn walked(resolved: &Resolved<'_>) -> HashSet<usize> {
    let mut keys: HashMap<usize, HashSet<&[u8]>> = HashMap::new();
    for item in &resolved.items {
        let Item::Step(step) = item else { continue };
        let Kind::Bpf(bpf) = &step.call.kind else { continue };
        let key = bpf.field("next_key").and_then(|key| key.memory.as_ref());
        if let (Some(key), true, 0) = (key, bpf.shape.is_some_and(call::Shape::hashed), step.call.ret)
            && let Some(&map) = step.fds.values().next()
        {
            keys.entry(map).or_default().insert(&key.after);
        }
    }
    keys.into_iter().filter(|(_, keys)| keys.len() > 1).map(|(map, _)| map).collect()
}

/// What the kernel and the user must have for the calls that were made.
fn requires(resolved: &Resolved<'_>, pins: bool) -> String {
    let mut since: (u32, u32) = (0, 0);
    let mut capabilities = BTreeSet::from(["CAP_BPF"]);
    for item in &resolved.items {
        let Item::Step(step) = item else { continue };
        if matches!(step.call.kind, Kind::Perf { .. }) {
            capabilities.insert("CAP_PERFMON");
        }
        let Kind::Bpf(bpf) = &step.call.kind else { continue };
        let version = bpf.command.and_then(|command| command.since.split_once('.'));
        if let Some((major, minor)) = version.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))) {
            since = since.max((major, minor));
        }
        let of = |name: &str, prefix| decode::named(prefix, bpf.number_of(name)).unwrap_or("");
        if bpf.is(&["BPF_PROG_LOAD"]) {
            let kind = of("prog_type", "BPF_PROG_TYPE_");
            let tracing = ["KPROBE", "TRACEPOINT", "PERF_EVENT", "TRACING", "LSM", "STRUCT_OPS", "EXT"];
            let plain = ["SOCKET_FILTER", "CGROUP_SKB", "SYSCALL", "UNSPEC"];
            if tracing.iter().any(|word| kind.ends_with(word)) {
                capabilities.insert("CAP_PERFMON");
            } else if !plain.iter().any(|word| kind.ends_with(word)) {
                capabilities.insert("CAP_NET_ADMIN");
            }
        }
        if bpf.is(&["BPF_MAP_CREATE"]) {
            let kind = of("map_type", "BPF_MAP_TYPE_");
            if ["DEVMAP", "DEVMAP_HASH", "CPUMAP", "XSKMAP", "SOCKMAP", "SOCKHASH"]
                .iter()
                .any(|word| kind.ends_with(word))
            {
                capabilities.insert("CAP_NET_ADMIN");
            }
        }
    }
    if pins {
        capabilities.insert("CAP_SYS_ADMIN");
    }
    let capabilities: Vec<&str> = capabilities.into_iter().collect();
    let kernel =
        if since > (0, 0) { format!("kernel: \">={}.{}\", ", since.0, since.1) } else { String::new() };
    format!("{{{kernel}capabilities: [{}]}}", capabilities.join(", "))
}

/// A text of which the rest of a YAML line may consist.
fn printable(text: &str) -> String {
    let most = 200;
    let shown: String =
        text.chars().take(most).map(|c| if (' '..='~').contains(&c) && c != '$' { c } else { '?' }).collect();
    if text.chars().count() > most { shown + "..." } else { shown }
}

/// The name of the case: the program and its first arguments.
fn case_name(called: &[String]) -> String {
    let program = called.first().map_or("", String::as_str);
    let base = program.rsplit('/').next().unwrap_or(program);
    let words = std::iter::once(base).chain(called.iter().skip(1).map(String::as_str));
    let clean = |word: &str| {
        word.chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-/".contains(c) { c } else { ' ' })
            .collect::<String>()
    };
    let text: Vec<String> = words.map(clean).collect();
    let joined = text.join(" ");
    let mut name = String::new();
    for word in joined.split_whitespace() {
        if name.len() + word.len() > 60 {
            break;
        }
        name.push_str(if name.is_empty() { "" } else { " " });
        name.push_str(word);
    }
    if name.is_empty() { "recorded".to_owned() } else { name }
}
