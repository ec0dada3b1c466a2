//! What a case leaves in the kernel's keyrings (keyrings(7)). A user's keyrings are the whole user namespace's, so they are
//! looked at before a case that reaches keys and after it, and what it changed is put back. (Session keyrings are each case's
//! own: [`crate::case::apart`].)

use std::collections::BTreeMap;

use kconform_plan::{KeyChange, Left, Step, Trace, calls};

use crate::sys;
use crate::traces::words::words;

/// Keys of more users are not looked at.
const MOST_USERS: usize = 64;
/// More words of a plan are not looked at.
const MOST_WORDS: usize = 256;
/// `struct key_type`'s names (security/keys/keyring.c, user_defined.c).
const KEYRING: &str = "keyring";
const USER: &str = "user";
/// What the names of the keyrings begin with that stay when nobody uses them: process_keys.c, persistent.c.
const STAYING: [&str; 3] = ["_uid.", "_uid_ses.", PERSISTENT];
const PERSISTENT: &str = "_persistent.";

/// A key, as a line of /proc/keys has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    /// Whose keys it was found among.
    user: u32,
    revoked: bool,
    /// `perm`, or about how long it stays yet.
    timeout: String,
    permissions: u32,
    owner: i32,
    group: i32,
    kind: String,
    description: String,
    /// A user key's payload, or the ids of what a keyring links to.
    payload: Option<Vec<u8>>,
}

/// The keys that there are, by their ids.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<i32, Key>);

impl Keys {
    /// What is there before a case.
    pub(crate) fn before() -> Keys {
        let keys = Keys::note();
        let _ = sys::leave_session_keyring();
        keys
    }

    /// All keys of users who have some, as far as a keyring leads to them that stays when nobody uses it.
    fn note() -> Keys {
        // What the agent links to its own session is no other process's.
        let _ = sys::leave_session_keyring();
        let mut keys = Keys::default();
        for user in users() {
            sys::as_user(user, || keys.add(user));
        }
        keys
    }

    fn add(&mut self, user: u32) {
        let Ok(lines) = sys::read_file("/proc/keys") else { return };
        let all = |lines: &[u8]| -> BTreeMap<i32, Key> {
            String::from_utf8_lossy(lines).lines().filter_map(|line| parse(line, user)).collect()
        };
        let mut seen = all(&lines);
        let mut next: Vec<i32> = seen.iter().filter(|(_, key)| key.stays()).map(|(id, _)| *id).collect();
        let possessed = next.iter().filter(|keyring| sys::possess_keyring(**keyring).is_ok()).count();
        if possessed > 0 {
            // Now it shows keys that only who possesses them may see.
            seen = all(&sys::read_file("/proc/keys").unwrap_or(lines));
        }
        while let Some(id) = next.pop() {
            let Some(mut key) = seen.remove(&id) else { continue };
            if !key.revoked && [KEYRING, USER].contains(&key.kind.as_str()) {
                key.payload = sys::read_key(id).ok();
            }
            if key.kind == KEYRING {
                next.extend(key.links());
            }
            self.0.entry(id).or_insert(key);
        }
    }

