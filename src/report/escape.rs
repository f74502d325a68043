//! Text from outside that must not drive a terminal.

/// `text` on one line, without characters that move a cursor or turn the reading direction.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Marks that reorder text, or break lines without being control characters.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(escaped("plain, ünd mehr"), "plain, ünd mehr");
        assert_eq!(escaped("a\nb\r\t\u{1b}[2J\u{9b}x"), "a\\nb\\r\\t\\u{1b}[2J\\u{9b}x");
        assert_eq!(escaped("exe\u{202e}gpj"), "exe\\u{202e}gpj");
    }
}
