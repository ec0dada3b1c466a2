//! What is known of a kernel, and whether it has what a case requires.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use kconform_abi::Arch;
use kconform_plan::{
    BtfAnswer, BtfQuery, BtfWant, Call, Facts, Refusal, Refuser, Settings, Step, Sysctl, calls,
};

use crate::btf::kind_word;
use crate::case::{Comparison, KernelRange, Requires};

/// The kernel of a target, as its agent found it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its architecture.
    pub arch: Arch,
    /// Its version's numbers, most significant first: 6.1.192.
    pub version: Vec<u32>,
    /// `uname -r`.
    pub release: String,
    /// Possible CPUs.
    pub possible_cpus: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Capabilities in the initial user namespace, as a bit mask.
    pub capabilities: u64,
    /// The agent is in another user namespace than the initial one.
    pub in_user_namespace: bool,
    /// Effective uid.
    pub uid: u32,
    /// Its config, when it can be known. Shared: it is large, and kernels are cloned.
    pub config: Option<Arc<Config>>,
    /// How it is set up.
    pub settings: Arc<Settings>,
    /// The sysctls that are known, by name: those of the settings, and those that were asked for.
    pub sysctls: Arc<BTreeMap<String, Sysctl>>,
    /// What it said of its own types. Shared, as the config is.
    pub btf: Arc<BTreeMap<BtfQuery, BtfAnswer>>,
    /// What the root that cases would run in lacks of `/proc`, `/sys` and `/dev/null`.
    pub root_lacks: Arc<[String]>,
    /// System calls that are refused there before the kernel's own code looks at them.
    pub refusals: Arc<[Refusal]>,
    /// It is the kernel that the harness itself runs on.
    pub host: bool,
    /// It is a guest's, which is thrown away: its sysctls are set as cases need them.
    pub guest: bool,
}

/// Something that a case requires and this kernel (or user) does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// `needs Linux >=6.6, this is 6.1.192`.
    pub reason: String,
}

/// What refuses calls, and what a user may do about it.
pub fn refuser(by: Refuser) -> (&'static str, Option<&'static str>) {
    match by {
        Refuser::Seccomp => (
            "a seccomp filter",
            Some("leave the sandbox; a container wants --security-opt seccomp=unconfined; or run a guest"),
        ),
        Refuser::SecurityModule => ("a security module", Some("change its policy, or run a guest")),
        Refuser::Kernel => ("this kernel", None),
    }
}

/// How a refused call ends.
pub fn end_of(refusal: &Refusal) -> &'static str {
    match refusal.errno {
        Some(errno) => kconform_abi::errno::name(errno).unwrap_or("an errno"),
        None => "its process is killed",
    }
}

const CAP_SYS_ADMIN: u8 = 21;
const CAP_PERFMON: u8 = 38;
const CAP_BPF: u8 = 39;
const CAP_CHECKPOINT_RESTORE: u8 = 40;

impl Kernel {
    /// Takes in what an agent said. `config` is the kernel's config where the agent could not read it (the image's).
    pub fn new(arch: Arch, facts: &Facts, config: Option<String>, host: bool) -> Kernel {
        Kernel {
            arch,
            version: version_of(&facts.release, &facts.version),
            release: facts.release.clone(),
            possible_cpus: facts.possible_cpus.max(1),
            page_size: facts.page_size,
            capabilities: if facts.initial_user_namespace { facts.capabilities } else { 0 },
            in_user_namespace: !facts.initial_user_namespace,
            uid: facts.uid,
            config: config.map(|text| Arc::new(Config::new(text))),
            settings: Arc::new(facts.settings.clone()),
            sysctls: Arc::new(facts.settings.sysctls.iter().cloned().collect()),
            btf: Arc::default(),
            root_lacks: facts.root_lacks.as_slice().into(),
            refusals: facts.refusals.as_slice().into(),
            host,
            guest: false,
        }
    }

    /// Whether the agent holds a capability. CAP_SYS_ADMIN stands in where the kernel lets it
    /// (`bpf_capable`, `perfmon_capable`, `checkpoint_restore_ns_capable` in include/linux/capability.h).
    pub fn has_capability(&self, number: u8) -> bool {
        let holds = |n: u8| self.capabilities >> n & 1 == 1;
        let stand_in = matches!(number, CAP_BPF | CAP_PERFMON | CAP_CHECKPOINT_RESTORE);
        holds(number) || (stand_in && holds(CAP_SYS_ADMIN))
    }

