//! Tests that can say nothing on this machine, counted at the end of `ci/test`.

use std::io::Write;

/// Why a test cannot say anything here. With `--nocapture` the line is seen at once; `ci/test` gathers all in the file that
/// `KCONFORM_NOT_TESTED` names.
pub(crate) fn not_tested(why: &str) {
    eprintln!("NOT TESTED: {why}");
    let Some(path) = std::env::var_os("KCONFORM_NOT_TESTED") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
    // One write, so that lines of several tests do not mix.
    file.and_then(|mut file| file.write_all(format!("{why}\n").as_bytes()))
        .expect("KCONFORM_NOT_TESTED can be written");
}
