//! What a forked child gives up for `unprivileged` steps.

use kconform_plan::Trouble;

use crate::sys;
use crate::trouble::{Tried, trouble};

/// The uid and gid of `unprivileged` steps: nobody's.
const NOBODY: u64 = 65534;

/// Makes a forked child nobody, with these capabilities only (capabilities(7): a change of uid keeps the permitted set
/// with `PR_SET_KEEPCAPS`, an ambient one must be permitted and inheritable).
pub(crate) fn drop_privileges(capabilities: u64) -> Tried<()> {
    // Raw calls: libc's wrappers change all threads of a process, and here is only one.
    let call = |what: &'static str, number, args: [u64; 3]| {
        let ret = sys::syscall(number, [args[0], args[1], args[2], 0, 0, 0]);
        if ret < 0 { Err(Trouble { what: what.into(), errno: -ret as i32 }) } else { Ok(()) }
    };
    let control =
        |what: &'static str, option, a, b| sys::prctl(option, a, b).map(drop).map_err(trouble(what));
    control("prctl PR_SET_KEEPCAPS", libc::PR_SET_KEEPCAPS, 1, 0)?;
    call("setgroups", libc::SYS_setgroups, [0; 3])?;
    call("setresgid", libc::SYS_setresgid, [NOBODY; 3])?;
    call("setresuid", libc::SYS_setresuid, [NOBODY; 3])?;
    sys::set_capabilities(capabilities).map_err(trouble("capset"))?;
    control("prctl PR_SET_KEEPCAPS", libc::PR_SET_KEEPCAPS, 0, 0)?;
    // Ambient capabilities came with Linux 4.3; before that there are none to clear.
    match sys::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0) {
        Err(libc::EINVAL) if capabilities == 0 => return Ok(()),
        cleared => cleared.map(drop).map_err(trouble("prctl PR_CAP_AMBIENT_CLEAR_ALL"))?,
    }
    for capability in (0..64).filter(|bit| capabilities >> bit & 1 == 1) {
        let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
        control("prctl PR_CAP_AMBIENT_RAISE", libc::PR_CAP_AMBIENT, raise, capability)?;
    }
    Ok(())
}
