//! `git bisect`, in a worktree of our own: the user's checkout, and a search of their own in it, stay as they are.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::answer::Answer;
use super::search::{History, Next, SearchError};

/// What git complains of.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It cannot be run.
    #[error("git cannot be started: {0}; install git")]
    NoGit(io::Error),
    /// A folder that is no repository.
    #[error("{} is no git repository: {text}", tree.display())]
    NoRepository {
        /// The folder.
        tree: PathBuf,
        /// What git said.
        text: String,
    },
    /// A repository of another user's, of which git reads nothing (safe.directory in git-config(1)).
    #[error("{} belongs to another user, so git reads nothing of it; if you trust it: {command}", tree.display())]
    Owner {
        /// The folder.
        tree: PathBuf,
        /// What has git trust it.
        command: String,
    },
    /// A clone without its older commits, of which some are needed.
    #[error("{} is a shallow clone, which lacks {lacks}; to have it whole: {command}", tree.display())]
    Shallow {
        /// The folder.
        tree: PathBuf,
        /// What is not there.
        lacks: String,
        /// What brings it.
        command: String,
    },
    /// A revision that is none.
    #[error("{} has no commit {rev:?}", tree.display())]
    NoCommit {
        /// The repository.
        tree: PathBuf,
        /// As given.
        rev: String,
    },
    /// A command failed.
    #[error("git {what} failed: {text}")]
    Failed {
        /// Its words.
        what: String,
        /// What it said.
        text: String,
    },
    /// What it said is not understood.
    #[error("git bisect said neither what to test nor what it found: {0}")]
    Mute(String),
}

impl<L, K> From<GitError> for SearchError<GitError, L, K> {
    fn from(error: GitError) -> Self {
        SearchError::History(error)
    }
}

/// Settings that keep git from doing what the user set it up to do elsewhere, and from leaving processes behind.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "color.ui=false",
    "log.showSignature=false",
];

/// git in a folder, in one language, whatever repository the caller's environment names.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.arg("-C").arg(folder).stdin(Stdio::null()).env("LC_ALL", "C").env("GIT_PAGER", "cat");
    for variable in
        ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"]
    {
        command.env_remove(variable);
    }
    command
}

fn output<S: AsRef<OsStr>>(folder: &Path, words: &[S]) -> Result<Output, GitError> {
    git(folder).args(words).output().map_err(GitError::NoGit)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn failed<S: AsRef<OsStr>>(words: &[S], output: &Output) -> GitError {
    let what: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    let said = [text(&output.stderr), text(&output.stdout)].into_iter().find(|said| !said.is_empty());
    GitError::Failed { what: what.join(" "), text: said.unwrap_or_else(|| output.status.to_string()) }
}

fn said<S: AsRef<OsStr>>(folder: &Path, words: &[S]) -> Result<String, GitError> {
    let output = output(folder, words)?;
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(failed(words, &output)) }
}

