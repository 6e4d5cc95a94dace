//! The patterns of `GetTables` and `GetDbSchemas`: `%` any text, `_` any character, `\` takes the
//! next character as it is.

/// A pattern ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The pattern as written: a name equal to it comes first, because clients that ask for one
    /// table send its name unescaped.
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    AnyCharacter,
    AnyText,
}

impl Pattern {
    /// Reads a pattern; none matches everything.
    pub(super) fn new(text: Option<&str>) -> Self {
        let text = text.unwrap_or("%").to_owned();
        let mut parts = Vec::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '%' => Part::AnyText,
                '_' => Part::AnyCharacter,
                // A trailing backslash means itself.
                '\\' => Part::Character(characters.next().unwrap_or('\\')),
                other => Part::Character(other),
            });
        }
        parts.dedup_by(|next, previous| (*next, *previous) == (Part::AnyText, Part::AnyText));
        Self { text, parts }
    }

    /// Whether `name` is what the pattern literally says.
    pub(super) fn is_exactly(&self, name: &str) -> bool {
        self.text == name
    }

    /// Whether `name` matches the whole pattern. Linear in the pattern for each `%`, never
    /// exponential.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at_name, mut at_part) = (0, 0);
        // Where to go on after the last `%` when what followed it did not match.
        let mut resume: Option<(usize, usize)> = None;
        while at_name < name.len() {
            match self.parts.get(at_part) {
                Some(Part::AnyText) => {
                    resume = Some((at_name, at_part + 1));
                    at_part += 1;
                    continue;
                }
                Some(Part::AnyCharacter) => {}
                Some(Part::Character(character)) if *character == name[at_name] => {}
                _ => {
                    let Some((tried, after)) = resume else {
                        return false;
                    };
                    resume = Some((tried + 1, after));
                    (at_name, at_part) = (tried + 1, after);
                    continue;
                }
            }
            at_name += 1;
            at_part += 1;
        }
        self.parts[at_part..]
            .iter()
            .all(|part| *part == Part::AnyText)
    }
}

#[cfg(test)]
mod tests;
