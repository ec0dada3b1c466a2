//! `renamed.txt`: older reports, recorded times and old ids still mean the cases of today.

use kconform::document::{self, Document};

use crate::program::{Place, assert_said};

/// One case takes its name from the text, so that it can be renamed.
fn suite(name: &str) -> String {
    format!(
        "cases:
  - name: {name}
    matrix: {{n: [1, 2, 3]}}
    steps: [{{lseek: [-1, $n, SEEK_SET], errno: EBADF}}]
  - name: fails
    steps: [{{close: [-1], errno: EINVAL}}]
"
    )
}

/// A report of suites that have other names since, in the file `old.json`.
fn place(new_name: &str) -> Place {
    let place = Place::with("cases: [{name: stays, steps: [{umask: [], ret: 0o22}]}]\n")
        .file("cases/z/old.yaml", &suite("passes"));
    place.run(&["--report", "json=old.json"]).assert_status(1);
    std::fs::remove_file(place.here().join("cases/z/old.yaml")).expect("it was there");
    place.file("cases/a/new.yaml", &suite(new_name))
}

fn read(place: &Place, name: &str) -> Document {
    let text = std::fs::read_to_string(place.here().join(name)).expect("the report is there");
    document::read(&text).expect("a report")
}

#[test]
fn an_older_report_compares() {
    let place = place("goes");
    place.run(&["--report", "json=new.json"]).assert_status(1);
    let lost = place.say(&["diff", "old.json", "new.json"]).assert_status(1);
    assert!(lost.out.contains("4 no longer there"), "{}", lost.all());
    let place = place.file(
        "cases/renamed.txt",
        "# Then\nz/middle -> a/new\n\nz/old -> z/middle\na/new::passes -> a/new::goes\n",
    );
    let said = place.say(&["diff", "old.json", "new.json"]).assert_status(0);
    assert!(said.out.ends_with("5 results on native compared: nothing changed\n"), "{}", said.all());
    let back = place.say(&["diff", "new.json", "old.json", "--cases", "cases"]).assert_status(0);
    assert!(back.out.ends_with("5 results on native compared: nothing changed\n"), "{}", back.all());
    // The table of another folder says nothing of these.
    let other = place.file("other/cases/s.yaml", &suite("x")).file("other/cases/renamed.txt", "z -> s\n");
    let said = other.say(&["diff", "old.json", "new.json", "--cases", "other/cases"]).assert_status(1);
    assert!(said.out.contains("4 no longer there"), "{}", said.all());
}

#[test]
fn a_report_of_another_target_is_joined() {
    let place = place("passes");
    let mut board = read(&place, "old.json");
    board.targets[0].name = "board".into();
    board.cases.iter_mut().for_each(|case| case.results[0].target = "board".into());
    let place = place.file("board.json", &serde_json::to_string(&board).expect("JSON"));
    place.run(&["--report", "json=new.json"]).assert_status(1);
    let merge = ["merge", "board.json", "new.json", "--report", "json=joined.json"];
    let refused = place.say(&merge).assert_status(2);
    assert!(refused.err.contains("the case file z/old.yaml is not the same"), "{}", refused.all());
    let place = place.file("cases/renamed.txt", "z/old -> a/new\n");
    place.say(&merge).assert_status(1);
    let (joined, new) = (read(&place, "joined.json"), read(&place, "new.json"));
    assert_eq!(joined.suite, new.suite);
    for (joined, new) in joined.cases.iter().zip(&new.cases) {
        assert_eq!((&joined.id, &joined.suite), (&new.id, &new.suite));
        let targets: Vec<&str> = joined.results.iter().map(|result| &*result.target).collect();
        assert_eq!(targets, ["board", "native"]);
    }
    // Reports of the same files stay as they are.
    place.say(&["merge", "old.json", "--report", "json=alone.json"]).assert_status(1);
    assert_eq!(read(&place, "alone.json").cases, read(&place, "old.json").cases);
}

#[test]
fn older_times_split_the_cases_of_today() {
    let place = place("goes").file("cases/renamed.txt", "z/old -> a/new\nz/old::passes -> a/new::goes\n");
    let mut old = read(&place, "old.json");
    for case in &mut old.cases {
        case.results[0].duration_ns = if case.id == "z/old::passes[n=2]" { 1_000_000_000 } else { 1_000_000 };
    }
    let place = place.file("times.json", &serde_json::to_string(&old).expect("JSON"));
    place.run(&["--shard", "1/2", "--times", "times.json", "--report", "json=s.json"]).assert_status(0);
    let ids: Vec<String> = read(&place, "s.json").cases.into_iter().map(|case| case.id).collect();
    assert_eq!(ids, ["a/new::goes[n=2]"]);
}

#[test]
fn who_asks_by_an_old_name_is_told_the_new_one() {
    let place = place("goes").file("cases/renamed.txt", "z/old -> a/new\nz/old::passes -> a/new::goes\n");
    for arguments in [&["list", "z/old::passes[n=2]"][..], &["list", "--exact", "z/old::passes[n=2]"]] {
        let said = place.say(arguments).assert_status(2);
        let wanted = "no case matches \"z/old::passes[n=2]\"; did you mean \"a/new::goes[n=2]\"?";
        assert!(said.err.contains(wanted), "{}", said.all());
    }
}

const WRONG: &str = "# What was
a/new -> z/new
z/old::passes -> a/new::gos
  gone -> a/new  # not a remark
z/a => a/new
z/b ->
z/c -> a/new::goes
z/d -> z/e
z/e -> z/d
z/f -> a/new
z/f -> s
z/g -> z/f
a/new::fails -> s::stays
z/h::x[n=1] -> a/new::goes[n=4]
";

#[test]
fn mistakes_in_the_table_are_explained() {
    let place = place("goes").file("cases/renamed.txt", WRONG);
    assert_said!("renamed_mistakes", place.say(&["check", "cases"]).assert_status(2));
    // A part of the files does not say which cases there are.
    let part = place.file("cases/renamed.txt", "z/old -> a/nowhere\n");
    part.say(&["check", "cases/a"]).assert_status(0);
    let whole = part.say(&["check"]).assert_status(2);
    assert!(whole.out.contains("there is no suite a/nowhere"), "{}", whole.all());
    // Who needs the table does not go on with half of it.
    let place = part.file("cases/renamed.txt", "z/old a/new\n");
    let said = place.say(&["diff", "old.json", "old.json"]).assert_status(2);
    assert!(
        said.err.contains("cases/renamed.txt:1:1") && said.err.contains("a line without"),
        "{}",
        said.all()
    );
}
