//! `--kernel` with every form that a kernel comes in, made of the kernels that are in the cache, on real guests.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, Said, not_here};

const CASE: &str = "cases:\n  - name: map\n    guest_only: true\n    steps:\n      - bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 4}]\n  - name: much\n    guest_only: true\n    steps:\n      - openat: [AT_FDCWD, {str: file}, O_CREAT | O_RDWR, 0o600]\n        save: file\n      - write: [$file, {fill: [0x5a, 300000]}, 300000]\n        ret: 300000\n      - pread64: [$file, {out: 300000}, 300000, 0]\n        expect: {arg1: {fill: [0x5a, 300000]}}\n";

/// An image's kernel and its config, if it is in the cache.
fn cached(image: &str) -> Option<(Vec<u8>, String)> {
    let folder = kconform::inner::cache_dir().expect("a cache").join("kernels").join(image);
    let found =
        std::fs::read(folder.join("vmlinuz")).ok().zip(std::fs::read_to_string(folder.join("config")).ok());
    if found.is_none() {
        not_here(&format!("the kernel of {image} is not here"));
    }
    found
}

/// A place with a cache of its own, which knows what was found out about KVM.
fn place() -> Place {
    let place = Place::with(CASE);
    let cache = place.folder().join("cache");
    std::fs::create_dir(&cache).expect("a directory");
    let known = kconform::inner::cache_dir().expect("a cache").join("kvm.json");
    let _ = std::fs::copy(known, cache.join("kvm.json"));
    let cache = cache.display().to_string();
    place.env("KCONFORM_CACHE", &cache)
}

fn write(place: &Place, path: &str, bytes: &[u8]) -> PathBuf {
    let path = place.folder().join("here").join(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("it is packed");
    encoder.finish().expect("it is packed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// With its size behind it, as the make rules of all but gzip have it.
fn sized(mut packed: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).expect("xz");
    encoder.write_all(bytes).expect("it is packed");
    sized(encoder.finish().expect("it is packed"), bytes)
}

/// The legacy format, which the kernel's make rule asks lz4 for.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    sized(out, bytes)
}

/// An EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S), as far as it tells what is in it.
fn zboot(payload: &[u8], method: &str) -> Vec<u8> {
    let mut bytes = b"MZ\0\0zimg".to_vec();
    bytes.extend(64_u32.to_le_bytes());
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.resize(24, 0);
    bytes.extend(method.as_bytes());
    bytes.resize(64, 0);
    bytes.extend(payload);
    bytes
}

/// The vmlinux in a bzImage: `payload_offset` and its length (Documentation/arch/x86/boot.rst), unpacked; none where it is
/// packed with something that is not here.
fn vmlinux(bz_image: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| u32::from_le_bytes(bz_image[at..at + 4].try_into().expect("four")) as usize;
    let setup = (usize::from(bz_image[0x1f1]).max(1) + 1) * 512;
    let packed = &bz_image[setup + number(0x248)..][..number(0x24c)];
    let mut bytes = Vec::new();
    if packed.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        ruzstd::decoding::StreamingDecoder::new(packed).ok()?.read_to_end(&mut bytes).ok()?;
        return Some(bytes);
    }
    let mut xz = std::process::Command::new("xz");
    xz.args(["--decompress", "--single-stream", "--stdout"]);
    let mut child =
        xz.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let packed = packed.to_vec();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&packed)));
    child.stdout.take()?.read_to_end(&mut bytes).ok()?;
    feeder.join().ok()?;
    // The length of the unpacked kernel follows the stream, of which xz complains.
    let _ = child.wait();
    bytes.starts_with(b"\x7fELF").then_some(bytes)
}

fn run(place: &Place, kernel: &Path, more: &[&str]) -> Said {
    let kernel = kernel.display().to_string();
    place.say(&[&["run", "--kernel", &kernel], more].concat())
}

#[track_caller]
fn assert_ran(said: &Said) {
    assert!(said.out.contains("2 passed in"), "{}", said.all());
    assert_eq!(said.status, Some(0), "{}", said.all());
}

