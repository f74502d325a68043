//! Secrets that stand in URLs, taken out before people or logs see them.

/// What stands where a secret was.
const HIDDEN: &str = "***";

/// What begins a URL in which a slash is missing.
const SCHEMES: [&str; 3] = ["http:", "https:", "docker:"];

/// `text` without the user names, passwords and query strings of the URLs in it.
#[must_use]
pub fn urls(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(url).collect()
}

/// `url` as a whole without its secrets, even where it holds spaces; other text stays as it is.
#[must_use]
pub fn url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return meant(url) };
    let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password with a bare slash in it makes no valid URL, and is still a secret.
    let suspect = authority.contains('@') || !is_host(authority);
    let host = rest.rfind('@').filter(|_| suspect).map(|at| rest.split_at(at).1);
    let (user, rest) = host.map_or(("", rest), |host| (HIDDEN, host));
    let Some((path, query)) = rest.split_once('?') else { return format!("{scheme}://{user}{rest}") };
    format!("{scheme}://{user}{path}?{HIDDEN}{}", behind(query))
}

/// The signs that follow a URL with `query` in a sentence, and belong to that; a query may hold them too.
fn behind(query: &str) -> &str {
    let sentence = |c: char| c.is_whitespace() || "'\"`),:;".contains(c);
    let end = query.trim_end_matches(sentence).len();
    query.split_at(end).1
}

/// `text` without its secrets where it was meant to be a URL, as in `http:/user:password@host`.
fn meant(text: &str) -> String {
    let front = SCHEMES.into_iter().find_map(|scheme| Some((text.find(scheme)?, scheme)));
    let Some((at, scheme)) = front else { return text.to_owned() };
    let (front, rest) = text.split_at(at.saturating_add(scheme.len()));
    let rest =
        rest.rfind('@').map_or_else(|| rest.to_owned(), |at| format!("{HIDDEN}{}", rest.split_at(at).1));
    match rest.split_once('?') {
        Some((path, query)) => format!("{front}{path}?{HIDDEN}{}", behind(query)),
        None => format!("{front}{rest}"),
    }
}

/// Whether `authority` can be a host with a port, so that nothing in it is a secret.
fn is_host(authority: &str) -> bool {
    match authority.rsplit_once(':') {
        Some((_, port)) => port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let table = [
            ("plain text, a@b.example", "plain text, a@b.example"),
            ("http://host/disk@v2.img", "http://host/disk@v2.img"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://host:8080: refused", "http://host:8080: refused"),
            ("no 'https://u:s3cr3t@host/x' there", "no 'https://***@host/x' there"),
            ("https://s3cr3t@host:1/x", "https://***@host:1/x"),
            ("https://u:s3/cr3t@host/x", "https://***@host/x"),
            ("https://u:s3?cr3t@host/x", "https://***@host/x"),
            ("https://u:s3#cr@3t@host/x", "https://***@host/x"),
            ("https://host/x?sig=s3cr3t", "https://host/x?***"),
            ("https://host/x?a='s3'&sig=s3)cr3t, no", "https://host/x?***, no"),
            ("(http:/u:s3cr3t@host/x) is", "(http:***@host/x) is"),
            ("https:u:s3cr3t@host/x?sig=s3cr3t", "https:***@host/x?***"),
            ("http:/u:s3cr3t@host/x?sig=s3cr3t: no", "http:***@host/x?***: no"),
            ("docker:/u:s3cr3t@host/x", "docker:***@host/x"),
            ("http: no", "http: no"),
            ("`https://u:s3cr3t@host/x?sig=s3cr3t` is two\nlines", "`https://***@host/x?***` is two\nlines"),
            ("http://host/x?sig=s3cr3t\tand a@b", "http://host/x?***\tand a@b"),
            ("a http://u:s3cr3t@a/ and http://u:s3cr3t@b/", "a http://***@a/ and http://***@b/"),
        ];
        for (text, public) in table {
            assert_eq!(urls(text), public);
        }
        assert_eq!(url("http://u:s3 cr3t@host/x"), "http://***@host/x");
    }
}
