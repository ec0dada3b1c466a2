//! Whether a file is a regular one, before it is read: a device need not have an end, and a FIFO without a writer is waited for.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What is found where a regular file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {0}, not a regular file")]
pub struct NotRegular(&'static str);

/// What a file is that is not a regular one; links were followed.
pub(crate) fn amiss(metadata: &Metadata) -> Option<NotRegular> {
    let kind = metadata.file_type();
    let what = match kind {
        _ if kind.is_file() => return None,
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() => "a block device",
        _ => "a character device",
    };
    Some(NotRegular(what))
}

/// Follows links to a file, and reads nothing of it.
///
/// # Errors
/// Those of stat(2); a [`NotRegular`] in [`io::Error::other`].
pub(crate) fn check(path: &Path) -> io::Result<()> {
    amiss(&fs::metadata(path)?).map_or(Ok(()), |amiss| Err(io::Error::other(amiss)))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("made");
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
        fs::write(at("file"), "").expect("written");
        std::os::unix::fs::symlink("fifo", at("link")).expect("linked");
        let told = |path: &Path| check(path).map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        let told: Vec<_> =
            ["file", ".", "fifo", "link", "socket"].iter().map(|name| told(&at(name))).collect();
        drop(socket);
        let is = |what: &str| format!("it is {what}, not a regular file");
        assert_eq!(told, ["fine".to_owned(), is("a folder"), is("a FIFO"), is("a FIFO"), is("a socket")]);
        assert_eq!(check(Path::new("/dev/zero")).expect_err("endless").to_string(), is("a character device"));
    }
}
