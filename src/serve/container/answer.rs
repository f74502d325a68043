//! From a request to its answer: the image, whole or in part, and what the environment says.
//!
//! Refuses to know: other files. A path is compared, and never opened.

use std::io;
use std::os::unix::ffi::OsStrExt;

use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_RANGE, LAST_MODIFIED, RANGE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;

use super::content::Content;
use super::entry::{Entry, tag};
use super::range::{Wanted, wanted};

/// What can be fetched.
pub(super) struct Shelf {
    entry: Entry,
    info: String,
}

#[derive(Serialize)]
struct Info<'a> {
    env: &'a [String],
}

impl Shelf {
    /// The image `entry`, and the variables of the environment.
    pub(super) fn new(entry: Entry, environment: &[String]) -> Self {
        // Texts cannot fail to be written.
        let info = serde_json::to_string(&Info { env: environment }).unwrap_or_default();
        Self { entry, info }
    }
}

/// The answer to `request`, whose body is not read.
pub(super) fn answer<B>(shelf: &Shelf, request: &Request<B>) -> Response<Content> {
    let (method, path) = (request.method(), request.uri().path());
    let mut answer = if method != Method::GET && method != Method::HEAD {
        let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        answer
    } else if path == "/info" {
        let mut answer = said(StatusCode::OK, &shelf.info);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    } else if names(path, shelf.entry.name().as_bytes()) {
        image(&shelf.entry, method, request.headers()).unwrap_or_else(|error| {
            tracing::error!("the image cannot be read: {error}");
            said(StatusCode::INTERNAL_SERVER_ERROR, "the image cannot be read\n")
        })
    } else {
        said(StatusCode::NOT_FOUND, "there is nothing here\n")
    };
    if method == Method::HEAD {
        *answer.body_mut() = Content::text("");
    }
    answer
}

