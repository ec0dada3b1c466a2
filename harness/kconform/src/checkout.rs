//! Where kconform's own sources are.

use std::path::{Path, PathBuf};

/// The checkout that kconform is in: the one that the running program lies in, else the one that the working directory lies
/// in, else the one in which it was built. A checkout that was copied has its own.
pub(crate) fn checkout() -> PathBuf {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let places = [program.ok(), std::env::current_dir().ok()];
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built_in = crates.ancestors().nth(2).unwrap_or(crates);
    places.iter().flatten().find_map(|place| checkout_of(place)).unwrap_or_else(|| built_in.to_owned())
}

/// The checkout that a file or folder lies in.
pub(crate) fn checkout_of(place: &Path) -> Option<PathBuf> {
    let is_ours = |folder: &&Path| {
        ["ci/agents", "harness/kconform/Cargo.toml"].iter().all(|path| folder.join(path).is_file())
    };
    place.ancestors().find(is_ours).map(Path::to_owned)
}
