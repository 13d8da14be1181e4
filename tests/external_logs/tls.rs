//! The TLS certificate of a log, given as `ca-cert`.

use mayfly::log::{Embedding, ExternalLogSettings, Use};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use crate::{
    Arc, external,
    fake_log::{FakeLog, Mood},
    settings, without_own_log,
};

/// The settings of a log behind TLS, with a certificate as `openssl req -x509` makes it.
async fn behind_tls(log: &FakeLog, host: &str) -> ExternalLogSettings {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = settings(log, "fake", Use::Embed);
    let plain = settings.url.socket_addrs(|| None).unwrap()[0];
    settings.url.set_scheme("https").unwrap();
    settings.url.set_port(Some(port)).unwrap();
    settings.roots = Some(certificate.pem().into_bytes().into());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut plain = TcpStream::connect(plain).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut plain).await });
            }
        }
    });
    settings
}

#[tokio::test]
async fn the_certificate_of_the_log_itself_may_be_given() {
    let log = FakeLog::start(Mood::Honest).await;
    let settings = behind_tls(&log, "127.0.0.1").await;
    let ca = without_own_log(external(Embedding::First, vec![settings])).await;
    ca.issue().await.unwrap();
    assert_eq!(log.asked(), 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_said_in_words() {
    let log = FakeLog::start(Mood::Honest).await;
    let mut unknown = behind_tls(&log, "127.0.0.1").await;
    unknown.roots = behind_tls(&log, "127.0.0.1").await.roots;
    let other_name = behind_tls(&log, "localhost").await;
    for (settings, words) in [
        (unknown, "give this very certificate as `ca-cert`"),
        (other_name, "is not for 127.0.0.1"),
    ] {
        let ca = without_own_log(external(Embedding::First, vec![settings])).await;
        let error = ca.issue().await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(log.asked(), 0);
}
