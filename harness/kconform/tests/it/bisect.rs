//! `kconform bisect` with a builder that takes no time: it changes a few letters in Debian's riscv64 kernel, as the commit
//! says, so that real guests of really different kernels are booted. ci/bisect-test builds real ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kconform::inner::{Images, cache_dir, cached};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::guests::is_set_up;
use crate::program::{Place, Said};

/// What uname(2) says: `#1 SMP …`, and a domain that is called `(none)`.
const CASES: &str = "cases:
  - name: version
    steps:
      - uname: [{out: 390, as: names}]
        expect: {names: {contains: \"#1 SMP\"}}
  - name: domain
    steps:
      - uname: [{out: 390, as: names}]
        expect: {names: {contains: \"(none)\"}}
";

/// Builds what the file `rules` says: a sed script for the kernel, in which a word may stand for trouble.
pub(crate) const BUILD: &str = r##"set -e
echo "$KCONFORM_COMMIT" >>"$BUILT"
if [ -p "$GATE" ] && [ "$(wc -l <"$BUILT")" -eq 3 ]; then cat "$GATE"; fi
if grep -q BUILD rules; then echo "file.c:1: error: expected ';'" >&2; exit 2; fi
if grep -q BOOT rules; then echo "no kernel at all" >"$KCONFORM_KERNEL"; exit; fi
LC_ALL=C sed "$(grep ^s rules || echo p\;d)" "$KERNEL" >"$KCONFORM_KERNEL"
"##;

/// A commit: the first line of its message, and what is in `rules`.
const HISTORY: &[(&str, &str)] = &[
    ("base", "s/x/x/\n"),
    ("harmless", "s/x/x/;s/y/y/\n"),
    ("uts: Count from two", "s/#1 SMP/#2 SMP/g\n"),
    ("first half of a rework", "s/#1 SMP/#2 SMP/g\n# BUILD\n"),
    ("second half of a rework", "s/#1 SMP/#2 SMP/g\n# BOOT\n"),
    ("harmless, as ever", "s/#1 SMP/#2 SMP/g;s/y/y/\n"),
    ("uts: Name the domain", "s/#1 SMP/#2 SMP/g;s/(none)/(nope)/g\n"),
    ("harmless again", "s/#1 SMP/#2 SMP/g;s/(none)/(nope)/g;s/x/x/\n"),
    ("the end", "s/#1 SMP/#2 SMP/g;s/(none)/(nope)/g;s/y/y/\n"),
];

/// A place with a history, and its commits, oldest first.
pub(crate) struct Tree {
    pub(crate) place: Place,
    pub(crate) path: PathBuf,
    pub(crate) ids: Vec<String>,
}

impl Tree {
    /// Nothing, where no riscv64 guest can be had.
    pub(crate) fn new() -> Option<Tree> {
        if !is_set_up("riscv64") {
            return None;
        }
        let images = Images::built_in().expect("images");
        let image = images.find("riscv64").expect("an image");
        let kernel = cached(image, &cache_dir().expect("a cache")).expect("readable").expect("a kernel");
        let place = Place::with(CASES).file("tree/rules", "");
        let here = place.folder().join("here");
        let path = here.join("tree");
        git(&path, &["init", "--quiet"]);
        let ids = HISTORY.iter().map(|(subject, rules)| {
            fs::write(path.join("rules"), rules).expect("a file");
            git(&path, &["add", "rules"]);
            git(&path, &["commit", "--quiet", "--message", subject]);
            git(&path, &["rev-parse", "HEAD"])
        });
        let ids = ids.collect();
        let text = |path: &Path| path.display().to_string();
        let place = place
            .env("KERNEL", &text(&kernel.vmlinuz))
            .env("BUILT", &text(&here.join("built")))
            .env("GATE", &text(&here.join("gate")));
        Some(Tree { place, path, ids })
    }

    fn words(&self) -> Vec<&str> {
        let ends = ["--good", self.ids[0].as_str(), "--bad", self.ids[8].as_str()];
        let how = ["--arch", "riscv64", "--build", BUILD, "--state", "state"];
        [&["bisect", "--tree", "tree"], &ends[..], &how[..]].concat()
    }

    fn bisect(&self, more: &[&str]) -> Said {
        self.place.say(&[&self.words(), more].concat())
    }

    fn built(&self) -> Vec<usize> {
        let built = fs::read_to_string(self.path.with_file_name("built")).unwrap_or_default();
        built.lines().map(|id| self.ids.iter().position(|known| known == id).expect("a commit")).collect()
    }

    #[track_caller]
    fn assert_both_found(&self, said: &Said) {
        for (case, commit) in [("version", 2), ("domain", 6)] {
            let line = format!("s::{case} was broken by {}", &self.ids[commit][..12]);
            assert!(said.out.contains(&line), "{}", said.all());
            let log = format!("# first bad commit: [{}] {}", self.ids[commit], HISTORY[commit].0);
            assert!(said.out.contains(&log), "{}", said.all());
        }
        assert_eq!(git(&self.path, &["worktree", "list"]).lines().count(), 1);
        assert_eq!(git(&self.path, &["status", "--porcelain"]), "");
        assert_eq!(git(&self.path, &["rev-parse", "HEAD"]), self.ids[8]);
        let left = ["worktree", "build"].map(|name| self.path.with_file_name("state").join(name).exists());
        assert_eq!(left, [false, false]);
    }

    /// Starts a search and waits until it builds its third commit, which is then held at the gate.
    fn up_to_the_gate(&self) -> (std::process::Child, File) {
        let gate = self.path.with_file_name("gate");
        assert!(Command::new("mkfifo").arg(&gate).status().expect("mkfifo").success());
        let mut command = self.place.command(&[]);
        command.args(self.words()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        // There is a writer when there is a reader.
        let held = File::options().write(true).open(&gate).expect("the gate");
        fs::remove_file(&gate).expect("the gate is gone");
        (child, held)
    }
}

/// git in a folder, as a user of its own.
pub(crate) fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(words);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "A Developer");
        command.env(format!("GIT_{who}_EMAIL"), "developer@example.org");
        command.env(format!("GIT_{who}_DATE"), "2026-01-01T12:00:00Z");
    }
    let output = command.output().expect("git");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Processes that work for this place's search, by what their environment says.
fn workers(place: &Place) -> Vec<Pid> {
    let state = format!("KCONFORM_BISECT={}", place.folder().join("here/state").display());
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let ours = processes.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|variable| variable == state.as_bytes()).then_some(())?;
        Pid::from_raw(pid)
    });
    ours.collect()
}

