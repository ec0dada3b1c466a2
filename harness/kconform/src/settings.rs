//! Whether a kernel is set up as a case requires: sysctls, the JIT, lockdown, security modules, boot options.
//! In a guest the agent sets a sysctl that is otherwise, for that case alone.

use std::borrow::Cow;
use std::sync::Arc;

use kconform_plan::{SetSysctl, Sysctl, known_sysctl};

use crate::case::{Case, Requires};
use crate::judge::describe_errno;
use crate::kernel::{Kernel, Unmet};
use crate::wants::{SettingsWant, SysctlValues, SysctlWant};

/// Switches the JIT (Documentation/admin-guide/sysctl/net.rst).
const JIT: &str = "net.core.bpf_jit_enable";

/// The value with which a sysctl stays as it is until the next boot.
fn lock_of(name: &str) -> Option<String> {
    known_sysctl(name)?.locks_at.map(|lock| lock.to_string())
}

impl Kernel {
    /// What is known of a sysctl; `None` where it was not asked for.
    pub fn sysctl(&self, name: &str) -> Option<&Sysctl> {
        self.sysctls.get(name)
    }

    /// Whether it is set up so; the first thing that is not, otherwise.
    pub(crate) fn meets_settings(&self, want: &SettingsWant) -> Result<(), Unmet> {
        want.sysctl.iter().try_for_each(|want| self.meets_sysctl(want))?;
        self.meets_jit(want.jit)?;
        let unmet = |reason: String| Err(Unmet { reason });
        if !want.lockdown.is_empty() {
            let names: Vec<&str> = want.lockdown.iter().map(|level| level.name()).collect();
            let needs = format!("needs lockdown {}", names.join(" or "));
            match self.settings.lockdown {
                None => return unmet(format!("{needs}, and this kernel's level cannot be known")),
                Some(level) if !want.lockdown.contains(&level) => {
                    return unmet(format!("{needs}, it is {}", level.name()));
                }
                Some(_) => {}
            }
        }
        for (name, wanted) in &want.lsm {
            let needs = if *wanted { "needs the LSM" } else { "needs a kernel without the LSM" };
            let Some(active) = &self.settings.lsm else {
                return unmet(format!("{needs} {name}, and this kernel's LSMs cannot be known"));
            };
            if active.split(',').any(|active| active == name) != *wanted {
                return unmet(format!("{needs} {name}, it has {active}"));
            }
        }
        for (option, wanted) in &want.cmdline {
            let needs = if *wanted { "needs a kernel booted with" } else { "needs a kernel booted without" };
            let Some(line) = &self.settings.command_line else {
                return unmet(format!("{needs} {option}, and its command line cannot be known"));
            };
            if has_option(line, option) != *wanted {
                return unmet(format!("{needs} {option}"));
            }
        }
        Ok(())
    }

    fn meets_sysctl(&self, want: &SysctlWant) -> Result<(), Unmet> {
        let unmet = |why: String| Err(Unmet { reason: format!("needs {want}, {why}") });
        let may_lack = matches!(&want.values, SysctlValues::OneOf(values) if values.contains(&None));
        match self.sysctl(&want.name) {
            Some(Sysctl::Is(value)) if want.values.have(value) => Ok(()),
            Some(Sysctl::Is(value)) => unmet(format!("it is {value}{}", self.cannot_be_set(want, value))),
            Some(Sysctl::Missing) if may_lack => Ok(()),
            Some(Sysctl::Missing) => unmet("and there is no such sysctl here".into()),
            Some(Sysctl::Hidden(errno)) => {
                unmet(format!("and it cannot be read here: {}", describe_errno(*errno)))
            }
            None => unmet("and its value cannot be known".into()),
        }
    }

