//! What kernels are packed with (the kernel's scripts/Makefile.lib), and how that is taken off.

use std::io::{self, Read};

use crc32fast::hash as crc32;

/// Bytes that a kernel may have, unpacked. None comes near; a file that was made to fill a disk would go on and on.
const MOST: u64 = 1 << 30;

/// A way to pack a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Gzip,
    Zstd,
    Xz,
    Lzma,
    Lz4,
    Lzo,
    Bzip2,
}

/// The first bytes of each: RFC 1952, RFC 8878, the format descriptions of xz, LZ4 and bzip2, and the sources of lzop. LZMA
/// has none; these are the properties that xz(1) writes, and the low half of a dictionary's size, a power of two.
const MAGIC: &[(&[u8], Method)] = &[
    (&[0x1f, 0x8b], Method::Gzip),
    (ZSTD, Method::Zstd),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Method::Xz),
    (&[0x5d, 0, 0], Method::Lzma),
    (LZ4_LEGACY, Method::Lz4),
    (LZ4_FRAME, Method::Lz4),
    (LZOP, Method::Lzo),
    (b"BZh", Method::Bzip2),
];

const NAMES: &[(&str, Method)] = &[
    ("gzip", Method::Gzip),
    ("zstd", Method::Zstd),
    ("xz", Method::Xz),
    ("lzma", Method::Lzma),
    ("lz4", Method::Lz4),
    ("lzo", Method::Lzo),
    ("bzip2", Method::Bzip2),
];

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
const LZ4_FRAME: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const LZOP: &[u8] = &[0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n'];

/// Bytes of a block of LZ4's legacy format, unpacked.
const LZ4_BLOCK: usize = 8 << 20;

impl Method {
    /// By the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Method> {
        MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, method)| *method)
    }

    /// By the name in a zboot image: that of the kernel's make rule (drivers/firmware/efi/libstub/Makefile.zboot), which has had
    /// endings: `zstd22`, `xzkern`.
    pub(super) fn named(name: &str) -> Option<Method> {
        NAMES.iter().find(|(word, _)| name.starts_with(word)).map(|(_, method)| *method)
    }

    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// Takes it off. What follows the packed kernel does not matter: make rules append its size.
    ///
    /// # Errors
    /// What is damaged or cut off, or [`io::ErrorKind::Unsupported`].
    pub(super) fn unpack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Method::Gzip => read(flate2::read::MultiGzDecoder::new(bytes)),
            Method::Zstd => unzstd(bytes),
            Method::Xz => read(lzma_rust2::XzReader::new_mem_limit(bytes, false, MEMORY_KIB)),
            Method::Lzma => {
                let kernel = lzma_rust2::LzmaReader::new_mem_limit(bytes, MEMORY_KIB, None)?;
                read(kernel)
            }
            Method::Lz4 if bytes.starts_with(LZ4_LEGACY) => unlz4(bytes),
            Method::Lz4 => read(lz4_flex::frame::FrameDecoder::new(bytes)),
            Method::Lzo => unlzop(bytes),
            Method::Bzip2 => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// KiB that unpacking may take: xz -9 has a dictionary of 64 MiB, the kernel's rules one of 128 MiB.
const MEMORY_KIB: u32 = 300 << 10;

fn read(packed: impl Read) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    packed.take(MOST + 1).read_to_end(&mut out)?;
    small_enough(out)
}

fn small_enough(out: Vec<u8>) -> io::Result<Vec<u8>> {
    let too_large = || damaged("it unpacks to more than 1 GiB, which no kernel has");
    if out.len() as u64 > MOST { Err(too_large()) } else { Ok(out) }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Unpacks all frames, and compares their checksums, which ruzstd only reads.
fn unzstd(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut bytes).map_err(io::Error::other)?;
        let room = (MOST + 1).saturating_sub(out.len() as u64);
        frame.by_ref().take(room).read_to_end(&mut out)?;
        if out.len() as u64 > MOST {
            return small_enough(out);
        }
        let stated = frame.decoder.get_checksum_from_data();
        if stated.is_some() && stated != frame.decoder.get_calculated_checksum() {
            return Err(damaged("a frame of zstd is damaged: its checksum is not that of its content"));
        }
        if !bytes.starts_with(ZSTD) {
            return Ok(out);
        }
    }
}

/// A number of four bytes, and what follows it.
fn number(bytes: &[u8], read: fn([u8; 4]) -> u32) -> io::Result<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut_off)?;
    Ok((read(*number), rest))
}

/// LZ4's legacy format: blocks with their sizes in front, and no end (lib/decompress_unlz4.c in the kernel).
fn unlz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    let (_, mut rest) = number(bytes, u32::from_le_bytes)?;
    // Four bytes more are the kernel's size.
    while !rest.is_empty() && (rest.len() != 4 || out.is_empty()) {
        if let Some(next) = rest.strip_prefix(LZ4_LEGACY) {
            rest = next;
            continue;
        }
        let (size, packed) = number(rest, u32::from_le_bytes)?;
        let (packed, next) = packed.split_at_checked(size as usize).ok_or_else(cut_off)?;
        let size = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        out.extend_from_slice(&block[..size]);
        if out.len() as u64 > MOST {
            break;
        }
        rest = next;
    }
    if let Ok((size, _)) = number(rest, u32::from_le_bytes)
        && size != out.len() as u32
    {
        return Err(damaged("it has not the size that is stated behind it"));
    }
    small_enough(out)
}

