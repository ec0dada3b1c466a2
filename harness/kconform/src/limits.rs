//! How large things may be. Reading case files refuses what is larger, with its place; lowering refuses what only a kernel
//! makes larger (its CPUs, its types). Guests of 256 MiB on every architecture have room for a case that uses all of it.

/// Bytes of one buffer. A verifier's log has at most so many (`UINT_MAX >> 8` in libbpf, one less), and so has BTF
/// (`BTF_MAX_SIZE`, include/uapi/linux/btf.h).
pub const BUFFER: u64 = 16 << 20;

/// Bytes of all buffers of a case: the memory of a call is kept for as long as its process lives.
pub const CASE: u64 = 32 << 20;

/// Bytes of a case's buffers and expectations that travel to the kernel under test one by one: all that are not written as
/// `zero` or `out`.
pub const CONTENTS: u64 = 8 << 20;

/// Bytes that come back from a case: what its outputs hold, and saved buffers whenever they are used. The agent's log takes
/// an eighth of a machine's memory. (Repeated calls are counted once: of many rounds of a `repeat` the agent keeps the first
/// and the last; where it cannot, in threads, a case whose log is full is lost, and says so.)
pub const REPORT: u64 = 16 << 20;

/// Parts of a case's buffers that are made one by one: addresses, saved values, stretches of bytes between them.
pub const PARTS: u64 = 1 << 18;

/// Threads and processes that a case has at a time, without its own.
pub const AT_ONCE: u64 = 256;

/// CPUs that a per-CPU value is counted for when the kernel is not known.
pub const CPUS: u64 = 64;

/// Cases that one case may become by `each` and `matrix`.
pub const CASES: usize = 100_000;

/// Words, lists and mappings of one file, every alias and every parameter written out; of the cases of one table as well.
pub const WORDS: u64 = 1_000_000;

/// A number of bytes for people: `16 MiB`, `3000 bytes`, `16.5 GiB (17717264384 bytes)`.
pub fn amount(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes == u64::MAX {
        return "16 EiB or more".to_owned();
    }
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let unit = match power.checked_sub(1).and_then(|nth| UNITS.get(nth)) {
        Some(unit) if bytes >= 1 << 20 => unit,
        _ => return format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    };
    let whole = bytes >> (10 * power);
    if whole << (10 * power) == bytes {
        return format!("{whole} {unit}");
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {unit} ({bytes} bytes)", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 bytes")]
    #[case(1, "1 byte")]
    #[case(4096, "4096 bytes")]
    #[case(16 << 20, "16 MiB")]
    #[case((1 << 20) + 1, "1.0 MiB (1048577 bytes)")]
    #[case(8 << 30, "8 GiB")]
    #[case(17717264384, "16.5 GiB (17717264384 bytes)")]
    #[case(u64::MAX - 1, "15.9 EiB (18446744073709551614 bytes)")]
    #[case(u64::MAX, "16 EiB or more")]
    fn amounts(#[case] bytes: u64, #[case] told: &str) {
        assert_eq!(super::amount(bytes), told);
    }
}
