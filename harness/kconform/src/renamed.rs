//! What cases and suites were called before, so that older reports, times and searches still mean the same cases.

use std::collections::HashMap;

/// Old names, and the names that came in their place: of suites (`bpf/map/array`), of cases with all their rows
/// (`bpf/map/array::create_is_refused`) and of single rows (`…[zero_key_size]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    names: HashMap<String, String>,
}

impl FromIterator<(String, String)> for Renamed {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Renamed {
        Renamed { names: pairs.into_iter().collect() }
    }
}

impl Renamed {
    /// What a case or a suite is called today; nothing if it was never renamed. The narrowest entry counts: that of the row,
    /// then of the case, then of the suite. What came in place of a name may have been renamed in its turn.
    pub fn now(&self, name: &str) -> Option<String> {
        let mut now = self.next(name)?;
        // A circle, which `kconform check` refuses, ends too.
        for _ in 0..self.names.len() {
            match self.next(&now) {
                Some(next) => now = next,
                None => break,
            }
        }
        Some(now)
    }

    /// What a case or a suite is called today.
    pub fn now_or_same(&self, name: &str) -> String {
        self.now(name).unwrap_or_else(|| name.to_owned())
    }

    /// The name after the next renaming.
    fn next(&self, name: &str) -> Option<String> {
        if let Some(new) = self.names.get(name) {
            return Some(new.clone());
        }
        let (suite, case) = name.split_once("::")?;
        let row = case.find('[').map(|at| name.split_at(suite.len() + 2 + at));
        let of_row = row.and_then(|(title, row)| Some(format!("{}{row}", self.names.get(title)?)));
        of_row.or_else(|| Some(format!("{}::{case}", self.names.get(suite)?)))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Renamed;

    #[rstest]
    #[case::never("e/x::y", None)]
    #[case::suite("a/old", Some("a/new"))]
    #[case::case_of_a_suite("a/old::other[k=a::b]", Some("a/new::other[k=a::b]"))]
    #[case::below_a_suite("a/old/more::x", None)]
    #[case::case_alone("a/old::moved", Some("b::there"))]
    #[case::all_rows("a/old::moved[k=1]", Some("b::there[k=1]"))]
    #[case::one_row("a/old::moved[k=2]", Some("b::two"))]
    #[case::twice("first::x", Some("a/new::x"))]
    #[case::another_case_that_begins_so("a/old::moved_more", Some("a/new::moved_more"))]
    fn names_lead_to_those_of_today(#[case] old: &str, #[case] now: Option<&str>) {
        let renamed: Renamed = [
            ("a/old", "a/new"),
            ("a/old::moved", "b::there"),
            ("a/old::moved[k=2]", "b::two"),
            ("first", "a/old"),
            ("round", "trip"),
            ("trip", "round"),
        ]
        .map(|(old, new)| (old.to_owned(), new.to_owned()))
        .into_iter()
        .collect();
        assert!(renamed.now("round::x").is_some(), "a circle ends");
        assert_eq!(renamed.now(old).as_deref(), now);
        assert_eq!(renamed.now_or_same("never"), "never");
    }
}
