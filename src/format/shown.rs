//! Text from images and servers, as far as a message may show it.

/// Characters of one name.
const NAME: usize = 100;

/// `text` where it is a name.
#[must_use]
pub fn name(text: impl AsRef<[u8]>) -> String {
    shown(text, NAME)
}

/// At most `most` characters of `text`, on one line: what drives a terminal or turns the direction
/// of reading could fake other output.
#[must_use]
pub fn shown(text: impl AsRef<[u8]>, most: usize) -> String {
    let text = String::from_utf8_lossy(text.as_ref());
    let mut shown = String::new();
    for c in text.chars().take(most) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            other => shown.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_short_and_harmless() {
        assert_eq!(shown("a'b\n\u{1b}[31m\u{202e}", 100), "a'b\\n\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(b"\xff", 1), "\u{fffd}");
        assert_eq!(name("x".repeat(101)), "x".repeat(100) + "…");
    }
}
