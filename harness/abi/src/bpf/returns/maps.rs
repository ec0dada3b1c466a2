//! Commands on maps.
//!
//! A busy bucket or queue (`htab_lock_bucket`, `__queue_map_get`) is EBUSY for a program that interrupts another on the same
//! CPU, never for the system call, which nothing interrupts while it is in there.

use super::{IDS_USED_UP, MEMORY, OFFLOAD, RACE, Return, Returns, can, cannot, of};

pub(super) const RETURNS: &[Returns] = &[
    of("BPF_MAP_CREATE", CREATE),
    of("BPF_MAP_LOOKUP_ELEM", LOOKUP),
    of("BPF_MAP_UPDATE_ELEM", UPDATE),
    of("BPF_MAP_DELETE_ELEM", DELETE),
    of("BPF_MAP_GET_NEXT_KEY", NEXT_KEY),
    of("BPF_MAP_LOOKUP_AND_DELETE_ELEM", LOOKUP_AND_DELETE),
    of("BPF_MAP_FREEZE", FREEZE),
    of("BPF_MAP_LOOKUP_BATCH", LOOKUP_BATCH),
    of("BPF_MAP_LOOKUP_AND_DELETE_BATCH", LOOKUP_AND_DELETE_BATCH),
    of("BPF_MAP_UPDATE_BATCH", UPDATE_BATCH),
    of("BPF_MAP_DELETE_BATCH", DELETE_BATCH),
];

/// What btf_parse_fields finds wrong with a value is kept for the verifier: `map_check_btf` goes on.
const CREATE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, array_map_alloc_check, htab_map_alloc_check, cpu_map_alloc"),
    can("EACCES", "map_create (BTF of the kernel), map_check_btf (fields in a map that programs only read)"),
    can("EBADF", "btf_get_by_fd, bpf_map_meta_alloc, bpf_token_get_from_fd"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "map_create, bpf_obj_name_cpy, map_check_btf, each type's map_alloc_check"),
    can("EMFILE", "bpf_map_new_fd"),
    can("ENOMEM", "array_map_alloc, htab_map_alloc (more than there is)"),
    cannot("ENOSPC", "bpf_map_alloc_id", IDS_USED_UP),
    can("ENOTSUPP", "map_check_no_btf, htab_map_alloc_check, bpf_map_meta_alloc"),
    can("EOPNOTSUPP", "map_check_btf (a lock or timer in a type that takes none)"),
    can("EPERM", "map_create, htab_map_alloc_check, bpf_map_offload_map_alloc"),
    can("ERANGE", "arena_map_alloc"),
];

const LOOKUP: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get, bpf_fd_inode_storage_lookup_elem"),
    can("EFAULT", "__sys_bpf, __bpf_copy_key, map_lookup_elem"),
    can("EINVAL", "map_lookup_elem, __bpf_copy_key, __bpf_map_get"),
    cannot("ENODEV", "bpf_map_offload_lookup_elem", OFFLOAD),
    can("ENOENT", "bpf_map_copy_value"),
    cannot("ENOMEM", "map_lookup_elem, __bpf_copy_key", MEMORY),
    can("ENOSPC", "sock_map_lookup_sys, bpf_fd_reuseport_array_lookup_elem (values of 4 bytes)"),
    can("ENOTSOCK", "bpf_fd_sk_storage_lookup_elem"),
    can("ENOTSUPP", "ringbuf_map_lookup_elem, bpf_fd_array_map_lookup_elem"),
    can("EOPNOTSUPP", "xsk_map_lookup_elem_sys_only"),
    can("EPERM", "map_lookup_elem (an fd that cannot be read)"),
];

const UPDATE: &[Return] = &[
    can(
        "E2BIG",
        "bpf_check_uarg_tail_zero, array_map_update_elem, alloc_htab_elem, queue_stack_map_push_elem",
    ),
    cannot("EAGAIN", "bpf_local_storage_update", RACE),
    can("EBADF", "__bpf_map_get, bpf_map_fd_get_ptr, bpf_fd_inode_storage_update_elem"),
    can("EBUSY", "reuseport_array_update_check (a socket that is in a map already), prog_fd_array_get_ptr"),
    can("EEXIST", "check_flags, array_map_update_elem (BPF_NOEXIST)"),
    can("EFAULT", "__sys_bpf, ___bpf_copy_key, map_update_elem"),
    can("EINVAL", "map_update_elem, each type's map_update_elem"),
    can("ENODEV", "cpu_map_update_elem (a CPU that is not possible)"),
    can("ENOENT", "check_flags (BPF_EXIST)"),
    can("ENOMEM", "bpf_sk_storage_charge (net.core.optmem_max)"),
    can("ENOSPC", "trie_check_add_elem"),
    can("ENOTSOCK", "sock_map_update_elem_sys, bpf_fd_sk_storage_update_elem"),
    can("ENOTSUPP", "ringbuf_map_update_elem, reuseport_array_update_check"),
    can("EOPNOTSUPP", "sock_map_update_elem_sys, xsk_map_update_elem, arena_map_update_elem"),
    can("EOVERFLOW", "cpu_map_update_elem (qsize)"),
    can("EPERM", "map_update_elem (an fd that cannot be written, a frozen map)"),
];