/// Flags of lzop (conf.h of its sources).
const ADLER32_OF_DATA: u32 = 1;
const ADLER32_OF_PACKED: u32 = 2;
const EXTRA_FIELD: u32 = 0x40;
const CRC32_OF_DATA: u32 = 0x100;
const CRC32_OF_PACKED: u32 = 0x200;
const FILTER: u32 = 0x800;

/// Bytes of a block of lzop, unpacked, at most.
const LZOP_BLOCK: u32 = 64 << 20;

/// The format of lzop: a header, then blocks with their sizes and checksums (lib/decompress_unlzo.c in the kernel).
fn unlzop(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let skip = |bytes: &'_ [u8], count: usize| -> io::Result<usize> {
        if bytes.len() < count { Err(cut_off()) } else { Ok(count) }
    };
    let mut rest = bytes.strip_prefix(LZOP).ok_or_else(cut_off)?;
    let version = rest.first_chunk::<2>().map(|version| u16::from_be_bytes(*version)).ok_or_else(cut_off)?;
    let newer = version >= 0x940;
    // The versions of lzop, of its library and since 0.940 of what unpacks it; the method, and since then its level.
    rest = &rest[skip(rest, if newer { 8 } else { 5 })?..];
    let (flags, after) = number(rest, u32::from_be_bytes)?;
    rest = after;
    // A filter, the mode, and the time in one number or two.
    rest = &rest[skip(rest, if flags & FILTER != 0 { 4 } else { 0 } + if newer { 12 } else { 8 })?..];
    let name = usize::from(*rest.first().ok_or_else(cut_off)?);
    rest = &rest[skip(rest, 1 + name + 4)?..];
    if flags & EXTRA_FIELD != 0 {
        let (length, after) = number(rest, u32::from_be_bytes)?;
        rest = &after[skip(after, (length as usize).saturating_add(4))?..];
    }
    let mut out = Vec::new();
    loop {
        let (size, after) = number(rest, u32::from_be_bytes)?;
        if size == 0 {
            return small_enough(out);
        }
        let (packed_size, after) = number(after, u32::from_be_bytes)?;
        if size > LZOP_BLOCK || packed_size > size || out.len() as u64 + u64::from(size) > MOST {
            return Err(damaged("a block of lzop is damaged: its size cannot be right"));
        }
        rest = after;
        let mut checksum = |of: u32| -> io::Result<Option<u32>> {
            if flags & of == 0 {
                return Ok(None);
            }
            let (sum, after) = number(rest, u32::from_be_bytes)?;
            rest = after;
            Ok(Some(sum))
        };
        let (adler, crc) = (checksum(ADLER32_OF_DATA)?, checksum(CRC32_OF_DATA)?);
        if packed_size < size {
            checksum(ADLER32_OF_PACKED)?;
            checksum(CRC32_OF_PACKED)?;
        }
        let (packed, after) = rest.split_at_checked(packed_size as usize).ok_or_else(cut_off)?;
        let begin = out.len();
        if packed_size == size {
            out.extend_from_slice(packed);
        } else {
            out.resize(begin + size as usize, 0);
            let unpacked = lzokay::decompress::decompress(packed, &mut out[begin..]);
            if unpacked.ok() != Some(size as usize) {
                return Err(damaged("a block of lzop is damaged: it cannot be unpacked"));
            }
        }
        let data = &out[begin..];
        if adler.is_some_and(|sum| sum != adler32(data)) || crc.is_some_and(|sum| sum != crc32(data)) {
            return Err(damaged("a block of lzop is damaged: its checksum is not that of its content"));
        }
        rest = after;
    }
}

