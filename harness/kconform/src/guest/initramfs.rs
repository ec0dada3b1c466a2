//! The initramfs of a guest: the agent as `/init`, the directories that it mounts on, and nothing else.

use std::io::{self, Write};

use cpio::newc::{Builder, ModeFileType, trailer};
use sha2::{Digest, Sha256};

use crate::hex::hex;

/// Where the agent looks for modules to load, in the order of their names, before it looks for its port.
pub const MODULES: &str = "modules";

/// Mount points, and a place for scratch files.
const DIRECTORIES: &[&str] = &["dev", "proc", "sys", "tmp", MODULES];

/// The console's device number (Documentation/admin-guide/devices.txt). The kernel opens `/dev/console` for init's first
/// three fds before anything is mounted; without the node they are closed.
const CONSOLE: (u32, u32) = (5, 1);

/// A module for the guest's kernel.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file's name; modules are loaded in the order of their names.
    pub name: String,
    /// The file, compressed or not.
    pub bytes: Vec<u8>,
}

/// Makes an uncompressed archive in cpio's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst)
/// of the agent's binary and the modules it is to load. Equal contents make equal archives.
///
/// # Errors
/// Only for a file of 4 GiB and more, which the format has no room for.
pub fn build(agent: &[u8], modules: &[Module]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.add(directory, ModeFileType::Directory, 0o755, &[])?;
    }
    archive.add_node("dev/console", 0o600, CONSOLE)?;
    archive.add("init", ModeFileType::Regular, 0o755, agent)?;
    for module in modules {
        archive.add(&format!("{MODULES}/{}", module.name), ModeFileType::Regular, 0o600, &module.bytes)?;
    }
    trailer(archive.bytes)
}

/// What an archive is: equal for equal files at equal places. The hashes are those of the agent and of the modules in the
/// order of their names.
///
/// # Errors
/// None that can be met.
pub fn identity(hashes: impl IntoIterator<Item = String>) -> io::Result<String> {
    let mut hash = Sha256::new_with_prefix(build(&[], &[])?);
    hashes.into_iter().for_each(|file| hash.update(file));
    Ok(hex(&hash.finalize()))
}

/// An archive that grows, and the number of its last inode.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, kind: ModeFileType, mode: u32, contents: &[u8]) -> io::Result<()> {
        let entry = self.entry(name, mode).set_mode_file_type(kind);
        self.write(entry, contents)
    }

    fn add_node(&mut self, name: &str, mode: u32, (major, minor): (u32, u32)) -> io::Result<()> {
        let entry = self.entry(name, mode).set_mode_file_type(ModeFileType::Char);
        self.write(entry.rdev_major(major).rdev_minor(minor), &[])
    }

    fn entry(&mut self, name: &str, mode: u32) -> Builder {
        self.inode += 1;
        Builder::new(name).ino(self.inode).mode(mode).nlink(1)
    }

    fn write(&mut self, entry: Builder, contents: &[u8]) -> io::Result<()> {
        let size = size(contents.len())?;
        let mut writer = entry.write(std::mem::take(&mut self.bytes), size);
        writer.write_all(contents)?;
        self.bytes = writer.finish()?;
        Ok(())
    }
}

/// A file's size as the format has it.
pub(super) fn size(bytes: usize) -> io::Result<u32> {
    let too_large = "too large for an initramfs, which takes files of less than 4 GiB";
    u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, too_large))
}
