//! keyctl(2), as far as the agent itself looks at keys and puts them right.

use super::{Result, c_string, check_size};

/// Numbers of linux/keyctl.h.
const JOIN_SESSION_KEYRING: u32 = 1;
const UPDATE: u32 = 2;
const CHOWN: u32 = 4;
const SETPERM: u32 = 5;
const DESCRIBE: u32 = 6;
const LINK: u32 = 8;
const UNLINK: u32 = 9;
const READ: u32 = 11;
const SET_TIMEOUT: u32 = 15;
const INVALIDATE: u32 = 21;
const GET_PERSISTENT: u32 = 22;
/// `KEY_SPEC_SESSION_KEYRING` and `KEY_SPEC_USER_KEYRING`.
const SESSION: i32 = -3;
const USER: i32 = -4;
/// More of a key is not read: the longest payload of the type `user` (user_preparse() in security/keys/user_defined.c), and
/// 8192 links.
const MOST: usize = 32 << 10;

/// # Safety
/// What the command takes for addresses is valid.
unsafe fn keyctl(command: u32, args: [u64; 4]) -> Result<usize> {
    let [a, b, c, d] = args;
    // SAFETY: the caller promises it.
    check_size(unsafe { libc::syscall(libc::SYS_keyctl, command, a, b, c, d) } as isize)
}

fn plain(command: u32, a: i32, b: u64, c: u64) -> Result<()> {
    // SAFETY: only commands that take numbers are used so.
    unsafe { keyctl(command, [a as u64, b, c, 0]) }.map(drop)
}

/// A new session keyring for this process, with the user's keyring linked to it as at a login (pam_keyinit(8)).
pub(crate) fn join_new_session_keyring() -> Result<()> {
    leave_session_keyring()?;
    // Without it only what the user's keyring holds is not found by searches.
    let _ = link_key(USER, SESSION);
    Ok(())
}

/// A new session keyring for this process, with nothing in it.
pub(crate) fn leave_session_keyring() -> Result<()> {
    // SAFETY: NULL asks for a keyring without a name of its own.
    unsafe { keyctl(JOIN_SESSION_KEYRING, [0; 4]) }.map(drop)
}

/// A key's payload, or the ids of what is linked to a keyring; the beginning of what is very long.
pub(crate) fn read_key(key: i32) -> Result<Vec<u8>> {
    let mut payload = vec![0; 512];
    loop {
        let (place, room) = (payload.as_mut_ptr() as u64, payload.len());
        // SAFETY: there is so much room.
        let length = unsafe { keyctl(READ, [key as u64, place, room as u64, 0]) }?;
        // Of what has no room little or nothing is written.
        if length <= room || room == MOST {
            payload.truncate(length);
            return Ok(payload);
        }
        payload.resize(length.min(MOST), 0);
    }
}

/// A key as text: `type;uid;gid;permissions;description`.
pub(crate) fn describe_key(key: i32) -> Result<String> {
    let mut text = [0_u8; 4200];
    // SAFETY: there is so much room.
    let length = unsafe { keyctl(DESCRIBE, [key as u64, text.as_mut_ptr() as u64, text.len() as u64, 0]) }?;
    Ok(String::from_utf8_lossy(&text[..length.min(text.len()).saturating_sub(1)]).into_owned())
}

/// Links a key to a keyring.
pub(crate) fn link_key(key: i32, keyring: i32) -> Result<()> {
    plain(LINK, key, keyring as u64, 0)
}

/// Takes that link away.
pub(crate) fn unlink_key(key: i32, keyring: i32) -> Result<()> {
    plain(UNLINK, key, keyring as u64, 0)
}

/// Sets a key's permissions.
pub(crate) fn set_key_permissions(key: i32, permissions: u32) -> Result<()> {
    plain(SETPERM, key, permissions.into(), 0)
}

/// Sets a key's owner and group; -1 leaves one as it is.
pub(crate) fn set_key_owner(key: i32, owner: i32, group: i32) -> Result<()> {
    plain(CHOWN, key, owner as u64, group as u64)
}

/// Has a key stay until it is not used any more.
pub(crate) fn let_key_stay(key: i32) -> Result<()> {
    plain(SET_TIMEOUT, key, 0, 0)
}

/// Sets a key's payload.
pub(crate) fn update_key(key: i32, payload: &[u8]) -> Result<()> {
    // SAFETY: the payload is so long.
    unsafe { keyctl(UPDATE, [key as u64, payload.as_ptr() as u64, payload.len() as u64, 0]) }.map(drop)
}

/// Links a keyring to this process's session, so that it and what it leads to is possessed: permissions of keys are mostly
/// those of who possesses them (keyrings(7)).
pub(crate) fn possess_keyring(keyring: i32) -> Result<()> {
    link_key(keyring, SESSION)
}

/// As [`possess_keyring`], of a user's persistent keyring (persistent-keyring(7)): nobody may do much who does not possess it.
pub(crate) fn possess_persistent_keyring(user: u32) -> Result<()> {
    // SAFETY: the command takes numbers.
    unsafe { keyctl(GET_PERSISTENT, [user.into(), SESSION as u64, 0, 0]) }.map(drop)
}

/// Removes a key, wherever it is linked.
pub(crate) fn invalidate_key(key: i32) -> Result<()> {
    plain(INVALIDATE, key, 0, 0)
}

/// Does something with the file system user id (setfsuid(2)) of this user, by which the kernel tells whose keys one may use.
/// `None` where that is not allowed.
pub(crate) fn as_user<T>(user: u32, act: impl FnOnce() -> T) -> Option<T> {
    let set = |user: u32| {
        // SAFETY: no memory is involved. An id that no user has changes nothing: it tells the one that is set.
        unsafe {
            libc::setfsuid(user as libc::uid_t);
            libc::setfsuid(u32::MAX as libc::uid_t) as u32
        }
    };
    // SAFETY: as above.
    let own = unsafe { libc::setfsuid(u32::MAX as libc::uid_t) } as u32;
    if own == user {
        return Some(act());
    }
    let done = (set(user) == user).then(act);
    set(own);
    done
}

/// Makes a key of the type `user` (add_key(2)); its id.
pub(crate) fn add_user_key(description: &str, payload: &[u8], keyring: i32) -> Result<i32> {
    let (kind, description) = (c"user", c_string(description));
    // SAFETY: both strings end in NUL, and the payload is so long.
    let key = unsafe {
        let payload_at = payload.as_ptr();
        let (kind, description) = (kind.as_ptr(), description.as_ptr());
        libc::syscall(libc::SYS_add_key, kind, description, payload_at, payload.len(), keyring)
    };
    check_size(key as isize).map(|key| key as i32)
}
