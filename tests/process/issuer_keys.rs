//! Keys of an issuer that cannot be used: the log says which, and why.

use crate::{
    fake_issuer::{FakeIssuer, SigningKey},
    installation::Installation,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_left_out_are_named() {
    let key = SigningKey::generate("ES256", "key-1");
    let issuer = FakeIssuer::start(&[]).await;
    let mut bad = SigningKey::generate("RS256", "key-2").jwk();
    bad["alg"] = "RSA".into();
    let mut encryption = bad.clone();
    encryption["use"] = "enc".into();
    issuer.publish_jwks(vec![key.jwk(), bad, encryption]);
    let installation = Installation::trusting(issuer.url(), key).await;
    let serving = installation.serve();
    serving.request().await.issued();
    let line = r#"1 of 3 keys left out: \"key-2\": alg \"RSA\""#;
    serving.program.wait_for(|said| said.contains(line));
    assert_eq!(serving.program.stderr().matches("keys left out").count(), 1);
}
