//! Where another kernel answers otherwise: `except` entries, and the range of versions that they are for.

use kconform_abi::Arch;

use crate::case::{CallStep, Except, Step};

use super::Change;
use super::insert::{added, added_to};

/// A kernel that ran a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelName {
    /// Its architecture.
    pub(crate) arch: Arch,
    /// Its version's numbers, most significant first.
    pub(crate) version: Vec<u32>,
}

/// What a kernel answers to a step, beside the one that needs an `except`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What the step says.
    Own,
    /// What the `except` is to say.
    Except,
    /// Something else.
    Third,
}

/// The condition that holds on the kernel that needs an `except`, on all that answer as it does and on none that does as the
/// step says: `when`'s value, and a reason that names what was seen. `Err`: why there is none.
pub(super) fn condition(
    one: &KernelName,
    others: &[(KernelName, Answer)],
) -> Result<(String, String), String> {
    let here: Vec<_> = others.iter().filter(|(other, _)| other.arch == one.arch).collect();
    if let Some((third, _)) = here.iter().find(|(_, answer)| *answer == Answer::Third) {
        return Err(format!("{} answers a third thing; say yourself where each holds", dotted(third)));
    }
    let of =
        |wanted: Answer| here.iter().filter(move |(_, answer)| *answer == wanted).map(|(other, _)| other);
    let alike: Vec<_> = of(Answer::Except).chain([one]).collect();
    let below =
        of(Answer::Own).filter(|other| other.version < one.version).max_by_key(|other| &other.version);
    let above =
        of(Answer::Own).filter(|other| other.version > one.version).min_by_key(|other| &other.version);
    if of(Answer::Own).any(|other| other.version == one.version) {
        return Err(format!("two kernels {} of one architecture answer differently", dotted(one)));
    }
    let is_outside = |other: &&&KernelName| {
        below.is_some_and(|below| other.version < below.version)
            || above.is_some_and(|above| other.version > above.version)
    };
    if let Some(outside) = alike.iter().find(is_outside) {
        let between = below.filter(|below| outside.version < below.version).or(above);
        return Err(format!(
            "{} and {} answer so, and {} between them does not; say yourself where it holds",
            dotted(one),
            dotted(outside),
            between.map(dotted).unwrap_or_default()
        ));
    }
    let mut versions: Vec<_> = alike.iter().map(|other| &other.version).collect();
    versions.sort();
    versions.dedup();
    let seen = listed(&versions.iter().map(|version| numbers(version)).collect::<Vec<_>>());
    let not: Vec<_> = [below, above].into_iter().flatten().map(dotted).collect();
    if not.is_empty() {
        let elsewhere = others.iter().filter(|(other, _)| other.arch != one.arch);
        let (same, unlike): (Vec<_>, Vec<_>) = elsewhere.partition(|(_, answer)| *answer == Answer::Except);
        let (true, Some((other, _))) = (same.is_empty(), unlike.first()) else {
            return Err(
                "no kernel is here that tells where it begins or ends; say yourself where it holds".into()
            );
        };
        let arch = one.arch.name();
        return Ok((
            format!("{{arch: {arch}}}"),
            format!("seen on {arch} {seen}, not on {} {}", other.arch.name(), dotted(other)),
        ));
    }
    let mut bounds = Vec::new();
    if let (Some(below), Some(first)) = (below, versions.first()) {
        bounds.push(format!(">={}", numbers(&short(first, &below.version))));
    }
    if let (Some(above), Some(last)) = (above, versions.last()) {
        bounds.push(format!("<{}", numbers(&short(&above.version, last))));
    }
    Ok((format!("{{kernel: \"{}\"}}", bounds.join(", ")), format!("seen on {seen}, not on {}", listed(&not))))
}

/// The numbers of the later of two versions that tell it from the earlier one, two at least.
fn short(later: &[u32], earlier: &[u32]) -> Vec<u32> {
    let same = later.iter().zip(earlier).take_while(|(a, b)| a == b).count();
    later[..later.len().min(2.max(same + 1))].to_vec()
}

