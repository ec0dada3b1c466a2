//! Cases that run side by side on one kernel, and in other orders.

use rstest::rstest;
use serde_json::Value;

use crate::program::{Place, is_root, not_here};

/// All lock one device file, another one for each test. Those that insist on having it alone fail as long as another case is there.
fn cases(device: &str) -> String {
    let case = |nth: usize| {
        let (exclusive, operation) = match nth % 8 {
            0 => ("true", "LOCK_EX | LOCK_NB"),
            1 => ("false", "LOCK_EX | LOCK_NB"),
            _ => ("false", "LOCK_SH"),
        };
        let steps = format!(
            "[{{openat: [AT_FDCWD, {{str: {device}}}, O_RDONLY], save: file}}, {{flock: [$file, {operation}]}}, \
             {{nanosleep: [{{u64: [0, 10000000]}}, null]}}]"
        );
        format!("  - {{name: case {nth}, exclusive: {exclusive}, steps: {steps}}}\n")
    };
    "cases:\n".to_owned() + &(0..64).map(case).collect::<String>()
}

/// A run's words, and its results as they came: names and remarks.
fn run(place: &Place, words: &[&str]) -> (String, Vec<(String, String)>) {
    let report = place.folder().join("report.jsonl");
    let wanted = format!("jsonl={}", report.display());
    let words = [&["run", "--target", "native", "--report", &wanted], words].concat();
    let said = place.say(&words).assert_status(0);
    let text = std::fs::read_to_string(report).expect("a report");
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let results = lines.filter_map(|line| line.get("result").cloned());
    (said.all(), results.map(|result| (text_of(&result["case"]), text_of(&result["remark"]))).collect())
}

const BESIDE: &str = "it failed while other cases ran beside it, and passed alone; it had failed with: ";

/// What fails because of its neighbours passes when it runs again, and says so; what is exclusive has none.
#[rstest]
#[case::by_default("/dev/zero", &[], true)]
#[case::some("/dev/full", &["--jobs", "3"], true)]
#[case::one_after_another("/dev/random", &["--jobs", "1"], false)]
fn cases_run_side_by_side(#[case] device: &str, #[case] words: &[&str], #[case] meet: bool) {
    let (said, results) = run(&Place::with(&cases(device)), words);
    assert_eq!(results.len(), 64, "{said}");
    let nth =
        |name: &str| name.rsplit('_').next().and_then(|nth| nth.parse::<usize>().ok()).expect("a number");
    let met: Vec<usize> =
        results.iter().filter(|(_, remark)| remark.starts_with(BESIDE)).map(|(name, _)| nth(name)).collect();
    assert_eq!(!met.is_empty(), meet, "{results:?}");
    assert!(met.iter().all(|nth| nth % 8 == 1), "{results:?}");
}

#[test]
fn an_order_is_had_again_by_its_seed() {
    let place = Place::with(&cases("/dev/urandom"));
    let order = |words: &[&str]| {
        let (said, results) = run(&place, &[&["--jobs", "1"], words].concat());
        (said, results.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    let (plain, (said, some)) = (order(&[]).1, order(&["--shuffle"]));
    assert_ne!(plain, some);
    assert!(said.contains("the cases run in a shuffled order; --shuffle="), "{said}");
    let seed = said.split("--shuffle=").nth(1).and_then(|rest| rest.split(' ').next()).expect("the seed");
    assert!(said.contains(&format!("--shuffle={seed} gives it again")), "{said}");
    assert_eq!(order(&[&format!("--shuffle={seed}")]).1, some);
    let mut sorted = (plain, some);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
}

/// Cases that fail, go round for ever, leave things behind or spoil their agent, among others.
#[test]
fn verdicts_are_those_of_cases_that_run_one_after_another() {
    if !is_root() {
        return not_here("what root can do to the agent: it needs root");
    }
    let folder = crate::program::data();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("cases");
    let mut place = Place::with(&cases("/dev/full"));
    for name in ["leftovers.yaml", "neighbours.yaml"] {
        place = place.file(&format!("cases/{name}"), &read(&format!("hostile/{name}")));
    }
    let wrong = "
cases:
  - {name: wrong, each: [{case: a}, {case: b}, {case: c}, {case: d}], steps: [{getpid: [], ret: 0}]}
  - {name: for ever, timeout: 0.3, steps: [{nanosleep: [{u64: [1000, 0]}, null]}]}
";
    let place = place.file("cases/wrong.yaml", wrong);
    let verdicts = |jobs: &str| {
        let report = place.folder().join("report.json");
        let wanted = format!("json={}", report.display());
        let said =
            place.say(&["run", "--target", "native", "--jobs", jobs, "--report", &wanted]).assert_status(1);
        let text = std::fs::read_to_string(report).expect("a report");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let of = |case: &Value| format!("{}: {}", case["id"], case["results"][0]["status"]);
        let all: Vec<_> = document["cases"].as_array().expect("cases").iter().map(of).collect();
        assert!(all.len() > 90, "{}", said.all());
        all
    };
    assert_eq!(verdicts("8"), verdicts("1"));
}
