//! What a system call takes, for people: `kconform explain openat`.

use std::fmt::Write;

use kconform_abi::{Arch, HEADERS, Param, ParamKind, Prototype, gives_fd, prototype};

use crate::case::{Call, Case, Step, StepKind};
use crate::style::Style;

/// How many cases that make a call are named.
const MOST: usize = 3;

/// A system call's arguments with its numbers, an example, and the cases that make it; `arch` is whose order is shown first.
pub fn prototypes(name: &str, arch: Arch, cases: &[Case], style: Style) -> String {
    let mut out = String::new();
    let forms = forms(name, arch);
    for (nth, (known, arches)) in forms.iter().enumerate() {
        let only = if forms.len() > 1 { format!(" on {}", join(arches)) } else { String::new() };
        let params: Vec<String> = known.params.iter().map(ToString::to_string).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}{only}", style.strong(&format!("{name}({})", params.join(", "))));
        out.push_str(&table(known.params));
        if nth + 1 < forms.len() {
            out.push('\n');
        }
    }
    if forms.is_empty() {
        let _ = writeln!(out, "{}: what it takes is not known here; see {name}(2)", style.strong(name));
    }
    let _ = writeln!(out, "{}", numbers(name));
    if gives_fd(name) {
        out.push_str("It returns a file descriptor: `save: fd` keeps it as $fd.\n");
    }
    let first = forms.first().map(|(known, _)| *known);
    let _ = writeln!(out, "A step: - {}", example(name, first));
    if let Some(known) = first.filter(|_| !crate::load::is_word_of_steps(name)) {
        out.push_str(&by_name(known));
    }
    out.push_str(&made_by(name, cases));
    if !forms.is_empty() {
        let _ = writeln!(out, "Source: SYSCALL_DEFINE in Linux {HEADERS}; {name}(2).");
    }
    out
}

/// The call's arguments, and the architectures that have them so; that of `first` before others.
fn forms(name: &str, first: Arch) -> Vec<(Prototype, Vec<Arch>)> {
    let mut forms: Vec<(Prototype, Vec<Arch>)> = Vec::new();
    let others = Arch::ALL.iter().copied().filter(|&arch| arch != first);
    for arch in std::iter::once(first).chain(others) {
        let Some(known) = prototype(arch, name) else { continue };
        // Whether the kernel calls it `len` or `length` there makes no difference.
        let same = |other: &Prototype| {
            let shown = |form: &Prototype| form.params.iter().map(|p| (p.name, p.kind)).collect::<Vec<_>>();
            shown(other) == shown(&known)
        };
        match forms.iter_mut().find(|(other, _)| same(other)) {
            Some((_, arches)) => arches.push(arch),
            None => forms.push((known, vec![arch])),
        }
    }
    forms
}

/// A line for each argument.
fn table(params: &[Param]) -> String {
    let names: Vec<String> = params
        .iter()
        .map(|param| match param.kernel_name {
            same if same == param.name => same.to_owned(),
            kernel => format!("{} ({kernel})", param.name),
        })
        .collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for ((nth, param), name) in params.iter().enumerate().zip(&names) {
        let _ = writeln!(out, "  arg{nth}  {name:width$}  {}", kind(param));
    }
    out
}

fn kind(param: &Param) -> &'static str {
    match param.kind {
        ParamKind::Fd if is_directory(param) => "fd of a directory, or AT_FDCWD",
        ParamKind::Fd => "fd",
        ParamKind::Number => "number",
        ParamKind::Path => "pointer to a path",
        ParamKind::In => "pointer to what the kernel reads",
        ParamKind::Pointer => "pointer to what the kernel may write: an output, or input",
        ParamKind::Any => "number or pointer",
    }
}

fn is_directory(param: &Param) -> bool {
    param.name.ends_with("dirfd")
}

