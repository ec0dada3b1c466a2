//! Selecting, listing and the rest of the command line.

use rstest::rstest;

use crate::program::{Place, Said, assert_said};

/// Two suites with a few tags.
fn suites() -> Place {
    Place::new()
        .file(
            "cases/map/array.yaml",
            "about: Of the suite.
source: bpf(2)
cases:
  - name: delete is refused
    tags: [error, map]
    steps: &steps
      - close: [0]
  - name: create
    about: Of the case.
    source: [one, two]
    tags: [map]
    each: [{case: a row, fd: 0}, {case: b row, fd: 1}]
    steps:
      - close: [$fd]
",
        )
        .file(
            "cases/fd/close.yaml",
            "cases:
  - name: close
    tags: [fd]
    steps: &steps
      - close: [0]
  - name: close twice
    tags: [fd, error]
    steps:
      - close: [0]
      - close: [0]
        errno: EBADF
",
        )
}

#[rstest]
#[case::all(&[], &["fd/close::close", "fd/close::close_twice", "map/array::delete_is_refused", "map/array::create[a_row]", "map/array::create[b_row]"])]
#[case::part(&["close::close"], &["fd/close::close", "fd/close::close_twice"])]
#[case::whole_id(&["--exact", "fd/close::close"], &["fd/close::close"])]
#[case::pattern(&["map/*row]"], &["map/array::create[a_row]", "map/array::create[b_row]"])]
#[case::one_character(&["*::create[?_row]"], &["map/array::create[a_row]", "map/array::create[b_row]"])]
#[case::brackets_are_no_pattern(&["create[b_row]"], &["map/array::create[b_row]"])]
#[case::one_of_several(&["twice", "refused"], &["fd/close::close_twice", "map/array::delete_is_refused"])]
#[case::tag(&["--tag", "error"], &["fd/close::close_twice", "map/array::delete_is_refused"])]
#[case::one_of_several_tags(&["--tag", "fd", "--tag", "error"], &["fd/close::close", "fd/close::close_twice", "map/array::delete_is_refused"])]
#[case::pattern_and_tag(&["map", "--tag", "error"], &["map/array::delete_is_refused"])]
#[case::not(&["--exclude", "close", "--exclude", "*[a_row]"], &["map/array::delete_is_refused", "map/array::create[b_row]"])]
#[case::part_but_not(&["close", "--exclude", "twice"], &["fd/close::close"])]
#[case::one_folder(&["--cases", "cases/fd"], &["fd/close::close", "fd/close::close_twice"])]
#[case::one_file(&["--cases", "cases/fd/close.yaml"], &["fd/close::close", "fd/close::close_twice"])]
fn cases_are_selected(#[case] arguments: &[&str], #[case] ids: &[&str]) {
    let said = suites().say(&[&["list"], arguments].concat()).assert_status(0);
    assert_eq!(said.out.lines().collect::<Vec<_>>(), ids);
}

#[rstest]
#[case::no_case("no_case", &["list", "delte_is_refused"])]
#[case::no_whole_id("no_whole_id", &["list", "--exact", "map/array::create"])]
#[case::no_tag("no_tag", &["list", "--tag", "eror"])]
#[case::nothing_left("nothing_left", &["list", "map", "--tag", "fd"])]
#[case::all_excluded("all_excluded", &["run", "--target", "native", "--exclude", "*"])]
#[case::no_target("no_target", &["run", "--target", "x86_65"])]
#[case::no_target_at_all("no_target_at_all", &["run", "--target", "toaster"])]
#[case::no_folder("no_folder", &["run", "--cases", "caess"])]
#[case::no_such_option("no_such_option", &["run", "--tagret", "native"])]
#[case::no_command("no_such_command", &["rnu"])]
#[case::no_jobs("no_jobs", &["run", "--jobs", "0"])]
fn what_is_not_there_is_a_mistake_of_usage(#[case] name: &str, #[case] arguments: &[&str]) {
    assert_said!(format!("usage_{name}"), suites().say(arguments).assert_status(2));
}

#[test]
fn a_selection_is_run() {
    let said = suites().run(&["--tag", "error"]).assert_status(0);
    assert_eq!(said.counts("native"), "2 passed");
}

#[test]
fn the_list_for_programs() {
    assert_said!("list_json", suites().say(&["list", "--format", "json", "create"]).assert_status(0));
}

#[test]
fn cases_are_found_by_the_environment_and_by_default() {
    let place = suites().file("own/one.yaml", "cases:\n  - {name: own, steps: [{close: [0]}]}\n");
    let place = place.env("KCONFORM_CASES", "own");
    assert_eq!(place.say(&["list"]).assert_status(0).out, "one::own\n");
    // Where there is no folder `cases`, it is that of kconform's own checkout.
    let own = Place::new().say(&["list"]).assert_status(0);
    assert!(own.out.lines().any(|id| id.starts_with("bpf/map/array::")), "{}", own.all());
}

