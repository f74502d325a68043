//! The common name in a certificate.
//!
//! Refuses to know: whether the certificate is to be believed; that was decided before.

use rustls::pki_types::CertificateDer;

/// X.520 commonName, 2.5.4.3, in DER.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The subject's common name; none where there is not exactly one that is text.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    one_name(parsed.subject())
}

/// The one common name among the relative names of a subject (RFC 5280, 4.1.2.4).
fn one_name(subject: &[u8]) -> Option<String> {
    let (mut rest, mut found) = (subject, None);
    while !rest.is_empty() {
        let (mut set, after) = element(rest, SET)?;
        rest = after;
        while !set.is_empty() {
            let (pair, after) = element(set, SEQUENCE)?;
            set = after;
            let (kind, value) = element(pair, OBJECT_IDENTIFIER)?;
            if kind == COMMON_NAME && found.replace(text(value)?).is_some() {
                // Which of two names counts is a question that must not decide who comes in.
                return None;
            }
        }
    }
    found
}

/// The text that `value` holds, and nothing after it.
fn text(value: &[u8]) -> Option<String> {
    let tag = *value.first()?;
    if ![UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&tag) {
        return None;
    }
    let (bytes, after) = element(value, tag)?;
    let text = std::str::from_utf8(bytes).ok()?;
    after.is_empty().then(|| text.to_owned())
}

/// The content of the element of kind `tag` at the start of `bytes`, and what follows it.
///
/// A length has at most two bytes of its own: a longer name is none.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let (len, rest) = match rest {
        [len @ ..=0x7f, rest @ ..] => (usize::from(*len), rest),
        [0x81, len, rest @ ..] => (usize::from(*len), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn named(names: &[(DnType, DnValue)]) -> Option<String> {
        let mut params = CertificateParams::new(vec!["other".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        common_name(certificate.der())
    }

    #[test]
    fn the_common_name_is_found_among_other_names() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let name = "client.upload-server.cdi.kubevirt.io";
        assert_eq!(named(&[(DnType::CommonName, utf8(name))]).as_deref(), Some(name));
        let long = "ü".repeat(150);
        let others = [(DnType::OrganizationName, utf8("o")), (DnType::CommonName, utf8(&long))];
        assert_eq!(named(&others).as_deref(), Some(long.as_str()));
        let printable = DnValue::PrintableString("a b".try_into().unwrap());
        assert_eq!(named(&[(DnType::CommonName, printable)]).as_deref(), Some("a b"));
        assert_eq!(named(&[(DnType::OrganizationName, utf8(name))]), None);
        assert_eq!(named(&[]), None);
    }

    #[test]
    fn what_is_not_exactly_one_text_is_no_name() {
        let pair = |value: &[u8]| {
            let mut pair = [&[OBJECT_IDENTIFIER, 3], COMMON_NAME, value].concat();
            pair.splice(0..0, [SEQUENCE, u8::try_from(pair.len()).unwrap()]);
            pair.splice(0..0, [SET, u8::try_from(pair.len()).unwrap()]);
            pair
        };
        let one = pair(&[UTF8_STRING, 1, b'x']);
        assert_eq!(one_name(&one).as_deref(), Some("x"));
        assert_eq!(one_name(&[one.clone(), one.clone()].concat()), None);
        assert_eq!(one_name(&pair(&[0x1e, 2, 0, b'x'])), None, "BMPString");
        assert_eq!(one_name(&pair(&[UTF8_STRING, 1, 0xff])), None);
        assert_eq!(one_name(&pair(&[UTF8_STRING, 1, b'x', 0])), None);
        assert_eq!(one_name(&pair(&[UTF8_STRING, 0x80])), None, "indefinite length");
        for end in 1..one.len() {
            assert_eq!(one_name(&one[..end]), None, "{end}");
        }
    }

    #[test]
    fn no_bytes_make_it_stumble() {
        for seed in 0..2000_u32 {
            let bytes: Vec<u8> = (0..40_u32)
                .map(|at| (seed.wrapping_mul(2_654_435_761).rotate_left(at) ^ (at * 97)).to_le_bytes()[0])
                .collect();
            let _ = one_name(&bytes);
            let _ = one_name(&[&[SET, 38, SEQUENCE, 36], &bytes[..36]].concat());
            let _ = common_name(&CertificateDer::from(bytes));
        }
    }
}
