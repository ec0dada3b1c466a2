//! Commands on programs, and BTF that goes with them.

use super::{MEMORY, OFFLOAD, Return, Returns, can, cannot, of};

pub(super) const RETURNS: &[Returns] = &[
    of("BPF_PROG_LOAD", LOAD),
    of("BPF_PROG_TEST_RUN", TEST_RUN),
    of("BPF_PROG_ATTACH", ATTACH),
    of("BPF_PROG_DETACH", DETACH),
    of("BPF_PROG_QUERY", QUERY),
    of("BPF_PROG_BIND_MAP", BIND_MAP),
    of("BPF_BTF_LOAD", BTF_LOAD),
];

const LOAD: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, bpf_prog_load (insn_cnt), add_used_map_from_fd, do_check"),
    can("EACCES", "check_mem_access, __check_reg_arg, check_ctx_access, check_btf_info_early"),
    cannot("EAGAIN", "do_check", "a signal must come while the verifier works"),
    can("EBADF", "__bpf_map_get, btf_get_by_fd, bpf_token_get_from_fd"),
    can("EBUSY", "resolve_pseudo_ldimm64, bpf_cgroup_storage_assign (two storages of one type)"),
    can("EEXIST", "bpf_find_exception_callback_insn_off (two callbacks)"),
    can("EFAULT", "__sys_bpf, bpf_prog_load (insns, license), bpf_vlog_finalize, check_btf_func_early"),
    can("EINVAL", "bpf_prog_load, bpf_prog_load_check_attach, find_prog_type, check_cfg, check_alu_op"),
    can("EMFILE", "bpf_prog_new_fd"),
    cannot("ENODEV", "bpf_prog_offload_verifier_prep, bpf_prog_offload_translate", OFFLOAD),
    can("ENOENT", "check_pseudo_btf_id, bpf_check_attach_target"),
    can("ENOMEM", "bpf_check, bpf_patch_insn_data (a jump that grows beyond 16 bits)"),
    can("ENOSPC", "bpf_vlog_finalize (a log that does not fit)"),
    can("ENOTSUPP", "bpf_prog_load (BTF that is not the kernel's), check_struct_ops_btf_id, add_kfunc_call"),
    cannot(
        "ENXIO",
        "__find_kfunc_desc_btf, check_pseudo_btf_id",
        "a kernel module must go away whose BTF is in use",
    ),
    can("EOPNOTSUPP", "bpf_dev_offload_check (a device that runs no programs), resolve_pseudo_ldimm64"),
    can("EPERM", "bpf_prog_load, add_subprog_and_kfunc, check_ptr_to_btf_access"),
    can("EPROTO", "resolve_pseudo_ldimm64 (an index without fd_array), __find_kfunc_desc_btf"),
];

const TEST_RUN: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, bpf_ctx_init (ctx_in), bpf_prog_test_run_xdp (batch_size)"),
    can("EAFNOSUPPORT", "bpf_prog_test_run_sk_lookup"),
    can("EBADF", "__bpf_prog_get"),
    can("EBADMSG", "bpf_prog_test_run_skb (BPF_F_TEST_SKB_CHECKSUM_COMPLETE)"),
    can("EFAULT", "__sys_bpf, bpf_test_init, bpf_test_finish, bpf_ctx_init, bpf_ctx_finish"),
    can("EINTR", "bpf_test_timer_continue (a signal in a long run)"),
    can("EINVAL", "bpf_prog_test_run, bpf_test_init, convert___skb_to_skb, each type's test_run"),
    can("ENODEV", "bpf_prog_test_run_skb, xdp_convert_md_to_buff (an ifindex of the context)"),
    can("ENOMEM", "bpf_prog_test_run_xdp (more than MAX_SKB_FRAGS pages of data)"),
    can("ENOSPC", "bpf_test_finish (data_out), bpf_ctx_finish (ctx_out)"),
    can("ENOTSUPP", "bpf_prog_test_run (a type without test_run)"),
    can("ENXIO", "bpf_prog_test_run_raw_tp (a CPU that is not there)"),
    can("EOPNOTSUPP", "bpf_prog_test_run_sk_lookup (a socket of a reuseport group)"),
    can("EPROTO", "bpf_prog_test_run_nf"),
    can("ERANGE", "bpf_prog_test_run_sk_lookup (local_port)"),
];

