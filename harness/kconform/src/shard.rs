//! A part of the cases: several machines run one suite, each its shard, and `kconform merge` joins what came of them.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// More shards than anybody has cases for are a mistake.
pub const MOST_SHARDS: u32 = 65_535;

/// One of several parts of the selected cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, counted from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// A shard as the user asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `3/8`.
    This(Shard),
    /// `auto`, `auto/8`: the one that the environment of a CI system or an engine of a cluster names, and of how many
    /// where that does not say it.
    Auto(Option<u32>),
}

/// Why there is no such shard.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShardError {
    /// It is written in no known way.
    #[error("{0:?} is no shard; write 3/8, auto, or auto/8")]
    Form(String),
    /// It is outside the count.
    #[error("there is no shard {0}: they are counted from 1 to {count}", count = .0.count)]
    Outside(Shard),
    /// Nobody means so many.
    #[error("{0} shards are more than the {MOST_SHARDS} that there may be")]
    TooMany(u32),
    /// A variable does not hold a number.
    #[error("{name} is {value:?}, which is no number that fits")]
    NoNumber {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// Nothing says which.
    #[error("nothing says which shard this is: {} are not set; write --shard 3/8", Engine::names())]
    NoIndex,
    /// Nothing says of how many.
    #[error("{0} says which shard this is, and nothing of how many; write --shard auto/8")]
    NoCount(&'static str),
}

impl FromStr for Wish {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Wish, ShardError> {
        let form = || ShardError::Form(text.to_owned());
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(form);
        match text.split_once('/') {
            None if text == "auto" => Ok(Wish::Auto(None)),
            Some(("auto", count)) => Ok(Wish::Auto(Some(number(count)?))),
            Some((index, count)) => {
                let index = index.parse().map_err(|_| form())?;
                Shard { index, count: number(count)? }.checked().map(Wish::This)
            }
            None => Err(form()),
        }
    }
}

/// What numbers the jobs that are parts of one.
struct Engine {
    /// The variable that says which one this is.
    index: &'static str,
    /// What the first one is called: a variable, or a number where that is not set.
    first: (&'static str, u32),
    /// The variable that says of how many, if there is one.
    count: Option<&'static str>,
}

/// GitLab's `parallel:`, indexed Jobs of Kubernetes, arrays of Slurm.
const ENGINES: &[Engine] = &[
    Engine { index: "CI_NODE_INDEX", first: ("", 1), count: Some("CI_NODE_TOTAL") },
    Engine { index: "JOB_COMPLETION_INDEX", first: ("", 0), count: None },
    Engine {
        index: "SLURM_ARRAY_TASK_ID",
        first: ("SLURM_ARRAY_TASK_MIN", 0),
        count: Some("SLURM_ARRAY_TASK_COUNT"),
    },
];

impl Engine {
    fn names() -> String {
        ENGINES.iter().map(|engine| engine.index).collect::<Vec<_>>().join(", ")
    }
}

impl Wish {
    /// The shard that is meant; `variable` looks into the environment.
    ///
    /// # Errors
    /// The environment does not say it, or says nonsense.
    pub fn resolve(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard, ShardError> {
        let count = match self {
            Wish::This(shard) => return Ok(shard),
            Wish::Auto(count) => count,
        };
        let number = |name: &'static str| match variable(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => match value.parse::<u32>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ShardError::NoNumber { name, value }),
            },
        };
        for engine in ENGINES {
            let Some(index) = number(engine.index)? else { continue };
            let first = number(engine.first.0)?.unwrap_or(engine.first.1);
            let count = match (count, engine.count) {
                (Some(count), _) => Some(count),
                (None, Some(name)) => number(name)?,
                (None, None) => None,
            };
            let count = count.ok_or(ShardError::NoCount(engine.index))?;
            let nonsense = || ShardError::NoNumber { name: engine.index, value: index.to_string() };
            let index = index.checked_sub(first).and_then(|nth| nth.checked_add(1)).ok_or_else(nonsense)?;
            return Shard { index, count }.checked();
        }
        // A job of GitLab's that is not split has a total of 1, and no index.
        match count.or(number("CI_NODE_TOTAL")?) {
            Some(1) => Ok(Shard { index: 1, count: 1 }),
            _ => Err(ShardError::NoIndex),
        }
    }
}

impl Shard {
    fn checked(self) -> Result<Shard, ShardError> {
        if self.count > MOST_SHARDS {
            Err(ShardError::TooMany(self.count))
        } else if (1..=self.count).contains(&self.index) {
            Ok(self)
        } else {
            Err(ShardError::Outside(self))
        }
    }

    /// The positions, in rising order, of the cases that are this shard's. Every case is in exactly one shard, and which
    /// one depends on nothing but the ids and the times.
    ///
    /// `times` are how long cases took before; one that is not there is taken for an average one. The longest goes
    /// first, each to the shard that has least to do yet.
    pub fn positions(self, ids: &[&str], times: &HashMap<String, Duration>) -> Vec<usize> {
        let known: Vec<u128> = ids.iter().filter_map(|id| times.get(*id)).map(Duration::as_nanos).collect();
        let average = (known.iter().sum::<u128>() / known.len().max(1) as u128).max(1);
        let time = |nth: usize| times.get(ids[nth]).map_or(average, |time| time.as_nanos().max(1));
        let mut longest_first: Vec<usize> = (0..ids.len()).collect();
        longest_first.sort_by_key(|nth| (std::cmp::Reverse(time(*nth)), *nth));
        // Every case takes some time, so no shard gets a second one before all have one.
        let mut load = vec![0; ids.len().min(self.count as usize)];
        let mut mine = Vec::new();
        for nth in longest_first {
            let least = (0..load.len()).min_by_key(|shard| (load[*shard], *shard)).unwrap_or(0);
            load[least] += time(nth);
            if least + 1 == self.index as usize {
                mine.push(nth);
            }
        }
        mine.sort_unstable();
        mine
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn shard(index: u32, count: u32) -> Shard {
        Shard { index, count }
    }

    #[rstest]
    #[case::plain("3/8", Ok(Wish::This(shard(3, 8))))]
    #[case::auto("auto", Ok(Wish::Auto(None)))]
    #[case::auto_of("auto/8", Ok(Wish::Auto(Some(8))))]
    #[case::nothing("", Err(ShardError::Form(String::new())))]
    #[case::no_count("3", Err(ShardError::Form("3".into())))]
    #[case::none_at_all("1/0", Err(ShardError::Form("1/0".into())))]
    #[case::negative("-1/2", Err(ShardError::Form("-1/2".into())))]
    #[case::counted_from_1("0/8", Err(ShardError::Outside(shard(0, 8))))]
    #[case::past_the_last("9/8", Err(ShardError::Outside(shard(9, 8))))]
    #[case::blank(" 3/8", Err(ShardError::Form(" 3/8".into())))]
    #[case::three_numbers("1/2/3", Err(ShardError::Form("1/2/3".into())))]
    #[case::most("65535/65535", Ok(Wish::This(shard(65_535, 65_535))))]
    #[case::too_many("1/65536", Err(ShardError::TooMany(65_536)))]
    #[case::past_all_numbers("1/4294967296", Err(ShardError::Form("1/4294967296".into())))]
    #[case::auto_of_none("auto/0", Err(ShardError::Form("auto/0".into())))]
    fn a_wish_is_read(#[case] text: &str, #[case] wish: Result<Wish, ShardError>) {
        assert_eq!(text.parse(), wish);
    }

    #[rstest]
    #[case::gitlab("auto", "CI_NODE_INDEX=3 CI_NODE_TOTAL=8", Ok(shard(3, 8)))]
    #[case::gitlab_not_split("auto", "CI_NODE_TOTAL=1", Ok(shard(1, 1)))]
    #[case::kubernetes("auto/8", "JOB_COMPLETION_INDEX=0", Ok(shard(1, 8)))]
    #[case::kubernetes_last("auto/8", "JOB_COMPLETION_INDEX=7", Ok(shard(8, 8)))]
    #[case::kubernetes_past_the_last(
        "auto/8",
        "JOB_COMPLETION_INDEX=8",
        Err(ShardError::Outside(shard(9, 8)))
    )]
    #[case::too_many("auto/65536", "JOB_COMPLETION_INDEX=0", Err(ShardError::TooMany(65_536)))]
    #[case::gitlab_past_the_last(
        "auto",
        "CI_NODE_INDEX=9 CI_NODE_TOTAL=8",
        Err(ShardError::Outside(shard(9, 8)))
    )]
    #[case::gitlab_says_no_count("auto", "CI_NODE_INDEX=3", Err(ShardError::NoCount("CI_NODE_INDEX")))]
    #[case::negative(
        "auto/8",
        "JOB_COMPLETION_INDEX=-1",
        Err(ShardError::NoNumber { name: "JOB_COMPLETION_INDEX", value: "-1".into() })
    )]
    #[case::set_but_empty("auto/8", "JOB_COMPLETION_INDEX=", Err(ShardError::NoIndex))]
    #[case::kubernetes_says_no_count(
        "auto",
        "JOB_COMPLETION_INDEX=0",
        Err(ShardError::NoCount("JOB_COMPLETION_INDEX"))
    )]
    #[case::slurm(
        "auto",
        "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=8",
        Ok(shard(3, 8))
    )]
    #[case::slurm_from_0("auto", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=8", Ok(shard(4, 8)))]
    #[case::slurm_before_the_first(
        "auto",
        "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=8",
        Err(ShardError::NoNumber { name: "SLURM_ARRAY_TASK_ID", value: "0".into() })
    )]
    #[case::nonsense(
        "auto",
        "CI_NODE_INDEX=three CI_NODE_TOTAL=8",
        Err(ShardError::NoNumber { name: "CI_NODE_INDEX", value: "three".into() })
    )]
    #[case::nothing("auto", "", Err(ShardError::NoIndex))]
    #[case::written_wins("2/3", "CI_NODE_INDEX=3 CI_NODE_TOTAL=8", Ok(shard(2, 3)))]
    fn the_environment_names_a_shard(
        #[case] wish: &str,
        #[case] environment: &str,
        #[case] found: Result<Shard, ShardError>,
    ) {
        let variable = |name: &str| {
            let pairs = environment.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
        };
        assert_eq!(wish.parse::<Wish>().expect("a wish").resolve(&variable), found);
    }

    #[test]
    fn without_times_the_cases_are_dealt_out_in_turn() {
        let ids = ["a", "b", "c", "d", "e"];
        assert_eq!(shard(1, 2).positions(&ids, &HashMap::new()), [0, 2, 4]);
        assert_eq!(shard(2, 2).positions(&ids, &HashMap::new()), [1, 3]);
    }

    #[test]
    fn a_long_case_is_as_much_as_many_short_ones() {
        let ids = ["a", "b", "long", "c", "new"];
        let times = [("a", 10), ("b", 10), ("long", 100), ("c", 10)];
        let times = times.map(|(id, ms)| (id.to_owned(), Duration::from_millis(ms))).into();
        assert_eq!(shard(1, 2).positions(&ids, &times), [2]);
        assert_eq!(shard(2, 2).positions(&ids, &times), [0, 1, 3, 4]);
    }

    proptest! {
        #[test]
        fn every_case_is_in_exactly_one_shard(
            times in prop::collection::vec(prop::option::of(0_u64..5000), 0..60),
            count in prop_oneof![1_u32..12, Just(100)],
        ) {
            let names: Vec<String> = (0..times.len()).map(|nth| format!("case {nth}")).collect();
            let ids: Vec<&str> = names.iter().map(String::as_str).collect();
            let known = names.iter().zip(&times).filter_map(|(id, ms)| Some((id.clone(), Duration::from_millis((*ms)?))));
            let known: HashMap<String, Duration> = known.collect();
            let mut all: Vec<usize> = (1..=count).flat_map(|index| shard(index, count).positions(&ids, &known)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..ids.len()).collect::<Vec<_>>());
        }
    }
}