/// The folder that git does not trust, as another user owns it, in what it says of that.
fn distrusted(text: &str) -> Option<&str> {
    text.split_once("detected dubious ownership in repository at '")?.1.split('\'').next()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=+:,@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The user's repository, of which is only read, but for its list of worktrees.
#[derive(Clone, Debug)]
pub struct Repository {
    tree: PathBuf,
    /// Where its objects are.
    pub common: PathBuf,
}

impl Repository {
    /// The repository that a folder is in.
    ///
    /// # Errors
    /// It is in none.
    pub fn open(tree: &Path) -> Result<Repository, GitError> {
        let words = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
        let output = output(tree, &words)?;
        if !output.status.success() {
            let (tree, text) = (tree.to_owned(), text(&output.stderr));
            return Err(match distrusted(&text) {
                Some(folder) => {
                    let command = format!("git config --global --add safe.directory {}", quoted(folder));
                    GitError::Owner { tree, command }
                }
                None => GitError::NoRepository { tree, text },
            });
        }
        Ok(Repository { tree: tree.to_owned(), common: text(&output.stdout).into() })
    }

    /// The id of the commit that a revision names.
    ///
    /// # Errors
    /// There is none.
    pub fn resolve(&self, rev: &str) -> Result<String, GitError> {
        let words = ["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{rev}^{{commit}}")];
        let output = output(&self.tree, &words)?;
        // Before it says the id, some versions repeat the option.
        let id = text(&output.stdout).lines().last().map(str::to_owned);
        id.filter(|_| output.status.success()).ok_or_else(|| match self.ends_early() {
            true => self.shallow(format!("{rev:?}")),
            false => GitError::NoCommit { tree: self.tree.clone(), rev: rev.to_owned() },
        })
    }

    /// Whether it is a shallow clone.
    fn ends_early(&self) -> bool {
        self.common.join("shallow").is_file()
    }

    fn shallow(&self, lacks: String) -> GitError {
        let command = format!("git -C {} fetch --unshallow --tags", quoted(&self.tree.to_string_lossy()));
        GitError::Shallow { tree: self.tree.clone(), lacks, command }
    }

    /// Whether all commits between two are here. A shallow clone lacks the parents of some: those that git lists in the file
    /// `shallow` (gitrepository-layout(5)).
    ///
    /// # Errors
    /// [`GitError::Shallow`], or those of git.
    pub fn has_between(&self, old: &str, new: &str) -> Result<(), GitError> {
        let Ok(ends) = std::fs::read_to_string(self.common.join("shallow")) else { return Ok(()) };
        let ends: Vec<&str> = ends.lines().collect();
        let between = said(&self.tree, &["rev-list", new, &format!("^{old}")])?;
        match between.lines().any(|commit| ends.contains(&commit)) {
            true => Err(self.shallow("commits between the two".into())),
            false => Ok(()),
        }
    }

    /// Whether a commit comes before another.
    ///
    /// # Errors
    /// Those of git.
    pub fn is_ancestor(&self, older: &str, newer: &str) -> Result<bool, GitError> {
        let words = ["merge-base", "--is-ancestor", older, newer];
        let output = output(&self.tree, &words)?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(failed(&words, &output)),
        }
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// Those of git.
    pub fn subject(&self, commit: &str) -> Result<String, GitError> {
        said(&self.tree, &["show", "--no-patch", "--format=%s", commit])
    }

    /// A commit's message and which files it changes.
    ///
    /// # Errors
    /// Those of git.
    pub fn show(&self, commit: &str) -> Result<String, GitError> {
        let words = [
            "show",
            "--format=medium",
            "--stat=100",
            "--summary",
            "--no-ext-diff",
            "-m",
            "--first-parent",
            commit,
        ];
        said(&self.tree, &words)
    }

    /// Makes a worktree without files, or takes one that is there; where an earlier one was removed by hand, git is told.
    ///
    /// # Errors
    /// Those of git.
    pub fn worktree(&self, path: &Path, commit: &str) -> Result<(), GitError> {
        let gitdir = said(path, &["rev-parse", "--path-format=absolute", "--git-dir"]);
        if let (true, Ok(gitdir)) = (path.join(".git").is_file(), gitdir) {
            // Who held it is gone: this is called under the search's lock.
            let _ = std::fs::remove_file(Path::new(&gitdir).join("index.lock"));
            return Ok(());
        }
        self.remove_worktree(path)?;
        let words: [&OsStr; 7] = [
            "worktree".as_ref(),
            "add".as_ref(),
            "--force".as_ref(),
            "--detach".as_ref(),
            "--no-checkout".as_ref(),
            path.as_ref(),
            commit.as_ref(),
        ];
        said(&self.tree, &words).map(|_| ())
    }

    /// Removes a worktree, and takes it out of the repository's list.
    ///
    /// # Errors
    /// Those of git, and of removing files.
    pub fn remove_worktree(&self, path: &Path) -> Result<(), GitError> {
        let words: [&OsStr; 5] =
            ["worktree".as_ref(), "remove".as_ref(), "--force".as_ref(), "--force".as_ref(), path.as_ref()];
        // One that git does not know is a folder like any other.
        let _ = output(&self.tree, &words)?;
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::Failed {
                what: "worktree remove".into(),
                text: format!("{}: {error}", path.display()),
            }),
            _ => said(&self.tree, &["worktree", "prune"]).map(|_| ()),
        }
    }
}

