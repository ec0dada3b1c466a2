//! Image files: what a guest is made of, read from `vm/*.yaml`.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use kconform_abi::Arch;
use serde::{Deserialize, Deserializer, de};

use super::twice::{Twice, twice};
use super::value_place::value_place;
use crate::regular;

/// The images that are fetched and run when nothing is named: a guest of the usual kernel of two architectures. The
/// others cost more packages, and are there for who names them.
pub const DEFAULT_IMAGES: &[&str] = &["x86_64", "riscv64"];

/// How a guest is made: its kernel, its machine, its command line. One file of `vm/`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The file's name without `.yaml`: `x86_64-6.12`.
    #[serde(skip)]
    pub name: String,
    /// The file that it is from; none for those that kconform carries.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What kernel this is, for people.
    pub about: String,
    /// The guest's architecture.
    #[serde(deserialize_with = "arch")]
    pub arch: Arch,
    /// Other names: `x86_64` is the usual image of that architecture.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Where the kernel comes from.
    pub kernel: KernelSource,
    /// QEMU's `-machine`.
    pub machine: String,
    /// QEMU's `-cpu` under emulation; without it, the machine's own. Under KVM it is always the host's.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Possible CPUs, which per-CPU maps have slots for. Only the first is ever brought up.
    #[serde(default = "two")]
    pub cpus: u32,
    /// Memory in MiB.
    #[serde(default = "enough_memory")]
    pub memory: u32,
    /// The kernel's name for the serial console: `ttyS0`.
    pub console: String,
    /// Words for the kernel's command line, beside those that every guest gets.
    #[serde(default)]
    pub cmdline: Vec<String>,
    /// Further arguments for QEMU.
    #[serde(default)]
    pub qemu_args: Vec<String>,
    /// Seconds until the agent must have spoken.
    #[serde(default = "a_minute")]
    pub boot_timeout: u32,
    /// What the agent's stream goes through.
    #[serde(skip)]
    pub port: AgentPort,
    /// How many times longer a case may take under emulation than natively.
    #[serde(default = "emulation_factor")]
    pub time_factor: u32,
}

/// What the stream between the host and a guest's agent goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentPort {
    /// A virtio-serial port.
    #[default]
    Virtio,
    /// A second serial port, for kernels without virtio.
    Serial,
}

/// Where a kernel comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSource {
    /// A package of Debian's.
    Debian(DebianKernel),
    /// A file of one's own.
    File(KernelFile),
}

/// A kernel package of Debian's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebianKernel {
    /// The suite's code name: `trixie`.
    pub suite: String,
    /// The package, or a meta package that depends on the one with the kernel in it: `linux-image-amd64`.
    pub package: String,
    /// Modules that must be loaded before the agent's port is there, in this order; none where virtio is built in.
    pub modules: Vec<String>,
}

/// A kernel that is already on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFile {
    /// A bzImage, an Image or whatever else QEMU's `-kernel` takes. Relative to the image file.
    pub path: PathBuf,
    /// Its `.config`, so that what cases require of it can be known. Relative to the image file.
    pub config: Option<PathBuf>,
}

/// [`KernelSource`] as it is written: all keys in one mapping, of which only one kind may be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelFields {
    debian: Option<DebianFields>,
    #[serde(default)]
    modules: Vec<String>,
    path: Option<PathBuf>,
    config: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DebianFields {
    suite: String,
    package: String,
}

impl TryFrom<KernelFields> for KernelSource {
    type Error = &'static str;

    fn try_from(fields: KernelFields) -> Result<Self, Self::Error> {
        match fields {
            KernelFields { debian: Some(debian), path: None, config: None, modules } => {
                let DebianFields { suite, package } = debian;
                Ok(KernelSource::Debian(DebianKernel { suite, package, modules }))
            }
            KernelFields { debian: None, path: Some(path), config, modules } if modules.is_empty() => {
                Ok(KernelSource::File(KernelFile { path, config }))
            }
            KernelFields { debian: None, path: Some(_), .. } => {
                Err("`modules` are taken from a Debian package; a kernel of one's own has virtio built in")
            }
            KernelFields { debian: None, path: None, .. } => {
                Err("a kernel needs `debian: {suite: …, package: …}` or `path`")
            }
            KernelFields { debian: Some(_), .. } => {
                Err("`debian` and `path` (or `config`) exclude each other")
            }
        }
    }
}

/// What is wrong with image files or a name given for one.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file or directory that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory without a single image.
    #[error("{}: there is no image file (*.yaml) in it", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A file that is not an image.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A file that looks like an image file and would be passed over.
    #[error("{}: image files are called *.yaml", path.display())]
    Yml {
        /// The file.
        path: PathBuf,
    },
    /// A name that two images claim.
    #[error("the images {first} and {second} are both called `{name}`")]
    Ambiguous {
        /// The name or alias.
        name: String,
        /// The one that has it.
        first: String,
        /// The other.
        second: String,
    },
    /// A name that no image has.
    #[error("there is no image `{name}`; there are {}", known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// All the names there are.
        known: Vec<String>,
    },
}

/// All the images there are.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) all: Vec<Image>,
}

impl Images {
    /// The images of a directory: every `*.yaml` in it.
    ///
    /// # Errors
    /// [`ImageError`] for what cannot be read, is no image, or takes another's name, and if there is none.
    pub fn load_all(directory: &Path) -> Result<Images, ImageError> {
        match Images::read(directory)? {
            images if images.all.is_empty() => Err(ImageError::Empty { path: directory.to_owned() }),
            images => Ok(images),
        }
    }

