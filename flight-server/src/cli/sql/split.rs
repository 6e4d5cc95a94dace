//! Where one statement ends and the next begins.
//!
//! Knows quotes, comments and dollar quotes, so that a `;` inside them ends nothing; knows no SQL.

#[cfg(test)]
mod tests;

/// The statements of a script without their semicolons; empty ones are left out.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let scan = scan(rest);
        let end = scan.end.unwrap_or(rest.len());
        if scan.has_content {
            found.push(rest[..end].trim().to_owned());
        }
        match scan.end {
            Some(end) => rest = &rest[end + 1..],
            None => return found,
        }
    }
}

/// Whether typed text can be run: it has a `;` outside quotes after its last statement.
pub(crate) fn is_complete(text: &str) -> bool {
    let mut rest = text;
    loop {
        let scan = scan(rest);
        match scan.end {
            Some(end) => rest = &rest[end + 1..],
            None => return !scan.has_content && !scan.is_open,
        }
    }
}

/// What lies before the next semicolon.
struct Scan {
    /// Where that semicolon is.
    end: Option<usize>,
    /// Something besides blanks and comments comes before it.
    has_content: bool,
    /// The text ends inside a quote or comment.
    is_open: bool,
}

fn scan(text: &str) -> Scan {
    let mut has_content = false;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, is_content) = match letter {
            ';' => {
                return Scan {
                    end: Some(at),
                    has_content,
                    is_open: false,
                };
            }
            '\'' | '"' | '`' => (quoted(rest, letter), true),
            '$' => (dollar_quoted(rest), true),
            '-' if rest.starts_with("--") => (rest.find('\n').or(Some(rest.len())), false),
            '/' if rest.starts_with("/*") => (block_comment(rest), false),
            _ => (Some(letter.len_utf8()), !letter.is_whitespace()),
        };
        has_content |= is_content;
        match length {
            Some(length) => at += length,
            None => {
                return Scan {
                    end: None,
                    has_content,
                    is_open: true,
                };
            }
        }
    }
    Scan {
        end: None,
        has_content,
        is_open: false,
    }
}

/// Length of a quote; a doubled one inside looks like two quotes side by side, which is as good.
fn quoted(text: &str, quote: char) -> Option<usize> {
    text[1..].find(quote).map(|end| end + 2)
}

/// Length of `$tag$ … $tag$`, or of a lone dollar sign such as in `$1`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let is_tag = |letter: char| letter == '_' || letter.is_alphanumeric();
    let Some(end) = text[1..].find(|letter| !is_tag(letter)) else {
        return Some(1);
    };
    let tag = &text[..end + 2];
    let starts_with_digit = text[1..].starts_with(|letter: char| letter.is_ascii_digit());
    if !tag.ends_with('$') || starts_with_digit {
        return Some(1);
    }
    text[tag.len()..].find(tag).map(|end| end + 2 * tag.len())
}

/// Length of a comment, which may hold others.
fn block_comment(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at + 1 < text.len() {
        match &text.as_bytes()[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}
