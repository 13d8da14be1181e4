//! The one key that a URI names, or what there is instead.

use std::fs;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

use crate::token::{Token, alone, open, refused, sign};

#[test]
#[ignore = "needs SoftHSM2"]
fn what_is_not_there_or_not_alone_is_said() {
    alone("finding::what_is_not_there_or_not_alone_is_said", async |token| {
        token.make_key("EC:prime256v1", "twin", "01");
        token.make_key("EC:prime256v1", "twin", "02");
        token.make_key("EC:secp521r1", "large", "03");
        let error = refused(&token.settings("token=other;object=twin")).await;
        assert!(
            error.contains("no token fits") && error.contains("\"ca\" with serial"),
            "{error}"
        );
        let error = refused(&token.settings("token=ca;object=ca")).await;
        assert!(
            error.contains("no private key") && error.contains("\"twin\" with id 01"),
            "{error}"
        );
        let error = refused(&token.settings("token=ca;object=twin")).await;
        assert!(error.contains("more than one private key"), "{error}");
        assert!(
            error.contains("\"twin\" with id 01") && error.contains("with id 02"),
            "{error}"
        );
        let error = refused(&token.settings("token=ca;object=large")).await;
        assert!(error.contains("that is ECDSA on P-256 or P-384"), "{error}");
        let error = refused(&token.settings_by("object=twin", &token.path("lib.so"))).await;
        assert!(error.contains("lib.so cannot be loaded"), "{error}");
        let key = open(&token.settings("token=ca;object=twin;id=%02"))
            .await
            .unwrap();
        sign(&*key).await.unwrap();
    });
}

#[test]
#[ignore = "needs SoftHSM2"]
fn two_tokens_of_one_name_differ_by_serial_number() {
    alone(
        "finding::two_tokens_of_one_name_differ_by_serial_number",
        async |token| {
            let _twin = token.another("ca");
            let error = refused(&token.settings("token=ca;object=ca")).await;
            assert!(error.contains("more than one token"), "{error}");
        },
    );
}

fn certificate(token: &Token, key: &KeyPair, name: &str) {
    let der = CertificateParams::new(vec![]).unwrap().self_signed(key).unwrap();
    fs::write(token.path(name), der.der()).unwrap();
}

#[test]
#[ignore = "needs SoftHSM2"]
fn the_public_half_may_be_in_a_certificate() {
    alone(
        "finding::the_public_half_may_be_in_a_certificate",
        async |token| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            fs::write(token.path("key.der"), key.serialize_der()).unwrap();
            let path = token.path("key.der");
            let path = path.to_str().unwrap();
            token.manage(&[
                "--write-object",
                path,
                "--type",
                "privkey",
                "--label",
                "ca",
                "--id",
                "01",
                "--usage-sign",
            ]);
            let settings = token.settings("token=ca;object=ca");
            let error = refused(&settings).await;
            assert!(error.contains("no public key and no certificate"), "{error}");
            certificate(&token, &other, "other.der");
            certificate(&token, &key, "certificate.der");
            let write = |name: &str, id: &str| {
                let path = token.path(name);
                token.manage(&[
                    "--write-object",
                    path.to_str().unwrap(),
                    "--type",
                    "cert",
                    "--label",
                    "ca",
                    "--id",
                    id,
                ]);
            };
            write("other.der", "01");
            let error = refused(&settings).await;
            assert!(error.contains("verifies what the private key signs"), "{error}");
            write("certificate.der", "02");
            let opened = open(&settings).await.unwrap();
            assert_eq!(opened.spki_der(), key.subject_public_key_info());
            sign(&*opened).await.unwrap();
        },
    );
}

#[test]
#[ignore = "needs SoftHSM2"]
fn an_rsa_key_knows_its_public_half() {
    alone("finding::an_rsa_key_knows_its_public_half", async |token| {
        token.make_key("rsa:2048", "ca", "01");
        token.manage(&["--delete-object", "--type", "pubkey", "--id", "01"]);
        let key = open(&token.settings("token=ca;object=ca")).await.unwrap();
        sign(&*key).await.unwrap();
    });
}