    /// The images of a directory, in which there may be none.
    pub(super) fn read(directory: &Path) -> Result<Images, ImageError> {
        let unreadable = |source| ImageError::Read { path: directory.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("yaml") => paths.push(path),
                Some("yml") => return Err(ImageError::Yml { path }),
                _ => {}
            }
        }
        paths.sort();
        let all = paths.iter().map(|path| load(path)).collect::<Result<_, _>>()?;
        Images { all }.checked()
    }

    /// These images and others, which take the names and aliases that they have from these.
    ///
    /// # Errors
    /// [`ImageError::Ambiguous`] when two of the others claim a name.
    pub fn with(mut self, others: Images) -> Result<Images, ImageError> {
        let taken = |name: &str| others.all.iter().any(|other| other.answers_to(name));
        self.all.retain(|image| !taken(&image.name));
        for image in &mut self.all {
            image.aliases.retain(|alias| !taken(alias));
        }
        self.all.extend(others.all);
        self.checked()
    }

    /// The image of that name or alias.
    ///
    /// # Errors
    /// [`ImageError::Unknown`], with the names that there are.
    pub fn find(&self, name: &str) -> Result<&Image, ImageError> {
        self.all.iter().find(|image| image.answers_to(name)).ok_or_else(|| ImageError::Unknown {
            name: name.to_owned(),
            known: self.all.iter().flat_map(Image::names).map(str::to_owned).collect(),
        })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Image> {
        self.all.iter()
    }

    pub(super) fn checked(mut self) -> Result<Images, ImageError> {
        self.all.sort_by(|a, b| a.name.cmp(&b.name));
        for (position, second) in self.all.iter().enumerate() {
            for first in &self.all[..position] {
                if let Some(name) = second.names().find(|name| first.answers_to(name)) {
                    let (first, second) = (first.name.clone(), second.name.clone());
                    return Err(ImageError::Ambiguous { name: name.to_owned(), first, second });
                }
            }
        }
        Ok(self)
    }
}

impl Image {
    /// Whether it is one of [`DEFAULT_IMAGES`].
    pub fn is_default(&self) -> bool {
        DEFAULT_IMAGES.iter().any(|name| self.answers_to(name))
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// Whether this is its name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// How long a boot may take, when it is emulated.
    pub fn boot_timeout(&self) -> Duration {
        Duration::from_secs(self.boot_timeout.into())
    }
}

/// Reads one image file. Paths in it become relative to the working directory.
///
/// # Errors
/// [`ImageError::Read`] or [`ImageError::Parse`].
pub fn load(path: &Path) -> Result<Image, ImageError> {
    let unreadable = |source| ImageError::Read { path: path.to_owned(), source };
    let text = regular::check(path).and_then(|()| fs::read_to_string(path)).map_err(unreadable)?;
    let mut image = parse(path, &text)?;
    image.file = std::path::absolute(path).ok();
    if let KernelSource::File(file) = &mut image.kernel {
        let directory = path.parent().unwrap_or(Path::new("."));
        file.path = directory.join(&file.path);
        file.config = file.config.as_ref().map(|config| directory.join(config));
        files_are_regular(path, &text, file)?;
    }
    Ok(image)
}

/// A kernel may be built later, but what is there and has no end will never be one.
fn files_are_regular(path: &Path, text: &str, kernel: &KernelFile) -> Result<(), ImageError> {
    let files = [("path", Some(&kernel.path)), ("config", kernel.config.as_ref())];
    for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
        if let Some(amiss) = fs::metadata(file).ok().and_then(|metadata| regular::amiss(&metadata)) {
            let (line, column) = value_place(text, &["kernel", key]).unwrap_or((1, 1));
            let message = format!("`{key}` names {}: {amiss}", file.display());
            return Err(ImageError::Parse { path: path.to_owned(), line, column, message });
        }
    }
    Ok(())
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Image, ImageError> {
    let mut image: Image = serde_yaml::from_str(text).map_err(|error| {
        if let Some(Twice { key, line, column, first }) = twice(text) {
            let message = format!("{key} is there twice: the first is on line {first}");
            return ImageError::Parse { path: path.to_owned(), line, column, message };
        }
        let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
        ImageError::Parse { path: path.to_owned(), line, column, message: without_place(&error.to_string()) }
    })?;
    image.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(image)
}

/// The parser ends its messages in the place, which stands before ours already.
fn without_place(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// Reads an architecture. A visitor, because an error out of one carries the place of its value.
fn arch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arch, D::Error> {
    struct Name;
    impl de::Visitor<'_> for Name {
        type Value = Arch;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an architecture")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Arch, E> {
            Arch::from_name(name).ok_or_else(|| {
                let known: Vec<_> = Arch::ALL.iter().map(|arch| arch.name()).collect();
                E::custom(format!("there is no architecture `{name}`; there are {}", known.join(", ")))
            })
        }
    }
    deserializer.deserialize_str(Name)
}

impl<'de> Deserialize<'de> for KernelSource {
    /// By way of `KernelFields`, in a visitor for the same reason.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KernelSource, D::Error> {
        struct Fields;
        impl<'de> de::Visitor<'de> for Fields {
            type Value = KernelSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "where a kernel comes from: `debian: {{suite: …, package: …}}` or `path: …`")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<KernelSource, A::Error> {
                let fields = KernelFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                KernelSource::try_from(fields).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn two() -> u32 {
    2
}

fn enough_memory() -> u32 {
    256
}

fn a_minute() -> u32 {
    60
}

/// A small process takes 0.9 ms in an emulated guest and 0.14 ms natively; the rest is for a busy machine.
fn emulation_factor() -> u32 {
    8
}
