//! For programs.

use super::Coverage;

/// As JSON: the sections with all their facts.
///
/// # Errors
/// None that can happen: the types have no maps with odd keys.
pub fn json(coverage: &Coverage) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(coverage)? + "\n")
}
