//! Somebody who asks for certificates over HTTP.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{certificate::Issued, instance::Holder, program::HANG};

pub(crate) const SIGNING_CERT: &str = "/api/v2/signingCert";

/// One pool of connections to one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        // Reading the system's certificates takes longer than the tests.
        let http = reqwest::Client::builder()
            .timeout(HANG)
            .tls_certs_only([])
            .no_proxy();
        Self {
            http: http.build().unwrap(),
            url: url.to_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.answer(self.http.get(format!("{}{path}", self.url)))
            .await
            .unwrap()
    }

    /// A certificate for a new key.
    ///
    /// # Errors
    /// The server is gone.
    pub(crate) async fn request(&self, token: &str, email: &str) -> Result<Answer, reqwest::Error> {
        let request = self.http.post(format!("{}{SIGNING_CERT}", self.url));
        self.answer(request.json(&signing_request(token, email))).await
    }

    /// A timestamp, with the certificates: status and body.
    ///
    /// # Errors
    /// The server is gone.
    pub(crate) async fn timestamp(&self) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let query = json!({
            "artifactHash": STANDARD.encode([7; 32]), "hashAlgorithm": "sha256", "certificates": true,
        });
        let request = self.http.post(format!("{}/api/v1/timestamp", self.url));
        let response = request.json(&query).send().await?;
        Ok((response.status().as_u16(), response.bytes().await?.to_vec()))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        })
    }
}

/// Body of a v2 request, with a new key's proof.
pub(crate) fn signing_request(token: &str, email: &str) -> Value {
    let holder = Holder::new();
    json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"content": holder.public_key_pem()},
            "proofOfPossession": STANDARD.encode(holder.sign(email)),
        },
    })
}

impl Answer {
    pub(crate) fn issued(&self) -> Issued {
        assert_eq!(self.status, 200, "{}", self.body);
        let chain = &self.body["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        Issued::from_pem(chain[0].as_str().unwrap())
    }

    /// Of a refusal.
    pub(crate) fn reason(&self) -> (u16, &str) {
        let reason = self.body["details"][0]["reason"].as_str();
        (self.status, reason.unwrap_or_else(|| panic!("{self:?}")))
    }
}
