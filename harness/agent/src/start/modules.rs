//! Modules that a guest's kernel needs before there is a port to the host: virtio, where it is not built in.

use std::fs;
use std::path::PathBuf;

use crate::sys;

/// Where the host puts them, in the initramfs.
const PLACE: &str = "/modules";

/// Loads all modules in the order of their names. What cannot be loaded is a remark: the kernel may not need it.
pub(crate) fn load_all(remarks: &mut Vec<String>) {
    load_from(PLACE, remarks);
}

fn load_from(place: &str, remarks: &mut Vec<String>) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(place).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let path = path.to_string_lossy();
        if let Err(errno) = load(&path) {
            remarks.push(format!("load {path}: errno {errno}"));
        }
    }
}

fn load(path: &str) -> Result<(), i32> {
    let compressed = !path.ends_with(".ko");
    let module = sys::open(&sys::c_string(path), libc::O_RDONLY)?;
    let loaded = sys::load_module(module, compressed);
    sys::close(module);
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_remarked() {
        let place = std::env::temp_dir().join(format!("kconform-modules-{}", std::process::id()));
        fs::create_dir(&place).expect("a directory");
        fs::write(place.join("none.ko"), "none").expect("a file");
        let mut remarks = Vec::new();
        load_from(&place.to_string_lossy(), &mut remarks);
        fs::remove_dir_all(&place).expect("removed");
        let begins = format!("load {}/none.ko: errno ", place.display());
        assert!(matches!(&remarks[..], [one] if one.starts_with(&begins)), "{remarks:?}");
    }
}
