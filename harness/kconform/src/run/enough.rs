//! Whether a run tested enough: what ran, what was asked to run, and the exit status where that is not the same.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;

use super::TargetRun;
use crate::judge::Verdict;

/// The exit status of a run in which a case, or the number of cases, was not as asked for.
const NOT_AS_ASKED: u8 = 1;

/// The exit status of a run that tested nothing, as where the harness could not do its work.
const NOTHING_TESTED: u8 = 3;

/// How many of the reasons for skips are told.
const MOST_REASONS: usize = 3;

/// What is asked of a run beside verdicts that are as they should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands {
    /// No case may be skipped (`--fail-on-skip`).
    pub no_skips: bool,
    /// How many cases must run on each target (`--min-run`).
    pub min_run: Option<NonZeroU64>,
    /// The run is one of several shards: it may have no cases, or only such as are skipped.
    pub is_shard: bool,
}

/// Something that a run did not test. It displays as a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No case ran on any target.
    Nothing {
        /// Other shards may have run some.
        is_shard: bool,
    },
    /// No case ran on a target, while some ran on another.
    NothingOn(Counts),
    /// Cases were skipped, and none may be.
    Skipped(Counts),
    /// Fewer cases ran than must.
    TooFew {
        /// How many must run.
        wanted: NonZeroU64,
        /// What there was instead.
        counts: Counts,
    },
}

/// What became of the cases on a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The target's name.
    pub target: String,
    /// How many cases were selected.
    pub selected: u64,
    /// How many ran: they were neither skipped nor lost.
    pub ran: u64,
    /// How many were skipped.
    pub skipped: u64,
    /// Reasons for skips and how many cases each holds for, the most frequent first.
    pub reasons: Vec<(String, u64)>,
}

