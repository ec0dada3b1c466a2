//! What each map type gives for each command on elements, up to Linux 6.12.
//!
//! Read out of the `bpf_map_ops` of each type and of kernel/bpf/syscall.c, which knows some types by name.

/// A way to work on a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElementCommand {
    /// `BPF_MAP_CREATE`
    Create,
    /// `BPF_MAP_LOOKUP_ELEM`
    Lookup,
    /// `BPF_MAP_UPDATE_ELEM`
    Update,
    /// `BPF_MAP_DELETE_ELEM`
    Delete,
    /// `BPF_MAP_GET_NEXT_KEY`
    NextKey,
    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`
    LookupAndDelete,
    /// `BPF_MAP_LOOKUP_BATCH`
    LookupBatch,
    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH`
    LookupAndDeleteBatch,
    /// `BPF_MAP_UPDATE_BATCH`
    UpdateBatch,
    /// `BPF_MAP_DELETE_BATCH`
    DeleteBatch,
    /// `BPF_MAP_FREEZE`
    Freeze,
    /// mmap(2) of the map's fd.
    Mmap,
}

impl ElementCommand {
    /// All, in the order of [`MapType::gives`].
    pub const ALL: [ElementCommand; 12] = [
        ElementCommand::Create,
        ElementCommand::Lookup,
        ElementCommand::Update,
        ElementCommand::Delete,
        ElementCommand::NextKey,
        ElementCommand::LookupAndDelete,
        ElementCommand::LookupBatch,
        ElementCommand::LookupAndDeleteBatch,
        ElementCommand::UpdateBatch,
        ElementCommand::DeleteBatch,
        ElementCommand::Freeze,
        ElementCommand::Mmap,
    ];

    /// The command of bpf(2); `None` for mmap(2).
    pub fn command(self) -> Option<&'static str> {
        Some(match self {
            ElementCommand::Create => "BPF_MAP_CREATE",
            ElementCommand::Lookup => "BPF_MAP_LOOKUP_ELEM",
            ElementCommand::Update => "BPF_MAP_UPDATE_ELEM",
            ElementCommand::Delete => "BPF_MAP_DELETE_ELEM",
            ElementCommand::NextKey => "BPF_MAP_GET_NEXT_KEY",
            ElementCommand::LookupAndDelete => "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            ElementCommand::LookupBatch => "BPF_MAP_LOOKUP_BATCH",
            ElementCommand::LookupAndDeleteBatch => "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
            ElementCommand::UpdateBatch => "BPF_MAP_UPDATE_BATCH",
            ElementCommand::DeleteBatch => "BPF_MAP_DELETE_BATCH",
            ElementCommand::Freeze => "BPF_MAP_FREEZE",
            ElementCommand::Mmap => return None,
        })
    }

    /// As people call it: `lookup_and_delete`.
    pub fn name(self) -> &'static str {
        match self {
            ElementCommand::Create => "create",
            ElementCommand::Lookup => "lookup",
            ElementCommand::Update => "update",
            ElementCommand::Delete => "delete",
            ElementCommand::NextKey => "get_next_key",
            ElementCommand::LookupAndDelete => "lookup_and_delete",
            ElementCommand::LookupBatch => "lookup_batch",
            ElementCommand::LookupAndDeleteBatch => "lookup_and_delete_batch",
            ElementCommand::UpdateBatch => "update_batch",
            ElementCommand::DeleteBatch => "delete_batch",
            ElementCommand::Freeze => "freeze",
            ElementCommand::Mmap => "mmap",
        }
    }
}

/// What a map type gives for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// It can succeed.
    Success,
    /// It is always refused, with one of these errnos.
    Refusal(&'static [&'static str]),
    /// There is nothing to ask for: mmap(2) of a type that has none of it.
    Nothing,
}

/// A map type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapType {
    /// `BPF_MAP_TYPE_HASH`.
    pub name: &'static str,
    /// In the order of [`ElementCommand::ALL`].
    pub gives: [Gives; 12],
}

/// All map types that Linux 6.12 has, in the order of their numbers.
pub fn map_types() -> &'static [MapType] {
    MAP_TYPES
}

/// The type of that name, the newer and older names of the cgroup storages too.
pub fn map_type(name: &str) -> Option<&'static MapType> {
    let name = name.strip_suffix("_DEPRECATED").unwrap_or(name);
    MAP_TYPES.iter().find(|row| row.name == name)
}

const W: Gives = Gives::Success;
const X: Gives = Gives::Nothing;
const INVAL: Gives = Gives::Refusal(&["EINVAL"]);
const NOTSUPP: Gives = Gives::Refusal(&["ENOTSUPP"]);
const OPNOTSUPP: Gives = Gives::Refusal(&["EOPNOTSUPP"]);

/// Lookup, update, delete and get_next_key of a type that can be created and frozen, has no lookup_and_delete, no batch
/// and no mmap.
const fn plain(name: &'static str, elements: [Gives; 4]) -> MapType {
    let [lookup, update, delete, next] = elements;
    batch(name, [lookup, update, delete, next, NOTSUPP], [NOTSUPP; 4])
}

