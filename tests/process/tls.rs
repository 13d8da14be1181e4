//! `mayfly serve` with a certificate of its own.

use base64::{Engine, engine::general_purpose::STANDARD};
use mayfly::server::proto::{
    CreateSigningCertificateRequest, Credentials, PublicKey, PublicKeyRequest, ca_client::CaClient,
    create_signing_certificate_request::Key, credentials, signing_certificate::Certificate,
};
use reqwest::Version;
use tonic::transport::{Channel, ClientTlsConfig};

use crate::{
    certificate::Issued,
    client::{SIGNING_CERT, signing_request},
    installation::{EMAIL, Installation},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_and_grpc_share_the_tls_port() {
    let installation = Installation::new().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    installation.write("tls.pem", &made.cert.pem());
    installation.write("tls-key.pem", &made.signing_key.serialize_pem());
    installation.chmod("tls-key.pem", 0o600);
    installation.configure("ca:\n", "tls: {certificate: tls.pem, key: tls-key.pem}\nca:\n");
    let mut serving = installation.serve();
    let port = serving.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");

    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .resolve("localhost", serving.address.parse().unwrap());
    let request = http.build().unwrap().post(format!("{url}{SIGNING_CERT}"));
    let response = request
        .json(&signing_request(&installation.token(), EMAIL))
        .send();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );

    let trusted =
        ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(made.cert.pem()));
    let channel = Channel::from_shared(url).unwrap().tls_config(trusted).unwrap();
    let mut ca = CaClient::new(channel.connect().await.unwrap());
    let answer = ca
        .create_signing_certificate(grpc_request(&installation))
        .await
        .unwrap();
    let Some(Certificate::SignedCertificateEmbeddedSct(certificate)) = answer.into_inner().certificate else {
        panic!("no certificate");
    };
    let issued = Issued::from_pem(&certificate.chain.unwrap().certificates[0]);
    assert_eq!(issued.sct.leaf_index().get(), 1);
    drop(ca);
    serving.program.stop();
}

fn grpc_request(installation: &Installation) -> CreateSigningCertificateRequest {
    let json = signing_request(&installation.token(), EMAIL);
    let text = |pointer: &str| json.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let key = PublicKeyRequest {
        public_key: Some(PublicKey {
            content: text("/publicKeyRequest/publicKey/content"),
            ..PublicKey::default()
        }),
        proof_of_possession: STANDARD
            .decode(text("/publicKeyRequest/proofOfPossession"))
            .unwrap(),
    };
    let token = credentials::Credentials::OidcIdentityToken(text("/credentials/oidcIdentityToken"));
    CreateSigningCertificateRequest {
        credentials: Some(Credentials {
            credentials: Some(token),
        }),
        key: Some(Key::PublicKeyRequest(key)),
    }
}
