//! Certificates made for one test: authorities, servers, clients, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// An authority that signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in a file of `dir`.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> PathBuf {
        save(dir, name, &self.pem)
    }

    /// For a server that is found under each of `names`.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        let mut params = params("server", names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// For a server on loopback, under its name and its addresses.
    pub(crate) fn loopback(&self) -> Identity {
        self.server(&["localhost", "127.0.0.1", "127.0.0.2"])
    }

    /// As [`Authority::loopback`], but its time is over.
    pub(crate) fn expired(&self) -> Identity {
        self.sign(&past(params("server", &["localhost", "127.0.0.1", "127.0.0.2"])))
    }

    /// For a client whose common name is `name`.
    pub(crate) fn client(&self, name: &str) -> Identity {
        let mut params = params(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// As [`Authority::client`], but its time is over.
    pub(crate) fn expired_client(&self, name: &str) -> Identity {
        let mut params = params(name, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// Whether a certificate says of itself that it is an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Server,
    Authority,
}

/// A server's certificate that nobody else signed.
pub(crate) fn self_signed(names: &[&str], claim: Claim) -> Identity {
    alone(&params("alone", names), claim)
}

/// As [`self_signed`], but its time is over.
pub(crate) fn self_signed_once(names: &[&str], claim: Claim) -> Identity {
    alone(&past(params("alone", names)), claim)
}

fn alone(params: &CertificateParams, claim: Claim) -> Identity {
    let mut params = params.clone();
    if claim == Claim::Authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

impl Identity {
    /// Writes `NAME.crt` and `NAME.key` into `dir`.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = save(dir, &format!("{name}.crt"), &self.certificate);
        (certificate, save(dir, &format!("{name}.key"), &self.key))
    }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn past(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

fn save(dir: &Path, name: &str, pem: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, pem).unwrap();
    path
}
