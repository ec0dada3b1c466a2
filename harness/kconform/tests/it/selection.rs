//! Only the files that a selection needs are read.

use crate::program::Place;

const RIGHT: &str = "cases: [{name: passes, tags: quick, steps: [{getpid: []}]}]\n";

/// Five right files and one with a mistake, and a cache of their own.
fn place() -> Place {
    let names = ["a/one", "a/two", "b/three", "four", "five"].map(|name| format!("cases/{name}.yaml"));
    let right = names.iter().fold(Place::new(), |place, name| place.file(name, RIGHT));
    let place = right.file("cases/wrong.yaml", "cases: [{name: fails, steps: [{getpidd: []}]}]\n");
    let cache = place.folder().join("cache").display().to_string();
    place.env("KCONFORM_CACHE", &cache)
}

/// A mistake in another file does not hold up who has named a case of this one, and that it was not read is said.
#[test]
fn mistakes_of_other_files_are_told_by_check() {
    let place = place();
    let said = place.run(&["--exact", "a/one::passes"]).assert_status(0);
    insta::assert_snapshot!(said.out.lines().next().unwrap_or_default(), @"note: 5 of 6 case files hold none of these cases and were not read; `kconform check` reads all");
    assert_eq!(said.counts("native"), "1 passed");
    let quiet = place.run(&["--quiet", "a/*"]).assert_status(0);
    assert!(!quiet.all().contains("note:"), "{}", quiet.all());
    assert_eq!(quiet.counts("native"), "2 passed");
    let listed = place.say(&["list", "b/*"]).assert_status(0);
    assert_eq!(listed.out, "b/three::passes\n");
    // What is asked for may be in the file with the mistake.
    for arguments in
        [&["run"][..], &["run", "passes"], &["run", "--tag", "quick"], &["check"], &["list", "wrong*"]]
    {
        let said = place.say(arguments).assert_status(2);
        assert!(said.all().contains("unknown syscall getpidd"), "{arguments:?}: {}", said.all());
    }
}

/// A report of a selection names all files, and is one of the same suite as any other.
#[test]
fn a_report_names_all_files() {
    let place = place().file("cases/wrong.yaml", RIGHT);
    let identity = |name: &str, arguments: &[&str]| {
        let report = format!("json={name}");
        place.run(&[arguments, &["--report", &report]].concat()).assert_status(0);
        let text = std::fs::read_to_string(place.here().join(name)).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        report["suite"].clone()
    };
    let all = identity("all.json", &[]);
    assert_eq!(all["cases"], 6);
    assert_eq!(identity("one.json", &["--exact", "four::passes"]), all);
    assert_eq!(identity("tag.json", &["--tag", "quick", "two"]), all);
}

/// What is not there is told with the nearest that is there, wherever that is.
#[test]
fn the_nearest_may_be_in_a_file_that_was_not_read() {
    let place = place().file("cases/wrong.yaml", RIGHT);
    for _ in 0..2 {
        let said = place.say(&["list", "--exact", "a/one::pases"]).assert_status(2);
        assert!(said.err.contains("did you mean \"a/one::passes\"?"), "{}", said.err);
        let said = place.say(&["list", "threee"]).assert_status(2);
        assert!(said.err.contains("did you mean \"three\"?"), "{}", said.err);
        let said = place.say(&["list", "--tag", "quik"]).assert_status(2);
        assert!(said.err.contains("did you mean \"quick\"?"), "{}", said.err);
    }
}