    /// What each is called.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |(id, key): (&i32, &Key)| format!("the key {id} {:?} ({})", key.description, key.kind);
        // The kernel makes these when somebody looks for them.
        let is_made = |key: &Key| key.stays() && !key.description.starts_with(PERSISTENT);
        self.0.iter().filter(|(_, key)| !is_made(key)).map(name).collect()
    }

    /// What these steps have changed, put back where that can be done. On a kernel that others use too only what the steps
    /// may have done is.
    pub(crate) fn after(&self, steps: &[Step], shared: bool) -> Vec<Trace> {
        let now = Keys::note();
        let mut words_of_plan = Vec::new();
        words(steps, MOST_WORDS, &mut words_of_plan);
        // What keyctl(2) is given are mostly numbers that only the case knew.
        let anything = !shared || calls(steps).any(|call| call.is(libc::SYS_keyctl as u64));
        let may_undo = |description: &str| {
            anything || words_of_plan.iter().any(|word| word.as_slice() == description.as_bytes())
        };
        let mut traces = Vec::new();
        for (id, change) in self.changes(&now) {
            let found = now.0.get(&id).or(self.0.get(&id)).cloned();
            let (kind, description) =
                found.map(|key| (key.kind, key.description)).or_else(|| named(id)).unwrap_or_default();
            let undone = may_undo(&description) && self.undo(&now, id, &change);
            traces.push(Trace { left: Left::Key { id, kind, description, change }, undone });
        }
        let _ = sys::leave_session_keyring();
        traces
    }

    fn changes(&self, now: &Keys) -> Vec<(i32, KeyChange)> {
        let mut changes = Vec::new();
        for (&id, key) in &now.0 {
            let before = self.0.get(&id);
            if let Some(before) = before {
                changes.extend(before.changes(key).into_iter().map(|change| (id, change)));
            }
            if before.is_none() && key.description.starts_with(PERSISTENT) {
                changes.push((id, KeyChange::Made));
            } else if key.kind == KEYRING && !key.revoked && (before.is_some() || key.stays()) {
                let name = || key.description.clone();
                let (before, after) = (before.map(Key::links).unwrap_or_default(), key.links());
                let is_new = |link: &&i32| !before.contains(link);
                let linked = |_: &i32| KeyChange::Linked { keyring: id, name: name() };
                changes.extend(after.iter().filter(is_new).map(|link| (*link, linked(link))));
                let is_gone =
                    |link: &&i32| !after.contains(link) && self.0.get(link).is_some_and(Key::is_for_good);
                let unlinked = |_: &i32| KeyChange::Unlinked { keyring: id, name: name() };
                changes.extend(before.iter().filter(is_gone).map(|link| (*link, unlinked(link))));
            }
        }
        changes
    }

    /// Undoes a change; `false` where that cannot be done.
    fn undo(&self, now: &Keys, id: i32, change: &KeyChange) -> bool {
        let user_of = |id: &i32| now.0.get(id).or(self.0.get(id)).map_or(0, |key| key.user);
        let (before, user) = (self.0.get(&id), user_of(&id));
        let done = match change {
            KeyChange::Linked { keyring, name } => sys::as_user(user_of(keyring), || {
                if name.starts_with(PERSISTENT) {
                    sys::possess_persistent_keyring(user_of(keyring))?;
                }
                sys::unlink_key(id, *keyring)
            }),
            KeyChange::Unlinked { keyring, .. } => sys::as_user(user_of(keyring), || {
                sys::link_key(id, *keyring).or_else(|errno| {
                    // With its last link it is gone.
                    let (key, payload) = before.and_then(Key::known).ok_or(errno)?;
                    let made = sys::add_user_key(&key.description, payload, *keyring)?;
                    sys::set_key_permissions(made, key.permissions)
                })
            }),
            KeyChange::Made => sys::as_user(user, || {
                sys::possess_persistent_keyring(user)?;
                sys::invalidate_key(id)
            }),
            KeyChange::Permissions { before, .. } => {
                sys::as_user(user, || sys::set_key_permissions(id, *before))
            }
            // By CAP_SYS_ADMIN, if at all.
            KeyChange::Owner { before: (owner, group), .. } => Some(sys::set_key_owner(id, *owner, *group)),
            KeyChange::Timeout { before, .. } if before == "perm" => {
                sys::as_user(user, || sys::let_key_stay(id))
            }
            KeyChange::Payload => before
                .and_then(|key| key.payload.as_ref())
                .and_then(|payload| sys::as_user(user, || sys::update_key(id, payload))),
            KeyChange::Timeout { .. } | KeyChange::Revoked => None,
        };
        done.is_some_and(|done| done.is_ok())
    }
}

