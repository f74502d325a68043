//! `WWW-Authenticate`: how a registry wants to be asked.
//!
//! Refuses to know: what to do about it.

/// Bytes of all challenges together; more are not looked at.
const MOST_BYTES: usize = 16 << 10;

/// Challenges and parameters of one answer.
const MOST_PARTS: usize = 64;

/// One way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case.
    pub(super) scheme: String,
    /// Names in lower case, and values.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The first value of the parameter `name`.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges in the header values `texts`; what follows a mistake in one of them is dropped.
pub(super) fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found = Vec::new();
    let (mut bytes, mut parts) = (MOST_BYTES, MOST_PARTS);
    for text in texts {
        let Some(left) = bytes.checked_sub(text.len()) else { break };
        bytes = left;
        let mut rest = Rest(text);
        let from = found.len();
        while parts > 0 && part(&mut rest, &mut found, from).is_some() {
            parts = parts.saturating_sub(1);
        }
    }
    found
}

/// Takes one scheme or one parameter off `rest`.
fn part(rest: &mut Rest<'_>, found: &mut Vec<Challenge>, from: usize) -> Option<()> {
    rest.skip(|c| matches!(c, ' ' | '\t' | ','));
    let word = rest.token()?;
    if rest.is_value() {
        let value = rest.value()?;
        // A parameter belongs to a challenge of the same header.
        let last = found.get_mut(from..)?.last_mut()?;
        last.params.push((word.to_ascii_lowercase(), value));
        return Some(());
    }
    if !rest.0.is_empty() && !rest.0.starts_with([' ', '\t', ',']) {
        return None;
    }
    rest.skip_token68();
    found.push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() });
    Some(())
}

/// What was not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, which: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(which);
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Whether `=` and a value follow, perhaps behind blanks.
    fn is_value(&self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']).strip_prefix('=');
        rest.is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(|c| c == '"' || is_token(c)))
    }

    fn value(&mut self) -> Option<String> {
        self.skip(|c| matches!(c, ' ' | '\t'));
        self.0 = self.0.strip_prefix('=')?;
        self.skip(|c| matches!(c, ' ' | '\t'));
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(str::to_owned) };
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                other => value.push(other),
            }
        }
        self.0 = chars.as_str();
        Some(value)
    }

    /// Passes over what some schemes have in place of parameters.
    fn skip_token68(&mut self) {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c))).unwrap_or(rest.len());
        let Some((_, behind)) = rest.split_at_checked(end).filter(|(token, _)| !token.is_empty()) else {
            return;
        };
        let behind = behind.trim_start_matches('=');
        let after = behind.trim_start_matches([' ', '\t']);
        if after.is_empty() || after.starts_with(',') {
            self.0 = behind;
        }
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    /// Each challenge as `scheme key=value key=value`.
    fn read(texts: &[&str]) -> Vec<String> {
        let line = |challenge: Challenge| {
            let params = challenge.params.iter().map(|(key, value)| format!(" {key}={value}"));
            challenge.scheme.clone() + &params.collect::<String>()
        };
        parse(texts.iter().copied()).into_iter().map(line).collect()
    }

    #[test]
    fn challenges_are_read_as_servers_write_them() {
        let table: [(&[&str], &[&str]); 12] = [
            (&[r#"Basic realm="a b""#], &["basic realm=a b"]),
            (
                &[r#"Bearer realm="https://a.b/t",service="s",scope="repository:x/y:pull,push""#],
                &["bearer realm=https://a.b/t service=s scope=repository:x/y:pull,push"],
            ),
            (&[r#"Bearer realm="x" , Basic realm="y""#], &["bearer realm=x", "basic realm=y"]),
            (&[r#"Bearer realm="x""#, r#"BASIC Realm=y"#], &["bearer realm=x", "basic realm=y"]),
            (&["Negotiate", "Bearer realm=x"], &["negotiate", "bearer realm=x"]),
            (&["Negotiate, Basic realm=y"], &["negotiate", "basic realm=y"]),
            (&["Negotiate abc+/==, Basic realm=y"], &["negotiate", "basic realm=y"]),
            (&[r#"Bearer realm = "x\"\\y", error=z"#], &[r#"bearer realm=x"\y error=z"#]),
            (&[",, Basic realm=y,, ,"], &["basic realm=y"]),
            (&[r#"Bearer realm="open"#, "Basic realm=y"], &["bearer", "basic realm=y"]),
            (&["realm=x", "", "@"], &[]),
            (&["Basic", "realm=x"], &["basic"]),
        ];
        for (texts, expected) in table {
            assert_eq!(read(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let many = "Basic a=b, ".repeat(1000);
        assert_eq!(parse([many.as_str()]).len(), MOST_PARTS / 2);
        let long = format!("Basic a=\"{}\"", "x".repeat(MOST_BYTES));
        assert!(parse([long.as_str(), "Basic"]).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_an_end(text in any::<String>(), more in r#"[Ba =",\\]{0,40}"#) {
            let found = parse([text.as_str(), more.as_str()]);
            assert!(found.iter().all(|challenge| !challenge.scheme.is_empty()));
        }

        #[test]
        fn quoted_values_come_back_as_they_were(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = parse([format!("Bearer realm=\"{quoted}\", service=x").as_str()]);
            assert_eq!(found[0].param("realm"), Some(value.as_str()));
            assert_eq!(found[0].param("service"), Some("x"));
        }
    }
}
