//! Whom HTTPS trusts: the one place where that is decided.
//!
//! Refuses to know: any URL. Host names and dates are checked for every certificate, unless the
//! user wants no checks at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::HttpError;
use crate::error::Error;
use crate::source::options::{NetworkOptions, Verification};
use crate::source::pem::PemError;
use crate::source::setting::{SettingError, read};

/// The option for those who intercept. CDI takes what can be read of their certificates.
const PROXY: &str = "--proxy-ca-cert";

/// What a client needs for TLS, as `options` say.
///
/// # Errors
/// [`HttpError::Setting`] for certificates that cannot be read, [`HttpError::Setup`] when TLS
/// cannot be set up.
pub(super) fn trust(options: &NetworkOptions) -> Result<ClientConfig, HttpError> {
    let setup = |cause: rustls::Error| HttpError::Setup(cause.into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(setup)?;
    let trusted = match options.verification {
        Verification::Insecure => {
            tracing::warn!("--insecure: nobody checks who the server is");
            Trusted::Anybody
        }
        Verification::Full => known(options, &provider)?,
    };
    let judge = Arc::new(Judge { trusted, provider });
    let mut config = builder.dangerous().with_custom_certificate_verifier(judge).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn known(options: &NetworkOptions, provider: &Arc<CryptoProvider>) -> Result<Trusted, HttpError> {
    let mut own = Vec::new();
    for path in &options.ca_certs {
        own.extend(certificates("--ca-cert", path)?);
    }
    for path in &options.proxy_ca_certs {
        own.extend(certificates(PROXY, path)?);
    }
    let mut roots = system();
    // What stands there may be the server's own certificate, which is no CA's.
    let (_, _) = roots.add_parsable_certificates(own.iter().cloned());
    if roots.is_empty() {
        return Ok(Trusted::Nobody);
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let chain = chain.map_err(|cause| HttpError::Setup(cause.into()))?;
    Ok(Trusted::Known { chain, own })
}

/// The system's certificates.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("system certificates: {error}");
    }
    let (_, _) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!("the system has no certificates");
    }
    roots
}

/// The certificates at `path`: a PEM file, or a directory of them, as a ConfigMap is mounted.
///
/// A directory is somebody else's collection: a file in it that is damaged, or no certificate at all,
/// costs a warning.
fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingError> {
    let unreadable = |cause| SettingError::Unreadable { option, path: path.to_owned(), cause };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        let (found, damage) = bundle(&read(option, path)?);
        let why = match damage {
            Some(cause) => format!("its PEM text is damaged ({cause})"),
            None if found.is_empty() => {
                "it holds no PEM certificate (-----BEGIN CERTIFICATE-----)".to_owned()
            }
            None => return Ok(found),
        };
        return Err(SettingError::Content { option, path: path.to_owned(), why });
    }
    let mut all = Vec::new();
    for file in files(path).map_err(unreadable)? {
        let bytes = match read(option, &file) {
            Err(error) if option == PROXY => {
                tracing::warn!("{}", Error::from(error));
                continue;
            }
            read => read?,
        };
        let (found, damage) = bundle(&bytes);
        match damage {
            Some(cause) => tracing::warn!("{option}: {} is damaged ({cause})", file.display()),
            None if found.is_empty() => tracing::warn!("{option}: No certs in {}", file.display()),
            None => {}
        }
        all.extend(found);
    }
    Ok(all)
}

/// All but the directories in `dir`, in order of their names; `..data` and its like are not.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // What a link leads to; one that leads nowhere is told of where it is read.
        let other = fs::metadata(entry.path()).is_ok_and(|found| !found.is_file());
        if !hidden && !other {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The certificates in `text` up to the first damage, and what that is.
fn bundle(text: &[u8]) -> (Vec<CertificateDer<'static>>, Option<PemError>) {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        match certificate {
            Ok(certificate) => found.push(certificate),
            Err(damage) => return (found, Some(damage.into())),
        }
    }
    (found, None)
}

/// Who may be the server.
#[derive(Debug)]
enum Trusted {
    /// Anybody who holds the key of the certificate that they show.
    Anybody,
    /// Who can show a chain to a root, or a certificate that the user gave.
    Known { chain: Arc<WebPkiServerVerifier>, own: Vec<CertificateDer<'static>> },
    /// There is no root at all.
    Nobody,
}

/// Judges certificates; that a server holds the key of its own is checked for everybody.
#[derive(Debug)]
struct Judge {
    trusted: Trusted,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (chain, own) = match &self.trusted {
            Trusted::Anybody => return Ok(ServerCertVerified::assertion()),
            Trusted::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Trusted::Known { chain, own } => (chain, own),
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if is_about_issuer(&error) && own.iter().any(|own| own == end_entity) => {
                // Its dates were looked at before its issuer; its name would have been the last step.
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether only the issuer stands in the way: nobody knows it, or the certificate is a CA's, which
/// self-signed ones often are.
fn is_about_issuer(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(why) = error else { return false };
    match why {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => {
            matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_directory_that_is_no_certificate_costs_a_warning_and_one_by_name_the_run() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert;
        let good = made.pem();
        let dir = tempfile::tempdir().unwrap();
        let damaged = format!("{good}-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
        for (name, text) in [("a", damaged.as_str()), ("b", "nothing"), ("c", &good)] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join("d")).unwrap();
        assert_eq!(certificates("--ca-cert", dir.path()).unwrap(), [made.der().clone(), made.der().clone()]);
        for (name, words) in [("a", "damaged"), ("b", "no PEM certificate"), ("e", "cannot be read")] {
            let error = certificates("--ca-cert", &dir.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        // A link that leads nowhere cannot be read, whoever asks.
        std::os::unix::fs::symlink("absent", dir.path().join("e")).unwrap();
        assert!(certificates("--ca-cert", dir.path()).is_err());
        assert_eq!(certificates(PROXY, dir.path()).unwrap().len(), 2);
    }
}
