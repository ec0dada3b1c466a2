//! Which cases are meant.

use wildmatch::WildMatch;

use crate::case::Case;

/// What the user asks for; all kinds of conditions must hold, and of each kind one that is given.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Parts of ids, or patterns with `*` and `?` that match whole ids.
    pub patterns: Vec<String>,
    /// The patterns are whole ids.
    pub exact: bool,
    /// Tags, one of which a case must have.
    pub tags: Vec<String>,
    /// Parts of ids, or patterns, that must not match.
    pub exclude: Vec<String>,
}

impl Selection {
    /// Whether a case is meant.
    pub fn contains(&self, case: &Case) -> bool {
        self.means(&case.id, &case.tags)
    }

    /// Whether a case with this id and these tags is meant.
    pub fn means(&self, id: &str, tags: &[String]) -> bool {
        let wanted = |pattern: &String| if self.exact { id == pattern } else { matches(pattern, id) };
        (self.patterns.is_empty() || self.patterns.iter().any(wanted))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| tags.contains(tag)))
            && !self.exclude.iter().any(|pattern| matches(pattern, id))
    }

    /// Whether a case of this suite may be meant, as far as its name tells.
    pub fn may_mean(&self, suite: &str) -> bool {
        let ids_begin = format!("{suite}::");
        let wanted = |pattern: &String| match self.exact {
            true => pattern.starts_with(&ids_begin),
            false => !is_glob(pattern) || may_begin(pattern, &ids_begin),
        };
        let excluded = |pattern: &String| !is_glob(pattern) && ids_begin.contains(pattern.as_str());
        (self.patterns.is_empty() || self.patterns.iter().any(wanted)) && !self.exclude.iter().any(excluded)
    }

    /// Keeps the cases that are meant.
    ///
    /// # Errors
    /// A pattern or tag that selects nothing, with the nearest id or tag.
    pub fn apply(&self, mut cases: Vec<Case>) -> Result<Vec<Case>, NothingSelected> {
        for pattern in &self.patterns {
            let one =
                Selection { patterns: vec![pattern.clone()], exact: self.exact, ..Selection::default() };
            if !cases.iter().any(|case| one.contains(case)) {
                // A pattern is a part of an id: what is nearest to it mostly is one, too.
                let ids = cases.iter().map(|case| case.id.as_str());
                let parts = ids.clone().filter(|_| !self.exact).flat_map(|id| id.split(['/', ':', '[', ']']));
                let nearest = kconform_abi::nearest(pattern, ids.chain(parts)).map(str::to_owned);
                return Err(NothingSelected {
                    what: format!("no case matches {pattern:?}"),
                    nearest,
                    pattern: Some(pattern.clone()),
                });
            }
        }
        for tag in &self.tags {
            if !cases.iter().any(|case| case.tags.contains(tag)) {
                let tags = cases.iter().flat_map(|case| &case.tags).map(String::as_str);
                let nearest = kconform_abi::nearest(tag, tags).map(str::to_owned);
                return Err(NothingSelected {
                    what: format!("no case has the tag {tag:?}"),
                    nearest,
                    pattern: None,
                });
            }
        }
        cases.retain(|case| self.contains(case));
        if cases.is_empty() {
            return Err(NothingSelected { what: "no case is left".into(), nearest: None, pattern: None });
        }
        Ok(cases)
    }
}

fn matches(pattern: &str, id: &str) -> bool {
    if is_glob(pattern) { WildMatch::new(pattern).matches(id) } else { id.contains(pattern) }
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Whether a pattern matches any text that begins so.
fn may_begin(pattern: &str, beginning: &str) -> bool {
    let (mut pattern, mut beginning) = (pattern.chars(), beginning.chars());
    loop {
        match (pattern.next(), beginning.next()) {
            // Whatever follows the first `*` can be in what follows the beginning.
            (Some('*'), _) | (_, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(is)) if wanted == is => {}
            _ => return false,
        }
    }
}

/// Nothing is meant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what}{}", .nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
pub struct NothingSelected {
    /// What selects nothing.
    pub what: String,
    /// What may have been meant.
    pub nearest: Option<String>,
    /// The pattern that selects nothing, if it is one.
    pub pattern: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Selection;

    proptest! {
        /// A suite that is ruled out by its name has no case that is meant.
        #[test]
        fn what_is_ruled_out_is_not_meant(
            suite in "[ab/]{1,4}",
            name in "[ab:]{1,4}",
            pattern in "[ab/:*?]{1,6}",
            exclude in proptest::option::of("[ab/:*?]{1,4}"),
            exact: bool,
        ) {
            let selection = Selection {
                patterns: vec![pattern],
                exact,
                exclude: exclude.into_iter().collect(),
                ..Selection::default()
            };
            let id = format!("{suite}::{name}");
            prop_assert!(selection.may_mean(&suite) || !selection.means(&id, &[]));
        }
    }
}