#[test]
fn two_rules_broken_by_two_commits() {
    let Some(tree) = Tree::new() else { return };
    let said = tree.bisect(&[]).assert_status(0);
    tree.assert_both_found(&said);
    assert!(said.out.contains("    uts: Count from two\n"), "{}", said.all());
    assert!(said.out.contains(" rules | "), "{}", said.all());
    assert!(said.out.contains("logs and kernels: /"), "{}", said.all());
    assert!(said.err.contains("does not build"), "{}", said.all());
    assert!(said.err.contains("does not boot"), "{}", said.all());
    let mut built = tree.built();
    built.sort();
    let all = built.len();
    built.dedup();
    assert_eq!(built.len(), all, "a commit was built twice: {}", said.all());
    // All is known: nothing is built again, and the same is said.
    let again = tree.bisect(&["--quiet"]).assert_status(0);
    assert_eq!((again.out, tree.built().len()), (said.out, all));
    // A search that is begun anew knows nothing.
    tree.bisect(&["--restart", "--confirm", "2", "version"]).assert_status(0);
    assert!(tree.built().len() > all);
}

#[test]
fn a_killed_search_goes_on() {
    let Some(tree) = Tree::new() else { return };
    let (mut child, held) = tree.up_to_the_gate();
    let busy = tree.bisect(&[]).assert_status(2);
    assert!(busy.err.contains("is in use by another kconform"), "{}", busy.all());
    child.kill().expect("it is killed");
    child.wait().expect("its end");
    let orphans = workers(&tree.place);
    assert!(!orphans.is_empty());
    let said = tree.bisect(&[]).assert_status(0);
    assert!(said.err.contains("going on with what is known of "), "{}", said.all());
    tree.assert_both_found(&said);
    assert!(orphans.into_iter().all(|pid| test_kill_process(pid).is_err()), "the build was left running");
    drop(held);
    let mut built = tree.built();
    let held_up = built[2];
    built.sort();
    // Only what was being built then is built once more.
    let twice: Vec<usize> = built.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert_eq!(twice, [held_up], "{built:?}");
}

