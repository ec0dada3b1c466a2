//! A kernel of the user's own (`--kernel PATH`): what architecture it is for is read from the image itself, what it is
//! packed in is taken off, and its config, where there is one, is held against what a guest needs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kconform_abi::Arch;
use sha2::{Digest, Sha256};

use super::image::{AgentPort, Image, Images, KernelFile, KernelSource};
use super::packed::Method;
use super::qemu::has_second_serial;
use super::whole::{self, CutOff};
use crate::hex::hex;

/// Why a file cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum OwnKernelError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is none of the formats that kernels come in.
    #[error(
        "{} is no kernel image that kconform knows: a bzImage, vmlinuz, Image, vmlinux (ELF), zboot EFI image, one of them \
         packed (Image.gz, Image.xz, …), or a kernel build tree",
        .0.display()
    )]
    Unknown(PathBuf),
    /// A build tree without a kernel in it.
    #[error("{} is a kernel build tree in which no kernel was built; looked for {}", tree.display(), looked_for.join(", "))]
    NotBuilt {
        /// The folder.
        tree: PathBuf,
        /// The files that a build would have made.
        looked_for: Vec<String>,
    },
    /// Packed in a way that cannot be undone here.
    #[error("{} is packed with {method}, which kconform cannot unpack: unpack it first", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// As the image calls it.
        method: String,
    },
    /// What it is packed in cannot be taken off.
    #[error("{} is damaged: what is packed with {method} does not unpack: {source}; copy or build it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it is packed with.
        method: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Its end is missing.
    #[error(transparent)]
    CutOff(#[from] CutOff),
    /// No image describes a machine of that architecture.
    #[error("{} is for {arch}, and there is no image with the alias {arch} to tell its machine", path.display())]
    NoMachine {
        /// The file.
        path: PathBuf,
        /// Its architecture.
        arch: Arch,
    },
}

/// A kernel of the user's own as an image.
#[derive(Debug)]
pub struct OwnKernel {
    /// The machine is that of the architecture's usual image.
    pub image: Image,
    /// What the kernel's config lacks of what a guest needs.
    pub lacks: Vec<&'static str>,
    /// What it lacks of virtio, instead of which the agent's stream goes through a second serial port.
    pub without: Vec<&'static str>,
}

/// Where a build leaves the kernel, best first.
const BUILT: &[&str] = &[
    "arch/x86/boot/bzImage",
    "arch/riscv/boot/Image",
    "arch/arm64/boot/Image",
    "arch/s390/boot/bzImage",
    "arch/riscv/boot/Image.gz",
    "arch/arm64/boot/Image.gz",
    "vmlinux",
];

/// What a guest cannot do without, and on which architectures; vm/kernel.config has it all.
const NEEDS: &[(&str, &[Arch])] = &[
    ("CONFIG_BLK_DEV_INITRD", Arch::ALL),
    ("CONFIG_BINFMT_ELF", Arch::ALL),
    ("CONFIG_DEVTMPFS", Arch::ALL),
    ("CONFIG_PROC_FS", Arch::ALL),
    ("CONFIG_SYSFS", Arch::ALL),
    ("CONFIG_TMPFS", Arch::ALL),
    ("CONFIG_PRINTK", Arch::ALL),
    ("CONFIG_SERIAL_8250_CONSOLE", &[Arch::X86_64, Arch::Riscv64]),
    ("CONFIG_SERIAL_AMBA_PL011_CONSOLE", &[Arch::Aarch64]),
    ("CONFIG_VIRTIO_PCI", &[Arch::X86_64, Arch::Riscv64, Arch::Aarch64]),
    ("CONFIG_VIRTIO_CONSOLE", Arch::ALL),
    ("CONFIG_BPF_SYSCALL", Arch::ALL),
];

/// Bytes that the file of a kernel may have: a vmlinux with all of its debug information has half of that.
const LARGEST: u64 = 2 << 30;

