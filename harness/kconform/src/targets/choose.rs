//! Which targets are meant.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::guest::cache::CacheError;
use crate::guest::image::{DEFAULT_IMAGES, Image, ImageError};
use crate::guest::own_kernel::{OwnKernel, OwnKernelError, own_kernel};
use crate::guest::{Images, cache_dir};

use super::piped::plain;
use super::{Launcher, LauncherError, Target, command};

/// Why there are no targets to run on.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// The image files.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A kernel of the user's own.
    #[error(transparent)]
    Kernel(#[from] OwnKernelError),
    /// There is no place for the cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A target's name.
    #[error("there is no target {name:?}{}; `kconform targets` lists them", .nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    NoTarget {
        /// As given.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The command of a `cmd:` target.
    #[error("{name}: {error}")]
    Command {
        /// As given.
        name: String,
        /// What is wrong with it.
        error: LauncherError,
    },
}

impl ChooseError {
    /// Why there is no target of that name.
    pub(crate) fn of(name: &str, nearest: Option<String>) -> ChooseError {
        let command = name.strip_prefix(command::PREFIX).map(str::parse::<Launcher>);
        match command {
            // What is wrong may be what a terminal obeys.
            Some(Err(error)) => ChooseError::Command { name: plain(name), error },
            _ => ChooseError::NoTarget { name: name.into(), nearest },
        }
    }
}

/// The names of a list that is separated by commas. A command may hold commas, so it is the last name of its list.
pub(crate) fn names(list: &str) -> Vec<&str> {
    let (names, command) = match list.find(command::PREFIX) {
        Some(0) => return vec![list],
        Some(at) if list[..at].ends_with(',') => (&list[..at - 1], Some(&list[at..])),
        _ => (list, None),
    };
    names.split(',').chain(command).collect()
}

/// What is run on when nothing is named: the host's kernel, and the usual guests.
pub(crate) fn default_targets() -> impl Iterator<Item = &'static str> {
    std::iter::once("native").chain(DEFAULT_IMAGES.iter().copied())
}

/// The targets to run on, and what is to be said of them beforehand: which are left out, and why.
pub(crate) struct Chosen {
    pub(crate) targets: Vec<Target>,
    pub(crate) notes: Vec<String>,
}

/// The named targets, or those of the default ones that are set up; all of the default ones where guests are required.
pub(crate) fn choose(
    names: &[String],
    kernels: &[PathBuf],
    folder: Option<&Path>,
) -> Result<Chosen, ChooseError> {
    let images = images(folder)?;
    let find = |name: &str| {
        Target::named(name, &images).ok_or_else(|| {
            let known =
                images.iter().flat_map(|i| std::iter::once(&i.name).chain(&i.aliases)).map(String::as_str);
            let nearest = kconform_abi::nearest(name, known.chain(["native"])).map(str::to_owned);
            ChooseError::of(name, nearest)
        })
    };
    let mut chosen = Chosen { targets: Vec::new(), notes: Vec::new() };
    for name in names {
        let target = find(name)?;
        if !chosen.targets.iter().any(|t| t.name == target.name) {
            chosen.targets.push(target);
        }
    }
    own_kernels(kernels, folder, &mut chosen)?;
    if chosen.targets.is_empty() {
        for name in default_targets() {
            let Ok(target) = find(name) else { continue };
            match target.ready() {
                Err(unusable) if unusable.not_set_up && !guests_required() => {
                    chosen.notes.push(format!("{} is left out: {unusable}", target.name));
                }
                _ => chosen.targets.push(target),
            }
        }
    }
    Ok(chosen)
}

/// Kernels of the user's own, each on the machine of its architecture's usual image.
fn own_kernels(kernels: &[PathBuf], folder: Option<&Path>, chosen: &mut Chosen) -> Result<(), ChooseError> {
    let images = Images::known(folder)?;
    for path in kernels {
        let cache = cache_dir()?;
        let own = own_kernel(path, &images, &cache)?;
        chosen.notes.extend(notes(path, &own));
        chosen.targets.push(Target::of_image(&path.display().to_string(), Arc::new(own.image)));
    }
    Ok(())
}

/// What its config lacks, and what follows.
fn notes(path: &Path, own: &OwnKernel) -> Vec<String> {
    let mut notes = Vec::new();
    if !own.without.is_empty() {
        let without = own.without.join(", ");
        notes.push(format!(
            "{}: its config lacks {without}; its agent is reached over a second serial port",
            path.display()
        ));
    }
    if !own.lacks.is_empty() {
        let lacks = own.lacks.join(", ");
        notes.push(format!("{}: its config lacks {lacks}, which a guest needs built in", path.display()));
    }
    notes
}

/// All images, and those of a folder.
pub(crate) fn images(folder: Option<&Path>) -> Result<Vec<Arc<Image>>, ImageError> {
    Ok(Images::known(folder)?.iter().cloned().map(Arc::new).collect())
}

/// Whether a guest that cannot be used is a failure, as in CI.
pub(crate) fn guests_required() -> bool {
    std::env::var_os("KCONFORM_REQUIRE_GUESTS").is_some_and(|value| !value.is_empty() && value != "0")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_last_name_of_a_list() {
        let lists = ["native", "a,b", "cmd:x -v a,b {agent}", "a,b,cmd:x,cmd:y {agent}", "a,xcmd:b", ""];
        let names: Vec<_> = lists.map(|list| format!("{:?}", names(list))).into();
        insta::assert_snapshot!(names.join("\n"));
    }

    #[test]
    fn what_the_config_of_ones_own_kernel_lacks_is_said() {
        let tree = tempfile::tempdir().unwrap();
        let kernel = tree.path().join("arch/x86/boot/bzImage");
        std::fs::create_dir_all(kernel.parent().unwrap()).unwrap();
        let mut bytes = vec![0; 0x202];
        bytes.extend(b"HdrS");
        std::fs::write(kernel, bytes).unwrap();
        let config = include_str!("../../../../vm/kernel.config");
        let config =
            config.replace("CONFIG_VIRTIO_CONSOLE=y", "").replace("CONFIG_TMPFS=y", "CONFIG_TMPFS=m");
        std::fs::write(tree.path().join(".config"), format!("CONFIG_X86_64=y\n{config}")).unwrap();
        let own = own_kernel(tree.path(), &Images::built_in().unwrap(), tree.path()).unwrap();
        insta::assert_snapshot!(notes(Path::new("linux"), &own).join("\n"));
    }
}
