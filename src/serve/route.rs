//! From a method and a path to what is wanted.
//!
//! Refuses to know: who asks, and whether it can be had now.

use hyper::{HeaderMap, Method};

/// The header that says that the body is no image.
const CONTENT_TYPE: &str = "x-cdi-content-type";

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Whether the server is there.
    Health,
    /// Whether the server knows the asynchronous paths.
    Probe,
    /// To upload.
    Upload(Upload),
    /// Nothing that is here.
    Unknown,
}

/// The kinds of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    /// How the content lies in the body.
    pub(super) framing: Framing,
    /// When the client wants its answer.
    pub(super) answer: Answer,
    /// What the path says of the content.
    pub(super) content: Content,
}

/// How the content lies in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It is the body.
    Whole,
    /// It is the first part named `file` of a form.
    Form,
}

/// When the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// When everything is done.
    Finished,
    /// As soon as the image has arrived and is valid.
    Received,
}

/// What a path says of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A disk image.
    Image,
    /// A tar archive.
    Archive,
}

/// What an upload brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A disk image.
    Image,
    /// A tar archive for a directory.
    Archive,
    /// A device's bytes from a clone source.
    BlockClone,
    /// A file system's tar from a clone source.
    FilesystemClone,
}

impl Route {
    /// What `method` wants of `path`, which has no query.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        if path == "/healthz" {
            return Self::Health;
        }
        let Some(upload) = upload(path) else { return Self::Unknown };
        match (method, upload.answer) {
            (&Method::POST, _) => Self::Upload(upload),
            (&Method::HEAD, Answer::Received) => Self::Probe,
            _ => Self::Unknown,
        }
    }
}

fn upload(path: &str) -> Option<Upload> {
    let name = path.strip_prefix("/v1beta1/").or_else(|| path.strip_prefix("/v1alpha1/"))?;
    let (framing, answer, content) = match name {
        "upload" => (Framing::Whole, Answer::Finished, Content::Image),
        "upload-async" => (Framing::Whole, Answer::Received, Content::Image),
        "upload-archive" => (Framing::Whole, Answer::Finished, Content::Archive),
        "upload-form" => (Framing::Form, Answer::Finished, Content::Image),
        "upload-form-async" => (Framing::Form, Answer::Received, Content::Image),
        _ => return None,
    };
    Some(Upload { framing, answer, content })
}

impl Payload {
    /// What an upload with `headers` brings.
    pub(super) fn of(upload: Upload, headers: &HeaderMap) -> Self {
        match headers.get(CONTENT_TYPE).map(hyper::header::HeaderValue::as_bytes) {
            Some(b"blockdevice-clone") => Self::BlockClone,
            Some(b"filesystem-clone") => Self::FilesystemClone,
            _ if upload.content == Content::Archive => Self::Archive,
            _ => Self::Image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact_in_both_versions() {
        let names = ["upload", "upload-async", "upload-archive", "upload-form", "upload-form-async"];
        for version in ["v1beta1", "v1alpha1"] {
            for name in names {
                let path = format!("/{version}/{name}");
                let Route::Upload(upload) = Route::of(&Method::POST, &path) else { panic!("{path}") };
                assert_eq!(upload.framing == Framing::Form, name.contains("form"));
                assert_eq!(upload.answer == Answer::Received, name.ends_with("-async"));
                assert_eq!(upload.content == Content::Archive, name == "upload-archive");
                let head = if name.ends_with("-async") { Route::Probe } else { Route::Unknown };
                assert_eq!(Route::of(&Method::HEAD, &path), head, "{path}");
                for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
                    assert_eq!(Route::of(&method, &path), Route::Unknown, "{method} {path}");
                }
            }
        }
        for path in ["/", "/upload", "/v1beta1/upload/", "/v1beta1/Upload", "/v1beta2/upload", "/healthz/"] {
            assert_eq!(Route::of(&Method::POST, path), Route::Unknown, "{path}");
        }
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(Route::of(&method, "/healthz"), Route::Health);
        }
    }

    #[test]
    fn a_header_tells_clones_from_images() {
        let Some(image) = upload("/v1beta1/upload") else { panic!("no route") };
        let archive = Upload { content: Content::Archive, ..image };
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(value));
            headers
        };
        assert_eq!(Payload::of(image, &HeaderMap::new()), Payload::Image);
        assert_eq!(Payload::of(archive, &HeaderMap::new()), Payload::Archive);
        assert_eq!(Payload::of(image, &headers("kubevirt")), Payload::Image);
        assert_eq!(Payload::of(image, &headers("blockdevice-clone")), Payload::BlockClone);
        assert_eq!(Payload::of(archive, &headers("filesystem-clone")), Payload::FilesystemClone);
    }
}