/// Makes an image of a kernel file or a build tree. What has to be unpacked goes to the cache.
///
/// # Errors
/// [`OwnKernelError`] for what cannot be read or is no kernel.
pub fn own_kernel(path: &Path, images: &Images, cache: &Path) -> Result<OwnKernel, OwnKernelError> {
    let (file, config) = if path.is_dir() { in_tree(path)? } else { (path.to_owned(), beside(path)) };
    let is = fs::metadata(&file).map_err(|source| OwnKernelError::Read { path: file.clone(), source })?;
    // A device or a pipe has no end, and no kernel is as large as a disk.
    if !is.is_file() || is.len() > LARGEST {
        return Err(OwnKernelError::Unknown(file));
    }
    let packed = read(&file)?;
    let (bytes, arch) = unpack(&file, packed)?;
    let bootable = match bytes {
        None => std::path::absolute(&file)
            .map_err(|source| OwnKernelError::Read { path: file.clone(), source })?,
        Some(bytes) => {
            keep(&bytes, cache).map_err(|source| OwnKernelError::Read { path: cache.to_owned(), source })?
        }
    };
    let lacks = match &config {
        Some(config) => lacks(&String::from_utf8_lossy(&read(config)?), arch),
        None => Vec::new(),
    };
    let replaced = |name: &&str| name.starts_with("CONFIG_VIRTIO_") && has_second_serial(arch);
    let (without, lacks): (Vec<_>, Vec<_>) = lacks.into_iter().partition(replaced);
    let usual = images.find(arch.name());
    let mut image = usual.map_err(|_| OwnKernelError::NoMachine { path: path.to_owned(), arch })?.clone();
    let identity = Sha256::digest(bootable.as_os_str().as_encoded_bytes());
    // A name for files of the cache, one for each kernel file.
    image.name = format!("own-{arch}-{}", &hex(&identity)[..12]);
    image.aliases = Vec::new();
    image.about = format!("the kernel {}", path.display());
    image.kernel = KernelSource::File(KernelFile { path: bootable, config });
    if !without.is_empty() {
        image.port = AgentPort::Serial;
    }
    Ok(OwnKernel { image, lacks, without })
}

fn read(path: &Path) -> Result<Vec<u8>, OwnKernelError> {
    fs::read(path).map_err(|source| OwnKernelError::Read { path: path.to_owned(), source })
}

fn in_tree(tree: &Path) -> Result<(PathBuf, Option<PathBuf>), OwnKernelError> {
    // A tree may hold kernels of several builds; the config tells which is the last one's.
    let config = built_with(tree);
    let text = config.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let enabled = |name: &str| text.lines().any(|line| line.strip_suffix("=y") == Some(name));
    let folder = [
        ("CONFIG_X86_64", "arch/x86/"),
        ("CONFIG_RISCV", "arch/riscv/"),
        ("CONFIG_ARM64", "arch/arm64/"),
        ("CONFIG_S390", "arch/s390/"),
    ];
    let folder = folder.iter().find(|(name, _)| enabled(name)).map_or("", |(_, folder)| folder);
    let wanted = BUILT.iter().filter(|path| path.starts_with(folder) || !path.contains('/'));
    match wanted.clone().map(|path| tree.join(path)).find(|path| path.is_file()) {
        Some(kernel) => Ok((kernel, config)),
        None => Err(OwnKernelError::NotBuilt {
            tree: tree.to_owned(),
            looked_for: wanted.map(|path| (*path).to_owned()).collect(),
        }),
    }
}

/// `config-6.12` beside `vmlinuz-6.12`, as distributions have it in /boot; else the `.config` of the tree that the file is in.
fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let installed = name.split_once('-').map(|(_, version)| path.with_file_name(format!("config-{version}")));
    let tree = path.ancestors().skip(1).take(5).find_map(built_with);
    installed.filter(|config| config.is_file()).or(tree)
}

/// The config of the last build in a tree: what Kconfig has made of `.config` then (`syncconfig`, in
/// Documentation/kbuild/kconfig.rst), since `.config` may have been edited after it.
fn built_with(tree: &Path) -> Option<PathBuf> {
    let config = tree.join(".config");
    [tree.join("include/config/auto.conf"), config.clone()]
        .into_iter()
        .find(|path| path.is_file())
        .filter(|_| config.is_file())
}

