//! Which token server may be asked, and whether it may see the user's password.

use url::{Host, Url};

use crate::source::Verification;

/// Docker's own registry and its token server, which have different names.
const HUB: (&str, &str) = ("registry-1.docker.io", "auth.docker.io");

/// How a token server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// With the user's credentials.
    Signed,
    /// Without them, since it is somebody else.
    Anonymous,
}

/// How the token server at `realm` is asked for a token for the registry at `registry`.
///
/// # Errors
/// Why it is not asked at all.
pub(super) fn judge(registry: &Url, realm: &Url, verification: Verification) -> Result<Ask, &'static str> {
    let plain = registry.scheme() == "http" && verification == Verification::Insecure;
    match realm.scheme() {
        "https" => {}
        "http" if plain => {}
        "http" => return Err("it is asked over plain HTTP, and the registry is not"),
        _ => return Err("it is no https:// URL"),
    }
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err("its URL holds credentials");
    }
    let (Some(here), Some(there)) = (registry.host(), realm.host()) else { return Err("it has no host") };
    let same = here == there || (realm.scheme() == "https" && related(&here, &there));
    Ok(if same { Ask::Signed } else { Ask::Anonymous })
}

/// Whether two names belong to one owner, as far as names tell.
fn related(here: &Host<&str>, there: &Host<&str>) -> bool {
    let (Host::Domain(here), Host::Domain(there)) = (here, there) else { return false };
    let (here, there) = (here.trim_end_matches('.'), there.trim_end_matches('.'));
    if (here, there) == HUB {
        return true;
    }
    // What somebody registered below a public suffix: `example.co.uk`, `someone.github.io`.
    let owner = psl::domain_str(here);
    owner.is_some() && owner == psl::domain_str(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(registry: &str, realm: &str, verification: Verification) -> Result<Ask, &'static str> {
        judge(&Url::parse(registry).unwrap(), &Url::parse(realm).unwrap(), verification)
    }

    #[test]
    fn a_password_goes_to_the_registrys_own_people_only() {
        let table = [
            ("https://quay.io", "https://quay.io/v2/auth", true),
            ("https://reg.example.com:5000", "https://reg.example.com/token", true),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("https://reg.example.co.uk", "https://auth.example.co.uk/", true),
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://10.0.0.1", "https://10.0.0.1:5001/token", true),
            ("https://reg.example.com", "https://evil.com/token", false),
            ("https://reg.example.com", "https://reg.example.com.evil.com/", false),
            ("https://a.co.uk", "https://b.co.uk/", false),
            ("https://a.github.io", "https://b.github.io/", false),
            ("https://r.a.github.io", "https://a.github.io/", true),
            ("https://reg.example.com", "https://com/", false),
            ("https://localhost", "https://otherhost/", false),
            ("https://10.0.0.1", "https://10.0.0.2/token", false),
            ("https://1.2.3.4", "https://5.2.3.4/token", false),
            ("https://[::1]", "https://[::2]/token", false),
        ];
        for (registry, realm, signed) in table {
            let expected = if signed { Ask::Signed } else { Ask::Anonymous };
            assert_eq!(judged(registry, realm, Verification::Full), Ok(expected), "{registry} {realm}");
        }
    }

    #[test]
    fn plain_http_is_for_plain_registries_that_the_user_allowed() {
        let (plain, tls) = ("http://reg.test:5000", "https://reg.test");
        let (same, other) = ("http://reg.test:5001/token", "http://auth.reg.test/token");
        assert_eq!(judged(plain, same, Verification::Insecure), Ok(Ask::Signed));
        assert_eq!(judged(plain, other, Verification::Insecure), Ok(Ask::Anonymous));
        for (registry, verification) in [(plain, Verification::Full), (tls, Verification::Insecure)] {
            assert!(judged(registry, same, verification).unwrap_err().contains("plain HTTP"));
        }
        for realm in ["file:///etc/passwd", "ftp://reg.test/", "data:x", "https://u:p@reg.test/"] {
            assert!(judged(tls, realm, Verification::Insecure).is_err(), "{realm}");
        }
    }
}
