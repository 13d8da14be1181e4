//! Certificates that an operator gives (`ca-cert`): of authorities, or of the servers themselves.
//!
//! A certificate that a server presents is accepted if it leads to one of them that is an
//! authority's, or is one of them: then its dates, its names and its usages are checked. So what
//! `openssl req -x509` makes, which is a certificate of an authority (`CA:TRUE`), will do for a
//! server; and what is a server's certificate vouches for no other.

use std::error::Error;
use std::io;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use der::Decode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};

/// Certificates that cannot be trusted as they are given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No PEM, or PEM without a certificate.
    #[error("no certificate can be read; it must be PEM with at least one CERTIFICATE")]
    NoCertificate,
    /// The TLS library refuses one of them, or those of this system cannot be read.
    #[error("the certificates cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Trusts these certificates (PEM) and no others.
///
/// # Errors
/// There is none among them, or one that cannot be used.
pub fn only(pem: &[u8]) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = OrItself::alone(read(pem)?, &provider)?;
    config(verifier, provider)
}

/// Trusts these certificates (PEM) beside those of this system.
///
/// # Errors
/// There is none among them, or one that cannot be used.
#[cfg(feature = "client")]
pub fn beside_the_systems(pem: &[u8]) -> Result<ClientConfig, TrustError> {
    let given = read(pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let authorities = authorities(&given)?;
    let inner = rustls_platform_verifier::Verifier::new_with_extra_roots(authorities, Arc::clone(&provider));
    let verifier = OrItself {
        given,
        inner: Some(Arc::new(inner.map_err(TrustError::Unusable)?)),
        algorithms: provider.signature_verification_algorithms,
    };
    config(verifier, provider)
}

/// Speaks TLS by this configuration, with HTTP/2 or HTTP/1.1.
#[cfg(feature = "client")]
pub fn http_client(builder: reqwest::ClientBuilder, mut config: ClientConfig) -> reqwest::ClientBuilder {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    builder.tls_backend_preconfigured(config)
}

/// If a connection failed because of the server's certificate: what is wrong with it, and what to
/// do. `error` is the one that says so, and not one that it caused.
pub fn certificate_refused(error: &(dyn Error + 'static)) -> Option<String> {
    let Some(rustls::Error::InvalidCertificate(reason)) = innermost(error).downcast_ref() else {
        return None;
    };
    let put_it = "as `ca-cert` (for Vault in VAULT_CACERT, for commands by --tls-roots)";
    Some(match reason {
        CertificateError::UnknownIssuer => format!(
            "the server's certificate comes from no authority that is trusted here: give the certificate of its \
             authority, or the server's own, {put_it}"
        ),
        CertificateError::BadSignature => format!(
            "the server's certificate, or its handshake, is not signed by the key that is trusted here. Either an \
             authority of the same name has another key: give the certificate of its authority, or the server's own, \
             {put_it}. Or somebody presents the server's certificate without having its key"
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: its extKeyUsage must have serverAuth".to_owned()
        }
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => format!(
            "the server's certificate is one of an authority (CA:TRUE) and not trusted by itself: give this very \
             certificate {put_it}"
        ),
        CertificateError::NotValidForNameContext { expected, .. } => format!(
            "the server's certificate is not for {}: reach the server by a name in its certificate, or give it one \
             that has this name as subjectAltName",
            expected.to_str()
        ),
        CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or set this machine's clock".to_owned()
        }
        CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: compare its clock with this machine's".to_owned()
        }
        reason => format!("the server's certificate is refused: {reason}"),
    })
}

/// The error and its causes, outermost first, in one line; of a refused certificate in words.
#[must_use]
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let all = iter::successors(Some(error), |&cause| cause.source());
    let all = all.map(|cause| certificate_refused(cause).unwrap_or_else(|| cause.to_string()));
    all.collect::<Vec<_>>().join(": ")
}

/// I/O errors do not name what they contain as their source.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => innermost(inner),
        None => error,
    }
}

fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TrustError::NoCertificate),
    }
}

fn config(verifier: OrItself, provider: Arc<CryptoProvider>) -> Result<ClientConfig, TrustError> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Unusable)?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// The certificates of authorities among these. The version that has no extensions does not say.
fn authorities(given: &[CertificateDer<'static>]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unusable = |_| TrustError::Unusable(CertificateError::BadEncoding.into());
    let mut authorities = Vec::new();
    for der in given {
        let certificate = Certificate::from_der(der).map_err(unusable)?;
        let tbs = certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(unusable)?;
        if constraints.map_or(tbs.version() != Version::V3, |(_, constraints)| constraints.ca) {
            authorities.push(der.clone());
        }
    }
    Ok(authorities)
}

/// Accepts what `inner` accepts, and the given certificates themselves.
#[derive(Debug)]
struct OrItself {
    given: Vec<CertificateDer<'static>>,
    /// `None` without authorities.
    inner: Option<Arc<dyn ServerCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl OrItself {
    /// Accepts what leads to these certificates, and themselves.
    fn alone(
        given: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<OrItself, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in authorities(&given)? {
            roots.add(certificate).map_err(TrustError::Unusable)?;
        }
        let mut inner: Option<Arc<dyn ServerCertVerifier>> = None;
        if !roots.is_empty() {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            inner = Some(
                verifier.map_err(|error| TrustError::Unusable(rustls::Error::General(error.to_string())))?,
            );
        }
        Ok(OrItself {
            given,
            inner,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for OrItself {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_given = self.given.iter().any(|given| given == end_entity);
        if is_given && let Ok(certificate) = Certificate::from_der(end_entity) {
            check_dates(&certificate, now)?;
            check_usages(&certificate)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Without the extension it is for everything (RFC 5280 section 4.2.1.12).
fn check_usages(certificate: &Certificate) -> Result<(), CertificateError> {
    let usages = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>();
    let Some((_, ExtendedKeyUsage(usages))) = usages.map_err(|_| CertificateError::BadEncoding)? else {
        return Ok(());
    };
    let for_servers = [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE];
    match usages.iter().any(|usage| for_servers.contains(usage)) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose),
    }
}

fn check_dates(certificate: &Certificate, time: UnixTime) -> Result<(), CertificateError> {
    let validity = certificate.tbs_certificate().validity();
    let unix = |duration: Duration| UnixTime::since_unix_epoch(duration);
    let not_before = unix(validity.not_before.to_unix_duration());
    let not_after = unix(validity.not_after.to_unix_duration());
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
