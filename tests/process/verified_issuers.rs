//! Issuers of a pattern whose tokens were verified are no new ones after a restart.

use std::fs;

use mayfly::clock::{Clock, SystemClock};
use serde_json::json;

use crate::{
    fake_issuer::{FakeIssuer, SigningKey},
    installation::{EMAIL, Installation, Serving},
};

/// Certificates for first-time issuers and for those that are made up.
struct Tenants<'a> {
    serving: &'a Serving<'a>,
    provider: &'a FakeIssuer,
}

impl Tenants<'_> {
    async fn ask(&self, tenant: &str, key: &SigningKey) -> String {
        let now = SystemClock.now().unix_seconds();
        let token = key.token(&json!({
            "iss": format!("{}/{tenant}", self.provider.url()), "aud": "sigstore", "sub": "alice", "iat": now,
            "exp": now + 600, "email": EMAIL, "email_verified": true,
        }));
        let answer = self.serving.client.request(&token, EMAIL).await.unwrap();
        match answer.status {
            200 => "issued".to_owned(),
            _ => answer.reason().1.to_owned(),
        }
    }

    /// More than may be new again while this runs.
    async fn are_served(&self, key: &SigningKey) {
        for number in 0..30 {
            assert_eq!(
                self.ask(&format!("verified-{number}"), key).await,
                "issued",
                "{number}"
            );
        }
    }

    /// Until no more are taken.
    async fn make_up(&self, prefix: &str) {
        let stranger = SigningKey::generate("ES256", "key-1");
        for number in 0..10_000 {
            match self.ask(&format!("{prefix}-{number}"), &stranger).await.as_str() {
                "token_signature_invalid" => {}
                "issuer_unavailable" => return,
                other => panic!("{other}"),
            }
        }
        panic!("all are taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_makes_no_verified_issuer_new_again() {
    let key = SigningKey::generate("ES256", "key-1");
    let provider = FakeIssuer::start(&[&key]).await;
    let installation = Installation::trusting(provider.url(), SigningKey::generate("ES256", "other")).await;
    let pattern = format!("{}/*", provider.url());
    installation.write(
        "issuers.yaml",
        &format!("meta-issuers:\n  {pattern}:\n    client-id: sigstore\n    type: email\n"),
    );

    let mut serving = installation.serve();
    let tenants = Tenants {
        serving: &serving,
        provider: &provider,
    };
    tenants.are_served(&key).await;
    tenants.make_up("made-up").await;
    serving.program.stop();
    let kept = fs::read_to_string(installation.path("verified-issuers.json")).unwrap();
    assert!(
        kept.contains("/verified-0\"") && !kept.contains("made-up"),
        "{kept}"
    );

    let mut serving = installation.serve();
    let tenants = Tenants {
        serving: &serving,
        provider: &provider,
    };
    tenants.make_up("made-up-again").await;
    tenants.are_served(&key).await;
    serving.program.stop();

    // What is damaged is made anew, and stops nothing.
    installation.write("verified-issuers.json", &kept[..kept.len() / 2]);
    let mut serving = installation.serve();
    let tenants = Tenants {
        serving: &serving,
        provider: &provider,
    };
    assert!(serving.program.stderr().contains("it is damaged"));
    tenants.are_served(&key).await;
    serving.program.stop();
    assert_eq!(
        fs::read_to_string(installation.path("verified-issuers.json")).unwrap(),
        kept
    );
}