/// A reader that has seen enough, `head` say, is no trouble.
#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::Stdio;
    let place = Place::new();
    let mut child = place.command(&[]).arg("list").stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("an end").success());
}

#[rstest]
#[case::nothing(&[])]
#[case::help(&["--help"])]
#[case::run(&["run", "--help"])]
#[case::check(&["check", "--help"])]
#[case::list(&["list", "--help"])]
#[case::targets(&["targets", "--help"])]
#[case::image(&["image", "--help"])]
fn help_is_given(#[case] arguments: &[&str]) {
    let said = Place::new().say(arguments);
    assert_eq!(said.status, Some(if arguments.is_empty() { 2 } else { 0 }), "{}", said.all());
    let text = if arguments.is_empty() { &said.err } else { &said.out };
    assert!(text.contains("Usage: kconform"), "{}", said.all());
    if arguments == ["--help"] {
        assert!(text.contains("Exit status: 0 all as expected"), "{}", said.all());
    }
}

#[test]
fn the_version_is_told() {
    let said = Place::new().say(&["--version"]).assert_status(0);
    assert_eq!(said.out, format!("kconform {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bash_completes() {
    let place = Place::new();
    let said = place.say(&["completions", "bash"]).assert_status(0);
    std::fs::write(place.folder().join("here/completions"), &said.out).expect("a file");
    let words = ". ./completions; COMP_WORDS=(kconform ru); COMP_CWORD=1; _kconform kconform ru kconform; echo ${COMPREPLY[@]}";
    let bash: Said = place.program("bash".as_ref()).say(&["-c", words]).assert_status(0);
    assert_eq!(bash.out, "run\n", "{}", bash.all());
}

#[rstest]
#[case("zsh")]
#[case("fish")]
fn other_shells_complete(#[case] shell: &str) {
    let said = Place::new().say(&["completions", shell]).assert_status(0);
    assert!(said.out.contains("kconform"), "{}", said.all());
}

/// Without kernels in the cache, guests are not ready, and it is said what would make them so.
#[test]
fn targets_say_what_they_lack() {
    let place = Place::new();
    let cache = place.folder().join("cache").display().to_string();
    let place = place.env("KCONFORM_CACHE", &cache);
    let said = place.say(&["targets"]).assert_status(0);
    let state = |name: &str| {
        let line = said.out.lines().find(|line| line.split([' ', ',']).any(|word| word == name));
        line.unwrap_or_else(|| panic!("no {name}:\n{}", said.all())).to_owned()
    };
    assert!(state("native").ends_with("  ready"), "{}", said.all());
    for name in ["x86_64", "riscv64"] {
        assert!(state(name).contains("not ready: "), "{}", said.all());
        assert!(state(name).contains("to mend it: "), "{}", said.all());
    }
}

#[test]
fn guests_that_are_not_set_up_are_left_out_or_lost() {
    let place = suites();
    let cache = place.folder().join("cache").display().to_string();
    let place = place.env("KCONFORM_CACHE", &cache);
    let left_out = place.say(&["run"]).assert_status(0);
    for name in ["x86_64", "riscv64"] {
        assert!(left_out.out.contains(&format!("note: {name} is left out: ")), "{}", left_out.all());
    }
    let named = place.say(&["run", "--target", "native,x86_64"]).assert_status(3);
    assert_eq!(named.counts("native"), "5 passed");
    assert_eq!(named.counts("x86_64"), "0 passed, 5 lost", "{}", named.all());
    assert!(named.out.contains("to mend it: "), "{}", named.all());
    let required = place.env("KCONFORM_REQUIRE_GUESTS", "1").say(&["run"]).assert_status(3);
    assert_eq!(required.counts("x86_64"), "0 passed, 5 lost", "{}", required.all());
}

/// The agent is written there and started from there.
#[test]
fn without_a_place_for_the_agent_it_is_said_what_to_set() {
    let place =
        Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n").env("TMPDIR", "/no/such/folder");
    assert_said!("no_place_for_the_agent", place.run(&[]).assert_status(3));
}

/// The terminal is gone, or a disk is full: the exit status is that of what was done.
#[test]
fn what_cannot_be_written_to_standard_error_stops_nothing() {
    let place = Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    let full = ["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"];
    place.say_through(&full, &["run", "--target", "no_such"]).assert_status(2);
    place.say_through(&full, &["run", "--target", "native"]).assert_status(0);
}