impl Key {
    /// What was changed of the key itself.
    fn changes(&self, now: &Key) -> Vec<KeyChange> {
        let mut changes = Vec::new();
        if now.revoked && !self.revoked {
            return vec![KeyChange::Revoked];
        }
        if (self.owner, self.group) != (now.owner, now.group) {
            let (before, after) = ((self.owner, self.group), (now.owner, now.group));
            changes.push(KeyChange::Owner { before, after });
        }
        if self.permissions != now.permissions {
            changes.push(KeyChange::Permissions { before: self.permissions, after: now.permissions });
        }
        // By itself the time only becomes shorter.
        if seconds(&self.timeout) < seconds(&now.timeout) || self.timeout == "perm" && now.timeout != "perm" {
            changes.push(KeyChange::Timeout { before: self.timeout.clone(), after: now.timeout.clone() });
        }
        if self.kind == USER && now.payload.is_some() && self.payload.is_some() && self.payload != now.payload
        {
            changes.push(KeyChange::Payload);
        }
        changes
    }

    /// It is a keyring that stays when nobody uses it.
    fn stays(&self) -> bool {
        self.kind == KEYRING && STAYING.iter().any(|name| self.description.starts_with(name))
    }

    /// The payload of a user key that can be made anew.
    fn known(&self) -> Option<(&Key, &[u8])> {
        Some((self, self.payload.as_deref()?)).filter(|_| self.kind == USER)
    }

    /// It does not go by itself.
    fn is_for_good(&self) -> bool {
        self.timeout == "perm" && !self.revoked
    }

    /// The ids of what a keyring links to.
    fn links(&self) -> Vec<i32> {
        let payload = self.payload.as_deref().unwrap_or_default();
        payload.chunks_exact(4).map(|id| id.first_chunk().map_or(0, |id| i32::from_ne_bytes(*id))).collect()
    }
}

/// About how long a key stays yet; the units are those of proc_keys_show() in security/keys/proc.c.
fn seconds(timeout: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let Some((number, unit)) = timeout.char_indices().last().map(|(at, unit)| (number(&timeout[..at]), unit))
    else {
        return 0;
    };
    match unit {
        _ if timeout == "perm" => u64::MAX,
        's' => number,
        'm' => number * 60,
        'h' => number * 3600,
        'd' => number * 86_400,
        'w' => number * 604_800,
        _ => 0,
    }
}

/// The users who have keys (`/proc/key-users`), and this one.
fn users() -> Vec<u32> {
    let lines = sys::read_file("/proc/key-users").unwrap_or_default();
    let lines = String::from_utf8_lossy(&lines);
    let user = |line: &str| line.split_once(':')?.0.trim().parse().ok();
    let mut users: Vec<u32> = lines.lines().filter_map(user).take(MOST_USERS).collect();
    users.push(sys::effective_uid());
    users.sort_unstable();
    users.dedup();
    users
}

/// A line of /proc/keys (proc(5)): id, flags, uses, timeout, permissions, owner, group, type, description and more. `None` of
/// a key that is being freed, and of what is the kernel's own.
fn parse(line: &str, user: u32) -> Option<(i32, Key)> {
    let mut fields = line.split_ascii_whitespace();
    let mut next = || fields.next();
    let (id, flags, uses) = (next()?, next()?, next()?);
    let (timeout, permissions) = (next()?, next()?);
    let (owner, group, kind) = (next()?, next()?, next()?);
    // The type has nine columns, and a space behind it (`%-9.9s `).
    let at = kind.as_ptr() as usize - line.as_ptr() as usize;
    let rest = line.get(at + 10..)?;
    let description = rest.rsplit_once(": ").map_or(rest, |(description, _)| description);
    let revoked = flags.contains('R');
    let is_expired = timeout == "expd" && !revoked;
    if uses == "0" || flags.contains(['D', 'i']) || is_expired || description.starts_with('.') {
        return None;
    }
    let key = Key {
        user,
        revoked,
        timeout: timeout.into(),
        permissions: u32::from_str_radix(permissions, 16).ok()?,
        owner: owner.parse().ok()?,
        group: group.parse().ok()?,
        kind: kind.into(),
        description: description.into(),
        payload: None,
    };
    Some((u32::from_str_radix(id, 16).ok()? as i32, key))
}

