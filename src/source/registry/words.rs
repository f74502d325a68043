//! Text from images and registries, as far as a message may show it.

/// Characters of one name.
const MOST: usize = 100;

/// Names of a list.
pub(super) const MOST_NAMES: usize = 10;

/// `text` on one line, short, without what drives terminals.
pub(super) fn shown(text: impl AsRef<[u8]>) -> String {
    let text = String::from_utf8_lossy(text.as_ref());
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            other => shown.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// `names` with commas between them; those behind the tenth are counted only.
pub(super) fn list(names: &[String], total: usize) -> String {
    let some: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    match total.saturating_sub(some.len()) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_harmless() {
        assert_eq!(shown("a'b\n\u{1b}[31m\u{202e}"), "a'b\\n\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(b"\xff"), "\u{fffd}");
        assert_eq!(shown("x".repeat(101)).chars().count(), 101);
    }

    #[test]
    fn lists_end_at_ten() {
        let names: Vec<String> = (0..11).map(|at| at.to_string()).collect();
        assert_eq!(list(&names[..2], 2), "0, 1");
        assert_eq!(list(&names, 12), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