/// Why a config cannot be that of a kernel: a series that is not that of the kernel's release.
pub(crate) fn of_another_series(config: &str, release: &str) -> Option<String> {
    // `# Linux/x86 6.12.1 Kernel Configuration`; distributions give the last number a meaning of their own.
    let heading = config.lines().take(8).find_map(|line| line.strip_suffix(" Kernel Configuration"))?;
    let version = heading.rsplit(' ').next()?;
    let series = |version: &str| {
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::to_owned);
        Some((numbers.next()?, numbers.next()?))
    };
    (series(version) != series(release)).then(|| version.to_owned())
}

/// Whether two configs set the same.
pub(crate) fn same_config(one: &str, other: &str) -> bool {
    let set = |text: &str| -> std::collections::BTreeSet<String> {
        text.lines().filter(|line| line.starts_with("CONFIG_")).map(str::to_owned).collect()
    };
    set(one) == set(other)
}

/// Takes off what it is packed in. `None` for the bytes when there was nothing to take off.
fn unpack(path: &Path, packed: Vec<u8>) -> Result<(Option<Vec<u8>>, Arch), OwnKernelError> {
    let mut inner: Option<Vec<u8>> = None;
    // An Image.gz in a zboot image in a gzip file: no more layers than that are ever met.
    for _ in 0..4 {
        let bytes = inner.as_deref().unwrap_or(&packed);
        let has = bytes.len() as u64;
        if let Some(promised) = whole::cut_off(bytes, has) {
            return Err(CutOff { path: path.to_owned(), has, promised }.into());
        }
        if let Some(arch) = arch_of(bytes) {
            return Ok((inner, arch));
        }
        let (payload, name) = match (zboot(bytes), Method::of(bytes)) {
            (Some((payload, name)), _) => (payload, name.to_owned()),
            (None, Some(method)) => (bytes, method.name().to_owned()),
            (None, None) => return Err(OwnKernelError::Unknown(path.to_owned())),
        };
        let unpacked = match Method::named(&name) {
            Some(method) => method.unpack(payload),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        inner = Some(unpacked.map_err(|source| {
            let (path, method) = (path.to_owned(), name);
            match source.kind() {
                io::ErrorKind::Unsupported => OwnKernelError::Packed { path, method },
                io::ErrorKind::UnexpectedEof => {
                    let source = io::Error::other("its end is missing");
                    OwnKernelError::Damaged { path, method, source }
                }
                _ => OwnKernelError::Damaged { path, method, source },
            }
        })?);
    }
    Err(OwnKernelError::Unknown(path.to_owned()))
}

/// The payload of an EFI zboot image and how it is packed (drivers/firmware/efi/libstub/zboot-header.S).
fn zboot(bytes: &[u8]) -> Option<(&[u8], &str)> {
    if !bytes.starts_with(b"MZ") || bytes.get(4..8)? != b"zimg" {
        return None;
    }
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let (offset, size) = (number(8)?, number(12)?);
    let name = bytes.get(24..56)?;
    let name = std::str::from_utf8(name.split(|&b| b == 0).next()?).ok()?;
    Some((bytes.get(offset..offset.checked_add(size)?)?, name))
}

/// The architecture that an image is for, by its header: Documentation/arch/x86/boot.rst, arch/riscv/boot-image-header.rst,
/// arch/arm64/booting.rst, arch/s390/boot/head.S, and elf(5).
fn arch_of(bytes: &[u8]) -> Option<Arch> {
    let at = |offset: usize, sign: &[u8]| bytes.get(offset..offset + sign.len()) == Some(sign);
    if at(0x202, b"HdrS") {
        return Some(Arch::X86_64);
    }
    if at(0x38, b"RSC\x05") {
        return Some(Arch::Riscv64);
    }
    if at(0x38, b"ARM\x64") {
        return Some(Arch::Aarch64);
    }
    if at(0x10008, b"S390EP") {
        return Some(Arch::S390x);
    }
    if !at(0, b"\x7fELF") {
        return None;
    }
    let machine: [u8; 2] = bytes.get(18..20)?.try_into().ok()?;
    let big_endian = bytes.get(5) == Some(&2);
    match if big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) } {
        62 => Some(Arch::X86_64),
        243 => Some(Arch::Riscv64),
        183 => Some(Arch::Aarch64),
        22 => Some(Arch::S390x),
        _ => None,
    }
}

