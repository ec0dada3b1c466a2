//! Commits by their ids.

/// The first letters of an id.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
