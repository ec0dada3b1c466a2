//! Where a report is written: tried before anything runs, and replaced whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags, fcntl_setfl, statx};

/// How many symlinks may lead to a place, as in the kernel (include/linux/namei.h, MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// How long the reader of a FIFO may take to open it.
const READER: Duration = Duration::from_secs(2);

/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(20);

/// A place that a report can be written to.
#[derive(Debug)]
pub struct Destination {
    /// As the user calls it.
    called: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stdout,
    /// What cannot be replaced is open from the beginning: a FIFO, a terminal, a file that is a mount point.
    Open {
        file: File,
        /// What it holds is removed first.
        emptied: bool,
        /// Where it is, if two reports there would be mixed up.
        alone: Option<PathBuf>,
    },
    /// A file, there or not yet, in a folder without symlinks.
    Replaced(PathBuf),
}

/// Why nothing can be written to a place.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// What should be its folder is none.
    #[error("{}: the folder {} is not there; make it, or name another place for the report", .path.display(), .folder.display())]
    NoFolder {
        /// As given.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// It is a folder.
    #[error("{}: this is a folder; name a file in it for the report", .0.display())]
    Folder(PathBuf),
    /// A symlink to nothing.
    #[error("{}: this is a symlink to {}, which is not there; remove the link, or make the file", .path.display(), .target.display())]
    Dangling {
        /// As given.
        path: PathBuf,
        /// What the link says.
        target: PathBuf,
    },
    /// A disk, say.
    #[error("{}: this is {what}, which takes no report; name a file", .path.display())]
    Device {
        /// As given.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A FIFO that nobody reads.
    #[error("{}: nobody reads from this FIFO; start its reader first", .0.display())]
    NoReader(PathBuf),
    /// The system refuses the file itself.
    #[error("{}: this file cannot be written to ({error}); change its permissions, or name another place for the report", .path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system refuses a new file.
    #[error("{}: no file can be made in the folder {} ({error}); change its permissions, or name another place for the report", .path.display(), .folder.display())]
    NoNew {
        /// As given.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// In a folder like /tmp only the owner of a file may replace it.
    #[error("{}: this file is another user's, in a folder where only the owner may replace it; name another place for the report", .0.display())]
    Others(PathBuf),
}

impl Destination {
    /// Tries a place; `None` is standard output. Nothing changes there, and no file is left behind.
    ///
    /// # Errors
    /// Nothing could be written there.
    pub fn open(path: Option<&Path>) -> Result<Destination, DestinationError> {
        let Some(path) = path else {
            return Ok(Destination { called: "standard output".into(), kind: Kind::Stdout });
        };
        Ok(Destination { called: path.to_owned(), kind: kind(path)? })
    }

    /// What messages call it.
    pub fn called(&self) -> &Path {
        &self.called
    }

    /// It is standard output, by whatever name.
    pub fn is_stdout(&self) -> bool {
        matches!(self.kind, Kind::Stdout)
    }

    /// What is written to one would spoil what is written to the other.
    pub fn is_that_of(&self, other: &Destination) -> bool {
        let place = |destination: &Destination| match &destination.kind {
            Kind::Stdout => Some(PathBuf::new()),
            Kind::Open { alone, .. } => alone.clone(),
            Kind::Replaced(path) => Some(path.clone()),
        };
        place(self).is_some_and(|ours| place(other) == Some(ours))
    }

    /// Writes what `make` writes, and gives what takes more of it. A file is written beside its place and renamed over
    /// it, so that there is always one that is whole: that of before or this one.
    ///
    /// # Errors
    /// What the system or `make` says; a file of before is then as it was.
    pub fn write(
        &self,
        make: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Box<dyn Write>> {
        match &self.kind {
            Kind::Stdout => {
                let mut out = BufWriter::new(io::stdout().lock());
                make(&mut out)?;
                out.flush()?;
                drop(out);
                Ok(Box::new(io::stdout()))
            }
            Kind::Open { file, emptied, .. } => {
                let mut file = file.try_clone()?;
                if *emptied {
                    file.set_len(0)?;
                    file.rewind()?;
                }
                let mut out = BufWriter::new(file);
                make(&mut out)?;
                Ok(Box::new(out.into_inner().map_err(io::IntoInnerError::into_error)?))
            }
            Kind::Replaced(path) => Ok(Box::new(replace(path, make)?)),
        }
    }
}

fn replace(path: &Path, make: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<File> {
    let before = fs::metadata(path).ok();
    let mut file = beside(path)?;
    let mut out = BufWriter::new(file.as_file_mut());
    make(&mut out)?;
    out.flush()?;
    drop(out);
    looks_as(file.as_file(), before.as_ref())?;
    // A file system may find only now that it is full.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)
}

/// A new file in the same folder, which goes by itself unless it is renamed.
fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".kconform-").tempfile_in(folder(path))
}

/// Temporary files are for their owner only; a report has the owner and mode of the file that it replaces, or else the
/// mode of any new file.
fn looks_as(file: &File, before: Option<&Metadata>) -> io::Result<()> {
    let mode = match before {
        Some(before) => {
            // Only root may give files away; the mode holds for whoever owns it then.
            let _ = std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()));
            before.mode() & 0o777
        }
        None => {
            let mask = rustix::process::umask(rustix::fs::Mode::empty());
            rustix::process::umask(mask);
            0o666 & !mask.bits()
        }
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn kind(path: &Path) -> Result<Kind, DestinationError> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(DestinationError::Folder(path.to_owned()));
    }
    let refused = |error| DestinationError::File { path: path.to_owned(), error };
    let mut place = path.to_owned();
    let mut links = 0;
    while let Ok(target) = fs::read_link(&place) {
        let above = folder(&place).canonicalize().map_err(refused)?;
        if above.starts_with("/proc") {
            return descriptor(&place, &above).map_err(refused);
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(refused(rustix::io::Errno::LOOP.into()));
        }
        place = above.join(target);
    }
    let above = folder(&place);
    let no_folder = || DestinationError::NoFolder { path: path.to_owned(), folder: folder(path).to_owned() };
    let meta = match fs::metadata(&place) {
        Ok(meta) => meta,
        Err(_) if links > 0 => {
            let target = fs::read_link(path).unwrap_or(place);
            return Err(DestinationError::Dangling { path: path.to_owned(), target });
        }
        Err(_) if !above.is_dir() => return Err(no_folder()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return new(path, &place),
        Err(error) => return Err(refused(error)),
    };
    let kind = meta.file_type();
    let device = |what| Err(DestinationError::Device { path: path.to_owned(), what });
    if kind.is_dir() {
        Err(DestinationError::Folder(path.to_owned()))
    } else if kind.is_block_device() {
        device("a block device")
    } else if kind.is_socket() {
        device("a socket")
    } else if kind.is_fifo() {
        let file = fifo(&place).map_err(refused)?;
        let file = file.ok_or_else(|| DestinationError::NoReader(path.to_owned()))?;
        Ok(Kind::Open { file, emptied: false, alone: Some(place) })
    } else if kind.is_char_device() {
        let file = OpenOptions::new().write(true).open(&place).map_err(refused)?;
        Ok(Kind::Open { file, emptied: false, alone: None })
    } else {
        old(path, &place, &meta)
    }
}

/// A file that is not there yet.
fn new(path: &Path, place: &Path) -> Result<Kind, DestinationError> {
    let refused =
        |error| DestinationError::NoNew { path: path.to_owned(), folder: folder(place).to_owned(), error };
    // Only the name itself tells whether it is too long, or has a letter that this file system has not.
    match OpenOptions::new().write(true).create_new(true).open(place) {
        Ok(_) => fs::remove_file(place).map_err(refused)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error)),
    }
    replaced(place).map_err(refused)
}

