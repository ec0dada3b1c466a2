//! A private apt: a root of its own with a foreign suite and architecture, which changes nothing of the system.
//!
//! It takes the mirror (and proxies, and whatever else `Acquire` says) that the machine's own apt is set up with, and
//! trusts Debian's archive keys alone: apt checks the signature of the suite's `InRelease`, the hash of the package
//! list that it names, and the hash of the package that the list names. See apt-secure(8), apt.conf(5).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kconform_abi::Arch;

use super::error::FetchError;

/// Debian's archive keys, of the package `debian-archive-keyring`.
const KEYRINGS: &[&str] =
    &["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// A mirror to use instead of the machine's own, where that is not Debian's: `http://HOST/debian`.
pub(super) const MIRROR: &str = "KCONFORM_DEBIAN_MIRROR";

/// What apt is told beside the machine's own `Acquire` settings; these come last and so win.
const SETTINGS: &str = r#"
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
"#;

/// A package as the package list describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub name: String,
    pub version: String,
    /// The names of the packages that it depends on; of alternatives, the first.
    pub depends: Vec<String>,
    /// Bytes to download.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// An apt with a root of its own.
#[derive(Debug)]
pub(super) struct Apt {
    root: PathBuf,
}

impl Apt {
    /// Sets one up for a suite and architecture in an empty directory. Nothing is downloaded yet.
    pub(super) fn new(root: &Path, suite: &str, arch: Arch) -> Result<Apt, FetchError> {
        let keyring = keyring()?;
        let mirror = mirror()?;
        for directory in ["state/lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(root.join(directory))?;
        }
        std::fs::write(root.join("state/status"), "")?;
        let source = format!("deb [signed-by={}] {mirror} {suite} main\n", keyring.display());
        std::fs::write(root.join("sources.list"), source)?;
        std::fs::write(root.join("apt.conf"), settings(root, debian_arch(arch))?)?;
        Ok(Apt { root: root.to_owned() })
    }

    /// Downloads the suite's package list.
    pub(super) fn update(&self) -> Result<(), FetchError> {
        self.run("apt-get", &["--quiet", "update"]).map(|_| ())
    }

    /// What the package list says of a package; the newest, if there are several.
    pub(super) fn show(&self, name: &str) -> Result<Package, FetchError> {
        let output = self.run("apt-cache", &["show", "--no-all-versions", name])?;
        parse_package(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| FetchError::PackageList { package: name.to_owned() })
    }

    /// The names of all packages that begin so.
    pub(super) fn names(&self, beginning: &str) -> Result<Vec<String>, FetchError> {
        let output = self.run("apt-cache", &["pkgnames", beginning])?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Downloads a package into a directory and says where it is.
    pub(super) fn download(&self, package: &Package, into: &Path) -> Result<PathBuf, FetchError> {
        std::fs::create_dir_all(into)?;
        let wanted = format!("{}={}", package.name, package.version);
        let mut command = self.command("apt-get", &["--quiet", "download", &wanted]);
        run(command.current_dir(into))?;
        let prefix = format!("{}_", package.name);
        for entry in std::fs::read_dir(into)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                return Ok(entry.path());
            }
        }
        Err(FetchError::PackageList { package: package.name.clone() })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output, FetchError> {
        run(&mut self.command(program, arguments))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", self.root.join("apt.conf"));
        command
    }
}

/// The configuration of a private apt: the machine's way of acquiring files, and [`SETTINGS`].
fn settings(root: &Path, architecture: &str) -> Result<String, FetchError> {
    let own = run(Command::new("apt-config").arg("dump"))?;
    let mut text: String = String::from_utf8_lossy(&own.stdout)
        .lines()
        .filter(|line| line.starts_with("Acquire::"))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.push_str(SETTINGS);
    for (name, value) in [
        ("Dir::Etc::sourcelist", root.join("sources.list")),
        ("Dir::State", root.join("state")),
        ("Dir::State::status", root.join("state/status")),
        ("Dir::Cache", root.join("cache")),
    ] {
        text.push_str(&format!("{name} \"{}\";\n", value.display()));
    }
    text.push_str(&format!(
        "APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n"
    ));
    // As root, apt downloads as the user _apt, who need not be able to reach our directory.
    if rustix::process::geteuid().is_root() {
        text.push_str("APT::Sandbox::User \"root\";\n");
    }
    Ok(text)
}

fn keyring() -> Result<PathBuf, FetchError> {
    KEYRINGS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or(FetchError::NoKeyring)
}

/// The mirror that this machine's apt takes Debian from.
fn mirror() -> Result<String, FetchError> {
    if let Some(mirror) = std::env::var(MIRROR).ok().filter(|mirror| !mirror.is_empty()) {
        return Ok(mirror);
    }
    let fields = "$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(REPO_URI)";
    let known = run(Command::new("apt-get").args(["indextargets", "--format", fields]))?;
    if let Some(mirror) = mirror_of_targets(&String::from_utf8_lossy(&known.stdout)) {
        return Ok(mirror);
    }
    // Where the lists were never downloaded, or were cleaned away, apt still knows where it would get them from.
    let uris = run(Command::new("apt-get").args(["--print-uris", "update"]))?;
    mirror_of_uris(&String::from_utf8_lossy(&uris.stdout)).ok_or(FetchError::NoMirror { variable: MIRROR })
}

fn mirror_of_targets(lines: &str) -> Option<String> {
    lines.lines().find_map(|line| line.strip_prefix("Packages|Debian|Debian|")).map(str::to_owned)
}

/// Lines are `'URI' FILE SIZE HASH`. The archive itself ends in `/debian`, unlike its security and backports kin; without
/// the lists there is no better sign.
fn mirror_of_uris(lines: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let uri = line.strip_prefix('\'')?.split('\'').next()?;
        let (base, _) = uri.split_once("/dists/")?;
        base.trim_end_matches('/').ends_with("/debian").then(|| base.to_owned())
    })
}

