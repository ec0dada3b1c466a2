//! The agent; see the library.
//!
//! Without std's own start: that would give signals other dispositions and put something at closed fds, which the image of
//! an `exec` block must not find changed, and it costs time.
#![no_main]

use std::ffi::{CStr, c_char, c_int};

use kconform_agent::{EXEC_WORD, Heap, bench, init, resume, serve};

#[global_allocator]
static HEAP: Heap = Heap;

const USAGE: &CStr = c"usage: kconform-agent --scratch DIR [--bench TIMES]\n";

/// The C entry point.
///
/// # Safety
/// Called by the C library only, with `count` pointers to strings that live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: what the caller promises.
    let word = |nth| unsafe { CStr::from_ptr(*arguments.add(nth)) }.to_str().unwrap_or_default();
    let words: Vec<&str> = (1..count).map(word).collect();
    match words[..] {
        [EXEC_WORD, fd] => resume(fd),
        ["--scratch", scratch] => serve(scratch),
        ["--scratch", scratch, "--bench", times] => bench(times.parse().unwrap_or(1000), scratch),
        _ if std::process::id() == 1 => init(),
        _ => {
            // SAFETY: writes a string with its length.
            unsafe { libc::write(2, USAGE.as_ptr().cast(), USAGE.count_bytes()) };
            2
        }
    }
}
