//! BPF objects by their ids: the kinds, and what the kernel says of one.

use kconform_plan::ObjectKind;

use crate::sys::{self, Ids};

/// The kinds, with their commands (`enum bpf_cmd`). Maps and BTF are held by programs, programs by links: these come first,
/// so that what holds is there before what is held.
pub(crate) const KINDS: [(ObjectKind, Ids); 4] = [
    (ObjectKind::Link, Ids { next: 31, open: 30 }),
    (ObjectKind::Program, Ids { next: 11, open: 13 }),
    (ObjectKind::Map, Ids { next: 12, open: 14 }),
    (ObjectKind::Btf, Ids { next: 23, open: 19 }),
];

/// An object.
pub(crate) type Object = (usize, u32);

/// The program of that id.
pub(crate) fn program(id: u32) -> Object {
    (PROGRAM, id)
}

/// Where programs are in [`KINDS`].
pub(crate) const PROGRAM: usize = 1;

/// Whether the kernel still has an object.
pub(crate) fn is_there(kind: usize, id: u32) -> bool {
    sys::next_object(KINDS[kind].1, id - 1) == Ok(id)
}

/// BTF of the kernel's own modules comes when one is loaded, and has no other owner (`kernel_btf` of `struct bpf_btf_info`).
pub(crate) fn is_the_kernel_s((kind, id): Object) -> bool {
    let open = || sys::open_object(KINDS[kind].1, id).map(sys::Closing);
    KINDS[kind].0 == ObjectKind::Btf
        && open().is_ok_and(|fd| sys::object_info(fd.0).is_ok_and(|info| info.word(28) == 1))
}

/// The number of an object's type, and its name; `None` when it has just gone.
pub(crate) fn describe((kind, id): Object) -> Option<(u32, String)> {
    let fd = sys::Closing(sys::open_object(KINDS[kind].1, id).ok()?);
    let info = sys::object_info(fd.0).ok()?;
    Some(match KINDS[kind].0 {
        ObjectKind::Map => (info.word(0), info.name(24)),
        ObjectKind::Program => (info.word(0), info.name(64)),
        ObjectKind::Link => (info.word(0), String::new()),
        ObjectKind::Btf => (0, String::new()),
    })
}