/// `Its number is 56 on riscv64 and aarch64, 257 on x86_64.`
fn numbers(name: &str) -> String {
    let mut numbers: Vec<(u64, Vec<Arch>)> = Vec::new();
    let mut lack = Vec::new();
    for &arch in Arch::ALL {
        match arch.syscall(name) {
            None => lack.push(arch),
            Some(number) => match numbers.iter_mut().find(|(other, _)| *other == number) {
                Some((_, arches)) => arches.push(arch),
                None => numbers.push((number, vec![arch])),
            },
        }
    }
    let lacks = format!("{} lack it: cases that make it are skipped there.", join(&lack));
    let lacks = if lack.len() == 1 { lacks.replacen(" lack ", " lacks ", 1) } else { lacks };
    let there: Vec<String> =
        numbers.iter().map(|(number, arches)| format!("{number} on {}", join(arches))).collect();
    match (there.is_empty(), lack.is_empty()) {
        (true, _) => lacks,
        (false, true) => format!("Its number is {}.", there.join(", ")),
        (false, false) => format!("Its number is {}; {lacks}", there.join(", ")),
    }
}

pub(super) fn join(arches: &[Arch]) -> String {
    let names: Vec<&str> = arches.iter().map(|arch| arch.name()).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A step that makes the call: right, though what it passes need not make sense.
pub(crate) fn example(name: &str, known: Option<Prototype>) -> String {
    if name == "bpf" {
        let attr = "{map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1}";
        return format!("bpf: [BPF_MAP_CREATE, {attr}]");
    }
    let params = known.map_or([].as_slice(), |known| known.params);
    let args: Vec<&str> = params.iter().map(value).collect();
    // `fork` and `signal` mean something else in a step.
    if crate::load::is_word_of_steps(name) {
        let args: String = args.iter().map(|arg| format!(", {arg}")).collect();
        return format!("syscall: [{name}{args}]");
    }
    format!("{name}: [{}]", args.join(", "))
}

/// The same step with the names of its arguments.
fn by_name(known: Prototype) -> String {
    let args: Vec<String> =
        known.params.iter().map(|param| format!("{}: {}", param.name, value(param))).collect();
    if args.is_empty() {
        String::new()
    } else {
        format!("The same: - {}: {{{}}}\n", known.name, args.join(", "))
    }
}

fn value(param: &Param) -> &'static str {
    match param.kind {
        ParamKind::Fd if is_directory(param) => "AT_FDCWD",
        ParamKind::Fd | ParamKind::Number | ParamKind::Any => "0",
        ParamKind::Path => "{str: file}",
        ParamKind::In => "{zero: 8}",
        ParamKind::Pointer => "{out: 8}",
    }
}

/// Which cases make the call.
fn made_by(name: &str, cases: &[Case]) -> String {
    let ids: Vec<&str> =
        cases.iter().filter(|case| makes(&case.steps, name)).map(|case| case.id.as_str()).collect();
    let named = ids.iter().take(MOST).map(|id| format!("  {id}\n")).collect::<String>();
    match ids.len() {
        0 => "No case makes it.\n".to_owned(),
        1 => format!("1 case makes it:\n{named}"),
        many if many <= MOST => format!("{many} cases make it:\n{named}"),
        many => format!("{many} cases make it, among them\n{named}"),
    }
}

fn makes(steps: &[Step], wanted: &str) -> bool {
    steps.iter().any(|step| match &step.kind {
        StepKind::Call(call) => match &call.call {
            Call::Bpf { .. } => wanted == "bpf",
            Call::Syscall { name, .. } => name == wanted,
            Call::Peek { .. } | Call::Poke { .. } => false,
        },
        block => block.blocks().iter().any(|steps| makes(steps, wanted)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kconform_abi::syscall_names;

    use super::*;
    use crate::place::File;

    #[test]
    fn every_example_is_a_right_step() {
        let mut names: Vec<&str> = syscall_names().collect();
        names.sort_unstable();
        let step = |name: &&str| {
            let first = Arch::ALL.iter().find_map(|&arch| prototype(arch, name));
            let named = first.filter(|_| !crate::load::is_word_of_steps(name)).map(by_name);
            let named = named.unwrap_or_default().replace("The same: ", "      ");
            format!("      - {}\n{named}", example(name, first))
        };
        let steps: String = names.iter().map(step).collect();
        let text = format!("cases:\n  - name: all\n    steps:\n{steps}");
        let file = Arc::new(File { path: "all.yaml".into(), text });
        let loaded = crate::load::load(&[crate::load::SuiteFile { suite: "all".into(), file }]);
        assert_eq!(crate::load::message::render(&loaded.mistakes, false), "");
        assert_eq!(loaded.cases.len(), 1);
        assert!(names.len() > 350);
    }
}