/// A file that is there.
fn old(path: &Path, place: &Path, meta: &Metadata) -> Result<Kind, DestinationError> {
    let refused = |error| DestinationError::File { path: path.to_owned(), error };
    let file = OpenOptions::new().write(true).open(place).map_err(refused)?;
    // What is mounted on its own, as containers do with single files, cannot be renamed over: EBUSY.
    let mounted = statx(CWD, place, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|seen| seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    if mounted {
        return Ok(Kind::Open { file, emptied: true, alone: Some(place.to_owned()) });
    }
    let no_new =
        |error| DestinationError::NoNew { path: path.to_owned(), folder: folder(place).to_owned(), error };
    // fs/namei.c, may_delete(): rename(2) is refused in a sticky folder.
    let above = fs::metadata(folder(place)).map_err(no_new)?;
    let user = rustix::process::geteuid();
    let ours = [meta.uid(), above.uid()].contains(&user.as_raw()) || user.is_root();
    if above.mode() & 0o1000 != 0 && !ours {
        return Err(DestinationError::Others(path.to_owned()));
    }
    beside(place).map_err(|error| no_new(error.kind().into()))?;
    replaced(place).map_err(no_new)
}

fn replaced(place: &Path) -> io::Result<Kind> {
    let name = place.file_name().unwrap_or_default();
    Ok(Kind::Replaced(folder(place).canonicalize()?.join(name)))
}

/// What a link in /proc stands for, /dev/stdout, /dev/fd/3 or `>(…)` of a shell: something that is open already. It is
/// never replaced, and what others have written to it stays.
fn descriptor(place: &Path, above: &Path) -> io::Result<Kind> {
    let ours = Path::new("/proc/self/fd").canonicalize().is_ok_and(|fds| fds == above);
    if ours && place.file_name().is_some_and(|name| name == "1") {
        return Ok(Kind::Stdout);
    }
    let file = OpenOptions::new().append(true).open(place)?;
    Ok(Kind::Open { file, emptied: false, alone: Some(above.join(place.file_name().unwrap_or_default())) })
}

/// A FIFO whose reader is there, or comes soon: what is open in the background of a shell may be a little later.
fn fifo(place: &Path) -> io::Result<Option<File>> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let until = Instant::now() + READER;
    loop {
        match OpenOptions::new().write(true).custom_flags(nonblock).open(place) {
            Ok(file) => {
                fcntl_setfl(&file, OFlags::empty())?;
                return Ok(Some(file));
            }
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                return Err(error);
            }
            Err(_) if Instant::now() > until => return Ok(None),
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}
