//! Whether a file is the agent for an architecture, before anything is done with it: a kernel whose init is something else
//! panics, which says nothing of the kernel.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kconform_abi::Arch;
use memchr::memmem;

use crate::regular::{self, NotRegular};

/// What a file is that is not the agent for an architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAgent {
    #[error(transparent)]
    NotRegular(#[from] NotRegular),
    #[error("it is empty")]
    Empty,
    #[error("it is a script")]
    Script,
    #[error("it is no program (ELF)")]
    NoProgram,
    #[error("it is a program for {0}")]
    Arch(String),
    #[error("it needs a dynamic linker, and an agent is static")]
    Dynamic,
    #[error("it is no agent of kconform's, or of another build")]
    Other,
}

/// Looks into a file; `None` for the agent of this build for this architecture.
///
/// # Errors
/// Those of reading it.
pub(super) fn look(path: &Path, arch: Arch) -> io::Result<Option<NoAgent>> {
    if let Some(amiss) = regular::amiss(&path.metadata()?) {
        return Ok(Some(NoAgent::NotRegular(amiss)));
    }
    let mut head = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut head)?;
    let amiss = of_head(&head, arch);
    if amiss.is_some() || is_of_this_build(path)? { Ok(amiss) } else { Ok(Some(NoAgent::Other)) }
}

/// An agent's binary holds the fingerprint of its sources as text; a running one says it too.
pub(super) fn is_of_this_build(path: &Path) -> std::io::Result<bool> {
    contains(&mut File::open(path)?, env!("KCONFORM_FINGERPRINT").as_bytes())
}

/// Whether a file contains something. A small buffer is read into again and again, as fresh memory for all of a file takes
/// longer to be had than the file to be read.
pub(super) fn contains(file: &mut impl Read, wanted: &[u8]) -> std::io::Result<bool> {
    let overlap = wanted.len().saturating_sub(1);
    let mut buffer = vec![0; overlap + (64 << 10)];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let there = kept + read;
        if memmem::find(&buffer[..there], wanted).is_some() {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        kept = there.min(overlap);
        buffer.copy_within(there - kept..there, 0);
    }
}

/// What the first bytes say (elf(5)).
fn of_head(head: &[u8], arch: Arch) -> Option<NoAgent> {
    if head.is_empty() {
        return Some(NoAgent::Empty);
    }
    if head.starts_with(b"#!") {
        return Some(NoAgent::Script);
    }
    if !head.starts_with(b"\x7fELF") || head.len() < 64 {
        return Some(NoAgent::NoProgram);
    }
    let big_endian = head[5] == 2;
    let half = |at: usize| {
        let bytes = [head[at], head[at + 1]];
        if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    let machine = half(18);
    let (wanted, is_big) = match arch {
        Arch::X86_64 => (62, false),
        Arch::Riscv64 => (243, false),
        Arch::Aarch64 => (183, false),
        Arch::S390x => (22, true),
    };
    if (machine, big_endian) != (wanted, is_big) {
        let name = match machine {
            62 => "x86_64".to_owned(),
            243 => "riscv64".to_owned(),
            183 => "aarch64".to_owned(),
            22 => "s390x".to_owned(),
            other => format!("another machine (ELF machine {other})"),
        };
        return Some(NoAgent::Arch(name));
    }
    // The program headers follow the ELF header in what every linker makes; PT_INTERP is 3.
    let (at, size, number) = (half64(head, 32, big_endian), usize::from(half(54)), usize::from(half(56)));
    let is_interpreter = |nth: usize| {
        let place = nth.checked_mul(size).and_then(|offset| at.checked_add(offset));
        let bytes: Option<[u8; 4]> =
            place.and_then(|place| head.get(place..place.checked_add(4)?)).and_then(|b| b.try_into().ok());
        let kind = bytes.map(|b| if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) });
        kind == Some(3)
    };
    (0..number).any(is_interpreter).then_some(NoAgent::Dynamic)
}

fn half64(head: &[u8], at: usize, big_endian: bool) -> usize {
    let bytes: [u8; 8] = head[at..at + 8].try_into().unwrap_or_default();
    let value = if big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// An ELF header, and a program header of that kind after it.
    fn elf(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[rstest]
    #[case::empty(Vec::new(), "it is empty")]
    #[case::script(b"#!/bin/sh\nexec agent\n".to_vec(), "it is a script")]
    #[case::text(b"hello".to_vec(), "it is no program (ELF)")]
    #[case::cut(elf(243, 1)[..40].to_vec(), "it is no program (ELF)")]
    #[case::another_arch(elf(62, 1), "it is a program for x86_64")]
    #[case::unknown_arch(elf(3, 1), "it is a program for another machine (ELF machine 3)")]
    #[case::dynamic(elf(243, 3), "it needs a dynamic linker, and an agent is static")]
    #[case::not_ours(elf(243, 1), "it is no agent of kconform's, or of another build")]
    fn what_is_no_agent_is_told(#[case] bytes: Vec<u8>, #[case] says: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let amiss = look(file.path(), Arch::Riscv64).expect("read").map(|amiss| amiss.to_string());
        assert_eq!(amiss.as_deref(), Some(says));
    }

    #[test]
    fn a_device_and_a_fifo_are_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("kconform-agent");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        let told = |path: &Path| look(path, Arch::Riscv64).expect("looked").map(|amiss| amiss.to_string());
        assert_eq!(told(&fifo).as_deref(), Some("it is a FIFO, not a regular file"));
        assert_eq!(
            told(Path::new("/dev/zero")).as_deref(),
            Some("it is a character device, not a regular file")
        );
    }
}