    /// What is said of a sysctl of a guest that the agent does not set.
    fn cannot_be_set(&self, want: &SysctlWant, value: &str) -> &'static str {
        match lock_of(&want.name) {
            Some(lock) if lock == value => " and stays so until the next boot",
            Some(lock) if self.guest && want.values.to_set(value).is_some_and(|to| to == lock) => {
                " and could not be put back: the case would have to be `fresh`"
            }
            _ => "",
        }
    }

    /// Whether a case may set a sysctl in the middle: some stay as they are once they have a certain value.
    ///
    /// # Errors
    /// That it is one of these.
    pub(crate) fn can_set(&self, name: &str, number: i64) -> Result<(), Unmet> {
        let lock = lock_of(name).filter(|lock| *lock != number.to_string());
        match (lock, self.sysctl(name)) {
            (Some(lock), Some(Sysctl::Is(value))) if *value == lock => Err(Unmet {
                reason: format!("needs {name}={number}, it is {value} and stays so until the next boot"),
            }),
            _ => Ok(()),
        }
    }

    fn meets_jit(&self, wanted: Option<bool>) -> Result<(), Unmet> {
        let reason = match (wanted, self.settings.jit) {
            (None, _) | (Some(true), Some(true)) | (Some(false), Some(false)) => return Ok(()),
            (Some(true), None) => "needs the BPF JIT, and whether programs are compiled cannot be known",
            (Some(false), None) => {
                "needs a kernel whose BPF JIT is off, and whether programs are compiled cannot be known"
            }
            (Some(true), Some(false)) => match self.sysctl(JIT) {
                Some(Sysctl::Is(value)) if value == "0" => "needs the BPF JIT, net.core.bpf_jit_enable is 0",
                _ => "needs the BPF JIT, and this kernel has none",
            },
            (Some(false), Some(true)) => "needs a kernel whose BPF JIT is off",
        };
        Err(Unmet { reason: reason.into() })
    }

    /// The sysctls that the agent must set so that a case can run: none on a machine that others use, and none that cannot be
    /// put back, unless the case has the guest for itself.
    pub(crate) fn to_set(&self, requires: &[Requires], fresh: bool) -> Vec<SetSysctl> {
        let mut set: Vec<SetSysctl> = Vec::new();
        if !self.guest {
            return set;
        }
        let wants = requires.iter().flat_map(|requires| &requires.settings.sysctl);
        for want in wants {
            let Some(Sysctl::Is(value)) = self.sysctl(&want.name) else { continue };
            let value = set.iter().find(|set| set.name == want.name).map_or(value, |set| &set.value).clone();
            let Some(to) = want.values.to_set(&value).filter(|_| !want.values.have(&value)) else { continue };
            let can = lock_of(&want.name).is_none_or(|lock| lock != value && (fresh || lock != to));
            if can {
                set.retain(|set| set.name != want.name);
                set.push(SetSysctl { name: want.name.clone(), value: to });
            }
        }
        let jit = requires.iter().find_map(|requires| requires.settings.jit);
        let is_on = matches!(self.sysctl(JIT), Some(Sysctl::Is(value)) if value != "0");
        let is_there = matches!(self.sysctl(JIT), Some(Sysctl::Is(_)));
        if let (Some(wanted), Some(is)) = (jit, self.settings.jit)
            // A JIT that is on and compiles nothing is none.
            && wanted != is && is_there && is_on != wanted
            && !set.iter().any(|set| set.name == JIT)
        {
            set.push(SetSysctl { name: JIT.into(), value: u8::from(wanted).to_string() });
        }
        set
    }

    /// The kernel as it is while these are set.
    pub(crate) fn with(&self, set: &[SetSysctl]) -> Cow<'_, Kernel> {
        if set.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut kernel = self.clone();
        let sysctls = Arc::make_mut(&mut kernel.sysctls);
        for SetSysctl { name, value } in set {
            sysctls.insert(name.clone(), Sysctl::Is(value.clone()));
            if name == JIT {
                Arc::make_mut(&mut kernel.settings).jit = Some(value != "0");
            }
        }
        Cow::Owned(kernel)
    }

    /// What must be set for a case, if all is there that it requires then.
    ///
    /// # Errors
    /// The first thing that is not.
    pub(crate) fn prepared(&self, case: &Case) -> Result<(Cow<'_, Kernel>, Vec<SetSysctl>), Unmet> {
        let set = self.to_set(&case.requires, case.fresh);
        let kernel = self.with(&set);
        let meets = |kernel: &Kernel| case.requires.iter().try_for_each(|requires| kernel.meets(requires));
        // Where setting does not help, what is told is what there was before.
        meets(&kernel).map_err(|unmet| meets(self).err().unwrap_or(unmet))?;
        Ok((kernel, set))
    }
}

/// The words of a command line that are the kernel's: what follows `--` is init's.
pub(crate) fn boot_options(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().take_while(|word| *word != "--")
}

/// Whether a command line has an option: the word itself, `option=…` where none of its values is asked for, or
/// `option=…,value,…`. In an option's name `-` and `_` are the same (`parameq()` of kernel/params.c).
fn has_option(line: &str, option: &str) -> bool {
    let parts = |word: &str| {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        (name.replace('-', "_"), value.map(|value| value.trim_matches('"').to_owned()))
    };
    let (name, wanted) = parts(option);
    boot_options(line).map(parts).any(|(its, value)| {
        let fits = match (&wanted, &value) {
            (None, _) => true,
            (Some(wanted), Some(value)) => {
                value == wanted || value.split(',').any(|one| one == wanted.as_str())
            }
            (Some(_), None) => false,
        };
        its == name && fits
    })
}