/// The image, or the part of it that `headers` ask for.
fn image(entry: &Entry, method: &Method, headers: &HeaderMap) -> io::Result<Response<Content>> {
    let facts = entry.facts()?;
    let (len, tag) = (facts.len(), tag(&facts));
    let modified = facts.modified().map(httpdate::fmt_http_date)?;
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let range = range.filter(|_| method == Method::GET && holds(headers.get(IF_RANGE), &tag, &modified));
    let asked = range.map_or(Wanted::Whole, |range| wanted(range, len));
    let (status, start, end) = match asked {
        Wanted::Whole => (StatusCode::OK, 0, len),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut answer = Response::new(Content::part(entry.file().clone(), start, end));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    match asked {
        Wanted::Whole => {}
        Wanted::Part(..) => {
            put(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{len}", end.saturating_sub(1)));
        }
        Wanted::Outside => put(headers, CONTENT_RANGE, &format!("bytes */{len}")),
    }
    put(headers, CONTENT_LENGTH, &end.saturating_sub(start).to_string());
    put(headers, CONTENT_TYPE, "application/octet-stream");
    put(headers, ACCEPT_RANGES, "bytes");
    put(headers, ETAG, &tag);
    put(headers, LAST_MODIFIED, &modified);
    Ok(answer)
}

/// Whether the file is still the one that `if_range` speaks of; without it nothing is asked.
fn holds(if_range: Option<&HeaderValue>, tag: &str, modified: &str) -> bool {
    if_range.is_none_or(|asked| asked == tag || asked == modified)
}

/// Whether `path` is that of the file `name`, percent-encoded or as it is.
fn names(path: &str, name: &[u8]) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    path.as_bytes() == name || decoded(path) == name
}

/// `path` with each `%` and two hexadecimal digits as the byte that they mean.
fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = byte.filter(|digits| !digits.starts_with('+'));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn said(status: StatusCode, text: &str) -> Response<Content> {
    let mut answer = Response::new(Content::text(text.to_owned()));
    *answer.status_mut() = status;
    put(answer.headers_mut(), CONTENT_LENGTH, &text.len().to_string());
    put(answer.headers_mut(), CONTENT_TYPE, "text/plain; charset=utf-8");
    answer
}

/// Sets the header `name`; what no header can hold is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http_body_util::BodyExt;

    use super::*;

    const NAME: &str = "my disk+1%.img";

    fn shelf(place: &Path) -> Shelf {
        let dir = place.join("disk");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(NAME), b"0123456789").unwrap();
        Shelf::new(Entry::find(place, &dir).unwrap(), &["A=1".to_owned(), "B=\"x\"=\n".to_owned()])
    }

    fn text(headers: &HeaderMap, name: HeaderName) -> &str {
        headers[name].to_str().unwrap()
    }

    /// Status, headers and body of an answer to `method` and `path` with `headers`.
    fn asked(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> (u16, HeaderMap, String) {
        let place = tempfile::tempdir().unwrap();
        let shelf = shelf(place.path());
        let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
        for (name, value) in headers {
            // The tag is known only now.
            let value = value.replace("TAG", &tag(&shelf.entry.facts().unwrap()));
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = answer(&shelf, &request);
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(answer.into_body().collect()).unwrap().to_bytes();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_one_file_has_one_path_and_nothing_else_has_any() {
        for path in ["/my%20disk+1%.img", "/my%20disk%2B1%25.img", "/m%79%20disk+1%.img?x=y"] {
            let (status, headers, body) = asked(Method::GET, path, &[]);
            assert_eq!((status, body.as_str()), (200, "0123456789"), "{path}");
            assert_eq!((text(&headers, CONTENT_LENGTH), text(&headers, ACCEPT_RANGES)), ("10", "bytes"));
        }
        for path in ["/", "/disk", "/my", "/../my%20disk+1%.img", "/%2e%2e/etc/passwd", "//my%20disk+1%.img"]
        {
            assert_eq!(asked(Method::GET, path, &[]).0, 404, "{path}");
        }
        let (status, headers, _) = asked(Method::POST, "/info", &[]);
        assert_eq!((status, text(&headers, ALLOW)), (405, "GET, HEAD"));
    }

    #[test]
    fn the_environment_is_json() {
        let (status, headers, body) = asked(Method::GET, "/info", &[]);
        assert_eq!((status, text(&headers, CONTENT_TYPE)), (200, "application/json"));
        assert_eq!(body, r#"{"env":["A=1","B=\"x\"=\n"]}"#);
    }

    #[test]
    fn a_part_is_given_where_the_file_is_still_the_same() {
        let path = "/my%20disk+1%.img";
        let range = |headers: &[(HeaderName, &str)]| asked(Method::GET, path, headers);
        let (status, headers, body) = range(&[(RANGE, "bytes=2-4")]);
        assert_eq!((status, body.as_str()), (206, "234"));
        assert_eq!((text(&headers, CONTENT_RANGE), text(&headers, CONTENT_LENGTH)), ("bytes 2-4/10", "3"));
        assert!(text(&headers, ETAG).starts_with('"'));
        assert_eq!(range(&[(RANGE, "bytes=-2"), (IF_RANGE, "TAG")]).2, "89");
        assert_eq!(range(&[(RANGE, "bytes=-2"), (IF_RANGE, "\"other\"")]).2, "0123456789");
        assert_eq!(range(&[(RANGE, "bytes=-2"), (IF_RANGE, "W/TAG")]).2, "0123456789");
        let (status, headers, body) = range(&[(RANGE, "bytes=10-")]);
        assert_eq!((status, text(&headers, CONTENT_RANGE), body.as_str()), (416, "bytes */10", ""));
    }

    #[test]
    fn a_head_says_what_a_get_would_and_brings_nothing() {
        let (status, headers, body) = asked(Method::HEAD, "/my%20disk+1%.img", &[(RANGE, "bytes=0-1")]);
        assert_eq!((status, text(&headers, CONTENT_LENGTH), body.as_str()), (200, "10", ""));
        assert!(headers.contains_key(LAST_MODIFIED) && headers.contains_key(ETAG));
        assert_eq!(asked(Method::HEAD, "/info", &[]).2, "");
    }

    #[test]
    fn a_file_that_becomes_shorter_breaks_the_answer() {
        let place = tempfile::tempdir().unwrap();
        let shelf = shelf(place.path());
        let answer = answer(&shelf, &Request::get("/my%20disk+1%.img").body(()).unwrap());
        let file = std::fs::File::options().write(true).open(place.path().join("disk").join(NAME));
        file.unwrap().set_len(3).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(answer.into_body().collect()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
