//! The case files that kconform carries, for where it is used without its checkout.

use std::path::Path;
use std::sync::Arc;

use rust_embed::RustEmbed;

use crate::place::File;

use super::SuiteFile;
use super::files::RENAMED;

// In a debug build they are read from the checkout in which it was compiled, so that a changed case does not rebuild kconform.
// Only tests ask for them there, since the program may have been copied: see `load::suites::default_folder`.
#[derive(RustEmbed)]
#[folder = "../../cases"]
struct Cases;

/// All of them, in the order of their names.
pub fn files() -> Vec<SuiteFile> {
    let mut names: Vec<_> = Cases::iter().collect();
    names.sort();
    let file = |name: &str| {
        let text = String::from_utf8_lossy(&Cases::get(name)?.data).into_owned();
        let suite = name.strip_suffix(".yaml")?.into();
        Some(SuiteFile { suite, file: Arc::new(File { path: Path::new("cases").join(name), text }) })
    };
    names.iter().filter_map(|name| file(name)).collect()
}

/// Its table of old names.
pub fn renamed() -> Option<Arc<File>> {
    let text = String::from_utf8_lossy(&Cases::get(RENAMED)?.data).into_owned();
    Some(Arc::new(File { path: Path::new("cases").join(RENAMED), text }))
}

#[cfg(test)]
mod tests {
    use super::super::files::read_each;

    #[test]
    fn they_are_those_of_the_checkout() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
        let name_and_text = |files: Vec<super::SuiteFile>| {
            files.into_iter().map(|f| (f.suite, f.file.text.clone())).collect()
        };
        let carried: std::collections::BTreeMap<_, _> = name_and_text(super::files());
        let there = name_and_text(read_each(&[folder]).expect("case files"));
        assert!(carried == there, "the case files that kconform carries are not those of cases/");
    }
}
