//! What each command does with the fields of its part of `union bpf_attr`, up to Linux 6.12.

use super::{Command, Field};

/// What a command does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is read.
    Input,
    /// The kernel writes it.
    Output,
    /// It must be 0: `CHECK_ATTR` or a check of the command's own.
    Unused,
}

/// What the command does with one of its fields; `None` for a name that another command calls the place by, a field
/// that nobody looks at, and one that came after Linux 6.12.
pub fn field_use(command: &Command, field: &Field) -> Option<Use> {
    let is = |rows: Rows| {
        rows.iter().any(|(commands, fields)| commands.contains(&command.name) && fields.contains(&field.name))
    };
    match () {
        () if is(NOT_ITS_OWN) || is(NEWER) => None,
        () if is(UNUSED) => Some(Use::Unused),
        () if is(OUTPUT) => Some(Use::Output),
        () => Some(Use::Input),
    }
}

/// Why no case can have a call that succeeds with the field set; `None` where one can.
pub fn never_set(command: &Command, field: &Field) -> Option<&'static str> {
    reason(NEVER_SET, command, field)
}

/// Why no value of the field is refused; `None` where one is.
pub fn never_refused(command: &Command, field: &Field) -> Option<&'static str> {
    reason(NEVER_REFUSED, command, field)
}

fn reason(rows: Reasons, command: &Command, field: &Field) -> Option<&'static str> {
    rows.iter().find(|(of, name, _)| *of == command.name && *name == field.name).map(|(.., why)| *why)
}

/// Commands, fields of theirs, and the reason.
type Reasons = &'static [(&'static str, &'static str, &'static str)];

const NEVER_SET: Reasons = &[
    (
        "BPF_MAP_CREATE",
        "map_ifindex",
        "bpf_map_offload_map_alloc: a device must take offloaded maps (netdevsim, a SmartNIC)",
    ),
    (
        "BPF_MAP_CREATE",
        "value_type_btf_obj_fd",
        "bpf_struct_ops_map_alloc: a module must bring a structure for struct_ops (the selftests' bpf_testmod)",
    ),
    (
        "BPF_PROG_LOAD",
        "prog_ifindex",
        "bpf_dev_offload_check: a device whose driver takes XDP, which is a module everywhere",
    ),
    (
        "BPF_LINK_CREATE",
        "netfilter.flags",
        "bpf_nf_enable_defrag: its one flag needs nf_defrag_ipv4, which is a module everywhere",
    ),
    ("BPF_ENABLE_STATS", "type", "bpf_enable_stats: the one type there is is 0"),
];

const NEVER_REFUSED: Reasons = &[
    ("BPF_PROG_LOAD", "kern_version", "bpf_prog_load: not looked at since Linux 5.0"),
    ("BPF_LINK_CREATE", "perf_event.bpf_cookie", "bpf_perf_link_attach: any number is a cookie"),
    ("BPF_LINK_CREATE", "tracing.cookie", "bpf_tracing_prog_attach: any number is a cookie"),
];

/// Commands, and fields of theirs.
type Rows = &'static [(&'static [&'static str], &'static [&'static str])];

const NEXT_ID: &[&str] =
    &["BPF_PROG_GET_NEXT_ID", "BPF_MAP_GET_NEXT_ID", "BPF_BTF_GET_NEXT_ID", "BPF_LINK_GET_NEXT_ID"];
const ALL_IDS: &[&str] = &[
    "BPF_PROG_GET_NEXT_ID",
    "BPF_MAP_GET_NEXT_ID",
    "BPF_BTF_GET_NEXT_ID",
    "BPF_LINK_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_LINK_GET_FD_BY_ID",
];

const NOT_ITS_OWN: Rows = &[
    (
        &[
            "BPF_MAP_LOOKUP_ELEM",
            "BPF_MAP_UPDATE_ELEM",
            "BPF_MAP_DELETE_ELEM",
            "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            "BPF_MAP_FREEZE",
        ],
        &["next_key"],
    ),
    (&["BPF_MAP_GET_NEXT_KEY"], &["value"]),
    (NEXT_ID, &["prog_id", "map_id", "btf_id", "link_id"]),
    (&["BPF_PROG_GET_FD_BY_ID"], &["start_id", "map_id", "btf_id", "link_id"]),
    (&["BPF_MAP_GET_FD_BY_ID"], &["start_id", "prog_id", "btf_id", "link_id", "next_id"]),
    (&["BPF_BTF_GET_FD_BY_ID"], &["start_id", "prog_id", "map_id", "link_id"]),
    (&["BPF_LINK_GET_FD_BY_ID"], &["start_id", "prog_id", "map_id", "btf_id"]),
    (&["BPF_PROG_QUERY"], &["count"]),
    (&["BPF_PROG_ATTACH", "BPF_PROG_DETACH"], &["relative_id"]),
    (&["BPF_PROG_DETACH"], &["replace_bpf_fd"]),
    (&["BPF_MAP_UPDATE_BATCH", "BPF_MAP_DELETE_BATCH"], &["in_batch", "out_batch", "flags"]),
    (&["BPF_LINK_CREATE"], &["tcx.relative_id", "netkit.relative_id", "tracing.target_btf_id"]),
];

const NEWER: Rows = &[
    (&["BPF_MAP_CREATE"], &["excl_prog_hash", "excl_prog_hash_size"]),
    (&["BPF_PROG_LOAD"], &["fd_array_cnt", "signature", "signature_size", "keyring_id"]),
    (ALL_IDS, &["fd_by_id_token_fd"]),
    (
        &["BPF_LINK_CREATE"],
        &[
            "uprobe_multi.path_fd",
            "cgroup.relative_fd",
            "cgroup.relative_id",
            "cgroup.expected_revision",
            "tracing_multi.ids",
            "tracing_multi.cookies",
            "tracing_multi.cnt",
        ],
    ),
];

const UNUSED: Rows = &[
    (&["BPF_MAP_DELETE_ELEM"], &["value", "flags"]),
    (&["BPF_MAP_GET_NEXT_KEY"], &["flags"]),
    (&["BPF_MAP_FREEZE"], &["key", "value", "flags"]),
    (&["BPF_MAP_LOOKUP_BATCH", "BPF_MAP_LOOKUP_AND_DELETE_BATCH"], &["flags"]),
    (&["BPF_OBJ_GET"], &["bpf_fd"]),
    (NEXT_ID, &["open_flags"]),
    (&["BPF_PROG_GET_FD_BY_ID", "BPF_BTF_GET_FD_BY_ID", "BPF_LINK_GET_FD_BY_ID"], &["next_id", "open_flags"]),
    (&["BPF_TASK_FD_QUERY"], &["flags"]),
    (&["BPF_ITER_CREATE"], &["flags"]),
    (&["BPF_PROG_BIND_MAP"], &["flags"]),
    (&["BPF_TOKEN_CREATE"], &["flags"]),
];

const OUTPUT: Rows = &[
    (NEXT_ID, &["next_id"]),
    (&["BPF_PROG_LOAD"], &["log_true_size"]),
    (&["BPF_BTF_LOAD"], &["btf_log_true_size"]),
    (&["BPF_PROG_TEST_RUN"], &["retval", "duration"]),
    (&["BPF_PROG_QUERY"], &["attach_flags", "revision"]),
    (&["BPF_TASK_FD_QUERY"], &["prog_id", "fd_type", "probe_offset", "probe_addr"]),
];