    /// Whether the agent may walk the ids of BPF objects (`bpf_obj_get_next_id()` of kernel/bpf/syscall.c).
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_look_for_leaks(&self) -> Result<(), &'static str> {
        if !self.has_capability(CAP_SYS_ADMIN) {
            return Err("leaks cannot be looked for: that needs CAP_SYS_ADMIN");
        }
        if self.refuses_bpf() {
            return Err("leaks cannot be looked for: bpf(2) is refused");
        }
        Ok(())
    }

    /// Whether cases find what is in any root: without it nothing that they see says anything of the kernel.
    ///
    /// # Errors
    /// What is not there.
    pub fn has_a_root(&self) -> Result<(), Unmet> {
        if self.root_lacks.is_empty() {
            return Ok(());
        }
        let what = self.root_lacks.join(" and ");
        Err(Unmet {
            reason: format!("there is no {what} in this root (mount it in a chroot, or run outside of it)"),
        })
    }

    /// Whether everything is there; the first thing that is not, otherwise.
    pub fn meets(&self, requires: &Requires) -> Result<(), Unmet> {
        let unmet = |reason: String| Err(Unmet { reason });
        if let Some(range) = &requires.kernel
            && !range.value.contains(&self.version)
        {
            return unmet(format!("needs Linux {}", range.value.text));
        }
        if !requires.arch.is_empty() && !requires.arch.contains(&self.arch) {
            let names: Vec<_> = requires.arch.iter().map(|a| a.name()).collect();
            return unmet(format!("needs {}", names.join(" or ")));
        }
        if !requires.page_size.is_empty() && !requires.page_size.contains(&u64::from(self.page_size)) {
            let sizes: Vec<_> = requires.page_size.iter().map(u64::to_string).collect();
            return unmet(format!(
                "needs pages of {} bytes, which are of {} here",
                sizes.join(" or "),
                self.page_size
            ));
        }
        for &number in &requires.capabilities {
            if !self.has_capability(number) {
                return unmet(self.lacks_capability(number));
            }
        }
        for (name, wanted) in &requires.config {
            let Some(config) = &self.config else {
                return unmet(format!("needs {name}, and this kernel's config cannot be known"));
            };
            let there = matches!(config.get(name), Some("y" | "m"));
            if there != *wanted {
                return unmet(format!("needs {}{name}", if *wanted { "" } else { "a kernel without " }));
            }
        }
        self.meets_settings(&requires.settings)?;
        match requires.privileged {
            Some(false) if self.has_capability(CAP_BPF) => unmet("needs a user without privileges".into()),
            Some(true) if !self.has_capability(CAP_BPF) => unmet(self.lacks_capability(CAP_BPF)),
            _ => Ok(()),
        }
    }

    /// Whether none of the calls of a plan is refused before the kernel's own code looks at it: what such a case sees says
    /// nothing of the kernel.
    ///
    /// # Errors
    /// The first call that is.
    pub fn lets(&self, steps: &[Step]) -> Result<(), Unmet> {
        let refused = |call: &Call| self.refusals.iter().find(|refusal| call.is(refusal.call));
        let first = if self.refusals.is_empty() { None } else { calls(steps).find_map(refused) };
        first.map_or(Ok(()), |refusal| Err(Unmet { reason: self.refused(refusal) }))
    }

    /// Says which call is refused, by what, and what to do about it.
    fn refused(&self, refusal: &Refusal) -> String {
        let (by, mend) = refuser(refusal.by);
        let (call, end) = (self.call_of(refusal), end_of(refusal));
        match mend {
            Some(mend) => format!("{call}(2) is refused by {by} here: {end} ({mend})"),
            None => format!("{by} has no {call}(2): {end}"),
        }
    }

    /// The name of a call that is refused.
    pub fn call_of(&self, refusal: &Refusal) -> &'static str {
        kconform_abi::syscall_name(self.arch, refusal.call).unwrap_or("a system call")
    }

    /// It refuses bpf(2) whatever is asked of it.
    pub fn refuses_bpf(&self) -> bool {
        self.refusals.iter().any(|refusal| self.call_of(refusal) == "bpf")
    }

    /// What its own BTF says of a type.
    ///
    /// # Errors
    /// What it lacks.
    pub fn btf(&self, query: &BtfQuery) -> Result<u64, Unmet> {
        let name = format!("{} {}", kind_word(query.kind), query.name);
        let member = match &query.want {
            BtfWant::Offset(member) | BtfWant::Index(member) => member,
            BtfWant::Id | BtfWant::Size => "",
        };
        let reason = match self.btf.get(query) {
            Some(BtfAnswer::Number(number)) => return Ok((*number).into()),
            Some(BtfAnswer::NoType) => format!("needs {name} in the kernel's BTF"),
            Some(BtfAnswer::NoMember) => format!("needs a {member} in {name} of the kernel's BTF"),
            Some(BtfAnswer::BitField) => format!("needs a {member} in {name} that begins at a byte"),
            Some(BtfAnswer::NoBtf) | None => "needs the kernel's BTF (/sys/kernel/btf/vmlinux)".into(),
        };
        Err(Unmet { reason })
    }

    /// Says that a capability is missing, and why.
    pub fn lacks_capability(&self, number: u8) -> String {
        let name = kconform_abi::capability::called(number);
        let place = if self.in_user_namespace { " in the initial user namespace" } else { "" };
        format!("needs {name}{place} (run as root, or with sudo)")
    }
}