fn lacks(config: &str, arch: Arch) -> Vec<&'static str> {
    let enabled = |name: &str| config.lines().any(|line| line.strip_suffix("=y") == Some(name));
    NEEDS.iter().filter(|(name, on)| on.contains(&arch) && !enabled(name)).map(|(name, _)| *name).collect()
}

/// Puts an unpacked kernel into the cache, once.
fn keep(bytes: &[u8], cache: &Path) -> io::Result<PathBuf> {
    let folder = cache.join("unpacked");
    let path = folder.join(hex(&Sha256::digest(bytes)));
    if !fs::read(&path).is_ok_and(|there| there == bytes) {
        fs::create_dir_all(&folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(bytes)?;
        file.persist(&path).map_err(|error| error.error)?;
    }
    Ok(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::guest::packed::tests::{gzip, zstd};

    fn with(offset: usize, sign: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(sign);
        bytes.resize(0x10100, 0);
        bytes
    }

    fn elf(class: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02".to_vec();
        bytes.push(class);
        bytes.resize(18, 0);
        bytes.extend(machine);
        bytes
    }

    fn zboot_of(payload: &[u8], method: &str) -> Vec<u8> {
        let mut bytes = b"MZ\0\0zimg".to_vec();
        bytes.extend(64_u32.to_le_bytes());
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.resize(24, 0);
        bytes.extend(method.as_bytes());
        bytes.resize(64, 0);
        bytes.extend(payload);
        bytes
    }

    #[rstest]
    #[case::bz_image(with(0x202, b"HdrS"), Some(Arch::X86_64))]
    #[case::riscv_image(with(0x38, b"RSC\x05"), Some(Arch::Riscv64))]
    #[case::arm64_image(with(0x38, b"ARM\x64"), Some(Arch::Aarch64))]
    #[case::s390_image(with(0x10008, b"S390EP"), Some(Arch::S390x))]
    #[case::vmlinux(elf(1, [243, 0]), Some(Arch::Riscv64))]
    #[case::big_endian_vmlinux(elf(2, [0, 22]), Some(Arch::S390x))]
    #[case::another_machine(elf(1, [3, 0]), None)]
    #[case::text(b"#!/bin/sh".to_vec(), None)]
    #[case::nothing(Vec::new(), None)]
    fn the_image_tells_its_architecture(#[case] bytes: Vec<u8>, #[case] arch: Option<Arch>) {
        assert_eq!(arch_of(&bytes), arch);
    }

    #[rstest]
    #[case::as_it_is(with(0x38, b"RSC\x05"), false)]
    #[case::gzip(gzip(&with(0x38, b"RSC\x05")), true)]
    #[case::zboot(zboot_of(&gzip(&with(0x38, b"RSC\x05")), "gzip"), true)]
    #[case::zboot_of_older_makefiles(zboot_of(&zstd(&with(0x38, b"RSC\x05")), "zstd22"), true)]
    #[case::zstd(zstd(&with(0x38, b"RSC\x05")), true)]
    fn what_it_is_packed_in_is_taken_off(#[case] bytes: Vec<u8>, #[case] unpacked: bool) {
        let (inner, arch) = unpack(Path::new("k"), bytes).unwrap();
        assert_eq!((inner.is_some(), arch), (unpacked, Arch::Riscv64));
    }

    #[rstest]
    #[case::unknown(b"hello".to_vec(), "is no kernel image")]
    #[case::new(
        zboot_of(b"x", "brotli"),
        "k is packed with brotli, which kconform cannot unpack: unpack it first"
    )]
    #[case::bzip2(b"BZh91AY".to_vec(), "k is packed with bzip2, which kconform cannot unpack: unpack it first")]
    #[case::cut_short(
        gzip(&with(0x38, b"RSC\x05"))[..40].to_vec(),
        "k is damaged: what is packed with gzip does not unpack: its end is missing; copy or build it again"
    )]
    #[case::damaged(zboot_of(b"nothing", "lz4"), "k is damaged: what is packed with lz4 does not unpack: ")]
    #[case::cut_off_zboot(
        zboot_of(&[7; 20_000], "gzip")[..10_000].to_vec(),
        "k is cut off: it has 9 KiB of the 19 KiB that its header promises; copy or build it again"
    )]
    fn what_is_no_kernel_is_said(#[case] bytes: Vec<u8>, #[case] says: &str) {
        let error = unpack(Path::new("k"), bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    /// Neither is read: it would not end, or take all memory.
    #[test]
    fn what_cannot_be_a_kernel_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let disk = place.path().join("disk");
        fs::File::create(&disk).unwrap().set_len(40 << 30).unwrap();
        let images = Images::built_in().unwrap();
        for path in [Path::new("/dev/zero"), &disk] {
            let error = own_kernel(path, &images, place.path()).unwrap_err();
            assert!(matches!(error, OwnKernelError::Unknown(_)), "{error}");
        }
    }

    #[test]
    fn a_trees_config_is_that_of_its_last_build() {
        let tree = tempfile::tempdir().unwrap();
        let config = |path: &str, text: &str| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let image = config("arch/x86/boot/bzImage", "");
        assert_eq!(beside(&image), None);
        let edited = config(".config", "CONFIG_X86_64=y\nCONFIG_NEW=y\n");
        assert_eq!((beside(&image), in_tree(tree.path()).unwrap().1), (Some(edited.clone()), Some(edited)));
        let built = config("include/config/auto.conf", "CONFIG_X86_64=y\n");
        assert_eq!((beside(&image), in_tree(tree.path()).unwrap().1), (Some(built.clone()), Some(built)));
    }

    #[rstest]
    #[case(
        "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.1 Kernel Configuration\n",
        None
    )]
    #[case("# Linux/riscv 6.1.0 Kernel Configuration", Some("6.1.0"))]
    #[case("# Linux/x86 6.13.0-rc1 Kernel Configuration", Some("6.13.0-rc1"))]
    #[case("CONFIG_BPF=y", None)]
    fn a_config_tells_its_kernel(#[case] config: &str, #[case] version: Option<&str>) {
        assert_eq!(of_another_series(config, "6.12.0+deb13-amd64").as_deref(), version);
    }

    #[test]
    fn an_unpacked_kernel_that_is_damaged_is_unpacked_again() {
        let cache = tempfile::tempdir().unwrap();
        let path = keep(b"kernel", cache.path()).unwrap();
        fs::write(&path, "kermel").unwrap();
        assert_eq!(fs::read(keep(b"kernel", cache.path()).unwrap()).unwrap(), b"kernel");
    }

    #[test]
    fn what_the_config_lacks_is_named() {
        let mut config: String = NEEDS.iter().map(|(name, _)| format!("{name}=y\n")).collect();
        assert_eq!(lacks(&config, Arch::X86_64), Vec::<&str>::new());
        config = config.replace("CONFIG_VIRTIO_CONSOLE=y", "CONFIG_VIRTIO_CONSOLE=m");
        assert_eq!(lacks(&config, Arch::X86_64), ["CONFIG_VIRTIO_CONSOLE"]);
    }

    #[test]
    fn the_fragment_has_all_that_a_guest_needs() {
        let fragment = include_str!("../../../../vm/kernel.config");
        assert_eq!(
            Arch::ALL.iter().flat_map(|&arch| lacks(fragment, arch)).collect::<Vec<_>>(),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn a_tree_without_a_kernel_says_what_it_looked_for() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join(".config"), "CONFIG_RISCV=y\n").unwrap();
        let error = in_tree(tree.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("looked for arch/riscv/boot/Image, arch/riscv/boot/Image.gz, vmlinux"),
            "{error}"
        );
    }
}
