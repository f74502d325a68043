//! Secrets that stand in URLs, taken out before people or logs see them.

/// What stands where a secret was.
const HIDDEN: &str = "***";

/// `text` without the user names, passwords and query strings of the URLs in it.
#[must_use]
pub fn urls(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(url).collect()
}

/// `url` as a whole without its secrets, even where it holds spaces; other text stays as it is.
#[must_use]
pub fn url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password with a bare slash in it makes no valid URL, and is still a secret.
    let suspect = authority.contains('@') || !is_host(authority);
    let host = rest.rfind('@').filter(|_| suspect).map(|at| rest.split_at(at).1);
    let (user, rest) = host.map_or(("", rest), |host| (HIDDEN, host));
    let Some((path, query)) = rest.split_once('?') else { return format!("{scheme}://{user}{rest}") };
    // Quotes that follow the URL in a sentence belong to the sentence.
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ')');
    let end = query.find(ends).unwrap_or(query.len());
    format!("{scheme}://{user}{path}?{HIDDEN}{}", query.split_at(end).1)
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