fn numbers(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

fn dotted(kernel: &KernelName) -> String {
    numbers(&kernel.version)
}

fn listed(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

/// The change that gives a step one more `except`, behind all others: of those that hold the first one counts.
pub(super) fn another(step: &Step, call: &CallStep, own: Option<usize>, entry: &str) -> Change {
    let text = &step.place.file.text;
    match call.except.last() {
        None => {
            let entry = format!("except: [{{{entry}}}]");
            let within = |at: &usize| (step.place.start..step.place.end).contains(at);
            match own.filter(within) {
                Some(first) => added_to(text, step.place.start, step.place.end, first, &entry),
                None => added(step, call, &entry),
            }
        }
        Some(last) => behind(last, entry),
    }
}

/// Behind another `except`: in its brackets, or as an entry of its own.
fn behind(last: &Except, entry: &str) -> Change {
    let (text, start, end) = (&last.place.file.text, last.place.start, last.place.end);
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    if text[line..start].trim() == "-" {
        let column = text[line..start].find('-').unwrap_or(0);
        let written = text[..end].trim_end().len();
        let at = text[written..].find('\n').map_or(text.len(), |length| written + length);
        return Change { start: at, end: at, text: format!("\n{}- {{{entry}}}", " ".repeat(column)) };
    }
    Change { start: end, end, text: format!(", {{{entry}}}") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn kernel(arch: Arch, version: &str) -> KernelName {
        KernelName { arch, version: version.split('.').map(|n| n.parse().expect("a number")).collect() }
    }

    /// `6.1.5 s390x=except`.
    fn asked(one: &str, others: &[&str]) -> String {
        let arch = |word: &str| if word.ends_with("s390x") { Arch::S390x } else { Arch::X86_64 };
        let version = |word: &str| word.split(' ').next().unwrap_or_default().to_owned();
        let others: Vec<_> = others
            .iter()
            .map(|word| {
                let (name, answer) = word.split_once('=').expect("an answer");
                let answer = match answer {
                    "own" => Answer::Own,
                    "except" => Answer::Except,
                    _ => Answer::Third,
                };
                (kernel(arch(name), &version(name)), answer)
            })
            .collect();
        match condition(&kernel(arch(one), &version(one)), &others) {
            Ok((when, why)) => format!("when: {when}, because: {why}"),
            Err(why) => why,
        }
    }

    #[rstest]
    #[case::older("6.1.5", &["6.12.7=own"], "when: {kernel: \"<6.12\"}, because: seen on 6.1.5, not on 6.12.7")]
    #[case::older_and_others_alike("5.10.2", &["6.12.7=own", "6.1.5=except", "7.3.4=own"], "when: {kernel: \"<6.12\"}, because: seen on 5.10.2 and 6.1.5, not on 6.12.7")]
    #[case::newer("7.3.4", &["6.12.7=own", "5.10.2=own", "7.2.0=except"], "when: {kernel: \">=7.2\"}, because: seen on 7.2.0 and 7.3.4, not on 6.12.7")]
    #[case::between("6.1.5", &["5.10.2=own", "6.12.7=own"], "when: {kernel: \">=6.1, <6.12\"}, because: seen on 6.1.5, not on 5.10.2 and 6.12.7")]
    #[case::a_stable_release("6.12.3", &["6.12.7=own"], "when: {kernel: \"<6.12.7\"}, because: seen on 6.12.3, not on 6.12.7")]
    #[case::another_architecture("6.12.7 s390x", &["6.12.7=own"], "when: {arch: s390x}, because: seen on s390x 6.12.7, not on x86_64 6.12.7")]
    #[case::a_version_though_another_architecture("6.1.5 s390x", &["6.12.7=own", "6.12.7 s390x=own"], "when: {kernel: \"<6.12\"}, because: seen on 6.1.5, not on 6.12.7")]
    #[case::to_and_fro("5.10.2", &["6.1.5=own", "6.12.7=except", "7.3.4=own"], "5.10.2 and 6.12.7 answer so, and 6.1.5 between them does not; say yourself where it holds")]
    #[case::a_third_thing("5.10.2", &["6.1.5=third", "7.3.4=own"], "6.1.5 answers a third thing; say yourself where each holds")]
    #[case::the_same_kernel("6.1.5", &["6.1.5=own"], "two kernels 6.1.5 of one architecture answer differently")]
    #[case::nothing_to_tell_it_from("6.1.5", &["6.12.7 s390x=except"], "no kernel is here that tells where it begins or ends; say yourself where it holds")]
    fn a_condition_tells_the_kernels_apart(#[case] one: &str, #[case] others: &[&str], #[case] wanted: &str) {
        assert_eq!(asked(one, others), wanted);
    }
}