/// netkit devices are made over netlink.
const ATTACH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, __cgroup_bpf_attach (64 programs)"),
    can("EACCES", "netkit_dev_fetch (the peer's side)"),
    can("EBADF", "__bpf_prog_get, cgroup_get_from_fd, __bpf_map_get"),
    can("EBUSY", "sock_map_prog_update (a link is there), sock_map_prog_link_lookup, bpf_mprog_pos_exact"),
    can("EEXIST", "netns_bpf_prog_attach (a link is there), bpf_mprog_attach (the same program)"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_prog_attach, __bpf_prog_get, find_attach_entry, netns_bpf_prog_attach"),
    can("ENODEV", "tcx_prog_attach, netkit_dev_fetch"),
    can("ENOENT", "find_attach_entry (BPF_F_REPLACE), bpf_mprog_pos_before, bpf_mprog_pos_after"),
    cannot("ENOMEM", "__cgroup_bpf_attach, tcx_prog_attach", MEMORY),
    can("ENXIO", "netkit_dev_fetch (a device of another kind)"),
    can("EOPNOTSUPP", "sock_map_prog_link_lookup (a map of another type)"),
    can("EPERM", "__cgroup_bpf_attach (flags of what is there, or of the cgroup above)"),
    can("ERANGE", "bpf_mprog_attach (no more room)"),
    can("ESTALE", "bpf_mprog_attach, __cgroup_bpf_attach (expected_revision)"),
];

const DETACH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EACCES", "netkit_dev_fetch (the peer's side)"),
    can("EBADF", "__bpf_prog_get, cgroup_get_from_fd, __bpf_map_get"),
    can("EBUSY", "sock_map_prog_update, bpf_mprog_fetch (what a link holds)"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_prog_detach, find_detach_entry, sock_map_prog_detach"),
    can("ENODEV", "tcx_prog_detach, netkit_dev_fetch"),
    can("ENOENT", "find_detach_entry, __netns_bpf_prog_detach, tcx_prog_detach, psock_replace_prog"),
    can("ENXIO", "netkit_dev_fetch (a device of another kind)"),
    can("EOPNOTSUPP", "sock_map_prog_link_lookup (a map of another type)"),
    can("EPERM", "bpf_prog_detach (without a program and CAP_NET_ADMIN)"),
    can("ERANGE", "bpf_mprog_detach (BPF_F_BEFORE of another)"),
    can("ESTALE", "bpf_mprog_detach (expected_revision)"),
];

const QUERY: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EACCES", "netkit_dev_fetch (the peer's side)"),
    can("EBADF", "cgroup_get_from_fd, get_net_ns_by_fd, __bpf_map_get"),
    can("EFAULT", "__sys_bpf, __cgroup_bpf_query, bpf_mprog_query"),
    can("EINVAL", "bpf_prog_query, __cgroup_bpf_query, get_net_ns_by_fd"),
    can("ENODEV", "tcx_prog_query, netkit_dev_fetch"),
    cannot("ENOMEM", "bpf_prog_array_copy_to_user", MEMORY),
    can("ENOSPC", "__cgroup_bpf_query, bpf_mprog_query, bpf_prog_array_copy_to_user"),
    can("ENXIO", "netkit_dev_fetch (a device of another kind)"),
    can("EOPNOTSUPP", "sock_map_prog_link_lookup (a map of another type)"),
    can("EPERM", "bpf_prog_query (without CAP_NET_ADMIN)"),
];

const BIND_MAP: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_prog_get, bpf_map_get"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_prog_bind_map, __bpf_prog_get, __bpf_map_get"),
    cannot("ENOMEM", "bpf_prog_bind_map", MEMORY),
];

const BTF_LOAD: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero, btf_parse (btf_size), btf_parse_hdr, btf_resolve"),
    can("EBADF", "bpf_token_get_from_fd"),
    can("EEXIST", "btf_resolve, env_stack_push (types that hold each other)"),
    can("EFAULT", "__sys_bpf, btf_parse, bpf_vlog_finalize"),
    can("EINVAL", "bpf_btf_load, bpf_vlog_init, btf_parse_hdr, btf_check_all_metas, btf_parse_str_sec"),
    can("ELOOP", "btf_check_type_tags, btf_check_ownership_depth"),
    can("EMFILE", "__btf_new_fd"),
    can("ENOENT", "btf_parse_graph_root (contains: of a type that is not there)"),
    cannot("ENOMEM", "btf_parse, btf_add_type", MEMORY),
    can("ENOSPC", "bpf_vlog_finalize (a log that does not fit)"),
    can("ENOTSUPP", "btf_parse_hdr (version, flags), btf_int_check_meta (encoding)"),
    can("EPERM", "bpf_btf_load"),
];
