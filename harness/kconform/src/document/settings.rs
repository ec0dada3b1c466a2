//! How a target is set up, in reports: all of it as data, what is out of the ordinary on one line, and what differs from another.

use std::collections::{BTreeMap, BTreeSet};

use kconform_plan::{Sysctl, known_sysctl};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::settings::boot_options;

use super::lines::one_line;

/// How a target is set up, as far as it is known: what changes the answers of bpf(2) beside the kernel's version and config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Sysctls by name, as they were before the first case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Boot options: of a guest all, of a machine those that change what bpf(2) answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boot_options: Vec<String>,
    /// The active security modules (`/sys/kernel/security/lsm`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lsm: Vec<String>,
    /// `none`, `integrity` or `confidentiality`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<String>,
    /// Programs are compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jit: Option<bool>,
    /// The agent's seccomp mode: `none`, `strict` or `filters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
    /// How many seccomp filters the agent is under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_filters: Option<u32>,
    /// The agent cannot gain privileges by execve(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_new_privs: Option<bool>,
    /// What charges memory to cgroups: `v1`, `v2` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_cgroup: Option<String>,
    /// Limits of cases (getrlimit(2)) by name: soft and hard, `null` for none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, [Option<u64>; 2]>,
    /// The agent's effective capabilities, as `/proc/PID/status` has them, if it is in the initial user namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
    /// The agent is in another user namespace than the initial one: bpf(2) takes its capabilities for none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_user_namespace: bool,
}

/// Beginnings of the names of boot options that change what bpf(2) and the calls around it answer
/// (Documentation/admin-guide/kernel-parameters.txt). A machine's other options are nobody's business.
const BOOT_OPTIONS: &[&str] = &[
    "apparmor",
    "audit",
    "bpf",
    "cgroup",
    "debug_",
    "ftrace",
    "hash_pointers",
    "hugepage",
    "ima_",
    "init_on_",
    "isolcpus",
    "kasan",
    "kfence",
    "kmemleak",
    "kpti",
    "kprobe",
    "landlock",
    "lockdown",
    "lsm",
    "maxcpus",
    "mem",
    "mitigations",
    "module.sig_enforce",
    "nfs",
    "no_hash_pointers",
    "nokaslr",
    "nomodule",
    "noperf",
    "nopti",
    "nosmp",
    "nosmt",
    "nospec",
    "nospectre",
    "nr_cpus",
    "oops",
    "panic",
    "possible_cpus",
    "psi",
    "pti",
    "randomize_kstack_offset",
    "rcu",
    "retbleed",
    "seccomp",
    "security",
    "selinux",
    "slab_",
    "slub_",
    "spec",
    "srbds",
    "stack_",
    "sysctl.",
    "systemd.unified_cgroup_hierarchy",
    "trace_",
    "tsx",
    "vsyscall",
    "yama",
];

fn matters(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or(option).replace('-', "_");
    BOOT_OPTIONS.iter().any(|beginning| name.starts_with(beginning))
}

/// A setting that is not the same in two reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// The target, or the two that are compared: `x86_64-6.1 → x86_64`.
    pub target: String,
    /// Which: `net.core.bpf_jit_harden`, `lockdown`, `boot option lsm=bpf`.
    pub name: String,
    /// What it is in the first report; missing: it is not there, or not known.
    pub before: Option<String>,
    /// What it is in the second.
    pub after: Option<String>,
}

impl Settings {
    /// Those of a kernel that was reached.
    pub(crate) fn of(kernel: &Kernel) -> Settings {
        let told = &*kernel.settings;
        let value = |(name, value): (&String, &Sysctl)| match value {
            Sysctl::Is(value) => Some((name.clone(), one_line(value))),
            Sysctl::Missing | Sysctl::Hidden(_) => None,
        };
        let limited = |limit: u64| Some(limit).filter(|limit| *limit != u64::MAX);
        let split = |list: &String| list.split(',').map(one_line).filter(|name| !name.is_empty()).collect();
        let mode = |mode: u32| match mode {
            0 => "none",
            1 => "strict",
            _ => "filters",
        };
        Settings {
            sysctls: kernel.sysctls.iter().filter_map(value).collect(),
            boot_options: told
                .command_line
                .iter()
                .flat_map(|line| boot_options(line))
                .filter(|option| kernel.guest || matters(option))
                .map(one_line)
                .collect(),
            lsm: told.lsm.as_ref().map(split).unwrap_or_default(),
            lockdown: told.lockdown.map(|level| level.name().to_owned()),
            jit: told.jit,
            seccomp: told.seccomp.map(|number| mode(number).to_owned()),
            seccomp_filters: told.seccomp_filters,
            no_new_privs: told.no_new_privs,
            memory_cgroup: told.memory_cgroup.map(|memory| memory.name().to_owned()),
            limits: told
                .limits
                .iter()
                .map(|(name, soft, hard)| (name.clone(), [limited(*soft), limited(*hard)]))
                .collect(),
            capabilities: (!kernel.in_user_namespace).then(|| format!("{:016x}", kernel.capabilities)),
            in_user_namespace: kernel.in_user_namespace,
        }
    }