/// As [`plain`], with lookup_and_delete; then the batches: lookup, lookup_and_delete, update, delete.
const fn batch(name: &'static str, elements: [Gives; 5], batches: [Gives; 4]) -> MapType {
    let [lookup, update, delete, next, take] = elements;
    let [lookup_batch, take_batch, update_batch, delete_batch] = batches;
    let gives =
        [W, lookup, update, delete, next, take, lookup_batch, take_batch, update_batch, delete_batch, W, X];
    MapType { name, gives }
}

/// Values of a struct_ops map may be running: they are never frozen.
const STRUCT_OPS: [Gives; 12] = [W, W, W, W, W, NOTSUPP, NOTSUPP, NOTSUPP, NOTSUPP, NOTSUPP, NOTSUPP, X];

/// With mmap.
const fn mapped(mut map: MapType) -> MapType {
    map.gives[11] = W;
    map
}

const MAP_TYPES: &[MapType] = &[
    batch("BPF_MAP_TYPE_HASH", [W; 5], [W; 4]),
    mapped(batch("BPF_MAP_TYPE_ARRAY", [W, W, INVAL, W, NOTSUPP], [W, NOTSUPP, W, NOTSUPP])),
    plain("BPF_MAP_TYPE_PROG_ARRAY", [W, W, W, W]),
    plain("BPF_MAP_TYPE_PERF_EVENT_ARRAY", [NOTSUPP, W, W, W]),
    batch("BPF_MAP_TYPE_PERCPU_HASH", [W; 5], [W; 4]),
    batch("BPF_MAP_TYPE_PERCPU_ARRAY", [W, W, INVAL, W, NOTSUPP], [W, NOTSUPP, W, NOTSUPP]),
    plain("BPF_MAP_TYPE_STACK_TRACE", [W, INVAL, W, W]),
    plain("BPF_MAP_TYPE_CGROUP_ARRAY", [NOTSUPP, W, W, W]),
    batch("BPF_MAP_TYPE_LRU_HASH", [W; 5], [W; 4]),
    batch("BPF_MAP_TYPE_LRU_PERCPU_HASH", [W; 5], [W; 4]),
    batch("BPF_MAP_TYPE_LPM_TRIE", [W, W, W, W, NOTSUPP], [W, NOTSUPP, W, W]),
    batch("BPF_MAP_TYPE_ARRAY_OF_MAPS", [W, W, W, W, NOTSUPP], [W, NOTSUPP, W, NOTSUPP]),
    batch("BPF_MAP_TYPE_HASH_OF_MAPS", [W, W, W, W, NOTSUPP], [W; 4]),
    plain("BPF_MAP_TYPE_DEVMAP", [W, W, W, W]),
    plain("BPF_MAP_TYPE_SOCKMAP", [W, W, W, W]),
    plain("BPF_MAP_TYPE_CPUMAP", [W, W, W, W]),
    plain("BPF_MAP_TYPE_XSKMAP", [OPNOTSUPP, W, W, W]),
    plain("BPF_MAP_TYPE_SOCKHASH", [W, W, W, W]),
    plain("BPF_MAP_TYPE_CGROUP_STORAGE", [W, W, INVAL, W]),
    plain("BPF_MAP_TYPE_REUSEPORT_SOCKARRAY", [W, W, W, W]),
    plain("BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE", [W, W, INVAL, W]),
    batch("BPF_MAP_TYPE_QUEUE", [W, W, INVAL, INVAL, W], [NOTSUPP; 4]),
    batch("BPF_MAP_TYPE_STACK", [W, W, INVAL, INVAL, W], [NOTSUPP; 4]),
    plain("BPF_MAP_TYPE_SK_STORAGE", [W, W, W, NOTSUPP]),
    plain("BPF_MAP_TYPE_DEVMAP_HASH", [W, W, W, W]),
    MapType { name: "BPF_MAP_TYPE_STRUCT_OPS", gives: STRUCT_OPS },
    mapped(plain("BPF_MAP_TYPE_RINGBUF", [NOTSUPP; 4])),
    plain("BPF_MAP_TYPE_INODE_STORAGE", [W, W, W, NOTSUPP]),
    plain("BPF_MAP_TYPE_TASK_STORAGE", [W, W, W, NOTSUPP]),
    plain("BPF_MAP_TYPE_BLOOM_FILTER", [W, W, OPNOTSUPP, OPNOTSUPP]),
    mapped(plain("BPF_MAP_TYPE_USER_RINGBUF", [NOTSUPP; 4])),
    plain("BPF_MAP_TYPE_CGRP_STORAGE", [W, W, W, NOTSUPP]),
    mapped(plain("BPF_MAP_TYPE_ARENA", [INVAL, OPNOTSUPP, OPNOTSUPP, OPNOTSUPP])),
];
