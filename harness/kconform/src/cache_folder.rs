//! Where kconform keeps what it can make again.

use std::path::PathBuf;

/// `$KCONFORM_CACHE`, else `kconform` in `$XDG_CACHE_HOME`, else `~/.cache/kconform`; nothing where none of them is set.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("KCONFORM_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|directory| directory.join("kconform")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/kconform")))
}
