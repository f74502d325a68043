//! Files that options name: passwords and headers, read once and kept secret.
//!
//! Refuses to know: where they are sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::options::NetworkOptions;
use super::secret::{Credentials, Secret};
use crate::error::{Classify, Kind};

/// The largest file of secrets or certificates in bytes; a device must not be read for ever.
const MOST: u64 = 16 << 20;

/// Headers that the program sets by itself, where another value would make answers unreadable.
const OURS: [&str; 7] =
    ["accept-encoding", "connection", "content-length", "if-range", "range", "te", "transfer-encoding"];

/// An option that cannot be obeyed. The words never hold what a file holds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// A file or directory that cannot be read.
    #[error("{option} {path}: it cannot be read")]
    Unreadable {
        /// The option that names it.
        option: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{option} {path}: {why}")]
    Content {
        /// The option that names it.
        option: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A header, given as an option, that is none. It may be all value, and is not repeated.
    #[error("--header, the {}: {why}", nth(*number))]
    Header {
        /// Which of them, from 1 on.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// A password for nobody.
    #[error("--password-file needs --username, or a user in the URL")]
    NoUser,
    /// Two ways to prove who asks.
    #[error("an Authorization header and a user are both given; give one of them")]
    TwoProofs,
    /// A proxy that cannot be used; its URL may hold a password and is not repeated.
    #[error("the variable {variable} names no proxy that can be used: {why}")]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

impl Classify for SettingError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// The user's name and password; what options say wins over what stood in the URL.
///
/// # Errors
/// [`SettingError`] for a password file that cannot be read, or without a user.
pub(crate) fn credentials(
    options: &NetworkOptions,
    in_url: Option<Credentials>,
) -> Result<Option<Credentials>, SettingError> {
    let file = options.password_file.as_deref().map(password).transpose()?;
    let password = file.or_else(|| options.password.clone());
    let (url_user, url_password) = in_url.map_or((None, None), |given| (Some(given.user), given.password));
    match options.username.clone() {
        Some(user) => Ok(Some(Credentials { user, password: password.or(url_password) })),
        None => match url_user {
            Some(user) => Ok(Some(Credentials { user, password: password.or(url_password) })),
            None if options.password_file.is_some() => Err(SettingError::NoUser),
            None => Ok(None),
        },
    }
}

/// Every header that the user wants on requests to the source's origin, marked as sensitive.
///
/// # Errors
/// [`SettingError`] for one that is no header, or that the program sets by itself.
pub(crate) fn headers(options: &NetworkOptions) -> Result<HeaderMap, SettingError> {
    let mut headers = HeaderMap::new();
    for (number, text) in (1..).zip(&options.headers) {
        add(&mut headers, text.reveal()).map_err(|why| SettingError::Header { number, why })?;
    }
    for path in &options.header_files {
        let option = "--header-file";
        let content = |why| SettingError::Content { option, path: path.clone(), why };
        let bytes = read(option, path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| content("it is no text".to_owned()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            add(&mut headers, line).map_err(|why| content(format!("line {}: {why}", number + 1)))?;
        }
    }
    Ok(headers)
}

/// The bytes of the file at `path`, which `option` names.
///
/// # Errors
/// [`SettingError`] when it cannot be read or is too large for what it should be.
pub(crate) fn read(option: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SettingError> {
    let unreadable = |cause| SettingError::Unreadable { option, path: path.to_owned(), cause };
    let file = File::open(path).map_err(unreadable)?;
    let len = file.metadata().map_err(unreadable)?.len().min(MOST);
    // Room enough from the start: what grows leaves copies of itself behind.
    let room = usize::try_from(len).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= MOST) {
        return Ok(bytes);
    }
    let why = format!("it has more than {MOST} bytes");
    Err(SettingError::Content { option, path: path.to_owned(), why })
}

/// `1st`, `2nd` and so on, as far as anybody has so many headers.
fn nth(number: usize) -> String {
    match number {
        1 => "1st".to_owned(),
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        other => format!("{other}th"),
    }
}

fn password(path: &Path) -> Result<Secret, SettingError> {
    let option = "--password-file";
    let content = |why: &str| SettingError::Content { option, path: path.to_owned(), why: why.to_owned() };
    let bytes = read(option, path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| content("it is no text"))?;
    // Editors end the last line, and people do not see it.
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.contains(char::is_control) {
        return Err(content("the password has more than one line, or a control character"));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Adds the header that `line` is. The words of an error hold nothing of its value.
fn add(headers: &mut HeaderMap, line: &str) -> Result<(), String> {
    let (name, value) = line.split_once(':').ok_or("a header is a name, a colon and a value")?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the name before the colon is none")?;
    if OURS.contains(&name.as_str()) {
        return Err(format!("the header {name} is set by the program itself"));
    }
    let mut value = HeaderValue::from_str(value.trim_matches([' ', '\t']))
        .map_err(|_| format!("the value of {name} has a control character"))?;
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_password_is_a_line_of_which_the_end_does_not_count() {
        for (content, password) in
            [("a b\n", "a b"), ("a\r\n", "a"), ("a", "a"), ("\n", ""), ("", ""), (" a ", " a ")]
        {
            let file = file(content.as_bytes());
            assert_eq!(super::password(file.path()).unwrap().reveal(), password);
        }
        for content in [&b"a\n\n"[..], b"a\nb", b"a\x00", b"\xff"] {
            let error = super::password(file(content).path()).err().unwrap().to_string();
            assert!(error.contains("--password-file"), "{error}");
        }
    }

    #[test]
    fn options_win_over_the_url() {
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        let in_url = || Some(Credentials { user: "url".to_owned(), password: secret("in-url") });
        let said = |username: Option<&str>, password, in_url| {
            let username = username.map(str::to_owned);
            let options = NetworkOptions { username, password, ..NetworkOptions::default() };
            let given = credentials(&options, in_url).unwrap()?;
            Some((given.user, given.password.map(|password| password.reveal().to_owned())))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), Some(password.to_owned())));
        assert_eq!(said(None, None, in_url()), pair("url", "in-url"));
        assert_eq!(said(None, secret("p"), in_url()), pair("url", "p"));
        assert_eq!(said(Some("u"), secret("p"), in_url()), pair("u", "p"));
        assert_eq!(said(Some("u"), None, None), Some(("u".to_owned(), None)));
        assert_eq!(said(None, secret("p"), None), None);
        let lonely = NetworkOptions { password_file: Some(file(b"x").path().into()), ..Default::default() };
        assert!(credentials(&lonely, None).is_err());
    }

    #[test]
    fn headers_come_from_options_and_files() {
        let file = file(b"X-Secret: s3 cret\r\n\nx-other:1\n");
        let options = NetworkOptions {
            headers: vec![Secret::new("X-Plain:  yes ".to_owned())],
            header_files: vec![file.path().to_owned()],
            ..NetworkOptions::default()
        };
        let headers = headers(&options).unwrap();
        for (name, value) in [("x-plain", "yes"), ("x-secret", "s3 cret"), ("x-other", "1")] {
            assert_eq!(headers.get(name).unwrap(), value);
            assert!(headers.get(name).unwrap().is_sensitive());
        }
    }

    #[test]
    fn what_is_no_header_is_refused_without_its_value() {
        for (line, words) in [
            ("secret", "a name, a colon and a value"),
            (": secret", "is none"),
            ("a b: secret", "is none"),
            ("range: secret", "set by the program"),
            ("Transfer-Encoding: secret", "set by the program"),
            ("x: secret\u{1}", "control character"),
            ("x: secret\r", "control character"),
        ] {
            let error = add(&mut HeaderMap::new(), line).unwrap_err();
            assert!(error.contains(words) && !error.contains("secret"), "{error}");
            let given = NetworkOptions { headers: vec![Secret::new(line.to_owned())], ..Default::default() };
            let error = headers(&given).unwrap_err().to_string();
            assert!(error.starts_with("--header, the 1st: ") && !error.contains("secret"), "{error}");
            let file = file(format!("\n{line}\n\n").as_bytes());
            let options =
                NetworkOptions { header_files: vec![file.path().to_owned()], ..NetworkOptions::default() };
            match headers(&options) {
                Err(error) => assert!(error.to_string().contains("line 2"), "{error}"),
                // A line of a file may end as Windows ends lines.
                Ok(_) => assert!(line.ends_with('\r')),
            }
        }
    }
}
