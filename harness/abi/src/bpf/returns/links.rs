//! Commands on links, and what makes links and iterators.

use super::{MEMORY, Return, Returns, can, cannot, of};

pub(super) const RETURNS: &[Returns] = &[
    of("BPF_RAW_TRACEPOINT_OPEN", RAW_TRACEPOINT_OPEN),
    of("BPF_LINK_CREATE", CREATE),
    of("BPF_LINK_UPDATE", UPDATE),
    of("BPF_LINK_DETACH", DETACH),
    of("BPF_ITER_CREATE", ITER_CREATE),
];

const RAW_TRACEPOINT_OPEN: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "__bpf_prog_get"),
    can("EBUSY", "__bpf_trampoline_link_prog (the same tracing program again)"),
    can("EFAULT", "__sys_bpf, bpf_raw_tp_link_attach (name)"),
    can("EINVAL", "bpf_raw_tracepoint_open, bpf_raw_tp_link_attach, bpf_probe_register"),
    can("EMFILE", "bpf_link_prime"),
    can("ENOENT", "bpf_raw_tp_link_attach"),
    cannot("ENOMEM", "bpf_raw_tp_link_attach", MEMORY),
];

const CREATE: &[Return] = &[
    can(
        "E2BIG",
        "bpf_check_uarg_tail_zero (attr, iter_info), netns_bpf_link_attach, bpf_kprobe_multi_link_attach",
    ),
    can("EACCES", "netkit_dev_fetch, __perf_event_set_bpf_prog (context beyond the tracepoint's fields)"),
    can("EAFNOSUPPORT", "bpf_nf_check_pf_and_hooks"),
    can("EBADF", "__bpf_prog_get, perf_event_get, get_net_ns_by_fd, cgroup_get_from_fd, bpf_map_get"),
    can("EBUSY", "dev_xdp_attach, sock_map_prog_update, __bpf_trampoline_link_prog"),
    can("EEXIST", "netns_bpf_link_attach (a program is there), perf_event_attach_bpf_prog"),
    can(
        "EFAULT",
        "__sys_bpf, bpf_kprobe_multi_link_attach, bpf_uprobe_multi_link_attach, bpf_iter_link_attach",
    ),
    can("EINVAL", "link_create, bpf_prog_attach_check_attach_type, each type's attach function"),
    can("EMFILE", "bpf_link_prime"),
    can("ENODEV", "tcx_link_attach, netkit_dev_fetch"),
    can("ENOENT", "bpf_uprobe_multi_link_attach (path), bpf_mprog_pos_before"),
    cannot("ENOMEM", "bpf_iter_link_attach, cgroup_bpf_link_attach", MEMORY),
    can("ENXIO", "netkit_dev_fetch (a device of another kind)"),
    can("EOPNOTSUPP", "dev_xdp_attach, bpf_nf_check_pf_and_hooks (flags)"),
    can("EPERM", "bpf_prog_attach_check_attach_type (CAP_NET_ADMIN), __cgroup_bpf_attach"),
    can("EPROTO", "bpf_nf_check_pf_and_hooks (hooknum)"),
    can("ERANGE", "bpf_nf_check_pf_and_hooks (priority), bpf_mprog_attach"),
    can("ESRCH", "bpf_uprobe_multi_link_attach (pid), ftrace_lookup_symbols"),
    can("ESTALE", "bpf_mprog_attach (expected_revision)"),
];

const UPDATE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "bpf_link_get_from_fd, __bpf_prog_get"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "link_update, __cgroup_bpf_replace, bpf_netns_link_update_prog, bpf_iter_link_replace"),
    can("ENOLINK", "cgroup_bpf_replace, bpf_netns_link_update_prog, tcx_link_update (detached)"),
    can("EOPNOTSUPP", "bpf_nf_link_update"),
    can("EPERM", "cgroup_bpf_replace, bpf_netns_link_update_prog (another program than old_prog_fd)"),
];

const DETACH: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "bpf_link_get_from_fd"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "link_detach, bpf_link_get_from_fd"),
    can("EOPNOTSUPP", "link_detach (a link that cannot be detached)"),
];

const ITER_CREATE: &[Return] = &[
    can("E2BIG", "bpf_check_uarg_tail_zero"),
    can("EBADF", "bpf_link_get_from_fd"),
    can("EFAULT", "__sys_bpf"),
    can("EINVAL", "bpf_iter_create, bpf_link_get_from_fd, bpf_iter_new_fd"),
    can("EMFILE", "bpf_iter_new_fd"),
    cannot("ENOMEM", "prepare_seq_file", MEMORY),
];
