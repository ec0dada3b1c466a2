//! From a checked-out commit to a kernel: make, or the user's own command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use kconform_abi::Arch;

use super::process::run;
use super::state::hex;

/// What a kernel needs to be a guest, and to be worth asking about bpf(2).
const FRAGMENT: &str = include_str!("../../../../vm/kernel.config");

/// How the kernel's own Makefile calls things, for each of our architectures.
const MAKE: &[MakeNames] = &[
    MakeNames {
        arch: Arch::X86_64,
        make: "x86_64",
        cross: "x86_64-linux-gnu-",
        target: "bzImage",
        image: "arch/x86/boot/bzImage",
    },
    MakeNames {
        arch: Arch::Riscv64,
        make: "riscv",
        cross: "riscv64-linux-gnu-",
        target: "Image",
        image: "arch/riscv/boot/Image",
    },
    MakeNames {
        arch: Arch::Aarch64,
        make: "arm64",
        cross: "aarch64-linux-gnu-",
        target: "Image",
        image: "arch/arm64/boot/Image",
    },
    MakeNames {
        arch: Arch::S390x,
        make: "s390",
        cross: "s390x-linux-gnu-",
        target: "bzImage",
        image: "arch/s390/boot/bzImage",
    },
];

/// A row of [`MAKE`].
#[derive(Clone, Copy, Debug)]
struct MakeNames {
    arch: Arch,
    /// `ARCH=`.
    make: &'static str,
    /// `CROSS_COMPILE=`, where this machine is another.
    cross: &'static str,
    /// What is built.
    target: &'static str,
    /// Where that is, in the build folder.
    image: &'static str,
}

impl MakeNames {
    fn of(arch: Arch) -> MakeNames {
        // A test holds the table against Arch::ALL.
        MAKE.iter().find(|row| row.arch == arch).copied().unwrap_or(MAKE[0])
    }

    /// Nothing for this machine's own architecture.
    fn cross_compile(&self) -> &'static str {
        if self.arch.name() == std::env::consts::ARCH { "" } else { self.cross }
    }
}

/// How kernels are built.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// For what architecture.
    pub arch: Arch,
    /// A shell command instead of make.
    pub command: Option<String>,
    /// A `.config`, or the lines of one that matter; `None`: vm/kernel.config.
    pub config: Option<PathBuf>,
    /// How many jobs make runs at a time.
    pub jobs: usize,
}

/// Where a build takes place.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The checked-out sources.
    pub source: &'a Path,
    /// The build folder (`O=`).
    pub build: &'a Path,
    /// Where the log goes, and the kernel.
    pub keep: &'a Path,
    /// The folder of the search, by which processes are known.
    pub state: &'a Path,
    /// The commit.
    pub commit: &'a str,
}

/// What a build came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// A kernel.
    Kernel(PathBuf),
    /// None: why, and the end of the log.
    Not(String),
    /// The user wants everything to end.
    Interrupted,
}

/// Why nothing can be built, which no other commit will change.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file, or a program that cannot be started.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user's command gave up in a way that says nothing of the commit.
    #[error("the build command ended with {status}, which stops the search; see {}", log.display())]
    Command {
        /// Its exit status.
        status: ExitStatus,
        /// What it said.
        log: PathBuf,
    },
}

/// What is said of a file or program that fails.
fn io(path: &Path) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::Io { path, source }
}

/// How many lines of the log tell why a build failed.
const MOST_LINES: usize = 12;

impl Recipe {
    /// What a kernel is made by, so that two searches that differ in it are not taken for one.
    ///
    /// # Errors
    /// The config cannot be read.
    pub fn identity(&self) -> Result<String, BuildError> {
        Ok(hex(format!("{:?}\n{}", self.command, self.fragment()?).as_bytes()))
    }

    /// The lines of the config that matter.
    fn fragment(&self) -> Result<String, BuildError> {
        match &self.config {
            Some(path) => {
                fs::read_to_string(path).map_err(|source| BuildError::Io { path: path.clone(), source })
            }
            None if has("pahole") => Ok(FRAGMENT.to_owned()),
            // Debug information without BTF would cost half of the build for nothing.
            None => Ok(format!("{FRAGMENT}\nCONFIG_DEBUG_INFO_NONE=y\n# CONFIG_DEBUG_INFO_BTF is not set\n")),
        }
    }

    /// What the user should know of the kernels that it makes.
    pub fn notes(&self) -> Vec<String> {
        self.notes_where(has("pahole"))
    }

    /// The same, where pahole is installed or not.
    fn notes_where(&self, pahole: bool) -> Vec<String> {
        let no_btf = self.command.is_none() && self.config.is_none() && !pahole;
        let note = "the kernels are built without BTF, since pahole is not here (package dwarves); cases that need it cannot be tested";
        no_btf.then(|| note.to_owned()).into_iter().collect()
    }

