//! Program types and link types, up to Linux 6.12.

/// A program type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramType {
    /// `BPF_PROG_TYPE_XDP`.
    pub name: &'static str,
    /// The errno of a load without its context (a BTF id of the kernel's, another program, a config that most kernels
    /// lack), where it needs one.
    pub without_context: Option<&'static str>,
}

/// A link type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkType {
    /// `BPF_LINK_TYPE_XDP`.
    pub name: &'static str,
    /// Attach types whose links are of it.
    pub attach_types: &'static [&'static str],
    /// Program types whose links are of it whatever the attach type, or by BPF_RAW_TRACEPOINT_OPEN.
    pub program_types: &'static [&'static str],
}

/// All program types, in the order of their numbers.
pub fn program_types() -> &'static [ProgramType] {
    PROGRAM_TYPES
}

/// All link types, in the order of their numbers.
pub fn link_types() -> &'static [LinkType] {
    LINK_TYPES
}

const fn loads(name: &'static str) -> ProgramType {
    ProgramType { name, without_context: None }
}

const fn or(name: &'static str, errno: &'static str) -> ProgramType {
    ProgramType { name, without_context: Some(errno) }
}

const PROGRAM_TYPES: &[ProgramType] = &[
    loads("BPF_PROG_TYPE_SOCKET_FILTER"),
    loads("BPF_PROG_TYPE_KPROBE"),
    loads("BPF_PROG_TYPE_SCHED_CLS"),
    loads("BPF_PROG_TYPE_SCHED_ACT"),
    loads("BPF_PROG_TYPE_TRACEPOINT"),
    loads("BPF_PROG_TYPE_XDP"),
    loads("BPF_PROG_TYPE_PERF_EVENT"),
    loads("BPF_PROG_TYPE_CGROUP_SKB"),
    loads("BPF_PROG_TYPE_CGROUP_SOCK"),
    loads("BPF_PROG_TYPE_LWT_IN"),
    loads("BPF_PROG_TYPE_LWT_OUT"),
    loads("BPF_PROG_TYPE_LWT_XMIT"),
    loads("BPF_PROG_TYPE_SOCK_OPS"),
    loads("BPF_PROG_TYPE_SK_SKB"),
    loads("BPF_PROG_TYPE_CGROUP_DEVICE"),
    loads("BPF_PROG_TYPE_SK_MSG"),
    loads("BPF_PROG_TYPE_RAW_TRACEPOINT"),
    loads("BPF_PROG_TYPE_CGROUP_SOCK_ADDR"),
    loads("BPF_PROG_TYPE_LWT_SEG6LOCAL"),
    or("BPF_PROG_TYPE_LIRC_MODE2", "EINVAL"), // find_prog_type without CONFIG_BPF_LIRC_MODE2
    loads("BPF_PROG_TYPE_SK_REUSEPORT"),
    loads("BPF_PROG_TYPE_FLOW_DISSECTOR"),
    loads("BPF_PROG_TYPE_CGROUP_SYSCTL"),
    loads("BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE"),
    loads("BPF_PROG_TYPE_CGROUP_SOCKOPT"),
    or("BPF_PROG_TYPE_TRACING", "EINVAL"),      // bpf_check_attach_target
    or("BPF_PROG_TYPE_STRUCT_OPS", "ENOTSUPP"), // check_struct_ops_btf_id
    or("BPF_PROG_TYPE_EXT", "EINVAL"),          // bpf_check_attach_target
    or("BPF_PROG_TYPE_LSM", "EINVAL"),          // bpf_check_attach_target
    loads("BPF_PROG_TYPE_SK_LOOKUP"),
    loads("BPF_PROG_TYPE_SYSCALL"),
    loads("BPF_PROG_TYPE_NETFILTER"),
];

const fn link(
    name: &'static str,
    attach_types: &'static [&'static str],
    program_types: &'static [&'static str],
) -> LinkType {
    LinkType { name, attach_types, program_types }
}

const LINK_TYPES: &[LinkType] = &[
    link(
        "BPF_LINK_TYPE_RAW_TRACEPOINT",
        &["BPF_TRACE_RAW_TP"],
        &["BPF_PROG_TYPE_RAW_TRACEPOINT", "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE"],
    ),
    link(
        "BPF_LINK_TYPE_TRACING",
        &["BPF_TRACE_FENTRY", "BPF_TRACE_FEXIT", "BPF_MODIFY_RETURN", "BPF_LSM_MAC"],
        &["BPF_PROG_TYPE_TRACING", "BPF_PROG_TYPE_EXT"],
    ),
    link(
        "BPF_LINK_TYPE_CGROUP",
        &["BPF_LSM_CGROUP"],
        &[
            "BPF_PROG_TYPE_CGROUP_SKB",
            "BPF_PROG_TYPE_CGROUP_SOCK",
            "BPF_PROG_TYPE_CGROUP_SOCK_ADDR",
            "BPF_PROG_TYPE_CGROUP_SOCKOPT",
            "BPF_PROG_TYPE_CGROUP_SYSCTL",
            "BPF_PROG_TYPE_CGROUP_DEVICE",
            "BPF_PROG_TYPE_SOCK_OPS",
        ],
    ),
    link("BPF_LINK_TYPE_ITER", &["BPF_TRACE_ITER"], &[]),
    link(
        "BPF_LINK_TYPE_NETNS",
        &["BPF_FLOW_DISSECTOR", "BPF_SK_LOOKUP"],
        &["BPF_PROG_TYPE_FLOW_DISSECTOR", "BPF_PROG_TYPE_SK_LOOKUP"],
    ),
    link("BPF_LINK_TYPE_XDP", &["BPF_XDP"], &["BPF_PROG_TYPE_XDP"]),
    link("BPF_LINK_TYPE_PERF_EVENT", &["BPF_PERF_EVENT"], &[]),
    link("BPF_LINK_TYPE_KPROBE_MULTI", &["BPF_TRACE_KPROBE_MULTI", "BPF_TRACE_KPROBE_SESSION"], &[]),
    link("BPF_LINK_TYPE_STRUCT_OPS", &["BPF_STRUCT_OPS"], &[]),
    link("BPF_LINK_TYPE_NETFILTER", &["BPF_NETFILTER"], &["BPF_PROG_TYPE_NETFILTER"]),
    link("BPF_LINK_TYPE_TCX", &["BPF_TCX_INGRESS", "BPF_TCX_EGRESS"], &[]),
    link("BPF_LINK_TYPE_UPROBE_MULTI", &["BPF_TRACE_UPROBE_MULTI"], &[]),
    link("BPF_LINK_TYPE_NETKIT", &["BPF_NETKIT_PRIMARY", "BPF_NETKIT_PEER"], &[]),
    link(
        "BPF_LINK_TYPE_SOCKMAP",
        &[
            "BPF_SK_MSG_VERDICT",
            "BPF_SK_SKB_STREAM_PARSER",
            "BPF_SK_SKB_STREAM_VERDICT",
            "BPF_SK_SKB_VERDICT",
        ],
        &["BPF_PROG_TYPE_SK_MSG", "BPF_PROG_TYPE_SK_SKB"],
    ),
];
