//! The rows: `enum bpf_cmd` and `union bpf_attr` of linux/bpf.h, up to Linux 7.2.
//!
//! A new command is a row of [`COMMANDS`] and the list of its fields; `tests/uapi.rs` holds every offset and size
//! against the C compiler's, and misses a field of the header that is not here.

use super::{Command, CountOf, Field, FieldKind, Unit};

const fn field(name: &'static str, offset: u32, size: u32, kind: FieldKind) -> Field {
    Field { name, offset, size, kind, count_of: None }
}

const fn int(name: &'static str, offset: u32, size: u32) -> Field {
    field(name, offset, size, FieldKind::Int)
}

const fn fd(name: &'static str, offset: u32) -> Field {
    field(name, offset, 4, FieldKind::Fd)
}

const fn ptr(name: &'static str, offset: u32) -> Field {
    field(name, offset, 8, FieldKind::Pointer)
}

const fn chars(name: &'static str, offset: u32, size: u32) -> Field {
    field(name, offset, size, FieldKind::Chars)
}

/// How many things of `unit` there are in the first of `buffers` that is given.
const fn count(name: &'static str, offset: u32, buffers: &'static [&'static str], unit: Unit) -> Field {
    Field { name, offset, size: 4, kind: FieldKind::Int, count_of: Some(CountOf { buffers, unit }) }
}

/// How many bytes there are.
const fn size(name: &'static str, offset: u32, buffer: &'static [&'static str]) -> Field {
    count(name, offset, buffer, Unit::Bytes(1))
}

const MAP_CREATE: &[Field] = &[
    int("map_type", 0, 4),
    int("key_size", 4, 4),
    int("value_size", 8, 4),
    int("max_entries", 12, 4),
    int("map_flags", 16, 4),
    fd("inner_map_fd", 20),
    int("numa_node", 24, 4),
    chars("map_name", 28, 16),
    int("map_ifindex", 44, 4),
    fd("btf_fd", 48),
    int("btf_key_type_id", 52, 4),
    int("btf_value_type_id", 56, 4),
    int("btf_vmlinux_value_type_id", 60, 4),
    int("map_extra", 64, 8),
    fd("value_type_btf_obj_fd", 72),
    fd("map_token_fd", 76),
    ptr("excl_prog_hash", 80),
    size("excl_prog_hash_size", 88, &["excl_prog_hash"]),
];

// Commands share structs, and in them unions: of a union a command has the member that is meant for it. Where the kernel reads
// one or the other (by a flag, a type) it has both.

const MAP_ELEM: &[Field] = &[fd("map_fd", 0), ptr("key", 8), ptr("value", 16), int("flags", 24, 8)];
const MAP_NEXT_KEY: &[Field] = &[fd("map_fd", 0), ptr("key", 8), ptr("next_key", 16), int("flags", 24, 8)];

const MAP_BATCH: &[Field] = &[
    ptr("in_batch", 0),
    ptr("out_batch", 8),
    ptr("keys", 16),
    ptr("values", 24),
    int("count", 32, 4), // of elements: their sizes are the map's to know
    fd("map_fd", 36),
    int("elem_flags", 40, 8),
    int("flags", 48, 8),
];

const PROG_LOAD: &[Field] = &[
    int("prog_type", 0, 4),
    count("insn_cnt", 4, &["insns"], Unit::Bytes(8)),
    ptr("insns", 8),
    ptr("license", 16),
    int("log_level", 24, 4),
    size("log_size", 28, &["log_buf"]),
    ptr("log_buf", 32),
    int("kern_version", 40, 4),
    int("prog_flags", 44, 4),
    chars("prog_name", 48, 16),
    int("prog_ifindex", 64, 4),
    int("expected_attach_type", 68, 4),
    fd("prog_btf_fd", 72),
    int("func_info_rec_size", 76, 4),
    ptr("func_info", 80),
    count("func_info_cnt", 88, &["func_info"], Unit::Field("func_info_rec_size")),
    int("line_info_rec_size", 92, 4),
    ptr("line_info", 96),
    count("line_info_cnt", 104, &["line_info"], Unit::Field("line_info_rec_size")),
    int("attach_btf_id", 108, 4),
    fd("attach_prog_fd", 112),
    fd("attach_btf_obj_fd", 112),
    count("core_relo_cnt", 116, &["core_relos"], Unit::Field("core_relo_rec_size")),
    ptr("fd_array", 120),
    ptr("core_relos", 128),
    int("core_relo_rec_size", 136, 4),
    int("log_true_size", 140, 4),
    fd("prog_token_fd", 144),
    // No count_of: 0 is not "none" but the older meaning of fd_array, which kernels before 6.14 insist on.
    int("fd_array_cnt", 148, 4),
    ptr("signature", 152),
    size("signature_size", 160, &["signature"]),
    int("keyring_id", 164, 4),
];

const OBJ: &[Field] = &[ptr("pathname", 0), fd("bpf_fd", 8), int("file_flags", 12, 4), fd("path_fd", 16)];

const PROG_ATTACH: &[Field] = &[
    fd("target_fd", 0),
    int("target_ifindex", 0, 4),
    fd("attach_bpf_fd", 4),
    int("attach_type", 8, 4),
    int("attach_flags", 12, 4),
    fd("replace_bpf_fd", 16),
    fd("relative_fd", 20),
    int("relative_id", 20, 4),
    int("expected_revision", 24, 8),
];

const TEST: &[Field] = &[
    fd("prog_fd", 0),
    int("retval", 4, 4),
    size("data_size_in", 8, &["data_in"]),
    size("data_size_out", 12, &["data_out"]),
    ptr("data_in", 16),
    ptr("data_out", 24),
    int("repeat", 32, 4),
    int("duration", 36, 4),
    size("ctx_size_in", 40, &["ctx_in"]),
    size("ctx_size_out", 44, &["ctx_out"]),
    ptr("ctx_in", 48),
    ptr("ctx_out", 56),
    int("flags", 64, 4),
    int("cpu", 68, 4),
    int("batch_size", 72, 4),
];

/// An id of that name, and what all commands that take one share.
const fn ids(name: &'static str) -> [Field; 4] {
    [int(name, 0, 4), int("next_id", 4, 4), int("open_flags", 8, 4), fd("fd_by_id_token_fd", 12)]
}

const START_ID: &[Field] = &ids("start_id");
const PROG_ID: &[Field] = &ids("prog_id");
const MAP_ID: &[Field] = &ids("map_id");
const BTF_ID: &[Field] = &ids("btf_id");
const LINK_ID: &[Field] = &ids("link_id");

const INFO: &[Field] = &[fd("bpf_fd", 0), size("info_len", 4, &["info"]), ptr("info", 8)];

const QUERY: &[Field] = &[
    fd("target_fd", 0),
    int("target_ifindex", 0, 4),
    int("attach_type", 4, 4),
    int("query_flags", 8, 4),
    int("attach_flags", 12, 4),
    ptr("prog_ids", 16),
    count("prog_cnt", 24, QUERY_ARRAYS, Unit::Bytes(4)),
    count("count", 24, QUERY_ARRAYS, Unit::Bytes(4)),
    ptr("prog_attach_flags", 32),
    ptr("link_ids", 40),
    ptr("link_attach_flags", 48),
    int("revision", 56, 8),
];
const QUERY_ARRAYS: &[&str] = &["prog_ids", "prog_attach_flags", "link_ids", "link_attach_flags"];

const RAW_TRACEPOINT: &[Field] = &[ptr("name", 0), fd("prog_fd", 8), int("cookie", 16, 8)];

const BTF_LOAD: &[Field] = &[
    ptr("btf", 0),
    ptr("btf_log_buf", 8),
    size("btf_size", 16, &["btf"]),
    size("btf_log_size", 20, &["btf_log_buf"]),
    int("btf_log_level", 24, 4),
    int("btf_log_true_size", 28, 4),
    int("btf_flags", 32, 4),
    fd("btf_token_fd", 36),
];

const TASK_FD_QUERY: &[Field] = &[
    int("pid", 0, 4),
    fd("fd", 4),
    int("flags", 8, 4),
    size("buf_len", 12, &["buf"]),
    ptr("buf", 16),
    int("prog_id", 24, 4),
    int("fd_type", 28, 4),
    int("probe_offset", 32, 8),
    int("probe_addr", 40, 8),
];

const LINK_CREATE: &[Field] = &[
    fd("prog_fd", 0),
    fd("map_fd", 0),
    fd("target_fd", 4),
    int("target_ifindex", 4, 4),
    int("attach_type", 8, 4),
    int("flags", 12, 4),
    int("target_btf_id", 16, 4),
    ptr("iter_info", 16),
    size("iter_info_len", 24, &["iter_info"]),
    int("perf_event.bpf_cookie", 16, 8),
    int("kprobe_multi.flags", 16, 4),
    count("kprobe_multi.cnt", 20, &["kprobe_multi.syms", "kprobe_multi.addrs"], Unit::Bytes(8)),
    ptr("kprobe_multi.syms", 24),
    ptr("kprobe_multi.addrs", 32),
    ptr("kprobe_multi.cookies", 40),
    int("tracing.target_btf_id", 16, 4),
    int("tracing.cookie", 24, 8),
    int("netfilter.pf", 16, 4),
    int("netfilter.hooknum", 20, 4),
    int("netfilter.priority", 24, 4),
    int("netfilter.flags", 28, 4),
    fd("tcx.relative_fd", 16),
    int("tcx.relative_id", 16, 4),
    int("tcx.expected_revision", 24, 8),
    ptr("uprobe_multi.path", 16),
    ptr("uprobe_multi.offsets", 24),
    ptr("uprobe_multi.ref_ctr_offsets", 32),
    ptr("uprobe_multi.cookies", 40),
    count("uprobe_multi.cnt", 48, &["uprobe_multi.offsets"], Unit::Bytes(8)),
    int("uprobe_multi.flags", 52, 4),
    int("uprobe_multi.pid", 56, 4),
    fd("uprobe_multi.path_fd", 60),
    fd("netkit.relative_fd", 16),
    int("netkit.relative_id", 16, 4),
    int("netkit.expected_revision", 24, 8),
    fd("cgroup.relative_fd", 16),
    int("cgroup.relative_id", 16, 4),
    int("cgroup.expected_revision", 24, 8),
    ptr("tracing_multi.ids", 16),
    ptr("tracing_multi.cookies", 24),
    count("tracing_multi.cnt", 32, &["tracing_multi.ids"], Unit::Bytes(4)),
];

const LINK_UPDATE: &[Field] = &[
    fd("link_fd", 0),
    fd("new_prog_fd", 4),
    fd("new_map_fd", 4),
    int("flags", 8, 4),
    fd("old_prog_fd", 12),
    fd("old_map_fd", 12),
];

const LINK_DETACH: &[Field] = &[fd("link_fd", 0)];
const ENABLE_STATS: &[Field] = &[int("type", 0, 4)];
const ITER_CREATE: &[Field] = &[fd("link_fd", 0), int("flags", 4, 4)];
const PROG_BIND_MAP: &[Field] = &[fd("prog_fd", 0), fd("map_fd", 4), int("flags", 8, 4)];
const TOKEN_CREATE: &[Field] = &[int("flags", 0, 4), fd("bpffs_fd", 4)];
const PROG_STREAM_READ: &[Field] = &[
    ptr("stream_buf", 0),
    size("stream_buf_len", 8, &["stream_buf"]),
    int("stream_id", 12, 4),
    fd("prog_fd", 16),
];
const PROG_ASSOC_STRUCT_OPS: &[Field] = &[fd("map_fd", 0), fd("prog_fd", 4), int("flags", 8, 4)];

/// A command whose part of the union has no name.
const fn plain(number: u32, name: &'static str, since: &'static str, fields: &'static [Field]) -> Command {
    Command { name, number, size: end(fields), fields, since, part: None }
}

/// A command whose part of the union is named.
const fn named(
    number: u32,
    name: &'static str,
    since: &'static str,
    part: &'static str,
    fields: &'static [Field],
) -> Command {
    Command { name, number, size: end(fields), fields, since, part: Some(part) }
}

/// Where the last field ends.
const fn end(fields: &[Field]) -> u32 {
    let (mut end, mut index) = (0, 0);
    while index < fields.len() {
        let this = fields[index].offset + fields[index].size;
        if this > end {
            end = this;
        }
        index += 1;
    }
    end
}

const COMMON_ATTR_FIELDS: &[Field] = &[
    ptr("log_buf", 0),
    size("log_size", 8, &["log_buf"]),
    int("log_level", 12, 4),
    int("log_true_size", 16, 4),
];

/// `struct bpf_common_attr`, which a command with BPF_COMMON_ATTRS takes as fourth argument, and its size as fifth. It is
/// written as a command's attr is.
pub static COMMON_ATTR: Command = named(1 << 16, "bpf_common_attr", "7.2", "common", COMMON_ATTR_FIELDS);

/// Every command, at the index that is its number.
pub(super) static COMMANDS: &[Command] = &[
    plain(0, "BPF_MAP_CREATE", "3.18", MAP_CREATE),
    plain(1, "BPF_MAP_LOOKUP_ELEM", "3.18", MAP_ELEM),
    plain(2, "BPF_MAP_UPDATE_ELEM", "3.18", MAP_ELEM),
    plain(3, "BPF_MAP_DELETE_ELEM", "3.18", MAP_ELEM),
    plain(4, "BPF_MAP_GET_NEXT_KEY", "3.18", MAP_NEXT_KEY),
    plain(5, "BPF_PROG_LOAD", "3.18", PROG_LOAD),
    plain(6, "BPF_OBJ_PIN", "4.4", OBJ),
    plain(7, "BPF_OBJ_GET", "4.4", OBJ),
    plain(8, "BPF_PROG_ATTACH", "4.10", PROG_ATTACH),
    plain(9, "BPF_PROG_DETACH", "4.10", PROG_ATTACH),
    named(10, "BPF_PROG_TEST_RUN", "4.12", "test", TEST),
    plain(11, "BPF_PROG_GET_NEXT_ID", "4.13", START_ID),
    plain(12, "BPF_MAP_GET_NEXT_ID", "4.13", START_ID),
    plain(13, "BPF_PROG_GET_FD_BY_ID", "4.13", PROG_ID),
    plain(14, "BPF_MAP_GET_FD_BY_ID", "4.13", MAP_ID),
    named(15, "BPF_OBJ_GET_INFO_BY_FD", "4.13", "info", INFO),
    named(16, "BPF_PROG_QUERY", "4.15", "query", QUERY),
    named(17, "BPF_RAW_TRACEPOINT_OPEN", "4.17", "raw_tracepoint", RAW_TRACEPOINT),
    plain(18, "BPF_BTF_LOAD", "4.18", BTF_LOAD),
    plain(19, "BPF_BTF_GET_FD_BY_ID", "4.18", BTF_ID),
    named(20, "BPF_TASK_FD_QUERY", "4.18", "task_fd_query", TASK_FD_QUERY),
    plain(21, "BPF_MAP_LOOKUP_AND_DELETE_ELEM", "4.20", MAP_ELEM),
    plain(22, "BPF_MAP_FREEZE", "5.2", MAP_ELEM),
    plain(23, "BPF_BTF_GET_NEXT_ID", "5.4", START_ID),
    named(24, "BPF_MAP_LOOKUP_BATCH", "5.6", "batch", MAP_BATCH),
    named(25, "BPF_MAP_LOOKUP_AND_DELETE_BATCH", "5.6", "batch", MAP_BATCH),
    named(26, "BPF_MAP_UPDATE_BATCH", "5.6", "batch", MAP_BATCH),
    named(27, "BPF_MAP_DELETE_BATCH", "5.6", "batch", MAP_BATCH),
    named(28, "BPF_LINK_CREATE", "5.7", "link_create", LINK_CREATE),
    named(29, "BPF_LINK_UPDATE", "5.7", "link_update", LINK_UPDATE),
    plain(30, "BPF_LINK_GET_FD_BY_ID", "5.8", LINK_ID),
    plain(31, "BPF_LINK_GET_NEXT_ID", "5.8", START_ID),
    named(32, "BPF_ENABLE_STATS", "5.8", "enable_stats", ENABLE_STATS),
    named(33, "BPF_ITER_CREATE", "5.8", "iter_create", ITER_CREATE),
    named(34, "BPF_LINK_DETACH", "5.9", "link_detach", LINK_DETACH),
    named(35, "BPF_PROG_BIND_MAP", "5.10", "prog_bind_map", PROG_BIND_MAP),
    named(36, "BPF_TOKEN_CREATE", "6.9", "token_create", TOKEN_CREATE),
    named(37, "BPF_PROG_STREAM_READ_BY_FD", "6.17", "prog_stream_read", PROG_STREAM_READ),
    named(38, "BPF_PROG_ASSOC_STRUCT_OPS", "7.0", "prog_assoc_struct_ops", PROG_ASSOC_STRUCT_OPS),
];
