//! The names of attach types (`enum bpf_attach_type`), of those that programs are attached by without a link.

use crate::{Arch, constant, constant_names};

/// What such attach types begin with.
const PREFIXES: &[&str] = &["BPF_CGROUP_", "BPF_TCX_", "BPF_NETKIT_", "BPF_FLOW_DISSECTOR", "BPF_LSM_CGROUP"];

/// What begins so and is of another enum.
const OTHERS: &[&str] = &["BPF_CGROUP_ITER_", "BPF_FLOW_DISSECTOR_"];

/// The attach type of that number, of those that programs are attached by without a link: to a cgroup, a network device or a
/// network namespace.
pub fn attach_type_name(number: u32) -> Option<&'static str> {
    let begins = |name: &str, with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
    let is_one = |name: &&str| begins(name, PREFIXES) && !begins(name, OTHERS);
    constant_names().filter(is_one).find(|name| constant(Arch::X86_64, name) == Some(number.into()))
}
