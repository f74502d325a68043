//! Cipher suites by the names that people give them.

use rustls::{CipherSuite, SupportedCipherSuite};

/// The names of the suites that we have: OpenSSL's, IANA's, and Go's where it is another.
const NAMES: &[(CipherSuite, &[&str])] = &[
    (CipherSuite::TLS13_AES_256_GCM_SHA384, &["TLS_AES_256_GCM_SHA384"]),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, &["TLS_AES_128_GCM_SHA256"]),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, &["TLS_CHACHA20_POLY1305_SHA256"]),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        &["ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        &["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        &[
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        ],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        &["ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        &["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        &[
            "ECDHE-RSA-CHACHA20-POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        ],
    ),
];

/// What a list of names comes to.
pub(super) struct Chosen {
    /// The suites that the names stand for, in our order of preference.
    pub(super) suites: Vec<SupportedCipherSuite>,
    /// The names that stand for none of ours.
    pub(super) unknown: Vec<String>,
}

/// The suites of `all` that `names` stand for; all of them where there are no names.
pub(super) fn choose(all: &[SupportedCipherSuite], names: &[String]) -> Chosen {
    if names.is_empty() {
        return Chosen { suites: all.to_vec(), unknown: Vec::new() };
    }
    let unknown = names.iter().filter(|name| !NAMES.iter().any(|(_, ours)| is_one(name, ours)));
    let wanted = |suite: &SupportedCipherSuite| {
        let ours = NAMES.iter().find(|(id, _)| *id == suite.suite()).map(|(_, ours)| *ours);
        ours.is_some_and(|ours| names.iter().any(|name| is_one(name, ours)))
    };
    Chosen { suites: all.iter().copied().filter(wanted).collect(), unknown: unknown.cloned().collect() }
}

fn is_one(name: &str, ours: &[&str]) -> bool {
    ours.iter().any(|our| our.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &str) -> Chosen {
        let names: Vec<String> =
            names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        choose(&rustls::crypto::ring::default_provider().cipher_suites, &names)
    }

    #[test]
    fn every_suite_that_we_have_has_names() {
        for suite in rustls::crypto::ring::default_provider().cipher_suites {
            assert!(NAMES.iter().any(|(id, _)| *id == suite.suite()), "{suite:?}");
        }
        assert_eq!(chosen("").suites.len(), NAMES.len());
    }

    #[test]
    fn both_styles_of_names_are_known_and_others_are_told() {
        let both = chosen(
            "ECDHE-RSA-AES128-GCM-SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,AES128-SHA,\
             tls_aes_128_gcm_sha256",
        );
        let ids: Vec<CipherSuite> = both.suites.iter().map(SupportedCipherSuite::suite).collect();
        assert_eq!(
            ids,
            [
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ]
        );
        assert_eq!(both.unknown, ["AES128-SHA"]);
        assert!(chosen("RC4-MD5").suites.is_empty());
    }
}
