//! What cases leave of keys, in words.

use kconform_plan::KeyChange;

/// What became of a key: `the key 5 "kconform" (user), which was linked to _uid.0`.
pub(super) fn describe(id: i32, kind: &str, description: &str, change: &KeyChange) -> String {
    let became = match change {
        KeyChange::Linked { name, .. } => format!("which was linked to {name}"),
        KeyChange::Unlinked { name, .. } => format!("which was unlinked from {name}"),
        KeyChange::Made => "which is new".to_owned(),
        KeyChange::Permissions { before, after } => {
            format!("whose permissions were {before:#010x} and are {after:#010x}")
        }
        KeyChange::Owner { before, after } => {
            format!("whose owner and group were {}:{} and are {}:{}", before.0, before.1, after.0, after.1)
        }
        KeyChange::Timeout { before, after } => {
            format!("whose timeout was {before} and is {after} (as in /proc/keys)")
        }
        KeyChange::Payload => "which has another payload".to_owned(),
        KeyChange::Revoked => "which was revoked".to_owned(),
    };
    let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
    format!("the key {id} {description:?}{kind}, {became}")
}

/// What undoes that (keyctl(1)), or that it is done.
pub(super) fn remedy(id: i32, change: &KeyChange, undone: bool) -> String {
    let how = match change {
        KeyChange::Linked { keyring, .. } => format!("keyctl unlink {id} {keyring}"),
        KeyChange::Unlinked { name, .. } if undone => format!("it was put back into {name}"),
        KeyChange::Unlinked { keyring, .. } => {
            format!("keyctl link {id} {keyring}; when it is gone whoever uses it must make it anew")
        }
        KeyChange::Made => format!("keyctl invalidate {id}"),
        KeyChange::Permissions { before, .. } => format!("keyctl setperm {id} {before:#010x}"),
        KeyChange::Owner { before: (owner, group), .. } => {
            format!("keyctl chown {id} {owner}; keyctl chgrp {id} {group}")
        }
        KeyChange::Timeout { before, .. } if before == "perm" => format!("keyctl timeout {id} 0"),
        KeyChange::Timeout { before, .. } => {
            format!("keyctl timeout {id} SECONDS, which were about {before}")
        }
        KeyChange::Payload if undone => "its payload was put back".to_owned(),
        KeyChange::Payload => format!("keyctl update {id} PAYLOAD, as whoever uses it knows it"),
        KeyChange::Revoked => "it cannot be undone: whoever uses it must make it anew".to_owned(),
    };
    match (change, undone) {
        (KeyChange::Payload | KeyChange::Unlinked { .. }, true) | (KeyChange::Revoked, _) => {
            format!("key {id}: {how}")
        }
        (_, true) => format!("key {id}: that was undone ({how})"),
        (_, false) => format!("key {id}: to undo it: {how}"),
    }
}

/// What is alike when the same happens again.
pub(super) fn likeness(change: &KeyChange) -> String {
    match change {
        KeyChange::Linked { name, .. } => format!("linked to {name}"),
        KeyChange::Unlinked { name, .. } => format!("unlinked from {name}"),
        KeyChange::Made => "made".to_owned(),
        KeyChange::Permissions { .. } => "permissions".to_owned(),
        KeyChange::Owner { .. } => "owner".to_owned(),
        KeyChange::Timeout { .. } => "timeout".to_owned(),
        KeyChange::Payload => "payload".to_owned(),
        KeyChange::Revoked => "revoked".to_owned(),
    }
}
