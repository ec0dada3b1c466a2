//! What keeps a BPF object that nobody has an fd of, and how that is undone.

use kconform_plan::{ObjectKind, Place};

use crate::sys::{self, Closing};
use crate::traces::kinds::{KINDS, Object};
use crate::traces::trees::{directories, mounts, walk};

/// Attach types (`enum bpf_attach_type`) that a cgroup may have: those that it has not are refused.
pub(crate) const ATTACH_TYPES: std::ops::Range<u32> = 0..64;
/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`, `BPF_NETKIT_PRIMARY`, `BPF_NETKIT_PEER`.
const OF_DEVICES: [u32; 4] = [46, 47, 54, 55];
/// `BPF_FLOW_DISSECTOR`.
const OF_NETWORKS: [u32; 1] = [17];

/// What keeps each object.
pub(crate) fn find(objects: &[Object]) -> Vec<Vec<Place>> {
    let pins = pins();
    let links: Vec<(u32, u32)> = objects.iter().filter_map(|&object| program_of_link(object)).collect();
    let mut attachments = None;
    let of = |&(kind, id): &Object| {
        let pinned = pins.iter().filter(|pin| (pin.0, pin.1) == (kind, id));
        let mut places: Vec<Place> = pinned.map(|pin| Place::Pin(pin.2.clone())).collect();
        if KINDS[kind].0 == ObjectKind::Program {
            places.extend(links.iter().filter(|link| link.1 == id).map(|link| Place::Link(link.0)));
            if places.is_empty() {
                let all = attachments.get_or_insert_with(attachments_of_all);
                places.extend(all.iter().filter(|found| found.0 == id).map(|found| found.1.clone()));
            }
        }
        places
    };
    objects.iter().map(of).collect()
}

/// Undoes all that keeps an object; `false` when something cannot be undone.
pub(crate) fn undo(kind: usize, id: u32, places: &[Place]) -> bool {
    let program = || sys::open_object(KINDS[kind].1, id).map(Closing);
    let detach = |target: u32, attach_type: u32| {
        program().is_ok_and(|program| sys::detach(target, program.0, attach_type).is_ok())
    };
    places.iter().all(|place| match place {
        Place::Pin(path) => sys::unlink_at(libc::AT_FDCWD, &sys::c_string(path), 0).is_ok(),
        Place::Cgroup { path, attach_type } => {
            open_directory(path).is_some_and(|cgroup| detach(cgroup.0 as u32, *attach_type))
        }
        Place::Device { name, attach_type } => detach(sys::interface(&sys::c_string(name)), *attach_type),
        Place::Network { attach_type } => network().is_some_and(|fd| detach(fd.0 as u32, *attach_type)),
        // It goes with the link.
        Place::Link(_) => true,
    })
}

/// The link's own id and its program's (`prog_id` of `struct bpf_link_info`).
fn program_of_link((kind, id): Object) -> Option<(u32, u32)> {
    if KINDS[kind].0 != ObjectKind::Link {
        return None;
    }
    let fd = Closing(sys::open_object(KINDS[kind].1, id).ok()?);
    Some((id, sys::object_info(fd.0).ok()?.word(8)))
}

/// All that is pinned where the agent sees it: kind, id and path.
fn pins() -> Vec<(usize, u32, String)> {
    let files =
        mounts("bpf").into_iter().flat_map(|top| walk(&top)).filter(|(_, is_directory)| !is_directory);
    files
        .filter_map(|(path, _)| {
            let fd = Closing(sys::open_pin(&sys::c_string(&path)).ok()?);
            let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.0)).ok()?;
            let kind = match link.to_str()? {
                "anon_inode:bpf-map" => ObjectKind::Map,
                "anon_inode:bpf-prog" => ObjectKind::Program,
                // `bpf-link` in later kernels.
                "anon_inode:bpf_link" | "anon_inode:bpf-link" => ObjectKind::Link,
                _ => return None,
            };
            let kind = KINDS.iter().position(|(known, _)| *known == kind)?;
            Some((kind, sys::object_info(fd.0).ok()?.word(4), path))
        })
        .collect()
}

fn open_directory(path: &str) -> Option<Closing> {
    sys::open(&sys::c_string(path), libc::O_RDONLY | libc::O_DIRECTORY).ok().map(Closing)
}

fn network() -> Option<Closing> {
    sys::open(c"/proc/self/ns/net", libc::O_RDONLY).ok().map(Closing)
}

/// Programs that are attached, by id, to what can be asked: cgroups, network interfaces, the network namespace.
fn attachments_of_all() -> Vec<(u32, Place)> {
    let mut found = Vec::new();
    let mut ask = |target: u32, attach_type: u32, place: &dyn Fn() -> Place| {
        let (programs, _) = sys::attached(target, attach_type).unwrap_or_default();
        found.extend(programs.into_iter().map(|program| (program, place())));
    };
    for path in directories("cgroup2") {
        let Some(cgroup) = open_directory(&path) else { continue };
        for attach_type in ATTACH_TYPES {
            ask(cgroup.0 as u32, attach_type, &|| Place::Cgroup { path: path.clone(), attach_type });
        }
    }
    let devices = sys::read_file("/proc/self/net/dev").unwrap_or_default();
    for line in String::from_utf8_lossy(&devices).lines().skip(2) {
        let Some((name, _)) = line.split_once(':') else { continue };
        let name = name.trim().to_owned();
        for attach_type in OF_DEVICES {
            let place = || Place::Device { name: name.clone(), attach_type };
            ask(sys::interface(&sys::c_string(&name)), attach_type, &place);
        }
    }
    if let Some(fd) = network() {
        for attach_type in OF_NETWORKS {
            ask(fd.0 as u32, attach_type, &|| Place::Network { attach_type });
        }
    }
    found
}