/// The type and the description of a key that no user was found to see.
fn named(id: i32) -> Option<(String, String)> {
    let text = sys::describe_key(id).ok()?;
    let (kind, rest) = text.split_once(';')?;
    Some((kind.into(), rest.splitn(4, ';').nth(3)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_keys_is_read() {
        let lines = [
            "2ca664a9 I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1",
            "0c1b2a30 IR-Q---     2 expd 3f010000  1000  1000 user      a: b: 12",
            "0c1b2a31 I--Q---     1   2w 3f010000  1000    -1 asymmetri x",
        ];
        let read: Vec<_> = lines.iter().filter_map(|line| parse(line, 7)).collect();
        let key = |timeout: &str, permissions, owner, group, kind: &str, description: &str| Key {
            user: 7,
            revoked: false,
            timeout: timeout.into(),
            permissions,
            owner,
            group,
            kind: kind.into(),
            description: description.into(),
            payload: None,
        };
        let revoked = Key { revoked: true, ..key("expd", 0x3f01_0000, 1000, 1000, "user", "a: b") };
        let expected = [
            (0x2ca6_64a9, key("perm", 0x1f3f_0000, 0, 65534, "keyring", "_uid_ses.0")),
            (0x0c1b_2a30, revoked),
            (0x0c1b_2a31, key("2w", 0x3f01_0000, 1000, -1, "asymmetri", "x")),
        ];
        assert_eq!(read, expected);
        let others = [
            "16b67e0f I------     1 perm 0f0b0000     0     0 keyring   .blacklist: empty",
            "16b67e0f I------     0 perm 0f0b0000     0     0 user      freed: 1",
            "16b67e0f I-D----     1 perm 0f0b0000     0     0 user      dead: 1",
            "16b67e0f I-----i     1 perm 0f0b0000     0     0 user      invalidated: 1",
            "16b67e0f I------     1 expd 0f0b0000     0     0 user      expired: 1",
            "odd",
        ];
        assert_eq!(others.iter().filter_map(|line| parse(line, 0)).count(), 0);
    }

    #[test]
    fn each_change_of_a_key_is_seen() {
        let line = "0c1b2a30 I--Q---     2   3d 3f010000  1000  1000 user      a: 12";
        let (_, read) = parse(line, 0).expect("a key");
        let key = || Key { payload: Some(b"one".to_vec()), ..read.clone() };
        let changes = |now: Key| key().changes(&now);
        assert_eq!(changes(key()), []);
        assert_eq!(changes(Key { timeout: "71h".into(), ..key() }), []);
        let longer = KeyChange::Timeout { before: "3d".into(), after: "perm".into() };
        assert_eq!(changes(Key { timeout: "perm".into(), ..key() }), [longer]);
        let forever = Key { timeout: "perm".into(), ..key() };
        let shorter = KeyChange::Timeout { before: "perm".into(), after: "59s".into() };
        assert_eq!(forever.changes(&Key { timeout: "59s".into(), ..key() }), [shorter]);
        let permissions = KeyChange::Permissions { before: 0x3f01_0000, after: 1 };
        assert_eq!(changes(Key { permissions: 1, ..key() }), [permissions]);
        let owner = KeyChange::Owner { before: (1000, 1000), after: (0, 1000) };
        assert_eq!(changes(Key { owner: 0, ..key() }), [owner]);
        assert_eq!(changes(Key { payload: Some(b"two".to_vec()), ..key() }), [KeyChange::Payload]);
        assert_eq!(changes(Key { payload: None, ..key() }), []);
        assert_eq!(changes(Key { revoked: true, permissions: 1, ..key() }), [KeyChange::Revoked]);
    }

    #[test]
    fn times_are_told_apart() {
        let times = ["", "expd", "0s", "59s", "1m", "2h", "3d", "1w", "perm"].map(seconds);
        assert_eq!(times, [0, 0, 0, 59, 60, 7200, 259_200, 604_800, u64::MAX]);
    }
}