/// Debian's name for an architecture.
pub(super) fn debian_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
        Arch::Riscv64 | Arch::S390x => arch.name(),
    }
}

/// Reads the first paragraph of a package list (deb822(5)); continuation lines are of no interest here.
fn parse_package(text: &str) -> Option<Package> {
    let fields: HashMap<&str, &str> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(": "))
        .collect();
    let depends = fields.get("Depends").copied().unwrap_or_default();
    Some(Package {
        name: (*fields.get("Package")?).to_owned(),
        version: (*fields.get("Version")?).to_owned(),
        depends: depends
            .split(',')
            .filter_map(|one| one.split_whitespace().next())
            .map(str::to_owned)
            .collect(),
        size: fields.get("Size")?.parse().ok()?,
        sha256: (*fields.get("SHA256")?).to_owned(),
    })
}

/// Runs a command to its end, in English, with nothing to read.
pub(super) fn run(command: &mut Command) -> Result<Output, FetchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FetchError::NoApt { program: program.clone() },
            _ => FetchError::Io(error),
        })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(FetchError::of_command(format!("{program} {}", words.join(" ")), text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_debians_own() {
        let lines = "Components|Debian|Debian|http://a/debian/\nPackages|Debian|Debian-Security|http://b/x/\n\
                     Packages|Other|Debian|http://c/\nPackages|Debian|Debian|http://a/debian/\n";
        assert_eq!(mirror_of_targets(lines).as_deref(), Some("http://a/debian/"));
        assert_eq!(mirror_of_targets("Packages|Ubuntu|Ubuntu|http://u/"), None);
    }

    #[test]
    fn a_mirror_is_found_without_lists() {
        let lines = "'http://a/debian-security/dists/x-security/InRelease' f 0 \n\
                     'http://a/debian/dists/x/InRelease' f 0 \n";
        assert_eq!(mirror_of_uris(lines).as_deref(), Some("http://a/debian"));
        assert_eq!(mirror_of_uris("'http://u/ubuntu/dists/x/InRelease' f 0 \n"), None);
        assert_eq!(mirror_of_uris(""), None);
    }

    #[test]
    fn a_package_is_read() {
        let text = "Package: linux-image-x\nVersion: 7.2-1\nDepends: a | b, linux-base-7 (= 7.2-1)\n\
                    Description: x\n Size: 9\nSize: 12\nSHA256: ab\n\nPackage: other\n";
        let expected = Package {
            name: "linux-image-x".to_owned(),
            version: "7.2-1".to_owned(),
            depends: vec!["a".to_owned(), "linux-base-7".to_owned()],
            size: 12,
            sha256: "ab".to_owned(),
        };
        assert_eq!(parse_package(text), Some(expected));
        assert_eq!(parse_package("E: nothing"), None);
    }
}