const DELETE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, __fd_array_map_delete_elem, reuseport_array_delete_elem"),
    can("EBADF", "__bpf_map_get, bpf_fd_inode_storage_delete_elem"),
    can("EFAULT", "__sys_bpf, ___bpf_copy_key"),
    can("EINPROGRESS", "bpf_struct_ops_map_delete_elem"),
    can("EINVAL", "map_delete_elem, array_map_delete_elem"),
    cannot("ENODEV", "bpf_map_offload_delete_elem", OFFLOAD),
    can("ENOENT", "htab_map_delete_elem, trie_delete_elem, __fd_array_map_delete_elem"),
    cannot("ENOMEM", "___bpf_copy_key", MEMORY),
    can("ENOTSOCK", "bpf_fd_sk_storage_delete_elem"),
    can("ENOTSUPP", "ringbuf_map_delete_elem"),
    can("EOPNOTSUPP", "bloom_map_delete_elem, arena_map_delete_elem"),
    can("EPERM", "map_delete_elem (an fd that cannot be written, a frozen map)"),
];

const NEXT_KEY: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EFAULT", "__sys_bpf, __bpf_copy_key, map_get_next_key"),
    can("EINVAL", "map_get_next_key, queue_stack_map_get_next_key"),
    cannot("ENODEV", "bpf_map_offload_get_next_key", OFFLOAD),
    can("ENOENT", "array_map_get_next_key, htab_map_get_next_key"),
    cannot("ENOMEM", "map_get_next_key, trie_get_next_key", MEMORY),
    can("ENOTSUPP", "ringbuf_map_get_next_key, notsupp_get_next_key"),
    can("EOPNOTSUPP", "bloom_map_get_next_key, arena_map_get_next_key"),
    can("EPERM", "map_get_next_key (an fd that cannot be read)"),
];

const LOOKUP_AND_DELETE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EFAULT", "__sys_bpf, __bpf_copy_key, map_lookup_and_delete_elem"),
    can("EINVAL", "map_lookup_and_delete_elem, __bpf_copy_key"),
    can("ENOENT", "__queue_map_get, __htab_map_lookup_and_delete_elem"),
    cannot("ENOMEM", "map_lookup_and_delete_elem", MEMORY),
    can("ENOTSUPP", "map_lookup_and_delete_elem"),
    can("EPERM", "map_lookup_and_delete_elem"),
];

const FREEZE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EBUSY", "map_freeze (mapped to write, or frozen before)"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "map_freeze, __bpf_map_get"),
    can("ENOTSUPP", "map_freeze (a value with a lock or timer)"),
    can("EPERM", "map_freeze (an fd that cannot be written)"),
];

const LOOKUP_BATCH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EFAULT", "__sys_bpf, generic_map_lookup_batch, __htab_map_lookup_and_delete_batch"),
    can("EINVAL", "bpf_map_do_batch, generic_map_lookup_batch, __htab_map_lookup_and_delete_batch"),
    can("ENOENT", "generic_map_lookup_batch, __htab_map_lookup_and_delete_batch (the end)"),
    cannot("ENOMEM", "generic_map_lookup_batch", MEMORY),
    can("ENOSPC", "__htab_map_lookup_and_delete_batch (a bucket with more than count)"),
    can("ENOTSUPP", "bpf_map_do_batch"),
    can("EPERM", "bpf_map_do_batch"),
];

const LOOKUP_AND_DELETE_BATCH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EFAULT", "__sys_bpf, __htab_map_lookup_and_delete_batch"),
    can("EINVAL", "bpf_map_do_batch, __htab_map_lookup_and_delete_batch"),
    can("ENOENT", "__htab_map_lookup_and_delete_batch (the end)"),
    cannot("ENOMEM", "__htab_map_lookup_and_delete_batch", MEMORY),
    can("ENOSPC", "__htab_map_lookup_and_delete_batch (a bucket with more than count)"),
    can("ENOTSUPP", "bpf_map_do_batch"),
    can("EPERM", "bpf_map_do_batch"),
];

const UPDATE_BATCH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, array_map_update_elem, alloc_htab_elem"),
    can("EBADF", "__bpf_map_get, bpf_map_fd_get_ptr"),
    can("EFAULT", "__sys_bpf, generic_map_update_batch"),
    can("EINVAL", "bpf_map_do_batch, generic_map_update_batch, trie_update_elem"),
    cannot("ENOMEM", "generic_map_update_batch", MEMORY),
    can("ENOSPC", "trie_check_add_elem"),
    can("ENOTSUPP", "bpf_map_do_batch"),
    can("EPERM", "bpf_map_do_batch"),
];

const DELETE_BATCH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_map_get"),
    can("EFAULT", "__sys_bpf, generic_map_delete_batch"),
    can("EINVAL", "bpf_map_do_batch, generic_map_delete_batch, trie_delete_elem"),
    can("ENOENT", "htab_map_delete_elem, trie_delete_elem"),
    cannot("ENOMEM", "generic_map_delete_batch", MEMORY),
    can("ENOTSUPP", "bpf_map_do_batch"),
    can("EPERM", "bpf_map_do_batch"),
];
