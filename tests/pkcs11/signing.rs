//! Signatures that hold.

use std::sync::Arc;

use futures_util::future::join_all;
use mayfly::key::SignatureAlgorithm;

use crate::token::{alone, open, sign};

#[test]
#[ignore = "needs SoftHSM2"]
fn each_kind_of_key_signs() {
    alone("signing::each_kind_of_key_signs", async |token| {
        for (kind, id, algorithm) in [
            ("EC:prime256v1", "01", SignatureAlgorithm::EcdsaP256Sha256),
            ("EC:secp384r1", "02", SignatureAlgorithm::EcdsaP384Sha384),
            ("rsa:2048", "03", SignatureAlgorithm::RsaPkcs1Sha256),
            ("rsa:4096", "04", SignatureAlgorithm::RsaPkcs1Sha256),
        ] {
            token.make_key(kind, "key", id);
            let key = open(&token.settings(&format!("token=ca;id=%{id}")))
                .await
                .unwrap();
            assert_eq!(key.algorithm(), algorithm);
            for _ in 0..20 {
                sign(&*key).await.unwrap();
            }
        }
    });
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_thousand_signatures_at_once() {
    alone("signing::a_thousand_signatures_at_once", async |token| {
        token.make_key("EC:prime256v1", "ca", "01");
        token.make_key("EC:prime256v1", "log", "02");
        let ca = open(&token.settings("token=ca;object=ca")).await.unwrap();
        let log = open(&token.settings("token=ca;object=log")).await.unwrap();
        let signatures = (0..1000).map(|n| {
            let key = Arc::clone(if n % 2 == 0 { &ca } else { &log });
            tokio::spawn(async move { sign(&*key).await })
        });
        for signed in join_all(signatures).await {
            signed.unwrap().unwrap();
        }
    });
}