/// How `git bisect start` is called.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Only commits that touch one of these.
    pub paths: Vec<String>,
    /// Merges count as one commit.
    pub first_parent: bool,
    /// What git calls the older state and the newer one, if not good and bad.
    pub terms: Option<(String, String)>,
}

/// `git bisect` in a worktree. It checks nothing out by itself: a commit whose kernel is known needs no files, and files
/// that stay as they are need no compiler.
#[derive(Debug)]
pub struct Bisection {
    worktree: PathBuf,
    old: String,
    new: String,
    limits: Limits,
    expect_fail: bool,
}

impl Bisection {
    /// A search between two commits; `expect_fail`: what is good is new.
    pub fn new(worktree: &Path, old: &str, new: &str, limits: Limits, expect_fail: bool) -> Bisection {
        let (old, new) = (old.to_owned(), new.to_owned());
        Bisection { worktree: worktree.to_owned(), old, new, limits, expect_fail }
    }

    /// What git calls an answer.
    fn term(&self, answer: &Answer) -> &str {
        let (old, new) = match &self.limits.terms {
            Some((old, new)) => (old.as_str(), new.as_str()),
            None => ("good", "bad"),
        };
        match (answer, self.expect_fail) {
            (Answer::Skip(_), _) => "skip",
            (Answer::Good, false) | (Answer::Bad, true) => old,
            (Answer::Bad, false) | (Answer::Good, true) => new,
        }
    }

    fn bisect(&self, words: &[&str]) -> Result<Next, GitError> {
        let words: Vec<&str> = ["bisect"].iter().chain(words).copied().collect();
        let output = output(&self.worktree, &words)?;
        // 2: only skipped commits are left, which its log says, too.
        if !matches!(output.status.code(), Some(0 | 2)) {
            return Err(failed(&words, &output));
        }
        let log = self.log()?;
        let ended: Vec<&str> = log.lines().filter_map(named).collect();
        if log.lines().any(|line| line == "# only skipped commits left to test") {
            return Ok(Next::OneOf(ended.into_iter().map(str::to_owned).collect()));
        }
        if let [found] = ended.as_slice() {
            return Ok(Next::Found((*found).to_owned()));
        }
        let head = ["rev-parse", "--verify", "--quiet", "BISECT_HEAD"];
        let text = text(&output.stdout);
        let commit = said(&self.worktree, &head).map_err(|_| GitError::Mute(text.clone()))?;
        Ok(Next::Test { commit, steps: steps(&text) })
    }
}

/// The commit that a line of the log says it is, or may be: `# first bad commit: [ID] SUBJECT`, `# possible first …`.
fn named(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let line = line.strip_prefix("possible ").unwrap_or(line).strip_prefix("first ")?;
    line.split_once(" commit: [")?.1.split(']').next()
}

/// `Bisecting: 3 revisions left to test after this (roughly 2 steps)`.
fn steps(text: &str) -> u32 {
    let number = text.split_once("(roughly ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    number.unwrap_or(0)
}

impl History for Bisection {
    type Error = GitError;

    fn start(&mut self) -> Result<Next, GitError> {
        said(&self.worktree, &["bisect", "reset", "HEAD"])?;
        let mut words = vec!["start".to_owned(), "--no-checkout".into()];
        if self.limits.first_parent {
            words.push("--first-parent".into());
        }
        if let Some((old, new)) = &self.limits.terms {
            words.extend([format!("--term-old={old}"), format!("--term-new={new}")]);
        }
        words.extend([self.new.clone(), self.old.clone(), "--".into()]);
        words.extend(self.limits.paths.iter().cloned());
        self.bisect(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn tell(&mut self, commit: &str, answer: &Answer) -> Result<Next, GitError> {
        self.bisect(&[self.term(answer), commit])
    }

    fn log(&self) -> Result<String, GitError> {
        said(&self.worktree, &["bisect", "log"])
    }
}
