//! Runs the program in a place of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A working directory with case files, and a directory for temporary files, that are nobody else's.
pub(crate) struct Place {
    folder: TempDir,
    here: PathBuf,
    program: PathBuf,
    env: Vec<(String, String)>,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Files that come with these tests.
pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether `/` is that of a chroot, no mount point. There mounts cannot be kept to oneself by unshare(1), and user
/// namespaces cannot be made (kernel/user_namespace.c, create_user_ns()).
pub(crate) fn in_a_chroot() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

pub(crate) use crate::not_tested::not_tested as not_here;

/// What a script of `tools` in Python says there, and its exit status; `None` where there is no Python.
pub(crate) fn tool(name: &str, place: &Place, arguments: &[&str]) -> Option<(String, Option<i32>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools").join(name);
    let output =
        Command::new("python3").arg("-B").arg(script).args(arguments).current_dir(place.here()).output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((String::from_utf8_lossy(&text).into_owned(), output.status.code()))
        }
        Err(_) => {
            not_here(&format!("tools/{name}, which needs Python"));
            None
        }
    }
}

/// Copies a program in a process of its own. Were it written by this one, a process that another test forks meanwhile could
/// have it open for writing, and execve(2) refuses it so long (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").args([from, to]).status().expect("cp");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

impl Place {
    /// A place without case files.
    pub(crate) fn new() -> Place {
        let folder = tempfile::Builder::new().prefix("kconform-test-").tempdir().expect("a directory");
        let here = folder.path().join("here");
        for name in ["here", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).expect("a directory");
        }
        let program = env!("CARGO_BIN_EXE_kconform").into();
        Place { folder, here, program, env: Vec::new() }
    }

    /// A place with `cases/s.yaml`.
    pub(crate) fn with(text: &str) -> Place {
        Place::new().file("cases/s.yaml", text)
    }

    /// A place whose working directory is that of the tests' own files.
    pub(crate) fn data() -> Place {
        Place { here: data(), ..Place::new() }
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Place {
        let path = self.here.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Place {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than kconform itself.
    pub(crate) fn program(self, program: &Path) -> Place {
        Place { program: program.to_owned(), ..self }
    }

    /// Lets every user come here, and brings the program here, because its own place may be closed to them.
    pub(crate) fn open_to_all(mut self) -> Place {
        use std::os::unix::fs::PermissionsExt;
        for (path, mode) in [(".", 0o755), ("tmp", 0o1777)] {
            let path = self.folder.path().join(path);
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the mode is set");
        }
        let program = self.folder.path().join("kconform");
        copy_program(&self.program, &program);
        self.program = program;
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The working directory.
    pub(crate) fn here(&self) -> &Path {
        &self.here
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// `kconform run --target native` with these arguments, in one locale and without colours.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.say(&[&["run", "--target", "native"], arguments].concat())
    }

    pub(crate) fn say(&self, arguments: &[&str]) -> Said {
        self.say_through(&[], arguments)
    }

    /// Runs the program by another one: `setpriv …`. Whatever it does, it leaves nothing behind.
    pub(crate) fn say_through(&self, through: &[&str], arguments: &[&str]) -> Said {
        let mut command = self.command(through);
        let output = command.args(arguments).output().expect("the program can be started");
        self.assert_nothing_left();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The program, not started yet.
    pub(crate) fn command(&self, through: &[&str]) -> Command {
        let words: Vec<&OsStr> = through.iter().map(OsStr::new).chain([self.program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(&self.here).stdin(Stdio::null());
        for name in ["CASES", "IMAGES", "TARGETS", "ACCEL", "REQUIRE_GUESTS"] {
            command.env_remove(format!("KCONFORM_{name}"));
        }
        let engines = ["CI_NODE_INDEX", "CI_NODE_TOTAL", "JOB_COMPLETION_INDEX"];
        let slurm = ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"];
        let terminal = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "NEXTEST", "COLUMNS"];
        let forges =
            ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA", "CI_PROJECT_URL", "CI_COMMIT_SHA"];
        for name in terminal.iter().chain(&engines).chain(&slurm).chain(&forges) {
            command.env_remove(name);
        }
        // Cargo's children are told of it, and kconform then says how to run it again by cargo.
        command.env_remove("CARGO").env("TMPDIR", self.tmp());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// No file, no process and no mount of a run.
    pub(crate) fn assert_nothing_left(&self) {
        let tmp = self.tmp();
        let files: Vec<_> = std::fs::read_dir(&tmp).expect("readable").flatten().map(|e| e.path()).collect();
        assert_eq!(files, [] as [PathBuf; 0], "files that were left");
        assert_eq!(self.processes(), [] as [String; 0], "processes that were left");
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
        let left: Vec<_> = mounts.lines().filter(|line| line.contains(&*tmp.to_string_lossy())).collect();
        assert_eq!(left, [] as [&str; 0], "mounts that were left");
    }

    /// Processes that run a program of this place, or are in a directory of it: the agent, its cases, QEMU.
    pub(crate) fn processes(&self) -> Vec<String> {
        let folder = self.tmp();
        let ours = |process: &Path| {
            ["exe", "cwd"].iter().any(|link| {
                std::fs::read_link(process.join(link)).is_ok_and(|target| target.starts_with(&folder))
            })
        };
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
        let ours = processes.filter(|process| process.join("comm").exists() && ours(process));
        // A process that has ended between these lines was not left.
        ours.filter_map(|p| {
            Some(format!("{}: {}", p.display(), std::fs::read_to_string(p.join("comm")).ok()?))
        })
        .collect()
    }
}

impl Said {
    /// Everything, for a snapshot.
    pub(crate) fn all(&self) -> String {
        let status = self.status.map_or("none".to_owned(), |status| status.to_string());
        let (out, err) = (self.out.trim_end(), self.err.trim_end());
        let err = if err.is_empty() { String::new() } else { format!("\nstandard error:\n{err}\n") };
        format!("{out}\n{err}\nexit status: {status}")
    }

    #[track_caller]
    pub(crate) fn assert_status(self, status: i32) -> Said {
        assert_eq!(self.status, Some(status), "{}", self.all());
        self
    }

    /// What the summary's line about a target counts: `2 passed, 1 skipped`.
    pub(crate) fn counts(&self, target: &str) -> String {
        let line = self.out.lines().rfind(|line| line.split_whitespace().next() == Some(target));
        let line = line.unwrap_or_else(|| panic!("nothing is said of {target}:\n{}", self.all()));
        let words: Vec<_> = line.split_whitespace().skip(2).take_while(|word| *word != "in").collect();
        words.join(" ")
    }
}

/// Takes what differs between machines and runs out of a snapshot.
pub(crate) fn filters() -> Vec<(String, &'static str)> {
    let exact = |text: &str| {
        let special = |c: char| !c.is_ascii_alphanumeric() && c != '/';
        text.chars().map(|c| if special(c) { format!("\\{c}") } else { c.to_string() }).collect::<String>()
    };
    vec![
        (exact(env!("CARGO_BIN_EXE_kconform")), "kconform"),
        (r"/\S*/kconform-test-\w+".into(), "[place]"),
        (r" in (\d+ min )?[\d.]+ s\b".into(), " in [time]"),
        (r"(?m)^native  \S+ ".into(), "native  [release] "),
        // How this machine is set up.
        (r"(?m)^settings of (native|ssh:\S+): .*\n".into(), ""),
        (r"(getpid|getppid|gettid)\(\) = \d+".into(), "$1() = [pid]"),
        (r"(kill|tgkill)\([1-9]\d*,".into(), "$1([pid],"),
        // Of what other tests do meanwhile.
        (r"  \(not as before the run, [^\n]*\)".into(), ""),
        // Where the label of a line is cut off depends on how long the key's id is; the line above has all of it.
        (r"\^ left the key .*".into(), "^ left the key [label]"),
        (r"\bkey \d+".into(), "key [id]"),
        (r"keyctl (\w+) \d+( \d{5,})?".into(), "keyctl $1 [id]"),
        (r"keyctl\((KEYCTL_\w+), \w+,".into(), "keyctl($1, [id],"),
        (r"request_key\((.*?)\) = 0x\w+".into(), "request_key($1) = [id]"),
        (r"after \d+ attempts".into(), "after [some] attempts"),
        (r"/board/kconform-\w+".into(), "/board/[folder]"),
        // What a host's kernel logs of a segmentation fault, and whether it may be read, differs.
        (r"  the kernel logged meanwhile:\n(    .*\n)+".into(), ""),
    ]
}

/// Compares with a snapshot of that name.
macro_rules! assert_said {
    ($name:expr, $said:expr) => {
        let mut settings = insta::Settings::clone_current();
        for (from, to) in $crate::program::filters() {
            settings.add_filter(&from, to);
        }
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $said.all()));
    };
}
pub(crate) use assert_said;
