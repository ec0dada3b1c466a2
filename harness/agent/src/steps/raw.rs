//! System calls that return twice: fork, vfork, clone and clone3 called by name.
//!
//! The second return may come on the same stack, in the same memory (`CLONE_VM`), or on a stack that is none. So the new
//! process or thread touches no memory at all: it never leaves the few instructions below, which let it wait for ever
//! (or end at once, where its parent waits for that: `CLONE_VFORK`).

use std::arch::asm;

/// Whether the call of that number returns twice.
pub(crate) fn returns_twice(number: u64) -> bool {
    let Ok(number) = libc::c_long::try_from(number) else { return false };
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_fork || number == libc::SYS_vfork {
        return true;
    }
    #[cfg(target_arch = "s390x")]
    if number == libc::SYS_fork || number == libc::SYS_vfork {
        return true;
    }
    number == libc::SYS_clone || number == libc::SYS_clone3
}

/// Whether the parent waits until the child ends; `clone3_flags` is the first word of the struct that clone3 is given.
pub(crate) fn parent_waits(number: u64, args: &[u64; 6], clone3_flags: Option<u64>) -> bool {
    let waits = |flags: u64| flags & libc::CLONE_VFORK as u64 != 0;
    // CONFIG_CLONE_BACKWARDS2: the stack comes first.
    let flags = if cfg!(target_arch = "s390x") { args[1] } else { args[0] };
    match libc::c_long::try_from(number) {
        #[cfg(any(target_arch = "x86_64", target_arch = "s390x"))]
        Ok(libc::SYS_vfork) => true,
        Ok(libc::SYS_clone) => waits(flags),
        Ok(libc::SYS_clone3) => clone3_flags.is_some_and(waits),
        _ => false,
    }
}

/// Makes the call; returns in the parent only. The child waits for ever in pause(2) or ppoll(2), or ends with status 0.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_twice(number: u64, args: &[u64; 6], child_ends: bool) -> i64 {
    let ret: i64;
    // SAFETY: in the parent this is a plain system call; the child uses registers only and never leaves the block.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 4f",
            "test {ends}, {ends}",
            "jz 3f",
            "2:",
            "mov eax, 60", // exit
            "xor edi, edi",
            "syscall",
            "3:",
            "mov eax, 34", // pause
            "syscall",
            "jmp 3b",
            "4:",
            ends = in(reg) u64::from(child_ends),
            inlateout("rax") number => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            // Not `lateout`: `ends` is still read after the call has changed these.
            out("rcx") _,
            out("r11") _,
        );
    }
    ret
}

/// Makes the call; returns in the parent only. The child waits for ever in pause(2) or ppoll(2), or ends with status 0.
#[cfg(target_arch = "riscv64")]
pub(crate) fn call_twice(number: u64, args: &[u64; 6], child_ends: bool) -> i64 {
    let ret: i64;
    // SAFETY: in the parent this is a plain system call; the child uses registers only and never leaves the block.
    unsafe {
        asm!(
            "ecall",
            "bnez a0, 4f",
            "beqz {ends}, 3f",
            "li a7, 93", // exit
            "li a0, 0",
            "ecall",
            "3:",
            "li a0, 0",
            "li a1, 0",
            "li a2, 0",
            "li a3, 0",
            "li a4, 0",
            "li a7, 73", // ppoll
            "ecall",
            "j 3b",
            "4:",
            ends = in(reg) u64::from(child_ends),
            in("a7") number,
            inlateout("a0") args[0] => ret,
            in("a1") args[1],
            in("a2") args[2],
            in("a3") args[3],
            in("a4") args[4],
            in("a5") args[5],
        );
    }
    ret
}

/// Makes the call; returns in the parent only. The child waits for ever in pause(2) or ppoll(2), or ends with status 0.
#[cfg(target_arch = "aarch64")]
pub(crate) fn call_twice(number: u64, args: &[u64; 6], child_ends: bool) -> i64 {
    let ret: i64;
    // SAFETY: in the parent this is a plain system call; the child uses registers only and never leaves the block.
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 4f",
            "cbz {ends}, 3f",
            "mov x8, #93", // exit
            "mov x0, #0",
            "svc #0",
            "3:",
            "mov x0, #0",
            "mov x1, #0",
            "mov x2, #0",
            "mov x3, #0",
            "mov x4, #0",
            "mov x8, #73", // ppoll
            "svc #0",
            "b 3b",
            "4:",
            ends = in(reg) u64::from(child_ends),
            in("x8") number,
            inlateout("x0") args[0] => ret,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
        );
    }
    ret
}

/// Makes the call; returns in the parent only. The child waits for ever in pause(2) or ppoll(2), or ends with status 0.
#[cfg(target_arch = "s390x")]
pub(crate) fn call_twice(number: u64, args: &[u64; 6], child_ends: bool) -> i64 {
    let ret: i64;
    // SAFETY: in the parent this is a plain system call; the child uses registers only and never leaves the block.
    unsafe {
        asm!(
            "svc 0",
            "ltgr %r2, %r2",
            "jne 4f",
            "ltgr %r8, %r8",
            "je 3f",
            "lghi %r1, 1", // exit
            "lghi %r2, 0",
            "svc 0",
            "3:",
            "lghi %r1, 29", // pause
            "svc 0",
            "j 3b",
            "4:",
            in("r8") u64::from(child_ends),
            inlateout("r1") number => _,
            inlateout("r2") args[0] => ret,
            in("r3") args[1],
            in("r4") args[2],
            in("r5") args[3],
            in("r6") args[4],
            in("r7") args[5],
        );
    }
    ret
}
