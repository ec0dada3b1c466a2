//! Which images there are: those that kconform carries, and those of folders.

use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::checkout::checkout;

use super::image::{Image, ImageError, Images, parse};

/// Folders with further image files, separated by `:`.
const FOLDERS: &str = "KCONFORM_IMAGES";

// In a debug build they are read from the checkout in which it was compiled.
#[derive(RustEmbed)]
#[folder = "../../vm"]
struct Carried;

impl Images {
    /// The images that kconform carries: those of `vm/` when it was built, so that it needs no checkout.
    ///
    /// # Errors
    /// [`ImageError`] when one of them is wrong, which a test keeps from happening.
    pub fn built_in() -> Result<Images, ImageError> {
        let all = Carried::iter()
            .filter(|name| name.ends_with(".yaml"))
            .filter_map(|name| Some((Path::new("vm").join(&*name), Carried::get(&name)?.data)))
            .map(|(path, text)| parse(&path, &String::from_utf8_lossy(&text)))
            .collect::<Result<_, _>>()?;
        Images { all }.checked()
    }

    /// All images: those that kconform carries, those of the checkout's `vm/`, of the folders that `KCONFORM_IMAGES` names,
    /// and of `folder`. Where two have a name, the later one has it.
    ///
    /// # Errors
    /// [`ImageError`] for a folder that cannot be read or holds no image, and for a file that is wrong.
    pub fn known(folder: Option<&Path>) -> Result<Images, ImageError> {
        let named = std::env::var_os(FOLDERS).filter(|folders| !folders.is_empty());
        let named: Vec<PathBuf> = named.iter().flat_map(std::env::split_paths).collect();
        let own = checkout().join("vm");
        Images::of(own.is_dir().then_some(own.as_path()), named.iter().map(PathBuf::as_path).chain(folder))
    }

    /// The images that kconform carries, those of its checkout, and those of further folders.
    pub(super) fn of<'a>(
        checkout: Option<&Path>,
        folders: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Images, ImageError> {
        let mut images = Images::built_in()?;
        if let Some(folder) = checkout {
            let mut own = Images::read(folder)?;
            // What is as it was when kconform was built is kconform's own, not a file of somebody's.
            own.all.retain(|image| {
                let carried = images.iter().find(|carried| carried.name == image.name);
                carried != Some(&Image { file: None, ..image.clone() })
            });
            images = images.with(own)?;
        }
        for folder in folders {
            images = images.with(Images::load_all(folder)?)?;
        }
        Ok(images)
    }
}