#[test]
fn an_interrupted_search_leaves_nothing_running() {
    let Some(tree) = Tree::new() else { return };
    let (mut child, held) = tree.up_to_the_gate();
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it is interrupted");
    assert_eq!(child.wait().expect("its end").code(), Some(130));
    drop(held);
    assert_eq!(workers(&tree.place), []);
    tree.place.assert_nothing_left();
    let said = tree.bisect(&[]).assert_status(0);
    tree.assert_both_found(&said);
}

#[test]
fn the_commit_that_fixed_it() {
    let Some(tree) = Tree::new() else { return };
    let fixed = git(&tree.path, &["commit-tree", "HEAD~7^{tree}", "-p", "HEAD", "-m", "uts: Count from one"]);
    git(&tree.path, &["reset", "--quiet", "--hard", &fixed]);
    let words = ["bisect", "--tree", "tree", "--bad", &tree.ids[6], "--good", &fixed, "version"];
    let how = ["--arch", "riscv64", "--build", BUILD, "--state", "state"];
    let wrong = tree.place.say(&[&words[..], &how[..]].concat()).assert_status(2);
    assert!(wrong.err.contains("to find the commit that fixed it, add --expect-fail"), "{}", wrong.all());
    let said = tree.place.say(&[&words[..], &how[..], &["--expect-fail"]].concat()).assert_status(0);
    assert!(said.out.contains(&format!("s::version was fixed by {}", &fixed[..12])), "{}", said.all());
    assert!(
        said.out.contains("git bisect broken") && said.out.contains("# first fixed commit"),
        "{}",
        said.all()
    );
}

#[test]
fn what_is_wrong_with_the_question_is_said() {
    let Some(tree) = Tree::new() else { return };
    let how = ["--arch", "riscv64", "--build", BUILD, "--state", "state"];
    for (good, bad, says) in [
        (0, 1, "should be bad and is good"),
        (2, 8, "should be good and is bad"),
        (0, 3, "should be bad and cannot be tested: does not build: file.c:1: error: expected ';'"),
        (8, 0, "add --expect-fail"),
        (1, 1, "are the same commit"),
    ] {
        let words = [
            "bisect",
            "--tree",
            "tree",
            "--restart",
            "--good",
            &tree.ids[good],
            "--bad",
            &tree.ids[bad],
            "version",
        ];
        let said = tree.place.say(&[&words[..], &how[..]].concat()).assert_status(2);
        assert!(said.all().contains(says), "{}", said.all());
    }
    let words = ["bisect", "--tree", "tree", "--good", "v6.11", "--bad", "HEAD", "version"];
    let said = tree.place.say(&[&words[..], &how[..]].concat()).assert_status(2);
    assert!(said.err.contains("has no commit \"v6.11\""), "{}", said.all());
    let words = ["bisect", "--tree", "/", "--good", "a", "--bad", "b", "version"];
    let said = tree.place.say(&words).assert_status(2);
    assert!(said.err.contains("/ is no git repository"), "{}", said.all());
}

/// Kernels that lie in a folder, one of which does not keep to the case.
#[test]
fn kernels_of_a_folder() {
    let Some(tree) = Tree::new() else { return };
    let place = &tree.place;
    let kernels = tree.path.with_file_name("kernels");
    fs::create_dir(&kernels).expect("a folder");
    let script = r##"cat "$KERNEL" >kernels/a; sed 's/#1 SMP/#2 SMP/g' "$KERNEL" >kernels/b; echo no kernel >kernels/c"##;
    let mut command = place.command(&["env", "LC_ALL=C", "sh", "-c", script]);
    assert!(command.status().expect("sh").success());
    let said = place.say(&["bisect", "--images", "kernels", "version"]).assert_status(0);
    assert!(said.out.contains("between kernels/a ("), "{}", said.all());
    assert!(said.out.contains("passed, then failed"), "{}", said.all());
    let said = place.say(&["bisect", "--images", "kernels/*", "domain"]).assert_status(1);
    assert!(said.out.contains("s::domain on riscv64: the same on all (passed)"), "{}", said.all());
    let said = place.say(&["bisect", "--images", "kernels/a", "domain"]).assert_status(2);
    assert!(said.err.contains("two are needed"), "{}", said.all());
    let said = place.say(&["bisect", "--images", "kernels", "--expect-fail", "domain"]).assert_status(2);
    assert!(said.err.contains("--expect-fail is for a tree"), "{}", said.all());
    let said = place.say(&["bisect", "--images", "x86_65", "domain"]).assert_status(2);
    assert!(said.err.contains("did you mean \"x86_64\"?"), "{}", said.all());
}
