//! What notices a damaged snapshot: a checksum that is quick enough to be taken at every start.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::guest::stamp::Stamp;

/// What is read at once. Only whole blocks count, so that the checksum does not depend on where a file system keeps
/// holes.
const BLOCK: u64 = 64 << 10;

/// A CRC-32 of a file's size and of all its blocks that are not zero throughout, with their places. It finds damage and
/// mix-ups, not malice: who can write to the cache can run what they like anyway.
pub(super) fn of_file(file: &File) -> io::Result<u32> {
    let size = file.metadata()?.len();
    let mut hash = Hasher::new();
    hash.update(&size.to_le_bytes());
    let (mut block, zeros) = (vec![0; BLOCK as usize], vec![0; BLOCK as usize]);
    let mut at = 0;
    while let Some(data) = next_data(file, at)? {
        at = data.max(at) / BLOCK * BLOCK;
        let end = next_hole(file, data, size)?;
        while at < end {
            let wanted = BLOCK.min(size - at) as usize;
            file.read_exact_at(&mut block[..wanted], at)?;
            if block[..wanted] != zeros[..wanted] {
                hash.update(&at.to_le_bytes());
                hash.update(&block[..wanted]);
            }
            at += BLOCK;
        }
    }
    Ok(hash.finalize())
}

/// The checksum of bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Where there is data, from a place on (SEEK_DATA in lseek(2)).
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows of no holes.
        Err(Errno::INVAL) => Ok((from < file.metadata()?.len()).then_some(from)),
        Err(error) => Err(error.into()),
    }
}

fn next_hole(file: &File, from: u64, size: u64) -> io::Result<u64> {
    match seek(file, SeekFrom::Hole(from)) {
        Ok(at) => Ok(at),
        Err(Errno::INVAL) => Ok(size),
        Err(error) => Err(error.into()),
    }
}

/// [`of_file`], taken once a process as long as the file is not written to: the guests of a run start from the same.
pub(super) fn of_file_once(file: &File) -> io::Result<u32> {
    static KNOWN: Mutex<Option<HashMap<Stamp, u32>>> = Mutex::new(None);
    let stamp = Stamp::of(&file.metadata()?);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&checksum) = known().get_or_insert_default().get(&stamp) {
        return Ok(checksum);
    }
    let checksum = of_file(file)?;
    known().get_or_insert_default().insert(stamp, checksum);
    Ok(checksum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIZE: u64 = 4 << 20;

    /// A file of [`SIZE`] with these bytes at these places.
    fn sparse(writes: &[(u64, &[u8])]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        for (at, bytes) in writes {
            file.write_all_at(bytes, *at).unwrap();
        }
        file
    }

    #[test]
    fn holes_and_zeros_are_alike() {
        let zeros = vec![0; 1 << 20];
        let data: (u64, &[u8]) = (3 << 20, b"data");
        assert_eq!(of_file(&sparse(&[data])).unwrap(), of_file(&sparse(&[data, (1 << 20, &zeros)])).unwrap());
    }

    #[test]
    fn every_change_is_noticed() {
        let whole = of_file(&sparse(&[(70_000, b"data")])).unwrap();
        let cut = sparse(&[(70_000, b"data")]);
        cut.set_len(SIZE - 1).unwrap();
        for other in [
            sparse(&[]),
            sparse(&[(70_000, b"dada")]),
            sparse(&[(70_000 + BLOCK, b"data")]),
            sparse(&[(70_000, b"data"), (SIZE - 1, b"x")]),
            cut,
        ] {
            assert_ne!(of_file(&other).unwrap(), whole);
        }
    }

    #[test]
    fn what_is_remembered_ends_with_a_write() {
        let file = sparse(&[(9, b"a")]);
        let before = of_file_once(&file).unwrap();
        assert_eq!(of_file_once(&file).unwrap(), before);
        file.write_all_at(b"b", 9).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_ne!(of_file_once(&file).unwrap(), before);
    }
}
