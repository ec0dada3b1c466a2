//! Which fields of an attr count, how much memory they point to, and what the kernel writes there.

use kconform_abi::bpf::{Command, Field, FieldKind, Unit};
use kconform_abi::{Arch, constant, constant_names};

use super::call::{Object, Shape};

/// How much memory there is behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many bytes.
    Bytes(usize),
    /// A text that ends with a NUL.
    Text,
    /// So many pointers to texts.
    Texts(usize),
    /// What the verifier or BTF_LOAD says: a text in so many bytes.
    Log(usize),
    /// Nobody knows.
    Unknown,
}

/// Fields that point to what the kernel fills in.
const OUTPUTS: &[(&str, &str)] = &[
    ("BPF_MAP_LOOKUP_ELEM", "value"),
    ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", "value"),
    ("BPF_MAP_GET_NEXT_KEY", "next_key"),
    ("BPF_MAP_LOOKUP_BATCH", "out_batch"),
    ("BPF_MAP_LOOKUP_BATCH", "keys"),
    ("BPF_MAP_LOOKUP_BATCH", "values"),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "out_batch"),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "keys"),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "values"),
    ("BPF_PROG_LOAD", "log_buf"),
    ("BPF_BTF_LOAD", "btf_log_buf"),
    ("BPF_OBJ_GET_INFO_BY_FD", "info"),
    ("BPF_PROG_TEST_RUN", "data_out"),
    ("BPF_PROG_TEST_RUN", "ctx_out"),
    ("BPF_PROG_QUERY", "prog_ids"),
    ("BPF_PROG_QUERY", "prog_attach_flags"),
    ("BPF_PROG_QUERY", "link_ids"),
    ("BPF_PROG_QUERY", "link_attach_flags"),
    ("BPF_TASK_FD_QUERY", "buf"),
    ("BPF_PROG_STREAM_READ_BY_FD", "stream_buf"),
];

/// Map types that keep a value for each CPU; include/linux/bpf.h and kernel/bpf/syscall.c: bpf_map_value_size().
const PER_CPU: &[&str] = &[
    "BPF_MAP_TYPE_PERCPU_HASH",
    "BPF_MAP_TYPE_LRU_PERCPU_HASH",
    "BPF_MAP_TYPE_PERCPU_ARRAY",
    "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE",
];

/// Map types whose values are fds when they are set, and ids when they are read.
const OF_FDS: &[&str] = &[
    "BPF_MAP_TYPE_PROG_ARRAY",
    "BPF_MAP_TYPE_PERF_EVENT_ARRAY",
    "BPF_MAP_TYPE_CGROUP_ARRAY",
    "BPF_MAP_TYPE_ARRAY_OF_MAPS",
    "BPF_MAP_TYPE_HASH_OF_MAPS",
    "BPF_MAP_TYPE_SOCKMAP",
    "BPF_MAP_TYPE_SOCKHASH",
    "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY",
    "BPF_MAP_TYPE_XSKMAP",
];

/// Map types whose keys come in the order of a hash that differs for each map.
const HASHED: &[&str] = &[
    "BPF_MAP_TYPE_HASH",
    "BPF_MAP_TYPE_PERCPU_HASH",
    "BPF_MAP_TYPE_LRU_HASH",
    "BPF_MAP_TYPE_LRU_PERCPU_HASH",
    "BPF_MAP_TYPE_HASH_OF_MAPS",
    "BPF_MAP_TYPE_SOCKHASH",
    "BPF_MAP_TYPE_DEVMAP_HASH",
];

impl Shape {
    fn is(self, names: &[&str]) -> bool {
        names.iter().any(|name| number_of(name) == Some(self.map_type.into()))
    }

    /// Whether it keeps a value for each CPU.
    pub(crate) fn per_cpu(self) -> bool {
        self.is(PER_CPU)
    }

    /// Whether its values are fds when they are set.
    pub(crate) fn of_fds(self) -> bool {
        self.is(OF_FDS)
    }

    /// Whether the order of its keys is by chance.
    pub(crate) fn hashed(self) -> bool {
        self.is(HASHED)
    }

    /// Bytes that a value takes in a call.
    fn value(self, cpus: usize) -> usize {
        let size = self.value_size as usize;
        if self.per_cpu() { size.next_multiple_of(8) * cpus } else { size }
    }
}