    /// Builds what is checked out, and keeps the kernel and its config.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(&self, site: &Site<'_>) -> Result<Built, BuildError> {
        fs::create_dir_all(site.build).map_err(io(site.build))?;
        let log = site.keep.join("build.log");
        // What was cut short is begun anew.
        fs::write(&log, "").map_err(io(&log))?;
        let kernel = site.keep.join("kernel");
        let made = site.build.join(MakeNames::of(self.arch).image);
        // A kernel of the commit before, or one that was cut short, must not be taken for this one's.
        for old in [&kernel, &made] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(old)(error)),
                _ => {}
            }
        }
        for command in self.commands(site, &kernel)? {
            let program = PathBuf::from(command.get_program());
            match run(command, site.state, &log).map_err(io(&program))? {
                None => return Ok(Built::Interrupted),
                Some(status) if status.success() => {}
                Some(status) if self.command.is_some() && !matches!(status.code(), Some(0..=125)) => {
                    return Err(BuildError::Command { status, log });
                }
                Some(status) => return Ok(Built::Not(failure(&log, status))),
            }
        }
        if !kernel.is_file() {
            if !made.is_file() {
                let what = format!("the build made neither {} nor {}", made.display(), kernel.display());
                return Ok(Built::Not(what));
            }
            fs::copy(&made, &kernel).map_err(io(&made))?;
        }
        let config = site.build.join(".config");
        if config.is_file() {
            fs::copy(&config, site.keep.join(".config")).map_err(io(&config))?;
        }
        Ok(Built::Kernel(kernel))
    }

    fn commands(&self, site: &Site<'_>, kernel: &Path) -> Result<Vec<Command>, BuildError> {
        let names = MakeNames::of(self.arch);
        if let Some(words) = &self.command {
            let mut command = Command::new("sh");
            command.arg("-c").arg(words).current_dir(site.source);
            command.env("O", site.build).env("ARCH", names.make).env("CROSS_COMPILE", names.cross_compile());
            command.env("KCONFORM_COMMIT", site.commit).env("KCONFORM_KERNEL", kernel);
            command.env("KCONFORM_ARCH", self.arch.name()).env("KCONFORM_JOBS", self.jobs.to_string());
            return Ok(vec![command]);
        }
        let fragment = self.fragment()?;
        let path = site.build.join("kconform.config");
        let io = |source| BuildError::Io { path: path.clone(), source };
        fs::write(&path, &fragment).map_err(io)?;
        let mut configure = self.make(site);
        if fragment.contains(" Kernel Configuration\n") {
            // A whole .config: what it does not know of yet is as its Kconfig has it.
            fs::copy(&path, site.build.join(".config")).map_err(io)?;
            configure.arg("olddefconfig");
        } else {
            // As scripts/kconfig/merge_config.sh -n has it: what is not named is off.
            configure.arg(format!("KCONFIG_ALLCONFIG={}", path.display())).arg("allnoconfig");
        }
        let mut build = self.make(site);
        build.arg(format!("-j{}", self.jobs)).arg(names.target);
        Ok(vec![configure, build])
    }

    fn make(&self, site: &Site<'_>) -> Command {
        let names = MakeNames::of(self.arch);
        let mut command = Command::new("make");
        command.arg("-C").arg(site.source).arg("--silent").arg(format!("O={}", site.build.display()));
        command.arg(format!("ARCH={}", names.make));
        let cross = names.cross_compile();
        if !cross.is_empty() {
            command.arg(format!("CROSS_COMPILE={cross}"));
        }
        if has("ccache") {
            command.arg(format!("CC=ccache {cross}gcc"));
        }
        // Nothing of an outer make, and the same kernel of the same sources.
        for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KCONFIG_CONFIG", "KBUILD_OUTPUT", "O", "ARCH"] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C").env("KBUILD_BUILD_TIMESTAMP", "2000-01-01");
        command.env("KBUILD_BUILD_USER", "kconform").env("KBUILD_BUILD_HOST", "kconform");
        command
    }
}

/// Whether a program is there.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The first errors of a log, or else its end.
fn failure(log: &Path, status: ExitStatus) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(|line| line.contains("error:")).take(3).collect();
    if !errors.is_empty() {
        return errors.join("\n");
    }
    match lines.len().saturating_sub(MOST_LINES) {
        _ if lines.is_empty() => format!("the build ended with {status}"),
        skipped => lines[skipped..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_architecture_can_be_built() {
        for arch in Arch::ALL {
            assert_eq!(MakeNames::of(*arch).arch, *arch);
        }
    }

    fn recipe(command: Option<&str>) -> Recipe {
        Recipe { arch: Arch::X86_64, command: command.map(str::to_owned), config: None, jobs: 1 }
    }

    #[test]
    fn what_kernels_without_btf_mean_is_said_beforehand() {
        let without = recipe(None).notes_where(false);
        let note = "the kernels are built without BTF, since pahole is not here (package dwarves); cases that need it cannot be tested";
        assert_eq!(without, [note]);
        // With pahole there is nothing to say, and of the user's own command nothing is known.
        assert_eq!([recipe(None).notes_where(true), recipe(Some("make")).notes_where(false)], [[""; 0]; 2]);
    }

    /// What a build command leaves behind that makes no kernel.
    #[rstest]
    #[case::nothing("true", "the build made neither B/arch/x86/boot/bzImage nor K/kernel")]
    #[case::a_status("exit 3", "the build ended with exit status: 3")]
    #[case::words("echo one; echo two; exit 3", "one\ntwo")]
    #[case::many_words("seq 100; exit 3", "89\n90\n91\n92\n93\n94\n95\n96\n97\n98\n99\n100")]
    #[case::errors("echo f.c:1: error: x; seq 100; exit 3", "f.c:1: error: x")]
    fn failures_are_told(#[case] command: &str, #[case] why: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let [build, keep] = ["build", "keep"].map(|name| folder.path().join(name));
        fs::create_dir(&keep).expect("a folder");
        let site = Site {
            source: folder.path(),
            build: &build,
            keep: &keep,
            state: folder.path(),
            commit: "0123456789abcdef",
        };
        let built = recipe(Some(command)).build(&site).expect("the command is there");
        let Built::Not(said) = built else { panic!("{built:?}") };
        let said = said.replace(&*build.to_string_lossy(), "B").replace(&*keep.to_string_lossy(), "K");
        assert_eq!(said, why);
    }
}
