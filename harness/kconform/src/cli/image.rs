//! `kconform image` and `kconform targets`.

use std::io::Write;
use std::sync::Arc;

use crate::guest::cache_dir;
use crate::guest::commands::{FetchCommandError, Wanted, fetch_images, list};
use crate::guest::image::{Image, Images};
use crate::guest::prune::prune;
use crate::style::Style;
use crate::targets::Target;
use crate::targets::choose::images;

use super::args::{ImageCommand, TargetsArgs};
use super::error::CliError;

pub(super) fn image(command: &ImageCommand) -> Result<u8, CliError> {
    let cache = cache_dir().map_err(|error| CliError::Fetch(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    match command {
        ImageCommand::List(args) => list(&Images::known(args.images.as_deref())?, &cache, &mut out)?,
        ImageCommand::Prune { all: everything, dry_run, images } => {
            // What other folders' images ask for stays, too.
            let images = Images::known(images.as_deref())?;
            let keep = if *everything { Vec::new() } else { useful(&images) };
            prune(&images, &keep, &cache, *dry_run, &mut out)?;
        }
        ImageCommand::Fetch { names, images, refresh } => {
            // Who names a folder, and no image, means those of the folder.
            let (wanted, images) = match (names.as_slice(), images) {
                ([], Some(folder)) => (Wanted::All, Images::load_all(folder)?),
                ([one], Some(folder)) if one == "all" => (Wanted::All, Images::load_all(folder)?),
                ([], None) => (Wanted::Default, Images::known(None)?),
                ([one], None) if one == "all" => (Wanted::All, Images::known(None)?),
                (names, folder) => (Wanted::Named(names), Images::known(folder.as_deref())?),
            };
            fetch_images(&images, wanted, &cache, *refresh, &mut out).map_err(|error| match error {
                FetchCommandError::Image(error) => CliError::Image(error),
                FetchCommandError::Io(error) => CliError::Output(error),
                error @ FetchCommandError::Fetch { .. } => CliError::Fetch(error.to_string()),
            })?;
        }
    }
    Ok(0)
}

/// The names of the snapshots that a run on these images would use.
fn useful(images: &Images) -> Vec<String> {
    let target = |image: &Image| Target::of_image(&image.name, Arc::new(image.clone()));
    images.iter().flat_map(|image| target(image).snapshots()).collect()
}

/// The targets that there are, and what those lack that cannot be used.
pub(super) fn targets(args: &TargetsArgs, style: Style) -> Result<u8, CliError> {
    let images = images(args.images.as_deref())?;
    let mut out = std::io::stdout().lock();
    let names = |target: &Target| {
        let image = images.iter().find(|image| image.name == target.name);
        image.map_or_else(|| target.name.clone(), |image| image.names().collect::<Vec<_>>().join(", "))
    };
    let targets = Target::all(&images);
    let width = targets.iter().map(|target| names(target).len()).max().unwrap_or(0);
    for target in &targets {
        let state = match target.ready() {
            Ok(()) => style.good("ready"),
            Err(unusable) => format!("{}: {unusable}", style.warn("not ready")),
        };
        writeln!(out, "{:width$}  {state}", names(target))?;
    }
    Ok(0)
}