/// Whether the kernel fills in what the field points to.
pub(crate) fn is_output(command: &Command, field: &Field) -> bool {
    OUTPUTS.contains(&(command.name, field.name))
}

/// What a command makes an fd of.
pub(crate) fn made_by(command: &Command) -> Object {
    match command.name {
        "BPF_MAP_CREATE" => Object::Map,
        "BPF_PROG_LOAD" => Object::Prog,
        "BPF_BTF_LOAD" => Object::Btf,
        "BPF_LINK_CREATE" | "BPF_RAW_TRACEPOINT_OPEN" => Object::Link,
        _ => Object::Other,
    }
}

/// The number of a constant that is the same everywhere.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    constant(Arch::X86_64, name)
}

/// The name of the constant that begins so and has that value.
pub(crate) fn named(prefix: &str, number: u64) -> Option<&'static str> {
    let begins =
        |name: &&str| name.starts_with(prefix) && !name.contains("MAX_") && !name.ends_with("UNSPEC");
    constant_names()
        .filter(begins)
        .find(|name| number_of(name) == Some(number) && !name.ends_with("_DEPRECATED"))
}

/// A number of an attr: `size` bytes at `offset`, 0 beyond its end.
pub(crate) fn number_at(attr: &[u8], offset: usize, size: usize) -> u64 {
    let mut bytes = [0; 8];
    let there = attr.get(offset..).unwrap_or_default();
    let there = &there[..there.len().min(size)];
    if cfg!(target_endian = "big") {
        bytes[8 - size..8 - size + there.len()].copy_from_slice(there);
        u64::from_be_bytes(bytes)
    } else {
        bytes[..there.len()].copy_from_slice(there);
        u64::from_le_bytes(bytes)
    }
}

/// The number in a field.
pub(crate) fn number_in(attr: &[u8], field: &Field) -> u64 {
    number_at(attr, field.offset as usize, field.size.min(8) as usize)
}

fn in_field(command: &Command, attr: &[u8], name: &str) -> u64 {
    command.field(name).map_or(0, |field| number_in(attr, field))
}

/// The fields of a command that count: of those that share a place, the one that the rest of the attr selects.
pub(crate) fn fields_that_count(command: &'static Command, attr: &[u8]) -> Vec<&'static Field> {
    let attach_type = in_field(command, attr, "attach_type");
    let attach_type = attach_type_of(attach_type).unwrap_or("");
    let device = ["BPF_XDP", "BPF_TCX_INGRESS", "BPF_TCX_EGRESS", "BPF_NETKIT_PRIMARY", "BPF_NETKIT_PEER"]
        .contains(&attach_type);
    let by_id = in_field(command, attr, "attach_flags") & 1 << 5 != 0
        || in_field(command, attr, "flags") & 1 << 5 != 0;
    let group = group(attach_type);
    let counts = |field: &&Field| match (command.name, field.name) {
        (_, "target_fd") => !device,
        (_, "target_ifindex") => device,
        ("BPF_PROG_QUERY", "count") => false,
        ("BPF_LINK_CREATE", "prog_fd") => attach_type != "BPF_STRUCT_OPS",
        ("BPF_LINK_CREATE", "map_fd") => attach_type == "BPF_STRUCT_OPS",
        ("BPF_LINK_CREATE", "iter_info" | "iter_info_len") => attach_type == "BPF_TRACE_ITER",
        ("BPF_LINK_CREATE", "target_btf_id") => group == "tracing",
        ("BPF_LINK_CREATE", "tracing.target_btf_id") => false,
        ("BPF_LINK_UPDATE", "new_map_fd" | "old_map_fd") => false,
        ("BPF_PROG_LOAD", "attach_btf_obj_fd") => false,
        (_, name) if name.ends_with("relative_fd") || name.ends_with("relative_id") => {
            name.ends_with("_id") == by_id && name.split_once('.').is_none_or(|(part, _)| part == group)
        }
        (_, name) => name.split_once('.').is_none_or(|(part, _)| part == group),
    };
    command.fields.iter().filter(counts).collect()
}

/// The attach type of a number, by the name that the kernel's enum has.
pub(crate) fn attach_type_of(number: u64) -> Option<&'static str> {
    let begins = [
        "BPF_CGROUP_",
        "BPF_SK_",
        "BPF_LIRC_",
        "BPF_FLOW_",
        "BPF_TRACE_",
        "BPF_MODIFY_",
        "BPF_LSM_",
        "BPF_XDP",
        "BPF_PERF_EVENT",
        "BPF_STRUCT_OPS",
        "BPF_NETFILTER",
        "BPF_TCX_",
        "BPF_NETKIT_",
    ];
    let not = [
        "BPF_XDP_FLAGS",
        "BPF_SK_LOOKUP_F",
        "BPF_SK_STORAGE",
        "BPF_FLOW_DISSECTOR_F",
        "BPF_CGROUP_ITER",
        "BPF_LSM_F",
    ];
    let begins =
        |name: &&str| begins.iter().any(|p| name.starts_with(p)) && !not.iter().any(|p| name.starts_with(p));
    constant_names().filter(begins).find(|name| number_of(name) == Some(number))
}

