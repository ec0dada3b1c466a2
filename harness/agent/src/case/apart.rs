//! What keeps a case apart from those that come after it: namespaces and a session keyring of its own, which go with its last
//! process.

use kconform_plan::Trouble;

use crate::reach::Reach;
use crate::sys;
use crate::trouble::trouble;

/// Where the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On somebody's machine, of which nothing may be changed.
    Machine,
    /// In a guest, which is thrown away.
    Guest,
}

/// All that cases are kept apart by, and the name of each.
const KINDS: [(libc::c_int, &str); 4] = [
    (libc::CLONE_NEWNS, "mount"),
    (libc::CLONE_NEWUTS, "UTS"),
    (libc::CLONE_NEWIPC, "IPC"),
    (libc::CLONE_NEWNET, "network"),
];

/// The namespaces that a case of such calls gets for itself. A guest's network namespace stays the initial one: most of
/// /proc/sys/net is there only.
fn namespaces(reach: Reach, place: Place) -> libc::c_int {
    let wanted = [reach.anything, reach.anything, reach.ipc, reach.network && place == Place::Machine];
    KINDS.iter().zip(wanted).filter(|(_, wanted)| *wanted).fold(0, |all, ((kind, _), _)| all | kind)
}

/// Puts a case's process, before its first step, in the namespaces that are its own. Where it may not have them, or the
/// kernel has none of a kind, it stays in the agent's.
///
/// # Errors
/// What else unshare(2) says: a limit of /proc/sys/user is reached, or there is no memory. Or keyctl(2): there is no room for
/// a session keyring.
pub(crate) fn enter(reach: Reach, place: Place) -> Result<(), Trouble> {
    if reach.keys {
        // A kernel without keys has nothing to keep apart.
        sys::join_new_session_keyring().or_else(allowed).map_err(trouble("keyctl"))?;
    }
    enter_namespaces(reach, place).map_err(trouble("unshare"))
}

fn enter_namespaces(reach: Reach, place: Place) -> sys::Result<()> {
    let wanted = namespaces(reach, place);
    let done = match wanted {
        0 => return Ok(()),
        _ => match sys::unshare(wanted) {
            // One of the kinds is not built in.
            Err(libc::EINVAL) => KINDS
                .iter()
                .filter(|(kind, _)| wanted & kind != 0)
                .try_for_each(|(kind, _)| sys::unshare(*kind).or_else(allowed)),
            done => done.or_else(allowed),
        },
    };
    if done.is_ok() && wanted & libc::CLONE_NEWNET != 0 {
        sys::loopback_up();
    }
    done
}

fn allowed(errno: i32) -> sys::Result<()> {
    if matches!(errno, libc::EPERM | libc::EINVAL | libc::ENOSYS) { Ok(()) } else { Err(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_gets_the_namespaces_that_it_may_change() {
        let reach = Reach::default();
        let both = |reach| [Place::Machine, Place::Guest].map(|place| namespaces(reach, place));
        let (mounts, ipc, net) =
            (libc::CLONE_NEWNS | libc::CLONE_NEWUTS, libc::CLONE_NEWIPC, libc::CLONE_NEWNET);
        assert_eq!(both(reach), [0, 0]);
        assert_eq!(both(Reach { network: true, ..reach }), [net, 0]);
        assert_eq!(both(Reach { anything: true, ..reach }), [mounts, mounts]);
        assert_eq!(both(Reach { anything: true, ipc: true, ..reach }), [mounts | ipc, mounts | ipc]);
    }
}
