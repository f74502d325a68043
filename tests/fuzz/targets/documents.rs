//! A registry's documents, and references to images.
#![no_main]

use diskpour::error::Kind;
use diskpour::fuzzing::{configuration, manifest, reference};
use libfuzzer_sys::fuzz_target;

const MEDIA: [Option<&str>; 5] = [
    None,
    Some("application/vnd.oci.image.index.v1+json"),
    Some("application/vnd.oci.image.manifest.v1+json"),
    Some("application/vnd.docker.distribution.manifest.v2+json"),
    Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
];

fuzz_target!(|bytes: &[u8]| {
    let plain = manifest(bytes, None);
    for media in MEDIA {
        match (manifest(bytes, media), &plain) {
            (Ok(found), Ok(other)) => assert_eq!(found, *other),
            (Ok(_), Err(error)) => panic!("a media type makes it good: {error:?}"),
            (Err(error), _) => {
                assert!(matches!(error.kind(), Kind::Image | Kind::Refused), "a strange error: {error:?}");
                assert!(error.to_string().len() < 4096, "{error}");
            }
        }
    }
    if let Err(error) = configuration(bytes) {
        assert!(error.to_string().len() < 4096, "{error}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(full) = reference(text) {
        assert_eq!(reference(&full).unwrap(), full, "{text}");
    }
});
