//! "Did you mean …?"

/// The candidate that a mistyped word most likely meant, or `None` when nothing is near.
///
/// Case does not count, two neighbouring letters swapped are one mistake, and one mistake is allowed for every three
/// letters. Among equals the one that begins most alike wins, then the first in the alphabet.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let length = lower.chars().count();
    let allowed = length.div_ceil(3);
    candidates
        .filter(|candidate| candidate.len().abs_diff(length) <= allowed)
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let mistakes = strsim::osa_distance(&lower, &other);
            let alike = lower.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
            // A short word that shares nothing with the candidate is another word, not a slip.
            (mistakes <= allowed && mistakes < length.max(1)).then_some((
                mistakes,
                usize::MAX - alike,
                candidate,
            ))
        })
        .min()
        .map(|(_, _, candidate)| candidate)
}
