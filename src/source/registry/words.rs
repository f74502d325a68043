//! Text from images and registries, as far as a message may show it.

pub(super) use crate::format::shown::name as shown;

/// Names of a list.
pub(super) const MOST_NAMES: usize = 10;

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
    fn lists_end_at_ten() {
        let names: Vec<String> = (0..11).map(|at| at.to_string()).collect();
        assert_eq!(list(&names[..2], 2), "0, 1");
        assert_eq!(list(&names, 12), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