    /// What is out of the ordinary, on one line; `None` where nothing is.
    pub(crate) fn unusual(&self) -> Option<String> {
        let is_unusual = |(name, value): &(&String, &String)| {
            let usual = known_sysctl(name).map_or(&[][..], |known| known.usual);
            !usual.is_empty() && !value.parse().is_ok_and(|value: i64| usual.contains(&value))
        };
        let sysctls = self.sysctls.iter().filter(is_unusual).map(|(name, value)| format!("{name}={value}"));
        let jit = (self.jit == Some(false)).then(|| "BPF JIT off".to_owned());
        let lockdown = self.lockdown.iter().filter(|level| *level != "none");
        let lockdown = lockdown.map(|level| format!("lockdown {level}"));
        let seccomp = match (self.seccomp.as_deref(), self.seccomp_filters) {
            (None | Some("none"), _) => None,
            (Some(mode), None) => Some(format!("seccomp {mode}")),
            (Some(_), Some(1)) => Some("1 seccomp filter".to_owned()),
            (Some(_), Some(count)) => Some(format!("{count} seccomp filters")),
        };
        let no_new_privs = (self.no_new_privs == Some(true)).then(|| "no_new_privs".to_owned());
        let memory = self.memory_cgroup.iter().filter(|memory| *memory == "disabled");
        let memory = memory.map(|_| "memory cgroup disabled".to_owned());
        let namespace = self.in_user_namespace.then(|| "in a user namespace".to_owned());
        let all: Vec<String> = sysctls
            .chain(jit)
            .chain(lockdown)
            .chain(seccomp)
            .chain(no_new_privs)
            .chain(memory)
            .chain(namespace)
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Names and values, of all that does not differ between machines anyway.
    fn compared(&self) -> BTreeMap<String, String> {
        let is_compared = |name: &str| known_sysctl(name).is_none_or(|known| !known.usual.is_empty());
        let sysctls = self.sysctls.iter().filter(|(name, _)| is_compared(name));
        let mut all: BTreeMap<String, String> =
            sysctls.map(|(name, value)| (name.clone(), value.clone())).collect();
        let others = [
            ("BPF JIT", self.jit.map(|jit| if jit { "on" } else { "off" }.to_owned())),
            ("lockdown", self.lockdown.clone()),
            ("LSMs", (!self.lsm.is_empty()).then(|| self.lsm.join(","))),
            ("memory cgroup", self.memory_cgroup.clone()),
            ("seccomp", self.seccomp.clone()),
            ("seccomp filters", self.seccomp_filters.map(|count| count.to_string())),
            ("no_new_privs", self.no_new_privs.map(|set| set.to_string())),
            ("capabilities", self.capabilities.clone()),
            ("user namespace", Some(if self.in_user_namespace { "another" } else { "initial" }.to_owned())),
        ];
        all.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let limit = |limit: &Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        let limits = self.limits.iter();
        all.extend(limits.map(|(name, [soft, _])| (format!("RLIMIT_{name}"), limit(soft))));
        all.extend(
            self.boot_options.iter().map(|option| (format!("boot option {option}"), "there".to_owned())),
        );
        all
    }
}

/// What two targets are not set up alike in, under the name that the pair has. A report that tells no settings is older
/// than they are.
pub(super) fn changes(
    target: &str,
    before: Option<&Settings>,
    after: Option<&Settings>,
) -> Vec<SettingChange> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let (before, after) = (before.compared(), after.compared());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
        let target = target.to_owned();
        (before != after).then(|| SettingChange { target, name: name.clone(), before, after })
    };
    names.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sysctls: &[(&str, &str)]) -> Settings {
        let sysctls = sysctls.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings { sysctls, ..Settings::default() }
    }

    #[test]
    fn only_what_is_unusual_is_told() {
        let usual = settings(&[
            ("kernel.kptr_restrict", "0"),
            ("kernel.unprivileged_bpf_disabled", "2"),
            ("net.core.bpf_jit_limit", "5"),
            ("kernel.unknown", "7"),
        ]);
        let usual = Settings {
            jit: Some(true),
            lockdown: Some("none".into()),
            seccomp: Some("none".into()),
            no_new_privs: Some(false),
            memory_cgroup: Some("v2".into()),
            ..usual
        };
        assert_eq!(usual.unusual(), None);
        let unusual = Settings {
            jit: Some(false),
            lockdown: Some("integrity".into()),
            seccomp: Some("filters".into()),
            seccomp_filters: Some(2),
            no_new_privs: Some(true),
            memory_cgroup: Some("disabled".into()),
            in_user_namespace: true,
            ..settings(&[("kernel.kptr_restrict", "2"), ("net.core.bpf_jit_harden", "x")])
        };
        let told = "kernel.kptr_restrict=2, net.core.bpf_jit_harden=x, BPF JIT off, lockdown integrity, 2 seccomp filters, no_new_privs, memory cgroup disabled, in a user namespace";
        assert_eq!(unusual.unusual().as_deref(), Some(told));
        let strict = Settings { seccomp: Some("strict".into()), ..Settings::default() };
        assert_eq!(strict.unusual().as_deref(), Some("seccomp strict"));
        let one = Settings { seccomp: Some("filters".into()), seccomp_filters: Some(1), ..strict };
        assert_eq!(one.unusual().as_deref(), Some("1 seccomp filter"));
    }

    #[test]
    fn of_a_machines_boot_options_only_those_that_matter_are_told() {
        let line =
            "root=UUID=5 lockdown=integrity ima-appraise=fix quiet sysctl.kernel.kptr_restrict=2 -- nokaslr";
        let settings = kconform_plan::Settings { command_line: Some(line.into()), ..Default::default() };
        let facts = kconform_plan::Facts { settings, ..Default::default() };
        let machine = Kernel::new(kconform_abi::Arch::X86_64, &facts, None, true);
        let told = ["lockdown=integrity", "ima-appraise=fix", "sysctl.kernel.kptr_restrict=2"];
        assert_eq!(Settings::of(&machine).boot_options, told);
        let guest = Kernel { guest: true, ..machine };
        assert_eq!(Settings::of(&guest).boot_options.len(), 5);
    }

    #[test]
    fn what_differs_is_told_by_name() {
        let before = Settings {
            boot_options: vec!["quiet".into(), "panic=-1".into()],
            limits: BTreeMap::from([("NOFILE".into(), [Some(1024), None]), ("MEMLOCK".into(), [None, None])]),
            lockdown: Some("none".into()),
            ..settings(&[("net.core.bpf_jit_harden", "0"), ("net.core.bpf_jit_limit", "1"), ("a.b", "1")])
        };
        let after = Settings {
            boot_options: vec!["panic=-1".into(), "lockdown=integrity".into()],
            limits: BTreeMap::from([("NOFILE".into(), [None, None]), ("MEMLOCK".into(), [None, None])]),
            lockdown: Some("integrity".into()),
            ..settings(&[("net.core.bpf_jit_harden", "2"), ("net.core.bpf_jit_limit", "2")])
        };
        let told: Vec<String> = changes("t", Some(&before), Some(&after))
            .into_iter()
            .map(|c| format!("{}: {:?} → {:?}", c.name, c.before.as_deref(), c.after.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                "RLIMIT_NOFILE: Some(\"1024\") → Some(\"unlimited\")",
                "a.b: Some(\"1\") → None",
                "boot option lockdown=integrity: None → Some(\"there\")",
                "boot option quiet: Some(\"there\") → None",
                "lockdown: Some(\"none\") → Some(\"integrity\")",
                "net.core.bpf_jit_harden: Some(\"0\") → Some(\"2\")",
            ]
        );
        assert_eq!(changes("t", None, Some(&after)), []);
    }
}