impl KernelRange {
    /// Whether a version is in the range.
    pub fn contains(&self, version: &[u32]) -> bool {
        self.bounds.iter().all(|(comparison, bound)| {
            let part = |i: usize| version.get(i).copied().unwrap_or(0);
            let mine: Vec<u32> = (0..bound.len()).map(part).collect();
            let order = mine.as_slice().cmp(bound.as_slice());
            match comparison {
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::GreaterOrEqual => order.is_ge(),
                Comparison::Greater => order.is_gt(),
            }
        })
    }
}

/// The version's numbers. Debian's `uname -r` stays at 6.1.0 for all of 6.1; `uname -v` has the real one
/// (`#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-…)`).
fn version_of(release: &str, version: &str) -> Vec<u32> {
    let plain = numbers(release);
    let debian = version.split_whitespace().skip_while(|&w| w != "Debian").nth(1).map(numbers);
    match debian {
        Some(debian) if debian.len() >= 2 && plain.len() >= 2 && debian[..2] == plain[..2] => debian,
        _ => plain,
    }
}

/// The dotted numbers that a text starts with.
pub fn numbers(text: &str) -> Vec<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].split('.').map_while(|n| n.parse().ok()).collect()
}

/// A kernel's config, taken apart when a case first asks for a word of it: there are thousands, and the first verdict of a
/// restored guest waits for nothing that it does not need.
#[derive(Debug)]
pub struct Config {
    text: String,
    values: OnceLock<HashMap<String, String>>,
}

impl Config {
    /// The config in a text like `/proc/config.gz` holds (Documentation/kbuild/kconfig.rst, `.config`).
    pub fn new(text: String) -> Config {
        Config { text, values: OnceLock::new() }
    }

    /// The value of a `CONFIG_…` name, without quotes; `None` where it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get_or_init(|| parse_config(&self.text)).get(name).map(String::as_str)
    }
}

