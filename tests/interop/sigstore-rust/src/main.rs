//! Drives the Rust sigstore clients: a certificate by `sigstore-fulcio`, a timestamp, a bundle, and
//! `sigstore-verify`'s verdict on chain, SCT, identity and signature. No Rekor: the bundle has no entry.
//! (`get_trust_bundle` of 0.15.1 is left out: it wants `chains[].chain.certificates`, Fulcio and we answer
//! `chains[].certificates`.)
//!
//! Arguments: API, timestamp authority, token file, trusted root, identity, issuer.

use std::error::Error;
use std::{env, fs};

use sigstore_sign::bundle::BundleV03;
use sigstore_sign::crypto::{KeyPair, sha256};
use sigstore_sign::fulcio::{FulcioClient, SigningCertificate};
use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::trust_root::TrustedRoot;
use sigstore_sign::tsa::TimestampClient;
use sigstore_verify::{VerificationPolicy, Verifier};

const ARTIFACT: &[u8] = b"an artifact\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [api, timestamps, token, trusted_root, identity, issuer] = arguments.as_slice() else {
        return Err("six arguments: API TSA TOKEN-FILE TRUSTED-ROOT IDENTITY ISSUER".into());
    };

    let client = FulcioClient::new(api.as_str())?;
    let configuration = client.get_configuration().await?;
    println!("configuration: {configuration:?}");

    let token = IdentityToken::from_jwt(fs::read_to_string(token)?.trim())?;
    let key = KeyPair::generate_ecdsa_p256()?;
    let certificate = client.create_signing_certificate(&token, &key).await?;
    if !matches!(certificate, SigningCertificate::EmbeddedSct { .. }) {
        return Err("the SCT is not embedded".into());
    }
    println!("certificates: {}", certificate.certificate_chain().len());

    let signature = key.sign(ARTIFACT)?;
    let timestamp = TimestampClient::new(timestamps.as_str())?
        .timestamp_signature(&signature)
        .await?;
    let bundle = BundleV03::with_certificate_and_signature(
        certificate.leaf_certificate().clone(),
        signature,
        sha256(ARTIFACT),
    )
    .with_rfc3161_timestamp(timestamp)
    .into_bundle();

    let verifier = Verifier::new(&TrustedRoot::from_file(trusted_root)?)?;
    let policy = VerificationPolicy::new(identity.as_str(), issuer.as_str()).skip_tlog_unsafe();
    let result = verifier.verify(ARTIFACT, &bundle, &policy)?;
    if !(result.certificate_verified() && result.sct_verified()) {
        return Err(format!("not verified: {result:?}").into());
    }
    println!("verified: chain, SCT, identity, signature");

    let other = VerificationPolicy::new("mallory@example.com", issuer.as_str()).skip_tlog_unsafe();
    if verifier.verify(ARTIFACT, &bundle, &other).is_ok() {
        return Err("verified for another identity".into());
    }
    Ok(())
}
