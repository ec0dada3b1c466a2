//! Images, archives and command lines by themselves; and real guests, where QEMU, a kernel and an agent are here.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kconform_abi::Arch;
use rstest::rstest;

use super::image::{self, Image, ImageError, Images, KernelSource};
use super::initramfs::{self, Module};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn parse(text: &str) -> Result<Image, ImageError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.yaml");
    fs::write(&path, text).unwrap();
    image::load(&path)
}

/// The message, with the file's name alone for its path.
fn mistake(text: &str) -> String {
    let message = parse(text).unwrap_err().to_string();
    message[message.find("x.yaml").unwrap()..].to_owned()
}

const LEAST: &str =
    "about: a\narch: riscv64\nkernel: {debian: {suite: s, package: p}}\nmachine: virt\nconsole: ttyS0\n";

#[test]
fn the_built_in_images_are_those_of_the_repository() {
    let built_in: BTreeSet<_> = Images::built_in().unwrap().iter().map(|image| image.name.clone()).collect();
    let files: BTreeSet<_> =
        Images::load_all(&repository().join("vm")).unwrap().iter().map(|image| image.name.clone()).collect();
    assert_eq!(built_in, files);
}

#[rstest]
#[case("x86_64", "x86_64-6.12", Arch::X86_64)]
#[case("riscv64", "riscv64-6.12", Arch::Riscv64)]
#[case("aarch64", "aarch64-6.12", Arch::Aarch64)]
#[case("arm64", "aarch64-6.12", Arch::Aarch64)]
#[case("s390x", "s390x-6.12", Arch::S390x)]
#[case("x86_64-6.1", "x86_64-6.1", Arch::X86_64)]
fn an_image_is_found_by_its_names(#[case] asked: &str, #[case] name: &str, #[case] arch: Arch) {
    let images = Images::built_in().unwrap();
    let image = images.find(asked).unwrap();
    assert_eq!((image.name.as_str(), image.arch), (name, arch));
}

#[test]
fn an_unknown_image_is_answered_with_those_there_are() {
    let error = Images::built_in().unwrap().find("x86").unwrap_err().to_string();
    assert!(error.starts_with("there is no image `x86`; there are aarch64-6.12, aarch64, "), "{error}");
}

#[test]
fn what_an_image_leaves_out_has_defaults() {
    let image = parse(LEAST).unwrap();
    assert_eq!((image.name.as_str(), image.cpus, image.memory, image.boot_timeout), ("x", 2, 256, 60));
    assert!(image.cpu.is_none() && image.aliases.is_empty() && image.cmdline.is_empty());
}

#[test]
fn a_kernel_file_is_beside_its_image() {
    let text = LEAST.replace("{debian: {suite: s, package: p}}", "{path: Image, config: ../.config}");
    let KernelSource::File(file) = parse(&text).unwrap().kernel else { panic!("not a file") };
    assert!(file.path.is_absolute() && file.path.ends_with("Image"));
    assert!(file.config.unwrap().ends_with("../.config"));
}

/// Nothing of them is read: a device has no end, and a FIFO waits for a writer.
#[test]
fn what_has_no_end_is_no_file_of_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["fifo", "fifo.yaml"] {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, at(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    let told = |name: &str| {
        let error = image::load(&at(name)).unwrap_err().to_string();
        error.replace(&format!("{}/", directory.path().display()), "")
    };
    let with = |kernel: &str| {
        fs::write(at("x.yaml"), LEAST.replace("{debian: {suite: s, package: p}}", kernel)).unwrap();
        told("x.yaml")
    };
    let rows = [
        with("{path: /dev/zero}"),
        with("{path: fifo}"),
        with("{path: Image, config: .}"),
        told("fifo.yaml"),
    ];
    let right = [
        "x.yaml:3:16: `path` names /dev/zero: it is a character device, not a regular file",
        "x.yaml:3:16: `path` names fifo: it is a FIFO, not a regular file",
        "x.yaml:3:31: `config` names .: it is a folder, not a regular file",
        "fifo.yaml: it is a FIFO, not a regular file",
    ];
    assert_eq!(rows, right);
}

#[test]
fn mistakes_are_told_with_their_places() {
    let rows = [
        ("unknown key", format!("{LEAST}cpuz: max\n")),
        ("missing key", "about: a\narch: riscv64\n".to_owned()),
        ("unknown architecture", LEAST.replace("riscv64", "riscv46")),
        ("no kernel", LEAST.replace("{debian: {suite: s, package: p}}", "{}")),
        ("two kernels", LEAST.replace("package: p}", "package: p}, path: y")),
        ("modules of a file", LEAST.replace("debian: {suite: s, package: p}", "path: y, modules: [m]")),
        ("no keys of a kernel", LEAST.replace("{debian: {suite: s, package: p}}", "linux-image-riscv64")),
        ("unknown key of a kernel", LEAST.replace("suite: s", "suit: s")),
        ("wrong type", format!("{LEAST}cpus: many\n")),
        ("not YAML", "about: [".to_owned()),
        ("a key twice", format!("{LEAST}arch: riscv64\n")),
        ("a key of a kernel twice", LEAST.replace("suite: s", "suite: s, suite: t")),
    ];
    let told: Vec<_> = rows.iter().map(|(what, text)| format!("{what}: {}", mistake(text))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn two_images_cannot_share_a_name() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), format!("{LEAST}aliases: [b]\n")).unwrap();
    fs::write(directory.path().join("b.yaml"), LEAST).unwrap();
    let error = Images::load_all(directory.path()).unwrap_err().to_string();
    assert_eq!(error, "the images a and b are both called `b`");
}

