//! "Did you mean …?"

/// A word at least so long may be the beginning of what was meant.
const BEGINNING: usize = 3;
/// How many mistakes it counts for to have left out the end.
const UNFINISHED: usize = 2;

/// The candidate that a mistyped word most likely meant, or `None` when nothing is near.
///
/// Case does not count, two neighbouring letters swapped are one mistake, one mistake is allowed for every three
/// letters, and the end may be missing. Among equals the one that begins most alike wins, then the shortest, then the
/// first in the alphabet.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let ranked = candidates.filter_map(|candidate| {
        let lower = candidate.to_lowercase();
        let mistakes = mistakes(&word, &lower)?;
        let alike = word.chars().zip(lower.chars()).take_while(|(a, b)| a == b).count();
        Some((mistakes, usize::MAX - alike, candidate.len(), candidate))
    });
    ranked.min().map(|(.., candidate)| candidate)
}

/// The candidate with the fewest mistakes, if those are few: for words of which not all are known.
pub fn slip<'a>(word: &str, candidates: impl Iterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    let ranked = candidates.map(|candidate| (strsim::osa_distance(word, candidate), candidate));
    ranked.filter(|(distance, _)| *distance <= most).min().map(|(_, candidate)| candidate)
}

/// How many mistakes lie between the two, or `None` when they are different words.
fn mistakes(word: &str, candidate: &str) -> Option<usize> {
    let length = word.chars().count();
    let allowed = length.div_ceil(3);
    let unfinished = (length >= BEGINNING && candidate.starts_with(word)).then_some(UNFINISHED);
    let distance = (candidate.len().abs_diff(length) <= allowed)
        .then(|| strsim::osa_distance(word, candidate))
        // A short word that shares nothing with the candidate is another word, not a slip.
        .filter(|&distance| distance <= allowed && distance < length.max(1));
    distance.into_iter().chain(unfinished).min()
}
