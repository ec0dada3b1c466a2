//! What a case of two calls costs on the whole way, from the case to its verdict, beside the least that it could cost: a
//! bare fork, exit and wait of the agent, measured in the same run. It is to be at most twice that.
//! `cargo bench --bench run`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kconform::inner::{AGENT, Case, File, Note, SuiteFile, Target, Verdict, Worker, load};

const ROUNDS: usize = 11;
const CASES: usize = 1000;

fn cases() -> Vec<Case> {
    let case = |n| format!("  - {{name: case {n}, steps: [{{dup: [0], save: fd}}, {{close: [$fd]}}]}}\n");
    let text = (0..CASES).map(case).fold("cases:\n".to_owned(), |text, case| text + &case);
    let file = Arc::new(File { path: "bench.yaml".into(), text });
    let loaded = load(&[SuiteFile { suite: "bench".into(), file }]);
    assert!(loaded.mistakes.is_empty());
    loaded.cases
}

/// What a case takes on average, on an agent that is there already.
fn whole_way(worker: &mut Worker, cases: &[&Case]) -> Duration {
    let begun = Instant::now();
    let mut passed = 0;
    worker.run(cases, &mut |note| {
        let (Note::Result(_, result) | Note::NotRun(_, result)) = note else { return };
        assert_eq!(result.verdict, Verdict::Passed);
        passed += 1;
    });
    assert_eq!(passed, cases.len());
    begun.elapsed() / cases.len() as u32
}

/// What the agent says of itself: a bare fork, and a case without the way to it and back.
fn in_the_agent(folder: &Path) -> [Duration; 2] {
    let mut command = Command::new(folder.join("agent"));
    command.arg("--scratch").arg(folder.join("scratch")).args(["--bench", "1000"]);
    let output = command.output().expect("the agent runs").stdout;
    let text = String::from_utf8_lossy(&output);
    ["bare ", "case "].map(|word| {
        let line = text.lines().find_map(|line| line.strip_prefix(word)).expect("a line for each");
        Duration::from_nanos(line.trim().parse().expect("nanoseconds"))
    })
}

/// The median, and the shortest, which other load on the machine has touched least.
fn median_and_best(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort();
    [times[times.len() / 2], times[0]]
}

fn main() {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(folder.path().join("scratch")).expect("a directory");
    let agent = folder.path().join("agent");
    std::fs::write(&agent, AGENT).expect("a file");
    std::fs::set_permissions(&agent, PermissionsExt::from_mode(0o755)).expect("the mode is set");

    let cases = cases();
    let cases: Vec<&Case> = cases.iter().collect();
    let mut worker = Worker::new(Target::named("native", &[]).expect("native"));
    // The first run starts the agent.
    whole_way(&mut worker, &cases);
    let (mut bare, mut alone, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that other load meets all of them.
    for _ in 0..ROUNDS {
        let [fork, case] = in_the_agent(folder.path());
        bare.push(fork);
        alone.push(case);
        whole.push(whole_way(&mut worker, &cases));
    }
    let bare = median_and_best(bare);
    println!("native, bare fork, exit and wait:      median {:.1?}, best {:.1?}", bare[0], bare[1]);
    for (what, times) in [("in the agent:        ", alone), ("from case to verdict:", whole)] {
        let times = median_and_best(times);
        let ratio = |nth: usize| times[nth].as_secs_f64() / bare[nth].as_secs_f64();
        let [median, best] = [0, 1].map(|nth| format!("{:.1?} = {:.2} x", times[nth], ratio(nth)));
        println!("native, two calls, {what}  median {median}, best {best}");
    }
}
