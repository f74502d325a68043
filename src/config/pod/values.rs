//! The values of a pod's variables, as Go reads them.

/// A Go bool: `1 t T TRUE true True 0 f F FALSE false False`, and nothing else.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bool_is_one_of_twelve_words() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(go_bool(text), Some(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(go_bool(text), Some(false));
        }
        for text in ["", "yes", "tRUE", " true", "2"] {
            assert_eq!(go_bool(text), None);
        }
    }
}