fn parse_config(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| name.starts_with("CONFIG_"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn range(bounds: &[(Comparison, &[u32])]) -> KernelRange {
        let bounds = bounds.iter().map(|(comparison, bound)| (*comparison, bound.to_vec())).collect();
        KernelRange { text: String::new(), bounds }
    }

    #[rstest]
    #[case::vanilla("6.18.44", "#1 SMP", &[6, 18, 44])]
    #[case::suffix("6.12.94+deb13-amd64", "#1 SMP Debian 6.12.94-1 (2026-01-01)", &[6, 12, 94])]
    #[case::debian_hides_the_patch_level("6.1.0-50-amd64", "#1 SMP Debian 6.1.192-2 (2026-01-01)", &[6, 1, 192])]
    #[case::another_series_is_not_believed("6.12.0", "#1 SMP Debian 6.1.192-2", &[6, 12, 0])]
    #[case::candidate("7.2-rc3", "#1 SMP", &[7, 2])]
    fn versions(#[case] release: &str, #[case] version: &str, #[case] numbers: &[u32]) {
        assert_eq!(version_of(release, version), numbers);
    }

    #[rstest]
    #[case(&[(Comparison::GreaterOrEqual, &[6, 12][..])], &[6, 12, 5], true)]
    #[case(&[(Comparison::Greater, &[6, 12][..])], &[6, 12, 5], false)]
    #[case(&[(Comparison::LessOrEqual, &[6, 12][..])], &[6, 12, 5], true)]
    #[case(&[(Comparison::Less, &[6, 12][..])], &[6, 12, 5], false)]
    #[case(&[(Comparison::Less, &[6, 12, 6][..])], &[6, 12, 5], true)]
    #[case(&[(Comparison::Equal, &[6][..])], &[6, 12, 5], true)]
    #[case(&[(Comparison::NotEqual, &[6, 1][..])], &[6, 12, 5], true)]
    #[case(&[(Comparison::GreaterOrEqual, &[5, 6][..]), (Comparison::Less, &[6, 12][..])], &[6, 12], false)]
    #[case(&[(Comparison::GreaterOrEqual, &[6, 0, 1][..])], &[6], false)]
    fn ranges(#[case] bounds: &[(Comparison, &[u32])], #[case] version: &[u32], #[case] inside: bool) {
        assert_eq!(range(bounds).contains(version), inside);
    }

    fn kernel(capabilities: u64, initial_user_namespace: bool) -> Kernel {
        let facts = Facts { capabilities, initial_user_namespace, ..Facts::default() };
        Kernel::new(
            Arch::X86_64,
            &facts,
            Some("CONFIG_BPF=y\nCONFIG_X=m\n# CONFIG_Y is not set\n".into()),
            true,
        )
    }

    #[rstest]
    #[case::none(0, true, false)]
    #[case::itself(1 << CAP_BPF, true, true)]
    #[case::sys_admin_stands_in(1 << CAP_SYS_ADMIN, true, true)]
    #[case::a_user_namespaces_own_do_not_count(u64::MAX, false, false)]
    fn capabilities(#[case] held: u64, #[case] initial: bool, #[case] has: bool) {
        assert_eq!(kernel(held, initial).has_capability(CAP_BPF), has);
    }

    #[rstest]
    #[case(&[("CONFIG_BPF", true), ("CONFIG_X", true), ("CONFIG_Y", false)], None)]
    #[case(&[("CONFIG_Y", true)], Some("needs CONFIG_Y"))]
    #[case(&[("CONFIG_BPF", false)], Some("needs a kernel without CONFIG_BPF"))]
    fn configs(#[case] config: &[(&str, bool)], #[case] reason: Option<&str>) {
        let config = config.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
        let met = kernel(0, true).meets(&Requires { config, ..Requires::default() });
        assert_eq!(met.err().map(|unmet| unmet.reason).as_deref(), reason);
    }

    #[test]
    fn a_config_that_cannot_be_known_is_not_guessed() {
        let kernel = Kernel { config: None, ..kernel(0, true) };
        let config = vec![("CONFIG_BPF".to_owned(), true)];
        let unmet = kernel.meets(&Requires { config, ..Requires::default() }).expect_err("nobody knows");
        assert_eq!(unmet.reason, "needs CONFIG_BPF, and this kernel's config cannot be known");
    }

    #[test]
    fn a_missing_capability_says_where_it_would_count() {
        let requires = Requires { capabilities: vec![CAP_BPF], ..Requires::default() };
        let reason = kernel(u64::MAX, false).meets(&requires).expect_err("not held").reason;
        assert!(reason.starts_with("needs CAP_BPF in the initial user namespace"), "{reason}");
    }

    #[test]
    fn unprivileged_cases_are_for_the_unprivileged() {
        let requires = Requires { privileged: Some(false), ..Requires::default() };
        assert!(kernel(0, true).meets(&requires).is_ok());
        assert!(kernel(u64::MAX, true).meets(&requires).is_err());
        assert!(kernel(u64::MAX, false).meets(&requires).is_ok());
    }
}