/// Also the names that they have as aliases: the others keep what is left to them.
#[test]
fn ones_own_images_win() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("riscv64-6.12.yaml"), LEAST).unwrap();
    fs::write(directory.path().join("mine.yaml"), format!("{LEAST}aliases: [arm64, x86_64-6.1]\n")).unwrap();
    let images = Images::of(None, [directory.path()]).unwrap();
    assert_eq!(images.find("riscv64-6.12").unwrap().about, "a");
    assert!(images.find("riscv64").is_err() && images.find("x86_64").is_ok());
    let names = ["arm64", "x86_64-6.1", "aarch64"].map(|name| images.find(name).unwrap().name.as_str());
    assert_eq!(names, ["mine", "mine", "aarch64-6.12"]);
}

/// A file that was added or changed since kconform was built counts; the others are kconform's own.
#[test]
fn the_images_of_the_checkout_are_read() {
    let checkout = tempfile::tempdir().unwrap();
    let images = || Images::of(Some(checkout.path()), []);
    assert_eq!(images().unwrap().iter().count(), Images::built_in().unwrap().iter().count());
    let copy = |name: &str| {
        let text = fs::read_to_string(repository().join("vm").join(name)).unwrap();
        fs::write(checkout.path().join(name), &text).unwrap();
        text
    };
    copy("x86_64-sid.yaml");
    let text = copy("riscv64-sid.yaml");
    fs::write(checkout.path().join("riscv64-sid.yaml"), format!("{text}cpus: 3\n")).unwrap();
    fs::write(checkout.path().join("another.yaml"), text.replace("sid", "forky")).unwrap();
    let images = images().unwrap();
    let file = |name: &str| {
        let image = images.find(name).unwrap();
        (image.cpus, image.file.as_deref().and_then(|file| file.file_name()?.to_str()))
    };
    assert_eq!(file("x86_64-sid"), (2, None));
    assert_eq!(file("riscv64-sid"), (3, Some("riscv64-sid.yaml")));
    assert_eq!(file("another"), (2, Some("another.yaml")));
    assert_eq!(file("x86_64"), (2, None));
}

#[test]
fn a_folder_without_images_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let error = Images::of(None, [path]).unwrap_err().to_string();
        error.replace(&*directory.path().to_string_lossy(), "[folder]")
    };
    insta::assert_snapshot!([told(directory.path()), told(&directory.path().join("nowhere"))].join("\n"));
}

/// Whoever builds a kernel with everything in it may come near.
#[test]
fn a_file_that_an_initramfs_has_no_room_for_is_told() {
    let error = initramfs::size(u32::MAX as usize + 1).unwrap_err();
    insta::assert_snapshot!(error, @"too large for an initramfs, which takes files of less than 4 GiB");
    assert_eq!(initramfs::size(7).unwrap(), 7);
}

#[test]
fn an_initramfs_holds_the_agent_and_a_console() {
    let module = Module { name: "00-virtio.ko".to_owned(), bytes: b"module".to_vec() };
    let archive = initramfs::build(b"agent", std::slice::from_ref(&module)).unwrap();
    assert_eq!(archive, initramfs::build(b"agent", &[module]).unwrap(), "equal contents, equal archives");
    let mut listing = String::new();
    let mut rest = archive.as_slice();
    loop {
        let mut reader = cpio::newc::Reader::new(rest).unwrap();
        if reader.entry().is_trailer() {
            break;
        }
        let mut contents = String::new();
        std::io::Read::read_to_string(&mut reader, &mut contents).unwrap();
        let entry = reader.entry();
        let (major, minor) = (entry.rdev_major(), entry.rdev_minor());
        listing += &format!("{:o} {major}:{minor} {} {contents}\n", entry.mode(), entry.name());
        rest = reader.finish().unwrap();
    }
    insta::assert_snapshot!(listing);
}
