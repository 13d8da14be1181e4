//! Other issuers, in a thread of their own: a thousand good ones, or one that makes trouble.

use std::{
    fmt::Write,
    net::{Ipv4Addr, TcpListener},
    thread,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::stream;
use serde_json::json;

use super::{Beside, CONDITION, EXACT_ISSUERS, PATTERNS};
use crate::cli::failure::Failure;

/// A piece of a document that never ends.
const CHUNK: Bytes = Bytes::from_static(&[b' '; 4096]);

/// A server of issuers' documents; it ends with the process.
pub(super) struct Neighbour {
    beside: Beside,
    /// Origin of all of them.
    origin: String,
}

impl Neighbour {
    /// Serves what `beside` needs on a free loopback port.
    pub(super) fn start(beside: Beside) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let origin = format!("http://{}", listener.local_addr()?);
        let routes = match beside {
            // Nobody listens there any more once this returns.
            Beside::DownIssuer | Beside::UnknownKeys => return Ok(Self { beside, origin }),
            Beside::Issuers => good_issuers(&origin),
            Beside::SlowIssuer => Router::new().fallback(std::future::pending::<Response>),
            Beside::HostileIssuer => Router::new().fallback(async || {
                Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(CHUNK))).into_response()
            }),
        };
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    drop(axum::serve(listener, routes).await);
                }
            });
        });
        Ok(Self { beside, origin })
    }

    /// The issuer whose tokens arrive beside the load, if that is another than the one that is measured.
    pub(super) fn troublemaker(&self) -> Option<String> {
        (!matches!(self.beside, Beside::Issuers | Beside::UnknownKeys)).then(|| self.origin.clone())
    }

    /// The issuer file of `mayfly dev` with these issuers in it.
    pub(super) fn issuer_file(&self, plain: &str) -> String {
        let mut entries = String::new();
        let mut entry = |name: &str, more: &str| {
            // Writing to a string does not fail.
            let _ = write!(
                entries,
                "  {name}:\n    client-id: sigstore\n    type: email\n{more}"
            );
        };
        if let Some(issuer) = self.troublemaker() {
            entry(&issuer, "");
        }
        if self.beside != Beside::Issuers {
            return plain.replacen("oidc-issuers:\n", &format!("oidc-issuers:\n{entries}"), 1);
        }
        let condition = format!("    {CONDITION}\n");
        for number in 0..EXACT_ISSUERS {
            entry(&format!("{}/exact/{number}", self.origin), &condition);
        }
        let exact = std::mem::take(&mut entries);
        let mut patterns = String::from("meta-issuers:\n");
        for number in 0..PATTERNS {
            let _ = write!(
                patterns,
                "  {}/pattern-{number}/*:\n    client-id: sigstore\n    type: email\n{condition}",
                self.origin
            );
        }
        let measured = "    ci-provider: github-workflow\n";
        plain
            .replacen(measured, &format!("{measured}{condition}"), 1)
            .replacen("oidc-issuers:\n", &format!("{patterns}oidc-issuers:\n{exact}"), 1)
    }
}

/// Each has a discovery document; all have the same keys.
fn good_issuers(origin: &str) -> Router {
    let origin = origin.to_owned();
    let discovery = async move |Path(number): Path<String>| {
        json!({"issuer": format!("{origin}/exact/{number}"), "jwks_uri": format!("{origin}/jwks")})
            .to_string()
    };
    // Any 2048-bit number passes for a modulus here: nothing is ever verified with it.
    let modulus = BASE64_URL_SAFE_NO_PAD.encode([0xff; 256]);
    let jwks =
        json!({"keys": [{"kty": "RSA", "alg": "RS256", "kid": "1", "n": modulus, "e": "AQAB"}]}).to_string();
    Router::new()
        .route("/exact/{number}/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(async move || jwks.clone()))
}
