//! One client that makes issuers up does not keep the new ones of others out, whatever the interface.

use std::path::Path;

use axum::Router;
use mayfly::{
    config::issuers,
    server::{
        ServerSettings,
        proto::{
            CreateSigningCertificateRequest, Credentials, ca_client::CaClient,
            create_signing_certificate_request::Key, credentials::Credentials::OidcIdentityToken,
        },
    },
};
use serde_json::json;
use tonic::{Code, transport::Endpoint};

use crate::{
    fake_issuer::SigningKey,
    running::{Reply, Running, builder, csr, csr_base64, start_with},
};

/// How a certificate is asked for.
#[derive(Clone, Copy, Debug)]
enum Interface {
    Json(&'static str),
    Grpc,
}

const INTERFACES: [Interface; 3] = [
    Interface::Json("/api/v2/signingCert"),
    Interface::Json("/api/v1/signingCert"),
    Interface::Grpc,
];

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Issued,
    /// The issuer was asked for its keys, and the token is by none of them.
    Forged,
    /// Try again later.
    Unavailable,
}

/// Trusts every issuer of the fake provider, and counts each client, also on this machine.
async fn start() -> Running {
    let settings = ServerSettings {
        trusted_proxies: Vec::new(),
        ..ServerSettings::default()
    };
    let server = start_with(settings, Router::new()).await;
    let pattern = format!("{}/*", server.instance.issuer.url());
    let file = format!("meta-issuers:\n  {pattern}:\n    client-id: sigstore\n    type: email\n");
    let tokens = server.instance.authority.tokens();
    let rules = issuers::parse(Path::new("issuers.yaml"), &file, tokens.policy()).unwrap();
    server.instance.authority.trust(rules.issuers).unwrap();
    server
}

impl Running {
    async fn ask(&self, interface: Interface, client: &str, tenant: &str, key: &SigningKey) -> Outcome {
        let mut claims = self.instance.claims();
        claims["iss"] = format!("{}/{tenant}", self.instance.issuer.url()).into();
        let token = key.token(&claims);
        match interface {
            Interface::Json(path) => self.ask_json(path, client, token).await,
            Interface::Grpc => self.ask_grpc(client, token).await,
        }
    }

    async fn ask_json(&self, path: &str, client: &str, token: String) -> Outcome {
        let http = builder().local_address(client.parse::<std::net::IpAddr>().unwrap());
        let request = http.build().unwrap().post(self.url(path)).bearer_auth(token);
        let request = request.json(&json!({"certificateSigningRequest": csr_base64()}));
        let reply = Reply::of(request.send().await.unwrap()).await;
        match reply.status {
            200 | 201 => Outcome::Issued,
            400 if reply.reason() == "token_signature_invalid" => Outcome::Forged,
            503 if reply.reason() == "issuer_unavailable" => Outcome::Unavailable,
            other => panic!("{other}: {reply:?}"),
        }
    }

    async fn ask_grpc(&self, client: &str, token: String) -> Outcome {
        let endpoint = Endpoint::from_shared(self.url("")).unwrap();
        let endpoint = endpoint.local_address(Some(client.parse().unwrap()));
        let request = CreateSigningCertificateRequest {
            credentials: Some(Credentials {
                credentials: Some(OidcIdentityToken(token)),
            }),
            key: Some(Key::CertificateSigningRequest(csr().into_bytes())),
        };
        let mut ca = CaClient::new(endpoint.connect().await.unwrap());
        match ca
            .create_signing_certificate(request)
            .await
            .map_err(|status| status.code())
        {
            Ok(_) => Outcome::Issued,
            Err(Code::InvalidArgument) => Outcome::Forged,
            Err(Code::Unavailable) => Outcome::Unavailable,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_flood_from_one_address_leaves_ten_of_ten_new_issuers_to_another() {
    let stranger = SigningKey::generate("ES256", "key-1");
    for interface in INTERFACES {
        let server = start().await;
        let mut asked = 0;
        for number in 0..100 {
            let tenant = format!("made-up-{number}");
            let outcome = server.ask(interface, "127.0.0.1", &tenant, &stranger).await;
            asked += usize::from(outcome == Outcome::Forged);
        }
        assert!(asked < 20, "{interface:?}: {asked}");
        for number in 0..10 {
            let (tenant, key) = (format!("new-{number}"), &server.instance.issuer_key);
            let outcome = server.ask(interface, "127.0.0.2", &tenant, key).await;
            assert_eq!(outcome, Outcome::Issued, "{interface:?}: {number}");
        }
    }
}
