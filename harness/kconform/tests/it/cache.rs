//! What the cache holds is believed only as long as it is what was put there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, not_here};

/// A case that the kernel's config decides about.
const CASE: &str = "cases:\n  - name: needs\n    requires: {config: [CONFIG_KCONFORM]}\n    steps:\n      - getpid: []\n  - name: plain\n    steps:\n      - getpid: []\n";

/// A place with a cache of its own, in which is an image's kernel as it was fetched; and the kernel's folder.
fn place(image: &str) -> Option<(Place, PathBuf)> {
    let cache = kconform::inner::cache_dir().expect("a cache");
    let fetched = cache.join("kernels").join(image);
    if !fetched.is_dir() {
        not_here(&format!("the kernel of {image} is not here"));
        return None;
    }
    let place = Place::with(CASE);
    let kernel = place.folder().join("cache/kernels").join(image);
    copy(&fetched, &kernel);
    let _ = std::fs::copy(cache.join("kvm.json"), place.folder().join("cache/kvm.json"));
    let cache = place.folder().join("cache").display().to_string();
    Some((place.env("KCONFORM_CACHE", &cache), kernel))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}

/// Changes a file, of whose size and time of modification nothing shows.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let data = std::fs::metadata(path).expect("a file");
    let mut bytes = std::fs::read(path).expect("a file");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("written");
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(data.modified().expect("a time")).expect("the time is set");
    assert_eq!(std::fs::metadata(path).expect("a file").mtime(), data.mtime());
}

fn add_config(kernel: &Path) {
    edit(&kernel.join("config"), |bytes| bytes.extend(b"CONFIG_KCONFORM=y\n"));
}

fn flip_kernel(kernel: &Path) {
    edit(&kernel.join("vmlinuz"), |bytes| *bytes.last_mut().expect("a byte") ^= 1);
}

fn other_release(kernel: &Path) {
    let is_sealed =
        std::fs::read_to_string(kernel.join("manifest.json")).expect("a file").contains("\"check\"");
    edit(&kernel.join("manifest.json"), |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        // One that an earlier build has fetched has no checksum: then the hash of a file is what is damaged.
        let text = match is_sealed {
            true => text.replace("\"release\": \"", "\"release\": \"1"),
            false => text.replacen("\"sha256\": \"", "\"sha256\": \"0", 3),
        };
        *bytes = text.into_bytes();
    });
}

/// A file of the cache that somebody edits after a snapshot was made is told, restored or booted, and nothing is run.
#[rstest]
#[case::config(add_config, "config is not what was fetched")]
#[case::kernel(flip_kernel, "vmlinuz is not what was fetched")]
#[case::manifest(other_release, " is not what was fetched")]
fn an_edited_file_of_the_cache_is_told(
    #[case] change: fn(&Path),
    #[case] says: &str,
    #[values("x86_64", "riscv64")] arch: &str,
) {
    if !is_set_up(arch) {
        return;
    }
    let image = format!("{arch}-6.12");
    let Some((place, kernel)) = place(&image) else { return };
    let run = |more: &[&str]| place.say(&[&["run", "--target", arch][..], more].concat());
    assert_eq!(run(&[]).assert_status(0).counts(arch), "1 passed, 1 skipped");
    assert_eq!(run(&[]).assert_status(0).counts(arch), "1 passed, 1 skipped");
    change(&kernel);
    for more in [&[][..], &["--cold"]] {
        let said = run(more).assert_status(3);
        let mend = format!("fetch it again: kconform image fetch --refresh {image}");
        assert!(said.out.contains(says) && said.out.contains(&mend), "{}", said.all());
    }
}
