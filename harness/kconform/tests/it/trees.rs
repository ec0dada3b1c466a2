//! Kernel trees that git does not read to the end: another user's, and shallow clones.

use std::path::PathBuf;
use std::process::Command;

use crate::bisect::git;
use crate::program::{Place, Said, is_root, not_here};

const CASE: &str = "cases:\n  - {name: c, steps: [{close: [0]}]}\n";

/// A tree with a merge: `base` and `side` come together in `merge`, and `last` follows.
struct Tree {
    place: Place,
    path: PathBuf,
}

impl Tree {
    fn new() -> Tree {
        let place = Place::with(CASE).file("tree/file", "");
        let path = place.here().join("tree");
        git(&path, &["init", "--quiet", "--initial-branch", "main"]);
        git(&path, &["add", "file"]);
        let commit =
            |subject: &str| git(&path, &["commit", "--quiet", "--allow-empty", "--message", subject]);
        commit("root");
        git(&path, &["checkout", "--quiet", "-b", "side"]);
        commit("first of the side");
        commit("side");
        git(&path, &["checkout", "--quiet", "main"]);
        commit("base");
        git(&path, &["tag", "base"]);
        git(&path, &["merge", "--quiet", "--no-ff", "--message", "merge", "side"]);
        git(&path, &["tag", "merge"]);
        commit("last");
        let home = place.folder().join("home");
        std::fs::create_dir(&home).expect("a folder");
        let home = home.display().to_string();
        // No user's settings of git count here.
        let place =
            place.env("HOME", &home).env("XDG_CONFIG_HOME", &home).env("GIT_CONFIG_SYSTEM", "/dev/null");
        Tree { place, path }
    }

    fn cloned(&self, depth: &str) {
        let from = format!("file://{}", self.path.display());
        git(self.place.here(), &["clone", "--quiet", "--depth", depth, &from, "clone"]);
    }

    fn bisect(&self, tree: &str, good: &str, bad: &str) -> Said {
        // No commit is built: the search ends before, or at the first.
        let words = ["--build", "exit 126", "--state", "state"];
        self.place.say(&[&["bisect", "--tree", tree, "--good", good, "--bad", bad], &words[..]].concat())
    }
}

#[test]
fn a_tree_of_another_user_is_told_with_what_has_git_trust_it() {
    if !is_root() {
        return not_here("a tree of another user: it needs root to make one");
    }
    let tree = Tree::new();
    let path = tree.path.display().to_string();
    let given = Command::new("chown").args(["-R", "65534:65534", &path]).status().expect("chown");
    assert!(given.success());
    let said = tree.bisect("tree", "base", "main").assert_status(2);
    let told = "error: tree belongs to another user, so git reads nothing of it; if you trust it: \
                git config --global --add safe.directory ";
    let command = said.err.trim().strip_prefix(told).unwrap_or_else(|| panic!("{}", said.all()));
    // The command does what it says.
    let mut mend = Command::new("sh");
    mend.args(["-c", &format!("git config --global --add safe.directory {command}")]);
    mend.env("HOME", tree.place.folder().join("home")).env_remove("XDG_CONFIG_HOME");
    assert!(mend.status().expect("sh").success());
    let said = tree.bisect("tree", "base", "main");
    assert!(!said.all().contains("another user"), "{}", said.all());
}

#[test]
fn a_shallow_clone_is_named_as_one() {
    let tree = Tree::new();
    tree.cloned("1");
    let said = tree.bisect("clone", "base", "HEAD").assert_status(2);
    let told = "error: clone is a shallow clone, which lacks \"base\"; to have it whole: \
                git -C clone fetch --unshallow --tags";
    assert_eq!(said.err.trim(), told);
    let fetch = told.rsplit_once(": ").expect("a command").1;
    let fetched = Command::new("sh").args(["-c", fetch]).current_dir(tree.place.here()).status();
    assert!(fetched.expect("sh").success());
    let said = tree.bisect("clone", "base", "HEAD");
    assert!(!said.all().contains("shallow"), "{}", said.all());
}

/// Both ends are there, and one of two ways between them is not: git itself would search the rest without a word.
#[test]
fn a_shallow_clone_that_lacks_commits_in_between_is_not_searched() {
    let tree = Tree::new();
    tree.cloned("3");
    let said = tree.bisect("clone", "HEAD~2", "HEAD").assert_status(2);
    assert!(said.err.contains("a shallow clone, which lacks commits between the two"), "{}", said.all());
    // What is all there can be searched, also in such a clone.
    let said = tree.bisect("clone", "HEAD~1", "HEAD");
    assert!(!said.all().contains("shallow"), "{}", said.all());
}
