//! "Did you mean …?"

/// Largest edit distance, as a share of the word's length, that still counts as a slip.
const SLIP: f64 = 0.4;

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(d, c)| *d as f64 <= (SLIP * word.len().max(c.len()) as f64).max(1.0))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// The end of a message about an unknown `word`: a suggestion, or the list.
pub fn hint(word: &str, expected: &[&str]) -> String {
    match nearest(word, expected.iter().copied()) {
        Some(near) => format!("; did you mean {near}?"),
        None if expected.is_empty() => "; no keys are expected here".to_string(),
        None => format!("; expected one of: {}", expected.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_others_not() {
        let keys = ["width", "name", "branches"];
        assert_eq!(nearest("widht", keys), Some("width"));
        assert_eq!(nearest("branch", keys), Some("branches"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(hint("colour", &keys), "; expected one of: width, name, branches");
    }
}
