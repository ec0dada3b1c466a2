//! `kconform image prune`: what the cache holds and nobody needs any more goes, or with `--dry-run` is told.

use std::io::{self, Write};
use std::path::Path;

use super::commands::megabytes;
use super::image::Images;
use super::pruned::{Fate, Kept, Pruned};
use super::{cache, snapshot};

/// Removes snapshots that are not of these names and kernels that none of the images asks for; tells of each. What is in use
/// stays, and what image files of other folders ask for. With `dry` nothing is removed.
///
/// # Errors
/// Those of removing files, and of writing to `out`.
pub fn prune(
    images: &Images,
    keep: &[String],
    cache: &Path,
    dry: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut all = snapshot::prune(cache, images, keep, dry)?;
    all.extend(cache::prune(images, cache, dry)?);
    for pruned in &all {
        writeln!(out, "{}", line(pruned, dry))?;
    }
    let removed: Vec<_> = all.iter().filter(|pruned| pruned.fate == Fate::Removed).collect();
    let size = megabytes(removed.iter().map(|pruned| pruned.size).sum());
    match (removed.is_empty(), dry) {
        (true, _) => writeln!(out, "there is nothing to remove"),
        (false, true) => writeln!(out, "{size} in all would be removed; nothing was"),
        (false, false) => writeln!(out, "{size} in all were removed"),
    }
}

fn line(Pruned { what, name, size, fate }: &Pruned, dry: bool) -> String {
    let what = match what {
        Kept::Snapshot => "snapshot",
        Kept::Unfinished => "unfinished snapshot",
        Kept::Kernel => "kernel",
    };
    let fate = match fate {
        Fate::Removed if dry => format!("would be removed ({})", megabytes(*size)),
        Fate::Removed => format!("removed ({})", megabytes(*size)),
        Fate::Used if what == "kernel" => "being fetched, and kept".to_owned(),
        Fate::Used => "in use by a running guest, and kept".to_owned(),
        Fate::Elsewhere(file) => {
            let folder = file.parent().unwrap_or(Path::new("/"));
            format!("kept for {} (--images {} looks at it)", file.display(), folder.display())
        }
    };
    format!("{what} {name}: {fate}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;

    use super::super::commands::tests::keep;
    use super::*;

    fn images() -> Images {
        Images::built_in().unwrap()
    }

    fn pruned(images: &Images, keep: &[String], cache: &Path, dry: bool) -> String {
        let mut out = Vec::new();
        prune(images, keep, cache, dry, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Every file and directory, with what is in the files.
    fn all(place: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                found.extend(all(&entry));
            }
            found.push((entry.clone(), fs::read(&entry).ok()));
        }
        found.sort();
        found
    }

    #[test]
    fn what_is_pruned_and_what_stays_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let path = |name: &str| cache.path().join(name);
        keep(images().find("riscv64").unwrap(), cache.path());
        let snapshots =
            ["riscv64-6.12-0a", "gone-0b", "used-0c", ".gone.making-0d", ".made.making-0e", ".discarded-0f"];
        for name in ["kernels/gone", "kernels/gone/modules", "kernels/new"]
            .map(str::to_owned)
            .into_iter()
            .chain(snapshots.map(|name| format!("snapshots/{name}")))
        {
            fs::create_dir_all(path(&name)).unwrap();
        }
        for (name, size) in [("kernels/gone/vmlinuz", 3 << 20), ("kernels/gone/modules/a.ko", 2 << 20)] {
            fs::write(path(name), vec![1; size]).unwrap();
        }
        fs::write(path("snapshots/gone-0b/memory"), vec![1; 7 << 20]).unwrap();
        let used = File::open(path("snapshots/used-0c")).unwrap();
        used.lock_shared().unwrap();
        let locks =
            ["snapshots/.made.lock", "kernels/.new.lock"].map(|name| File::create(path(name)).unwrap());
        locks.iter().for_each(|lock| lock.lock().unwrap());
        let keep = ["riscv64-6.12-0a".to_owned()];
        let before = all(cache.path());
        let mut told = pruned(&images(), &keep, cache.path(), true);
        assert_eq!(all(cache.path()), before, "--dry-run changes nothing");
        told += "\n";
        told += &pruned(&images(), &keep, cache.path(), false);
        drop((used, locks));
        for name in ["snapshots/used-0c", "snapshots/.made.making-0e", "kernels/new"] {
            fs::remove_dir_all(path(name)).unwrap();
        }
        told += "\n";
        told += &pruned(&images(), &keep, cache.path(), true);
        insta::assert_snapshot!(told);
    }

    /// Until its file is gone, or its folder is looked at.
    #[test]
    fn what_is_of_another_folders_image_stays_and_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        let text = include_str!("../../../../vm/riscv64-6.12.yaml").replace("aliases:", "#");
        fs::write(&file, text).unwrap();
        keep(&super::super::image::load(&file).unwrap(), cache.path());
        let snapshot = cache.path().join("snapshots/mine-0a");
        fs::create_dir_all(&snapshot).unwrap();
        let manifest = serde_json::json!({
            "image": "mine", "image_file": file, "key": {}, "memory": 0, "state": 0, "greeting": 0,
        });
        fs::write(snapshot.join("manifest.json"), manifest.to_string()).unwrap();
        let said = |images: &Images, dry| {
            let told = pruned(images, &[], cache.path(), dry);
            told.replace(&*folder.path().to_string_lossy(), "[folder]")
        };
        let stay = "snapshot mine-0a: kept for [folder]/mine.yaml (--images [folder] looks at it)\n\
                    kernel mine: kept for [folder]/mine.yaml (--images [folder] looks at it)\n\
                    there is nothing to remove\n";
        assert_eq!(said(&images(), true), stay);
        assert_eq!(said(&images(), false), stay);
        let with = images().with(Images::load_all(folder.path()).unwrap()).unwrap();
        let told = "snapshot mine-0a: would be removed (0 MB)\n0 MB in all would be removed; nothing was\n";
        assert_eq!(said(&with, true), told);
        fs::remove_file(&file).unwrap();
        let told =
            "snapshot mine-0a: removed (0 MB)\nkernel mine: removed (0 MB)\n0 MB in all were removed\n";
        assert_eq!(said(&images(), false), told);
        assert!(!snapshot.exists());
    }
}