/// The checksum of RFC 1950.
fn adler32(bytes: &[u8]) -> u32 {
    const BASE: u32 = 65_521;
    // So many bytes can be added before the sums overflow.
    let (low, high) = bytes.chunks(5552).fold((1, 0), |(low, high), chunk| {
        let add =
            |(low, high): (u32, u32), byte: &u8| (low + u32::from(*byte), high + low + u32::from(*byte));
        let (low, high) = chunk.iter().fold((low, high), add);
        (low % BASE, high % BASE)
    });
    high << 16 | low
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    /// Something that packs well in parts, and spans blocks.
    fn kernel() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut bytes: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 5).to_le_bytes()).collect();
        bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(400_000));
        bytes
    }

    pub(in crate::guest) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in crate::guest) fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// With the filter for code that the kernel's rule gives xz.
    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        options.prepend_pre_filter(lzma_rust2::filter::FilterType::BcjRiscv, 0);
        let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Without the size in its header, as lzma(1) makes of a pipe.
    fn lzma(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
        let mut out = LZ4_LEGACY.to_vec();
        for block in bytes.chunks(LZ4_BLOCK) {
            let packed = lz4_flex::block::compress(block);
            out.extend((packed.len() as u32).to_le_bytes());
            out.extend(packed);
        }
        out
    }

    fn lz4_frame(bytes: &[u8]) -> Vec<u8> {
        let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// As lzop(1) does it, whose blocks have 256 KiB, with checksums of what is packed and of what is not.
    fn lzop(bytes: &[u8]) -> Vec<u8> {
        let mut out = LZOP.to_vec();
        out.extend([0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 3, 9]);
        out.extend((ADLER32_OF_DATA | ADLER32_OF_PACKED).to_be_bytes());
        out.extend([0; 12]);
        out.extend(b"\x05Image");
        out.extend([0; 4]);
        for block in bytes.chunks(256 << 10) {
            let packed = lzokay::compress::compress(block).unwrap();
            let stored = if packed.len() < block.len() { &packed } else { block };
            out.extend((block.len() as u32).to_be_bytes());
            out.extend((stored.len() as u32).to_be_bytes());
            out.extend(adler32(block).to_be_bytes());
            if stored.len() < block.len() {
                out.extend(adler32(stored).to_be_bytes());
            }
            out.extend(stored);
        }
        out.extend([0; 4]);
        out
    }

    #[rstest]
    #[case::gzip(gzip, &["gzip"])]
    #[case::zstd(zstd, &["zstd", "zstd22"])]
    #[case::xz(xz, &["xz", "xzkern"])]
    #[case::lzma(lzma, &["lzma"])]
    #[case::lz4_legacy(lz4_legacy, &["lz4"])]
    #[case::lz4_frame(lz4_frame, &[])]
    #[case::lzop(lzop, &["lzo"])]
    fn what_is_packed_is_unpacked_and_what_is_damaged_is_told(
        #[case] pack: fn(&[u8]) -> Vec<u8>,
        #[case] names: &[&str],
    ) {
        let kernel = kernel();
        let packed = pack(&kernel);
        assert!(packed.len() < kernel.len());
        let method = Method::of(&packed).unwrap();
        for name in names {
            assert_eq!(Method::named(name), Some(method));
        }
        assert!(method.unpack(&packed).unwrap() == kernel);
        // Make rules append the size to all but gzip.
        if method != Method::Gzip {
            let size = (kernel.len() as u32).to_le_bytes();
            assert!(method.unpack(&[&*packed, &size].concat()).unwrap() == kernel);
        }
        for end in [packed.len() / 2, packed.len() / 3, 12, 5] {
            let cut = method.unpack(&packed[..end]);
            assert!(cut.is_err(), "{method:?} cut off at {end} of {}", packed.len());
        }
        // LZ4's legacy blocks and LZMA have no checksums.
        if !packed.starts_with(LZ4_LEGACY) && method != Method::Lzma {
            let mut damaged = packed.clone();
            damaged[packed.len() - 1000] ^= 0x40;
            assert!(method.unpack(&damaged).is_err(), "{method:?} is damaged");
        }
    }

    #[test]
    fn all_frames_of_zstd_are_unpacked_and_compared_with_their_checksums() {
        let (first, second) = (zstd(b"one, one, one, "), zstd(b"two"));
        let size = 18_u32.to_le_bytes();
        let packed = [&*first, &second, &size].concat();
        assert_eq!(unzstd(&packed).unwrap(), b"one, one, one, two");
        for end in [first.len(), first.len() + second.len()] {
            let mut damaged = packed.clone();
            damaged[end - 1] ^= 1;
            insta::allow_duplicates! {
                insta::assert_snapshot!(
                    unzstd(&damaged).unwrap_err(),
                    @"a frame of zstd is damaged: its checksum is not that of its content"
                );
            }
        }
    }

    /// Blocks of LZ4's legacy format that are all whole, but not all there.
    #[test]
    fn a_size_that_is_not_the_stated_one_is_told() {
        let mut packed = lz4_legacy(b"kernel");
        packed.extend(7_u32.to_le_bytes());
        let error = unlz4(&packed).unwrap_err().to_string();
        assert_eq!(error, "it has not the size that is stated behind it");
    }

    #[test]
    fn what_is_wrong_with_lzop_is_told() {
        let packed = lzop(&kernel());
        let header = LZOP.len() + 8 + 4 + 12 + 6 + 4;
        let told = |at: usize| {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x7f;
            unlzop(&damaged).unwrap_err().to_string()
        };
        // Its size, its packed size, its checksum, what is packed.
        let told = [told(header), told(header + 4), told(header + 8), told(header + 16)].join("\n");
        insta::assert_snapshot!(told, @r"
        a block of lzop is damaged: its size cannot be right
        a block of lzop is damaged: its size cannot be right
        a block of lzop is damaged: its checksum is not that of its content
        a block of lzop is damaged: it cannot be unpacked
        ");
    }

    #[test]
    fn what_unpacks_without_end_is_no_kernel() {
        let error = small_enough(vec![0; MOST as usize + 1]).unwrap_err().to_string();
        assert_eq!(error, "it unpacks to more than 1 GiB, which no kernel has");
    }
}
