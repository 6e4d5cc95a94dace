//! Patterns of times: PostgreSQL's `YYYY-MM-DD HH24:MI:SS` as chrono's `%Y-%m-%d %H:%M:%S`.

#[cfg(test)]
mod tests;

/// Longer words first where one begins another.
const WORDS: [(&str, &str); 36] = [
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("FF3", "%3f"),
    ("FF6", "%6f"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("am", "%P"),
    ("pm", "%P"),
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("IYYY", "%G"),
    ("YY", "%y"),
    ("yy", "%y"),
    ("FMMonth", "%B"),
    ("FMDay", "%A"),
    ("FMMM", "%-m"),
    ("FMDD", "%-d"),
    ("Mon", "%b"),
    ("MM", "%m"),
    ("mm", "%m"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("Dy", "%a"),
    ("ID", "%u"),
    ("IW", "%V"),
    ("hh24", "%H"),
    ("mi", "%M"),
    ("ss", "%S"),
    ("TZ", "%Z"),
    ("OF", "%:z"),
];

/// The pattern in chrono's spelling; `None` if it is that already, or holds words that chrono has
/// nothing for, such as a month's name padded with blanks.
pub(crate) fn chrono_pattern(pattern: &str) -> Option<String> {
    if pattern.contains('%') {
        return None;
    }
    let mut ours = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    let mut words = 0;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (literal, after) = quoted.split_once('"')?;
            ours.push_str(literal);
            rest = after;
        } else if let Some((word, spelled)) = WORDS.iter().find(|(w, _)| rest.starts_with(w)) {
            ours.push_str(spelled);
            rest = &rest[word.len()..];
            words += 1;
        } else if first == 'T' || !first.is_alphabetic() {
            ours.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            return None;
        }
    }
    (words > 0).then_some(ours)
}
