//! Commands on objects of every kind: pins, IDs, information, statistics, tokens.

use super::{LEFT_OUT, MEMORY, OFFLOAD, RACE, Return, Returns, can, cannot, of};

pub(super) const RETURNS: &[Returns] = &[
    of("BPF_OBJ_PIN", PIN),
    of("BPF_OBJ_GET", GET),
    of("BPF_PROG_GET_NEXT_ID", NEXT_ID),
    of("BPF_MAP_GET_NEXT_ID", NEXT_ID),
    of("BPF_BTF_GET_NEXT_ID", NEXT_ID),
    of("BPF_LINK_GET_NEXT_ID", NEXT_ID),
    of("BPF_PROG_GET_FD_BY_ID", PROG_BY_ID),
    of("BPF_MAP_GET_FD_BY_ID", MAP_BY_ID),
    of("BPF_BTF_GET_FD_BY_ID", BTF_BY_ID),
    of("BPF_LINK_GET_FD_BY_ID", LINK_BY_ID),
    of("BPF_OBJ_GET_INFO_BY_FD", INFO),
    of("BPF_TASK_FD_QUERY", TASK_FD_QUERY),
    of("BPF_ENABLE_STATS", ENABLE_STATS),
    of("BPF_TOKEN_CREATE", TOKEN_CREATE),
];

const PIN: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EACCES", "may_create (a directory that cannot be written)"),
    can("EBADF", "user_path_create (path_fd)"),
    can("EEXIST", "filename_create"),
    can("EFAULT", "__sys_bpf, getname (pathname)"),
    can("EINVAL", "bpf_obj_pin, bpf_fd_probe_obj (an fd of another kind, or closed)"),
    can("ELOOP", "filename_create (symbolic links)"),
    can("ENAMETOOLONG", "getname, simple_lookup"),
    can("ENOENT", "filename_create (a directory that is not there)"),
    cannot("ENOMEM", "getname", MEMORY),
    cannot("ENOSPC", "bpf_get_inode", MEMORY),
    can("ENOTDIR", "filename_create (path_fd, or a part of the path)"),
    can("EPERM", "bpf_obj_do_pin (not on bpffs), bpf_lookup (a dot in the name)"),
    can("EROFS", "mnt_want_write (mounted read-only)"),
];

const GET: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EACCES", "bpf_inode_type (no pin), path_permission"),
    can("EBADF", "user_path_at (path_fd)"),
    can("EFAULT", "__sys_bpf, getname (pathname)"),
    can("EINVAL", "bpf_obj_get, bpf_get_file_flag, bpf_obj_get_user (a link with BPF_F_RDONLY)"),
    can("ELOOP", "user_path_at (symbolic links)"),
    can("EMFILE", "bpf_map_new_fd, bpf_prog_new_fd, bpf_link_new_fd"),
    can("ENAMETOOLONG", "getname, simple_lookup"),
    can("ENOENT", "user_path_at"),
    cannot("ENOMEM", "getname", MEMORY),
    can("ENOTDIR", "user_path_at (path_fd, or a part of the path)"),
    can("EPERM", "bpf_lookup (a dot in the name)"),
    can("EROFS", "path_permission (mounted read-only)"),
];

const NEXT_ID: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EFAULT", "__sys_bpf, bpf_obj_get_next_id (attr that cannot be written)"),
    can("EINVAL", "bpf_obj_get_next_id"),
    can("ENOENT", "bpf_obj_get_next_id"),
    can("EPERM", "bpf_obj_get_next_id"),
];

const PROG_BY_ID: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_prog_get_fd_by_id"),
    can("EMFILE", "bpf_prog_new_fd"),
    can("ENOENT", "bpf_prog_by_id"),
    can("EPERM", "bpf_prog_get_fd_by_id"),
];

const MAP_BY_ID: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_map_get_fd_by_id, bpf_get_file_flag"),
    can("EMFILE", "bpf_map_new_fd"),
    can("ENOENT", "bpf_map_get_fd_by_id"),
    can("EPERM", "bpf_map_get_fd_by_id"),
];

const BTF_BY_ID: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_btf_get_fd_by_id"),
    can("EMFILE", "__btf_new_fd"),
    can("ENOENT", "btf_get_fd_by_id"),
    can("EPERM", "bpf_btf_get_fd_by_id"),
];

const LINK_BY_ID: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    cannot("EAGAIN", "bpf_link_by_id (a link that is being made)", RACE),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_link_get_fd_by_id"),
    can("EMFILE", "bpf_link_new_fd"),
    can("ENOENT", "bpf_link_by_id"),
    can("EPERM", "bpf_link_get_fd_by_id"),
];

const INFO: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero (attr, info)"),
    can("EBADFD", "bpf_obj_get_info_by_fd (a closed fd)"),
    can("EFAULT", "__sys_bpf, bpf_prog_get_info_by_fd, bpf_map_get_info_by_fd, btf_get_info_by_fd"),
    can(
        "EINVAL",
        "bpf_obj_get_info_by_fd, set_info_rec_size, btf_get_info_by_fd, each link's fill_link_info",
    ),
    cannot("ENODEV", "bpf_prog_offload_info_fill, bpf_map_offload_info_fill", OFFLOAD),
    cannot("ENOMEM", "bpf_prog_get_info_by_fd", MEMORY),
    can("ENOSPC", "btf_get_info_by_fd, bpf_copy_to_user (a name that does not fit)"),
];

const TASK_FD_QUERY: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "bpf_task_fd_query (an fd that the task has not)"),
    can("EFAULT", "__sys_bpf, bpf_task_fd_query_copy"),
    can("EINVAL", "bpf_task_fd_query"),
    can("ENOENT", "bpf_task_fd_query (pid), bpf_get_perf_event_info (no program)"),
    can("ENOSPC", "bpf_task_fd_query_copy"),
    can("ENOTSUPP", "bpf_task_fd_query (an fd of another kind)"),
    can("EOPNOTSUPP", "bpf_get_perf_event_info (BPF_PROG_TYPE_PERF_EVENT)"),
    can("EPERM", "bpf_task_fd_query"),
];

const ENABLE_STATS: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    cannot("EBUSY", "bpf_enable_runtime_stats", "2^30 fds of the kind must be open"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_enable_stats"),
    can("EMFILE", "bpf_enable_runtime_stats"),
    can("EPERM", "bpf_enable_stats"),
];

const TOKEN_CREATE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    cannot(
        "EACCES",
        "path_permission",
        "MAY_ACCESS alone is asked for, which no mode refuses: a security module must do so",
    ),
    can("EBADF", "bpf_token_create"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "token_create, bpf_token_create (not the root of a bpffs)"),
    cannot("EMFILE", "bpf_token_create", LEFT_OUT),
    can("ENOENT", "bpf_token_create (nothing is delegated)"),
    cannot("ENOMEM", "bpf_token_create", MEMORY),
    can("EOPNOTSUPP", "bpf_token_create (in the first user namespace)"),
    can("EPERM", "bpf_token_create (another user namespace's bpffs, no CAP_BPF)"),
];