#[rstest]
#[case::image("riscv64-6.12", "Image")]
#[case::image_gz("riscv64-6.12", "Image.gz")]
#[case::zboot("riscv64-6.12", "vmlinuz.efi")]
#[case::zboot_of_older_makefiles("riscv64-6.12", "zstd22")]
#[case::zboot_xz("riscv64-6.12", "xzkern")]
#[case::zboot_lz4("riscv64-6.12", "lz4")]
#[case::build_tree("riscv64-6.12", "tree")]
#[case::arm64_image("aarch64-6.12", "Image")]
#[case::arm64_zboot("aarch64-6.12", "vmlinuz.efi")]
#[case::vmlinuz("x86_64-6.12", "Image")]
#[case::vmlinux("x86_64-6.12", "vmlinux")]
#[case::older_vmlinux("x86_64-6.1", "vmlinux")]
fn a_kernel_of_any_form_boots(#[case] image: &str, #[case] form: &str) {
    if !is_set_up(image.split('-').next().expect("an architecture")) {
        return;
    }
    let Some((kernel, config)) = cached(image) else { return };
    let place = place();
    let path = match form {
        "Image" => write(&place, "Image", &kernel),
        "Image.gz" => write(&place, "Image.gz", &gzip(&kernel)),
        "vmlinuz.efi" => write(&place, "vmlinuz.efi", &zboot(&gzip(&kernel), "gzip")),
        "zstd22" => write(&place, "vmlinuz.efi", &zboot(&zstd(&kernel), form)),
        "xzkern" => write(&place, "vmlinuz.efi", &zboot(&xz(&kernel), form)),
        "lz4" => write(&place, "vmlinuz.efi", &zboot(&lz4(&kernel), form)),
        "vmlinux" => match vmlinux(&kernel) {
            Some(vmlinux) => write(&place, "vmlinux", &vmlinux),
            None => return not_here("a vmlinux: xz is not here"),
        },
        _ => {
            write(&place, "tree/.config", config.as_bytes());
            write(&place, "tree/arch/riscv/boot/Image", &kernel);
            place.folder().join("here/tree")
        }
    };
    assert_ran(&run(&place, &path, &["--cold"]));
}

/// A kernel without virtio: what its config says, or, where there is none, the first boot. The agent is behind a second
/// serial port then, of restored guests too.
#[rstest]
#[case::by_its_config("x86_64-6.1", true)]
#[case::by_a_boot("x86_64-6.1", false)]
#[case::of_a_card("riscv64-6.12", true)]
fn a_kernel_without_virtio_is_reached_over_a_serial_port(#[case] image: &str, #[case] config_is_there: bool) {
    if !is_set_up(image.split('-').next().expect("an architecture")) {
        return;
    }
    let Some((kernel, config)) = cached(image) else { return };
    let place = place();
    let path = write(&place, "vmlinuz-own", &kernel);
    if config_is_there {
        write(&place, "config-own", config.replace("CONFIG_VIRTIO_CONSOLE=y", "").as_bytes());
    }
    let said = run(&place, &path, &[]);
    assert_ran(&said);
    let told = said.out.contains("its agent is reached over a second serial port");
    assert_eq!(told, config_is_there, "{}", said.all());
    let again = run(&place, &path, &["--isolate", "guest"]);
    assert_ran(&again);
    for words in ["from a snapshot", "over a second serial port"] {
        assert!(again.out.contains(words), "{}", again.all());
    }
}

/// A download that broke off, given as a kernel and named by an image: nothing is booted.
#[test]
fn a_kernel_that_is_cut_off_is_told() {
    if !is_set_up("x86_64") {
        return;
    }
    let Some((kernel, _)) = cached("x86_64-6.12") else { return };
    let place = place();
    let path = write(&place, "bzImage", &kernel[..kernel.len() / 3]);
    let image = "about: a\narch: x86_64\nkernel: {path: ../bzImage}\nmachine: q35\nconsole: ttyS0\n";
    let place = place.file("images/cut.yaml", image);
    let has = kernel.len() / 3 / 1024;
    let told = |path: &str| format!("{path} is cut off: it has {has} KiB of the ");
    let said = run(&place, &path, &[]).assert_status(2);
    assert!(said.err.contains(&told(&path.display().to_string())), "{}", said.all());
    assert!(said.err.contains("copy or build it again"), "{}", said.all());
    let said = place.say(&["run", "--images", "images", "--target", "cut"]).assert_status(3);
    assert!(said.out.contains(&told("images/../bzImage")), "{}", said.all());
}

/// s390x has no second serial port here, and what is missing is said by name.
#[test]
fn what_a_kernel_lacks_is_said_by_name() {
    if !is_set_up("s390x") {
        return;
    }
    let Some((kernel, config)) = cached("s390x-6.12") else { return };
    let place = place();
    let path = write(&place, "vmlinuz-own", &kernel);
    write(&place, "config-own", config.replace("CONFIG_VIRTIO_CONSOLE=y", "").as_bytes());
    let said = run(&place, &path, &["--cold"]);
    assert!(
        said.out.contains("its config lacks CONFIG_VIRTIO_CONSOLE, which a guest needs built in"),
        "{}",
        said.all()
    );
}