impl Counts {
    fn of(run: &TargetRun) -> Counts {
        let mut counts = Counts { target: run.name.clone(), ..Counts::default() };
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for result in &run.results {
            counts.selected += 1;
            match &result.verdict {
                Verdict::Skipped(reason) => {
                    counts.skipped += 1;
                    *reasons.entry(reason).or_default() += 1;
                }
                Verdict::Lost(_) => {}
                _ => counts.ran += 1,
            }
        }
        counts.reasons = reasons.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        // Of two that are as frequent the one that is first by its letters is first.
        counts.reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Also where there are no cases.
    fn all_skipped(&self) -> bool {
        self.skipped == self.selected
    }

    /// `; skipped most often: needs Linux >=99 (3)`, where anything was skipped.
    fn why(&self) -> String {
        let told = self.reasons.iter().take(MOST_REASONS);
        let told: Vec<String> = told.map(|(reason, count)| format!("{reason} ({count})")).collect();
        if told.is_empty() { String::new() } else { format!("; skipped most often: {}", told.join(", ")) }
    }
}

/// What the run did not test, in the order of its targets.
pub fn lacks(runs: &[TargetRun], demands: Demands) -> Vec<Lack> {
    let all: Vec<Counts> = runs.iter().map(Counts::of).collect();
    let none_ran = all.iter().all(|counts| counts.ran == 0);
    // What was lost is told as such, and has an exit status of its own.
    let nothing = all.iter().all(Counts::all_skipped);
    let mut lacks = Vec::new();
    for counts in all {
        if counts.all_skipped() && !none_ran {
            lacks.push(Lack::NothingOn(counts.clone()));
        }
        if demands.no_skips && counts.skipped > 0 {
            lacks.push(Lack::Skipped(counts.clone()));
        }
        if let Some(wanted) = demands.min_run.filter(|wanted| counts.ran < wanted.get()) {
            lacks.push(Lack::TooFew { wanted, counts });
        }
    }
    if nothing {
        lacks.push(Lack::Nothing { is_shard: demands.is_shard });
    }
    lacks
}

/// The exit status of a run that would otherwise have `status` ([`super::exit_status`]). What cases did and what was lost
/// goes first, then what was asked for, then that nothing ran.
pub fn exit_status(status: u8, lacks: &[Lack]) -> u8 {
    let all = || lacks.iter().map(Lack::status);
    if status != 0 {
        status
    } else if all().any(|status| status == NOT_AS_ASKED) {
        NOT_AS_ASKED
    } else {
        all().max().unwrap_or(0)
    }
}

impl Lack {
    /// The exit status that it makes by itself; 0: it is only to be told.
    pub fn status(&self) -> u8 {
        match self {
            Lack::Nothing { is_shard: true } | Lack::NothingOn(_) => 0,
            Lack::Nothing { is_shard: false } => NOTHING_TESTED,
            Lack::Skipped(_) | Lack::TooFew { .. } => NOT_AS_ASKED,
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = |count: u64| if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        match self {
            Lack::Nothing { is_shard: false } => write!(f, "nothing was tested: no case ran on any target"),
            Lack::Nothing { is_shard: true } => {
                write!(f, "no case of this shard ran; `kconform merge` tells if none ran in any shard")
            }
            Lack::NothingOn(counts) => {
                write!(f, "no case ran on {}: {} skipped{}", counts.target, counts.skipped, counts.why())
            }
            Lack::Skipped(counts) => {
                write!(
                    f,
                    "--fail-on-skip: {} skipped on {}{}",
                    cases(counts.skipped),
                    counts.target,
                    counts.why()
                )
            }
            Lack::TooFew { wanted, counts } => {
                let Counts { target, selected, ran, .. } = counts;
                write!(f, "--min-run {wanted}: {ran} of {} ran on {target}{}", cases(*selected), counts.why())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::judge::{Failure, FailureKind};
    use crate::targets::CaseResult;

    /// A target with a result for each letter: p passed, x expected failure, s and t skipped, l lost.
    fn target(name: &str, letters: &str) -> TargetRun {
        let mut run = TargetRun::new(name, letters.len());
        for (result, letter) in run.results.iter_mut().zip(letters.chars()) {
            let verdict = match letter {
                'p' => Verdict::Passed,
                'x' => Verdict::ExpectedFailure { because: "known".into(), failure: failure() },
                's' => Verdict::Skipped("needs Linux >=99".into()),
                't' => Verdict::Skipped("needs CAP_BPF".into()),
                _ => Verdict::Lost("QEMU ended".into()),
            };
            *result = CaseResult { verdict, seen: None, remark: None };
        }
        run
    }

    fn failure() -> Box<Failure> {
        Box::new(Failure {
            kind: FailureKind::Ret,
            place: crate::place::Place {
                file: std::sync::Arc::new(crate::place::File { path: "s.yaml".into(), text: String::new() }),
                start: 0,
                end: 0,
            },
            step: None,
            iteration: Vec::new(),
            text: String::new(),
            expected: String::new(),
            got: String::new(),
            ret: None,
            also: Vec::new(),
        })
    }

    fn runs(targets: &[&str]) -> Vec<TargetRun> {
        targets.iter().zip(["native", "riscv64"]).map(|(letters, name)| target(name, letters)).collect()
    }

    fn demands(no_skips: bool, min_run: u64, is_shard: bool) -> Demands {
        Demands { no_skips, min_run: NonZeroU64::new(min_run), is_shard }
    }

    #[rstest]
    #[case::some_ran(&["ps"], demands(false, 0, false), 0)]
    #[case::what_is_known_to_fail_ran(&["xs"], demands(false, 1, false), 0)]
    #[case::all_skipped(&["sst"], demands(false, 0, false), 3)]
    #[case::all_skipped_everywhere(&["ss", "st"], demands(false, 0, false), 3)]
    #[case::all_skipped_on_one_target(&["ss", "ps"], demands(false, 0, false), 0)]
    #[case::a_shard_of_skipped_ones(&["ss"], demands(false, 0, true), 0)]
    #[case::an_empty_shard(&[""], demands(false, 0, true), 0)]
    #[case::a_skip_that_may_not_be(&["pps"], demands(true, 0, false), 1)]
    #[case::no_skip(&["ppx"], demands(true, 0, false), 0)]
    #[case::a_skip_in_a_shard(&["s"], demands(true, 0, true), 1)]
    #[case::just_enough(&["pps", "xps"], demands(false, 2, false), 0)]
    #[case::too_few_on_one_target(&["pps", "pss"], demands(false, 2, false), 1)]
    #[case::lost_is_not_run(&["ppl"], demands(false, 3, false), 1)]
    #[case::lost_is_told_elsewhere(&["ll", "ss"], demands(false, 0, false), 0)]
    #[case::nothing_where_something_must(&["ss"], demands(false, 1, false), 1)]
    #[case::an_empty_shard_where_something_must(&[""], demands(false, 1, true), 1)]
    fn the_exit_status(#[case] targets: &[&str], #[case] demands: Demands, #[case] status: u8) {
        assert_eq!(exit_status(0, &lacks(&runs(targets), demands)), status);
    }

    /// What cases did, what was lost and an interruption are never hidden.
    #[rstest]
    fn what_else_was_wrong_goes_first(#[values(1, 3, 130)] status: u8) {
        let lacks = lacks(&runs(&["ss"]), demands(true, 5, false));
        assert_eq!(exit_status(status, &lacks), status);
    }

    #[test]
    fn what_is_told() {
        let told = |targets: &[&str], demands| {
            let lacks = lacks(&runs(targets), demands);
            lacks.iter().map(|lack| format!("{lack}\n")).collect::<String>()
        };
        insta::assert_snapshot!(
            [
                told(&["tsssp", "tt"], demands(true, 2, false)),
                told(&["sst"], demands(false, 0, false)),
                told(&[""], demands(false, 0, true)),
                told(&["pl"], demands(false, 2, false)),
            ]
            .join("--\n"),
            @r"
            --fail-on-skip: 4 cases skipped on native; skipped most often: needs Linux >=99 (3), needs CAP_BPF (1)
            --min-run 2: 1 of 5 cases ran on native; skipped most often: needs Linux >=99 (3), needs CAP_BPF (1)
            no case ran on riscv64: 2 skipped; skipped most often: needs CAP_BPF (2)
            --fail-on-skip: 2 cases skipped on riscv64; skipped most often: needs CAP_BPF (2)
            --min-run 2: 0 of 2 cases ran on riscv64; skipped most often: needs CAP_BPF (2)
            --
            nothing was tested: no case ran on any target
            --
            no case of this shard ran; `kconform merge` tells if none ran in any shard
            --
            --min-run 2: 1 of 2 cases ran on native
            "
        );
    }
}
