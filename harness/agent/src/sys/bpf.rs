//! bpf(2), as far as the agent itself asks for objects and what keeps them.

use std::ffi::CStr;

use libc::c_int;

use super::{Result, check_size, close};

/// Numbers of `enum bpf_cmd` (linux/bpf.h).
const PROG_LOAD: c_int = 5;
const OBJ_GET: c_int = 7;
const PROG_ATTACH: c_int = 8;
const PROG_DETACH: c_int = 9;
const GET_INFO_BY_FD: c_int = 15;
const PROG_QUERY: c_int = 16;

/// A kind of objects with ids: the commands that walk them and open them.
#[derive(Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) next: c_int,
    pub(crate) open: c_int,
}

/// A `union bpf_attr`, or a `struct bpf_…_info`: zeros but for what is written into it.
#[repr(C, align(8))]
pub(crate) struct Attr([u8; Attr::SIZE]);

impl Attr {
    /// Bytes; a kernel whose own is shorter takes it, as the rest is zero.
    const SIZE: usize = 128;

    fn new() -> Attr {
        Attr([0; Attr::SIZE])
    }

    fn with(mut self, offset: usize, value: u32) -> Attr {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn with_pointer(mut self, offset: usize, pointer: *const u8) -> Attr {
        self.0[offset..offset + 8].copy_from_slice(&(pointer as u64).to_ne_bytes());
        self
    }

    /// The 32-bit field at an offset below 124.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        self.0[offset..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// The text of 16 bytes (`BPF_OBJ_NAME_LEN`) at an offset below 112.
    pub(crate) fn name(&self, offset: usize) -> String {
        let name = &self.0[offset..offset + 16];
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        String::from_utf8_lossy(&name[..end]).into_owned()
    }
}

/// # Safety
/// The pointers in `attr` are valid for what the command does with them.
unsafe fn bpf(command: c_int, attr: &mut Attr) -> Result<c_int> {
    // SAFETY: the attr has the size that is said; the caller promises the rest.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, attr.0.as_mut_ptr(), Attr::SIZE) };
    check_size(ret as isize).map(|ret| ret as c_int)
}

/// The next id of a kind, if there is one.
pub(crate) fn next_object(kind: Ids, after: u32) -> Result<u32> {
    let mut attr = Attr::new().with(0, after);
    // SAFETY: the command takes no pointers.
    unsafe { bpf(kind.next, &mut attr) }.map(|_| attr.word(4))
}

/// An fd of the object with that id.
pub(crate) fn open_object(kind: Ids, id: u32) -> Result<c_int> {
    // SAFETY: the command takes no pointers.
    unsafe { bpf(kind.open, &mut Attr::new().with(0, id)) }
}

/// An fd of a socket filter that returns 0 and does nothing.
pub(crate) fn load_nothing() -> Result<c_int> {
    const SOCKET_FILTER: u32 = 1;
    // `BPF_MOV64_IMM(BPF_REG_0, 0)` and `BPF_EXIT_INSN()` of include/linux/filter.h; their other fields are 0.
    static INSNS: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let attr = Attr::new().with(0, SOCKET_FILTER).with(4, 2);
    let mut attr = attr.with_pointer(8, INSNS.as_ptr()).with_pointer(16, c"GPL".as_ptr().cast());
    // SAFETY: there are two instructions, and the licence ends in NUL.
    unsafe { bpf(PROG_LOAD, &mut attr) }
}

/// An fd of what is pinned there.
pub(crate) fn open_pin(path: &CStr) -> Result<c_int> {
    // SAFETY: the path ends in NUL and outlives the call.
    unsafe { bpf(OBJ_GET, &mut Attr::new().with_pointer(0, path.as_ptr().cast())) }
}

/// The first bytes of an object's `struct bpf_…_info`, with nothing asked for that takes memory.
pub(crate) fn object_info(fd: c_int) -> Result<Attr> {
    let mut info = Attr::new();
    let place = info.0.as_mut_ptr();
    let mut attr = Attr::new().with(0, fd as u32).with(4, Attr::SIZE as u32).with_pointer(8, place);
    // SAFETY: `info` has the length that is said; its pointers are NULL and the lengths beside them 0.
    unsafe { bpf(GET_INFO_BY_FD, &mut attr) }.map(|_| info)
}

/// The ids of the first programs that are attached to something: a cgroup's or a network namespace's fd, or the index of a
/// network interface. And how they are attached (`attach_flags`).
pub(crate) fn attached(target: u32, attach_type: u32) -> Result<(Vec<u32>, u32)> {
    let mut ids = [0_u32; 64];
    let place = ids.as_mut_ptr().cast::<u8>();
    let mut attr = Attr::new().with(0, target).with(4, attach_type).with_pointer(16, place).with(24, 64);
    // SAFETY: there is room for so many ids.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    Ok((ids[..ids.len().min(attr.word(24) as usize)].to_vec(), attr.word(12)))
}

/// Attaches a program to a cgroup.
pub(crate) fn attach(target: u32, program: c_int, attach_type: u32, flags: u32) -> Result<()> {
    let mut attr = Attr::new().with(0, target).with(4, program as u32).with(8, attach_type).with(12, flags);
    // SAFETY: the command takes no pointers.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Detaches a program from what it is attached to.
pub(crate) fn detach(target: u32, program: c_int, attach_type: u32) -> Result<()> {
    let mut attr = Attr::new().with(0, target).with(4, program as u32).with(8, attach_type);
    // SAFETY: the command takes no pointers.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// if_nametoindex(3): 0 where there is no such network interface.
pub(crate) fn interface(name: &CStr) -> u32 {
    // SAFETY: the name ends in NUL.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// An fd that is closed when it goes out of scope.
pub(crate) struct Closing(pub(crate) c_int);

impl Drop for Closing {
    fn drop(&mut self) {
        close(self.0);
    }
}
