//! The arguments of `image`.

use std::path::PathBuf;

use clap::Subcommand;

use super::TargetsArgs;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ImageCommand {
    /// List the images, and which kernels and snapshots are in the cache.
    List(TargetsArgs),
    /// Remove what no image needs any more: snapshots of other kernels, agents or QEMUs, and kernels of images that are
    /// gone. What running guests use stays, and what the images of other folders ask for.
    Prune {
        /// Snapshots that are of use, too: the next run makes them again.
        #[arg(long)]
        all: bool,
        /// Only say what would be removed, and how large it is.
        #[arg(long)]
        dry_run: bool,
        /// A folder with further image files; the names that they have are theirs. KCONFORM_IMAGES names folders, too.
        #[arg(long, value_name = "PATH")]
        images: Option<PathBuf>,
    },
    /// Fetch and verify the kernels of images with this machine's apt.
    Fetch {
        /// Images, or `all`. Default: x86_64 and riscv64; with --images, the images of the folder.
        #[arg(value_name = "IMAGE")]
        names: Vec<String>,
        /// Ask for newer kernels, even where one is there.
        #[arg(long)]
        refresh: bool,
        /// A folder with further image files; the names that they have are theirs. KCONFORM_IMAGES names folders, too.
        #[arg(long, value_name = "PATH")]
        images: Option<PathBuf>,
    },
}
