//! What a kernel and a user must have, as conditions of C.

use kconform_plan::sysctl_path;

use crate::case::{Comparison, KernelRange, Requires};
use crate::wants::{SettingsWant, SysctlValues, SysctlWant};

use super::ExportError;
use super::names::literal;
use super::state::Export;

/// A condition, and what is said where it is not met.
type Need = (String, String);

impl Export<'_> {
    /// All conditions in one.
    pub(super) fn condition(&mut self, requires: &Requires) -> Result<String, ExportError> {
        let all: Vec<String> = needs(requires).into_iter().map(|(condition, _)| condition).collect();
        Ok(match all.as_slice() {
            [] => "1".to_owned(),
            [one] => one.clone(),
            several => several.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" && "),
        })
    }
}

/// A version's comparison: `KERNEL(>=, 5, 11)`.
fn versions(range: &KernelRange) -> String {
    let all = range.bounds.iter().map(|(comparison, bound)| {
        let operator = match comparison {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Greater => ">",
        };
        let numbers: Vec<String> = bound.iter().map(u32::to_string).collect();
        format!("KERNEL({operator}, {})", numbers.join(", "))
    });
    all.collect::<Vec<_>>().join(" && ")
}

/// What is required, in the order in which kconform looks.
pub(super) fn needs(requires: &Requires) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(range) = &requires.kernel {
        needs.push((versions(&range.value), format!("needs Linux {}", range.value.text)));
    }
    if !requires.arch.is_empty() {
        let names: Vec<_> = requires.arch.iter().map(|arch| arch.name()).collect();
        let any = names.iter().map(|name| format!("machine_is(\"{name}\")")).collect::<Vec<_>>();
        needs.push((any.join(" || "), format!("needs {}", names.join(" or "))));
    }
    if !requires.page_size.is_empty() {
        let sizes: Vec<_> = requires.page_size.iter().map(u64::to_string).collect();
        let any = sizes.iter().map(|size| format!("page_size() == {size}")).collect::<Vec<_>>();
        needs.push((any.join(" || "), format!("needs pages of {} bytes", sizes.join(" or "))));
    }
    for &number in &requires.capabilities {
        let name = kconform_abi::capability::called(number);
        needs.push((format!("capable({number} /* {name} */)"), format!("needs {name} (run as root)")));
    }
    for (name, wanted) in &requires.config {
        let without = if *wanted { "" } else { "a kernel without " };
        let condition = format!("config(\"{name}\") == {}", u8::from(*wanted));
        needs.push((condition, format!("needs {without}{name}, or its config cannot be known")));
    }
    settings(&requires.settings, &mut needs);
    match requires.privileged {
        Some(false) => {
            needs.push(("!capable(39 /* CAP_BPF */)".into(), "needs a user without privileges".into()))
        }
        Some(true) => needs.push(("capable(39 /* CAP_BPF */)".into(), "needs CAP_BPF (run as root)".into())),
        None => {}
    }
    needs
}

fn settings(want: &SettingsWant, needs: &mut Vec<Need>) {
    for want in &want.sysctl {
        needs.push((sysctl(want), format!("needs {want}")));
    }
    match want.jit {
        Some(true) => needs.push(("is_compiled() == 1".into(), "needs the BPF JIT".into())),
        Some(false) => {
            needs.push(("is_compiled() == 0".into(), "needs a kernel whose BPF JIT is off".into()))
        }
        None => {}
    }
    if !want.lockdown.is_empty() {
        let names: Vec<&str> = want.lockdown.iter().map(|level| level.name()).collect();
        let any: Vec<String> = names.iter().map(|name| format!("lockdown_is(\"{name}\")")).collect();
        needs.push((any.join(" || "), format!("needs lockdown {}", names.join(" or "))));
    }
    for (name, wanted) in &want.lsm {
        let without = if *wanted { "the LSM" } else { "a kernel without the LSM" };
        let condition = format!("lsm_is_active({}) == {}", literal(name.as_bytes()), u8::from(*wanted));
        needs.push((condition, format!("needs {without} {name}")));
    }
    for (option, wanted) in &want.cmdline {
        let without = if *wanted { "with" } else { "without" };
        let plain = option.split_once('=').map_or_else(
            || option.replace('-', "_"),
            |(name, value)| format!("{}={value}", name.replace('-', "_")),
        );
        let condition = format!("is_booted_with({}) == {}", literal(plain.as_bytes()), u8::from(*wanted));
        needs.push((condition, format!("needs a kernel booted {without} {option}")));
    }
}

fn sysctl(want: &SysctlWant) -> String {
    let path = literal(sysctl_path(&want.name).as_bytes());
    match &want.values {
        SysctlValues::OneOf(values) => {
            let one = |value: &Option<String>| match value {
                Some(value) => format!("sysctl_is({path}, {})", literal(value.as_bytes())),
                None => format!("no_sysctl({path})"),
            };
            values.iter().map(one).collect::<Vec<_>>().join(" || ")
        }
        SysctlValues::Range { min, max } => {
            let bound =
                |bound: &Option<i64>, none: &str| bound.map_or_else(|| none.to_owned(), |n| n.to_string());
            format!("sysctl_from_to({path}, {}, {})", bound(min, "LLONG_MIN"), bound(max, "LLONG_MAX"))
        }
    }
}