#[cfg(test)]
mod tests {
    use kconform_abi::Arch;
    use kconform_plan::{Facts, Lockdown, Settings};
    use rstest::rstest;

    use super::*;

    fn kernel(guest: bool) -> Kernel {
        let is = |value: &str| Sysctl::Is(value.into());
        let sysctls = [
            ("kernel.printk", is("4\t4\t1\t7")),
            ("kernel.unprivileged_bpf_disabled", is("2")),
            ("kernel.modules_disabled", is("0")),
            ("kernel.yama.ptrace_scope", is("3")),
            ("kernel.kexec_load_disabled", Sysctl::Missing),
            ("net.core.bpf_jit_enable", is("0")),
            ("net.core.bpf_jit_harden", is("2")),
            ("net.core.bpf_jit_limit", Sysctl::Hidden(1)),
            ("net.core.optmem_max", is("1000")),
        ];
        let settings = Settings {
            sysctls: sysctls.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            command_line: Some("quiet lsm=lockdown,bpf cgroup-disable=memory,cpu x=\"y\" -- splash".into()),
            lsm: Some("capability,lockdown,bpf".into()),
            lockdown: Some(Lockdown::Integrity),
            jit: Some(false),
            ..Settings::default()
        };
        let facts = Facts { settings, ..Facts::default() };
        Kernel { guest, ..Kernel::new(Arch::X86_64, &facts, None, !guest) }
    }

    fn one_of(name: &str, values: &[&str]) -> SettingsWant {
        let value = |value: &&str| (*value != "none").then(|| (*value).to_owned());
        let values = SysctlValues::OneOf(values.iter().map(value).collect());
        SettingsWant { sysctl: vec![SysctlWant { name: name.into(), values }], ..SettingsWant::default() }
    }

    fn range(name: &str, min: Option<i64>, max: Option<i64>) -> SettingsWant {
        let values = SysctlValues::Range { min, max };
        SettingsWant { sysctl: vec![SysctlWant { name: name.into(), values }], ..SettingsWant::default() }
    }

    fn jit(jit: bool) -> SettingsWant {
        SettingsWant { jit: Some(jit), ..SettingsWant::default() }
    }

    fn lockdown(levels: &[Lockdown]) -> SettingsWant {
        SettingsWant { lockdown: levels.to_vec(), ..SettingsWant::default() }
    }

    fn lsm(name: &str, wanted: bool) -> SettingsWant {
        SettingsWant { lsm: vec![(name.into(), wanted)], ..SettingsWant::default() }
    }

    fn cmdline(option: &str, wanted: bool) -> SettingsWant {
        SettingsWant { cmdline: vec![(option.into(), wanted)], ..SettingsWant::default() }
    }

    const NONE: Lockdown = Lockdown::None;
    #[test]
    fn what_is_locked_cannot_be_set_in_the_middle() {
        let kernel = kernel(true);
        let reason = |name, number| kernel.can_set(name, number).err().map(|unmet| unmet.reason);
        let locked = "needs kernel.yama.ptrace_scope=0, it is 3 and stays so until the next boot";
        assert_eq!(reason("kernel.yama.ptrace_scope", 0).as_deref(), Some(locked));
        for (name, number) in
            [("kernel.yama.ptrace_scope", 3), ("kernel.unprivileged_bpf_disabled", 0), ("kernel.printk", 1)]
        {
            assert_eq!(reason(name, number), None, "{name}");
        }
    }

    const INTEGRITY: Lockdown = Lockdown::Integrity;

