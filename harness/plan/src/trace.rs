//! What a case leaves behind on its kernel, as far as it is no process and no file of its own directory.

use serde::{Deserialize, Serialize};

/// Something that was not there before a case, and is when its processes are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What it is.
    pub left: Left,
    /// The agent has undone it.
    pub undone: bool,
}

/// What can be left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// A BPF object.
    Object {
        /// Which kind.
        kind: ObjectKind,
        /// Its id.
        id: u32,
        /// Its type's number (`enum bpf_map_type` and so on); 0 of BTF, which has none.
        number: u32,
        /// Its name, if it has one.
        name: String,
        /// What keeps it, as far as that is found.
        places: Vec<Place>,
    },
    /// A sysctl that has another value.
    Sysctl {
        /// Its file below /proc/sys.
        path: String,
        /// Its value before the case.
        before: String,
        /// Its value after it.
        after: String,
    },
    /// A directory below /sys: a cgroup, say.
    Directory(String),
    /// A program that is attached where it was not, or is not where it was.
    Attachment {
        /// Its id.
        program: u32,
        /// Its name, if it has one.
        name: String,
        /// Where.
        place: Place,
        /// It is now, and was not.
        attached: bool,
    },
    /// A key of the kernel's, in keyrings that outlive the case (keyrings(7)).
    Key {
        /// Its id.
        id: i32,
        /// Its type: `user`, `keyring`.
        kind: String,
        /// Its description.
        description: String,
        /// What is not as it was.
        change: KeyChange,
    },
}

/// What may be changed of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyChange {
    /// It is linked to a keyring, and was not.
    Linked {
        /// The keyring's id.
        keyring: i32,
        /// The keyring's description.
        name: String,
    },
    /// It was linked to a keyring.
    Unlinked {
        /// The keyring's id.
        keyring: i32,
        /// The keyring's description.
        name: String,
    },
    /// It is new: a user's persistent keyring.
    Made,
    /// Its permissions.
    Permissions {
        /// Before the case.
        before: u32,
        /// After it.
        after: u32,
    },
    /// Its owner and group.
    Owner {
        /// Before the case.
        before: (i32, i32),
        /// After it.
        after: (i32, i32),
    },
    /// How long it stays, as /proc/keys says it: `perm`, `3d`.
    Timeout {
        /// Before the case.
        before: String,
        /// After it.
        after: String,
    },
    /// Its payload.
    Payload,
    /// It is revoked.
    Revoked,
}

/// The kinds of BPF objects that have ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A program.
    Program,
    /// A link.
    Link,
    /// BTF.
    Btf,
}

/// Where a BPF object is that nobody has an fd of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// It is pinned there.
    Pin(String),
    /// A program is attached to the cgroup of this directory.
    Cgroup {
        /// The directory.
        path: String,
        /// The number of the attach type (`enum bpf_attach_type`).
        attach_type: u32,
    },
    /// A program is attached to this network interface.
    Device {
        /// Its name, or its index where it has none.
        name: String,
        /// The number of the attach type.
        attach_type: u32,
    },
    /// A program is attached to the network namespace.
    Network {
        /// The number of the attach type.
        attach_type: u32,
    },
    /// A program is attached by this link.
    Link(u32),
}