/// The part of `link_create` that is for an attach type.
fn group(attach_type: &str) -> &'static str {
    match attach_type {
        "BPF_PERF_EVENT" => "perf_event",
        "BPF_TRACE_KPROBE_MULTI" | "BPF_TRACE_KPROBE_SESSION" => "kprobe_multi",
        "BPF_TRACE_UPROBE_MULTI" | "BPF_TRACE_UPROBE_SESSION" => "uprobe_multi",
        "BPF_NETFILTER" => "netfilter",
        name if name.starts_with("BPF_TCX_") => "tcx",
        name if name.starts_with("BPF_NETKIT_") => "netkit",
        name if name.starts_with("BPF_TRACE_") && name.ends_with("_MULTI") => "tracing_multi",
        "BPF_TRACE_FENTRY" | "BPF_TRACE_FEXIT" | "BPF_MODIFY_RETURN" | "BPF_LSM_MAC" | "BPF_TRACE_RAW_TP"
        | "BPF_TRACE_FSESSION" => "tracing",
        name if name.starts_with("BPF_CGROUP_") || name == "BPF_LSM_CGROUP" => "cgroup",
        _ => "",
    }
}

/// How much there is behind a pointer of an attr.
pub(crate) fn extent(
    command: &Command,
    field: &Field,
    attr: &[u8],
    shape: Option<Shape>,
    cpus: usize,
) -> Extent {
    let of_map =
        |bytes: &dyn Fn(Shape) -> usize| shape.map_or(Extent::Unknown, |shape| Extent::Bytes(bytes(shape)));
    let count = |name: &str| usize::try_from(in_field(command, attr, name)).unwrap_or(usize::MAX);
    match field.name {
        "key" | "next_key" => return of_map(&|shape| shape.key_size as usize),
        "value" => return of_map(&|shape| shape.value(cpus)),
        "keys" => return of_map(&|shape| count("count").saturating_mul(shape.key_size as usize)),
        "values" => return of_map(&|shape| count("count").saturating_mul(shape.value(cpus))),
        // A hash has the number of a bucket there, an array or a trie a key.
        "in_batch" | "out_batch" => return of_map(&|shape| (shape.key_size as usize).max(4)),
        "license" | "pathname" | "name" | "uprobe_multi.path" => return Extent::Text,
        "log_buf" => return Extent::Log(count("log_size")),
        "btf_log_buf" => return Extent::Log(count("btf_log_size")),
        "kprobe_multi.syms" => return Extent::Texts(count("kprobe_multi.cnt")),
        "kprobe_multi.cookies" => return Extent::Bytes(8 * count("kprobe_multi.cnt")),
        "uprobe_multi.ref_ctr_offsets" | "uprobe_multi.cookies" => {
            return Extent::Bytes(8 * count("uprobe_multi.cnt"));
        }
        "tracing_multi.cookies" => return Extent::Bytes(8 * count("tracing_multi.cnt")),
        "fd_array" => return Extent::Bytes(4 * count("fd_array_cnt")),
        _ => {}
    }
    let counting = command.fields.iter().find_map(|other| {
        let of = other.count_of.filter(|of| of.buffers.contains(&field.name))?;
        Some((other, of.unit))
    });
    let Some((counting, unit)) = counting else { return Extent::Unknown };
    let each = match unit {
        Unit::Bytes(bytes) => bytes as usize,
        Unit::Field(name) => count(name),
    };
    Extent::Bytes(count(counting.name).saturating_mul(each))
}

/// Whether a field holds an address.
pub(crate) fn is_pointer(field: &Field) -> bool {
    field.kind == FieldKind::Pointer
}