    #[rstest]
    #[case::nothing(SettingsWant::default(), None)]
    #[case::same(one_of("net.core.bpf_jit_harden", &["0", "2"]), None)]
    #[case::another(
        one_of("net.core.bpf_jit_harden", &["0"]),
        Some("needs net.core.bpf_jit_harden=0, it is 2")
    )]
    #[case::none_of_several(
        one_of("net.core.bpf_jit_harden", &["none", "0", "1"]),
        Some("needs net.core.bpf_jit_harden=0 or 1 or none, it is 2")
    )]
    #[case::words(one_of("kernel.printk", &["4 4 1 7"]), None)]
    #[case::may_be_missing(one_of("kernel.kexec_load_disabled", &["0", "none"]), None)]
    #[case::must_be_missing(one_of("kernel.printk", &["none"]), Some("needs no kernel.printk, it is 4\t4\t1\t7"))]
    #[case::missing(
        one_of("kernel.kexec_load_disabled", &["0"]),
        Some("needs kernel.kexec_load_disabled=0, and there is no such sysctl here")
    )]
    #[case::hidden(
        one_of("net.core.bpf_jit_limit", &["0"]),
        Some("needs net.core.bpf_jit_limit=0, and it cannot be read here: EPERM (1, Operation not permitted)")
    )]
    #[case::unknown(
        one_of("kernel.panic", &["0"]),
        Some("needs kernel.panic=0, and its value cannot be known")
    )]
    #[case::locked(
        one_of("kernel.yama.ptrace_scope", &["0"]),
        Some("needs kernel.yama.ptrace_scope=0, it is 3 and stays so until the next boot")
    )]
    #[case::within(range("net.core.optmem_max", Some(1000), Some(1000)), None)]
    #[case::below(
        range("net.core.optmem_max", Some(2000), None),
        Some("needs net.core.optmem_max of at least 2000, it is 1000")
    )]
    #[case::above(
        range("net.core.optmem_max", None, Some(10)),
        Some("needs net.core.optmem_max of at most 10, it is 1000")
    )]
    #[case::outside(
        range("net.core.optmem_max", Some(1), Some(10)),
        Some("needs net.core.optmem_max from 1 to 10, it is 1000")
    )]
    #[case::no_number(
        range("kernel.printk", Some(4), None),
        Some("needs kernel.printk of at least 4, it is 4\t4\t1\t7")
    )]
    #[case::interpreted(jit(false), None)]
    #[case::compiled(jit(true), Some("needs the BPF JIT, net.core.bpf_jit_enable is 0"))]
    #[case::level(lockdown(&[NONE, INTEGRITY]), None)]
    #[case::other_level(lockdown(&[NONE]), Some("needs lockdown none, it is integrity"))]
    #[case::module(lsm("bpf", true), None)]
    #[case::no_module(lsm("selinux", true), Some("needs the LSM selinux, it has capability,lockdown,bpf"))]
    #[case::not_that_module(lsm("selinux", false), None)]
    #[case::that_module(
        lsm("bpf", false),
        Some("needs a kernel without the LSM bpf, it has capability,lockdown,bpf")
    )]
    #[case::option(cmdline("quiet", true), None)]
    #[case::option_with_a_value(cmdline("lsm", true), None)]
    #[case::one_of_its_values(cmdline("cgroup_disable=memory", true), None)]
    #[case::all_of_its_values(cmdline("lsm=lockdown,bpf", true), None)]
    #[case::quoted(cmdline("x=y", true), None)]
    #[case::no_option(cmdline("nokaslr", true), Some("needs a kernel booted with nokaslr"))]
    #[case::inits(cmdline("splash", true), Some("needs a kernel booted with splash"))]
    #[case::another_value(cmdline("lsm=selinux", true), Some("needs a kernel booted with lsm=selinux"))]
    #[case::not_that_option(cmdline("quiet", false), Some("needs a kernel booted without quiet"))]
    fn settings(#[case] want: SettingsWant, #[case] reason: Option<&str>) {
        let unmet = kernel(false).meets_settings(&want).err().map(|unmet| unmet.reason);
        assert_eq!(unmet.as_deref(), reason);
    }

    #[rstest]
    #[case(jit(true), "needs the BPF JIT, and whether programs are compiled cannot be known")]
    #[case(
        jit(false),
        "needs a kernel whose BPF JIT is off, and whether programs are compiled cannot be known"
    )]
    #[case(lockdown(&[NONE]), "needs lockdown none, and this kernel's level cannot be known")]
    #[case(lsm("bpf", true), "needs the LSM bpf, and this kernel's LSMs cannot be known")]
    #[case(lsm("bpf", false), "needs a kernel without the LSM bpf, and this kernel's LSMs cannot be known")]
    #[case(cmdline("quiet", true), "needs a kernel booted with quiet, and its command line cannot be known")]
    fn what_cannot_be_known_is_not_guessed(#[case] want: SettingsWant, #[case] reason: &str) {
        let unknown = Kernel { settings: Arc::default(), ..kernel(false) };
        assert_eq!(unknown.meets_settings(&want).map_err(|unmet| unmet.reason), Err(reason.into()));
    }

    #[test]
    fn a_jit_that_is_on_and_compiles_nothing_is_none() {
        let on = kernel(true).with(&[SetSysctl { name: JIT.into(), value: "1".into() }]).into_owned();
        assert_eq!(on.meets_settings(&jit(true)), Ok(()));
        let reason = on.meets_settings(&jit(false)).map_err(|unmet| unmet.reason);
        assert_eq!(reason, Err("needs a kernel whose BPF JIT is off".into()));
        let settings = Arc::new(Settings { jit: Some(false), ..Settings::default() });
        let none = Kernel { settings, ..on };
        let reason = none.meets_settings(&jit(true)).map_err(|unmet| unmet.reason);
        assert_eq!(reason, Err("needs the BPF JIT, and this kernel has none".into()));
        assert_eq!(none.to_set(&[requires(jit(true))], false), []);
    }

    fn requires(settings: SettingsWant) -> Requires {
        Requires { settings, ..Requires::default() }
    }

    fn set(kernel: &Kernel, wants: &[SettingsWant], fresh: bool) -> Vec<String> {
        let requires: Vec<Requires> = wants.iter().cloned().map(requires).collect();
        let set = kernel.to_set(&requires, fresh);
        let all_met = wants.iter().all(|want| kernel.with(&set).meets_settings(want).is_ok());
        let words = set.into_iter().map(|SetSysctl { name, value }| format!("{name}={value}"));
        words.chain((!all_met).then(|| "skipped".into())).collect()
    }

    #[rstest]
    #[case::as_it_is(&[one_of("net.core.bpf_jit_harden", &["2"])], &[])]
    #[case::the_first_value(
        &[one_of("net.core.bpf_jit_harden", &["none", "1", "0"])],
        &["net.core.bpf_jit_harden=1"]
    )]
    #[case::up_to_the_least(&[range("net.core.optmem_max", Some(2000), Some(3000))], &["net.core.optmem_max=2000"])]
    #[case::down_to_the_most(&[range("net.core.optmem_max", Some(1), Some(10))], &["net.core.optmem_max=10"])]
    #[case::the_jit(&[jit(true)], &["net.core.bpf_jit_enable=1"])]
    #[case::no_jit_is_there(&[jit(false)], &[])]
    #[case::the_jit_by_its_name(
        &[one_of(JIT, &["2"]), jit(true)],
        &["net.core.bpf_jit_enable=2"]
    )]
    #[case::both(
        &[jit(true), one_of("net.core.bpf_jit_harden", &["0"])],
        &["net.core.bpf_jit_harden=0", "net.core.bpf_jit_enable=1"]
    )]
    #[case::narrower(
        &[one_of("net.core.bpf_jit_harden", &["0", "1"]), one_of("net.core.bpf_jit_harden", &["1"])],
        &["net.core.bpf_jit_harden=1"]
    )]
    #[case::against_each_other(
        &[one_of("net.core.bpf_jit_harden", &["0"]), one_of("net.core.bpf_jit_harden", &["1"])],
        &["net.core.bpf_jit_harden=1", "skipped"]
    )]
    #[case::free_to_be_lowered(
        &[one_of("kernel.unprivileged_bpf_disabled", &["0"])],
        &["kernel.unprivileged_bpf_disabled=0"]
    )]
    #[case::locks(&[one_of("kernel.unprivileged_bpf_disabled", &["1"])], &["skipped"])]
    #[case::locked(&[one_of("kernel.yama.ptrace_scope", &["0"])], &["skipped"])]
    #[case::missing(&[one_of("kernel.kexec_load_disabled", &["0"])], &["skipped"])]
    #[case::hidden(&[one_of("net.core.bpf_jit_limit", &["0"])], &["skipped"])]
    fn a_guest_is_set_up(#[case] wants: &[SettingsWant], #[case] expected: &[&str]) {
        assert_eq!(set(&kernel(true), wants, false), expected);
    }

    #[test]
    fn what_locks_is_set_for_a_case_that_has_the_guest_for_itself() {
        let locks = one_of("kernel.modules_disabled", &["1"]);
        assert_eq!(set(&kernel(true), std::slice::from_ref(&locks), true), ["kernel.modules_disabled=1"]);
        let reason = kernel(true).meets_settings(&locks).map_err(|unmet| unmet.reason);
        let expected = "needs kernel.modules_disabled=1, it is 0 and could not be put back: the case would have to be `fresh`";
        assert_eq!(reason, Err(expected.into()));
        let shared = kernel(false).meets_settings(&locks).map_err(|unmet| unmet.reason);
        assert_eq!(shared, Err("needs kernel.modules_disabled=1, it is 0".into()));
    }

    #[test]
    fn a_kernel_that_others_use_stays_as_it_is() {
        let wants = [one_of("net.core.bpf_jit_harden", &["0"]), jit(true)];
        assert_eq!(set(&kernel(false), &wants, false), ["skipped"]);
    }
}
