//! Whether an image is all there, by what its own headers say: a kernel that was cut off boots into nothing, and says nothing.

use std::path::PathBuf;

/// A file whose end is missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is cut off: it has {} KiB of the {} KiB that its header promises; copy or build it again",
    path.display(), has / 1024, promised / 1024
)]
pub struct CutOff {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub has: u64,
    /// The length that it should have, in bytes.
    pub promised: u64,
}

/// How long a file must be for what its headers promise: of zboot-header.S, boot.rst, elf(5), or the PE format of EFI
/// (Microsoft's "PE Format", "Section Table").
fn promised(bytes: &[u8]) -> Option<u64> {
    [zboot(bytes), bz_image(bytes), elf(bytes), pe(bytes)].into_iter().flatten().max()
}

/// By how much a promise may be missed: some builds round sizes up to a page.
const ROUNDED: u64 = 4096;

/// Bytes at the beginning of an image that have all its headers.
pub(super) const HEAD: u64 = 1 << 20;

/// The length that a file should have, where it has less. `bytes` are all of it, or its [`HEAD`].
pub(super) fn cut_off(bytes: &[u8], has: u64) -> Option<u64> {
    let packed = zboot(bytes).filter(|promised| *promised > has);
    packed.or_else(|| promised(bytes).filter(|promised| *promised > has + ROUNDED))
}

fn half(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?).into())
}

/// The payload of an EFI zboot image.
fn zboot(bytes: &[u8]) -> Option<u64> {
    let is_one = bytes.starts_with(b"MZ") && bytes.get(4..8)? == b"zimg";
    is_one.then_some(word(bytes, 8)? + word(bytes, 12)?)
}

/// `setup_sects` and `syssize`, the latter in 16 bytes (Documentation/arch/x86/boot.rst).
fn bz_image(bytes: &[u8]) -> Option<u64> {
    let is_one = bytes.get(0x202..0x206)? == b"HdrS";
    let setup = match *bytes.get(0x1f1)? {
        0 => 4,
        sectors => u64::from(sectors),
    };
    is_one.then_some((setup + 1) * 512 + word(bytes, 0x1f4)? * 16)
}

/// The segments of a vmlinux of 64 bits.
fn elf(bytes: &[u8]) -> Option<u64> {
    if !bytes.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let big = *bytes.get(5)? == 2;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(size)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let (at, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let table = at.checked_add(size * count)?;
    let end = |nth: u64| -> Option<u64> {
        let at = usize::try_from(at.checked_add(nth * size)?).ok()?;
        number(at.checked_add(8)?, 8)?.checked_add(number(at.checked_add(32)?, 8)?)
    };
    (0..count).filter_map(end).chain([table]).max()
}

/// The sections of an image with an EFI stub.
fn pe(bytes: &[u8]) -> Option<u64> {
    if !bytes.starts_with(b"MZ") {
        return None;
    }
    let at = usize::try_from(word(bytes, 0x3c)?).ok()?;
    if bytes.get(at..at.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let (count, optional) = (half(bytes, at + 6)?, half(bytes, at + 20)?);
    let table = at + 24 + usize::try_from(optional).ok()?;
    let end = |nth: u64| {
        let section = table + 40 * usize::try_from(nth).ok()?;
        Some(word(bytes, section + 16)? + word(bytes, section + 20)?)
    };
    (0..count).filter_map(end).max()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// A file of 40 KiB with this at its places.
    fn image(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 40 << 10];
        parts.iter().for_each(|(at, value)| put(&mut bytes, *at, value));
        bytes
    }

    const END: u32 = 40 << 10;

    fn cut(bytes: &[u8]) -> Option<u64> {
        cut_off(bytes, bytes.len() as u64)
    }

    fn bz_image() -> Vec<u8> {
        let size = ((END - 4 * 512) / 16).to_le_bytes();
        image(&[(0x1f1, &[3]), (0x1f4, &size), (0x202, b"HdrS")])
    }

    fn zboot() -> Vec<u8> {
        image(&[(0, b"MZ\0\0zimg"), (8, &64_u32.to_le_bytes()), (12, &(END - 64).to_le_bytes())])
    }

    /// One program header, of a segment up to the end.
    fn elf(big: bool) -> Vec<u8> {
        let wide = |number: u64| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let half = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let ident: &[u8] = if big { b"\x7fELF\x02\x02" } else { b"\x7fELF\x02\x01" };
        let end = u64::from(END);
        image(&[
            (0, ident),
            (32, &wide(64)),
            (54, &half(56)),
            (56, &half(1)),
            (64 + 8, &wide(0x1000)),
            (64 + 32, &wide(end - 0x1000)),
        ])
    }

    /// Two sections, the second up to the end.
    fn efi() -> Vec<u8> {
        let pe = 0x80;
        let section = pe + 24 + 16;
        image(&[
            (0, b"MZ"),
            (0x3c, &(pe as u32).to_le_bytes()),
            (pe, b"PE\0\0"),
            (pe + 6, &2_u16.to_le_bytes()),
            (pe + 20, &16_u16.to_le_bytes()),
            (section + 16, &0x1000_u32.to_le_bytes()),
            (section + 20, &0x1000_u32.to_le_bytes()),
            (section + 40 + 16, &(END - 0x2000).to_le_bytes()),
            (section + 40 + 20, &0x2000_u32.to_le_bytes()),
        ])
    }

    #[rstest]
    #[case::bz_image(bz_image())]
    #[case::zboot(zboot())]
    #[case::vmlinux(elf(false))]
    #[case::big_endian_vmlinux(elf(true))]
    #[case::efi(efi())]
    fn what_is_cut_off_is_found(#[case] bytes: Vec<u8>) {
        assert_eq!(promised(&bytes), Some(END.into()));
        assert_eq!(cut(&bytes), None);
        // A page less may be rounded, but not of what is packed.
        let missing = super::zboot(&bytes);
        assert_eq!(cut(&bytes[..bytes.len() - 4096]), missing);
        assert_eq!(cut(&bytes[..bytes.len() / 2]), Some(END.into()));
        // Whatever is left, it is no panic.
        for end in 0..600 {
            assert_ne!(cut(&bytes[..end]), Some(0));
        }
        assert_eq!(cut(&[&bytes[..], b"a signature"].concat()), None);
    }

    #[test]
    fn of_what_is_no_image_nothing_is_known() {
        for bytes in [&b""[..], b"MZ", b"\x7fELF\x02", &[0xff; 4096]] {
            assert_eq!(promised(bytes), None);
        }
    }
}
