//! Labels that a container image asks for in its environment.
//!
//! Refuses to know: where the image came from. Its author chooses the text, so only what is a
//! legal label passes.

use std::collections::BTreeMap;

/// What a variable's name has when it asks for a label.
const MARK: &str = "KUBEVIRT_IO_";

/// The longest name and the longest value of a label, and the longest prefix, in bytes.
const LONGEST: usize = 63;
const LONGEST_PREFIX: usize = 253;

/// The labels that `env`, a list of `NAME=value`, asks for; the first of a name wins.
#[must_use]
pub fn labels<'a>(env: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, value) in env.into_iter().filter_map(|pair| pair.split_once('=')) {
        if let Some(key) = key(name).filter(|_| is_value(value)) {
            labels.entry(key).or_insert_with(|| value.to_owned());
        }
    }
    labels
}

/// `TEST_KUBEVIRT_IO_SOME_NAME` is `test.kubevirt.io/some-name`.
fn key(variable: &str) -> Option<String> {
    let (before, after) = variable.split_once(MARK)?;
    let before = before.strip_suffix('_').unwrap_or(before).replace('_', ".").to_ascii_lowercase();
    let prefix = if before.is_empty() { "kubevirt.io".to_owned() } else { format!("{before}.kubevirt.io") };
    let name = after.replace('_', "-").to_ascii_lowercase();
    (is_domain(&prefix) && is_name(&name)).then(|| format!("{prefix}/{name}"))
}

fn is_domain(text: &str) -> bool {
    let label = |part: &str| {
        let inner =
            part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= LONGEST_PREFIX && text.split('.').all(label)
}

fn is_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    inner && text.len() <= LONGEST && text.starts_with(ends) && text.ends_with(ends)
}

fn is_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_turn_into_labels() {
        for (variable, label) in [
            ("KUBEVIRT_IO_TEST", Some("kubevirt.io/test")),
            ("TEST_TEST_KUBEVIRT_IO_TEST_TEST", Some("test.test.kubevirt.io/test-test")),
            (
                "INSTANCETYPE_KUBEVIRT_IO_DEFAULT_INSTANCETYPE",
                Some("instancetype.kubevirt.io/default-instancetype"),
            ),
            ("KUBEVIRT_IO_", None),
            ("KUBEVIRT_IO__A", None),
            ("A__KUBEVIRT_IO_B", None),
            ("A/B_KUBEVIRT_IO_C", None),
            ("PATH", None),
        ] {
            assert_eq!(key(variable).as_deref(), label, "{variable}");
        }
        assert_eq!(key(&format!("KUBEVIRT_IO_{}", "A".repeat(64))), None);
    }

    #[test]
    fn only_legal_values_pass_and_the_first_of_a_name_wins() {
        let long = format!("KUBEVIRT_IO_LONG={}", "x".repeat(64));
        let env = [
            "KUBEVIRT_IO_A=u1.medium",
            "KUBEVIRT_IO_A=second",
            "KUBEVIRT_IO_EMPTY=",
            "KUBEVIRT_IO_BAD=a b",
            "KUBEVIRT_IO_QUOTE=\"",
            "KUBEVIRT_IO_NONE",
            "OTHER=x",
            &long,
        ];
        let found: Vec<_> = labels(env).into_iter().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(found, [pair("kubevirt.io/a", "u1.medium"), pair("kubevirt.io/empty", "")]);
    }
}
