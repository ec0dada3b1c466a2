//! What cases require of how a kernel is set up: sysctls, the JIT, lockdown, security modules, boot options.

use kconform_plan::Lockdown;

/// What a sysctl must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysctlWant {
    /// Its name, with dots: `net.core.bpf_jit_harden`.
    pub name: String,
    /// What it must be.
    pub values: SysctlValues,
}

/// Values of a sysctl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlValues {
    /// One of these; `None`: there is no such sysctl.
    OneOf(Vec<Option<String>>),
    /// `{min: …, max: …}`.
    Range {
        /// The least.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
}

/// What settings must be, beside what else a kernel must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsWant {
    /// Sysctls.
    pub sysctl: Vec<SysctlWant>,
    /// Whether programs are compiled.
    pub jit: Option<bool>,
    /// One of these levels; empty: any.
    pub lockdown: Vec<Lockdown>,
    /// Security modules that must be active (`false`: must not be).
    pub lsm: Vec<(String, bool)>,
    /// Words of the kernel's command line that must be there (`false`: must not be).
    pub cmdline: Vec<(String, bool)>,
}

impl SettingsWant {
    /// Whether some of it could be set for a case.
    pub(crate) fn can_be_set(&self) -> bool {
        !self.sysctl.is_empty() || self.jit.is_some()
    }
}

impl SysctlValues {
    /// Whether a value is one of them.
    pub(crate) fn have(&self, value: &str) -> bool {
        match self {
            SysctlValues::OneOf(values) => values.iter().flatten().any(|wanted| is_same(wanted, value)),
            SysctlValues::Range { min, max } => value
                .parse::<i64>()
                .is_ok_and(|value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)),
        }
    }

    /// The one that is to be set where the sysctl is none of them.
    pub(crate) fn to_set(&self, value: &str) -> Option<String> {
        match self {
            SysctlValues::OneOf(values) => values.iter().flatten().next().cloned(),
            SysctlValues::Range { min, max } => {
                let value: i64 = value.parse().ok()?;
                let below = min.filter(|min| value < *min);
                below.or(*max).map(|value| value.to_string())
            }
        }
    }
}

impl std::fmt::Display for SysctlWant {
    /// `net.core.bpf_jit_harden=0`, `kernel.kptr_restrict=0 or 1`, `net.core.optmem_max of at least 20480`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.name;
        match &self.values {
            SysctlValues::OneOf(values) => {
                let some: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
                match (some.is_empty(), some.len() < values.len()) {
                    (true, _) => write!(f, "no {name}"),
                    (false, true) => write!(f, "{name}={} or none", some.join(" or ")),
                    (false, false) => write!(f, "{name}={}", some.join(" or ")),
                }
            }
            SysctlValues::Range { min: Some(min), max: Some(max) } => write!(f, "{name} from {min} to {max}"),
            SysctlValues::Range { min: Some(min), max: None } => write!(f, "{name} of at least {min}"),
            SysctlValues::Range { min: None, max: Some(max) } => write!(f, "{name} of at most {max}"),
            SysctlValues::Range { min: None, max: None } => write!(f, "{name}"),
        }
    }
}

/// Whether two values are the same, as numbers, or else word by word.
fn is_same(a: &str, b: &str) -> bool {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.split_whitespace().eq(b.split_whitespace()),
    }
}
