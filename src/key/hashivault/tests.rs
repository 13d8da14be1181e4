//! A Vault that misbehaves by a script, and real ones (OpenBao).

mod fake;
mod openbao;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use fake::{Act, Fake, TOKEN};

use super::*;
use crate::{
    causes::in_one_line,
    key::{
        SigningKey,
        remote::{Limits, RemoteKey},
    },
    telemetry::KeyMetrics,
};

/// Besides [`TRIAL`] the only message that the fake signs, since software keys take no digests.
const MESSAGE: &[u8] = b"to be signed";

fn token_file(folder: &Path, token: &str) -> PassphraseSource {
    let path = folder.join("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    PassphraseSource::File(path)
}

async fn open(address: &str, name: &str, token: PassphraseSource) -> Result<RemoteKey, VaultError> {
    let (name, version) = match name.split_once('/') {
        Some((name, version)) => (name, Some(version.parse().unwrap())),
        None => (name, None),
    };
    let name = name.to_owned();
    let key = HashiVaultKey { name, version };
    let found = find_at(Place::new(address, token)?, &key).await?;
    let metrics = KeyMetrics::new().unwrap().of("ca", "hashivault");
    Ok(RemoteKey::new(found, Limits::default(), metrics).unwrap())
}

/// A signature that holds, or why there is none.
async fn sign(key: &RemoteKey) -> Result<(), String> {
    let signature = key.sign(MESSAGE).await.map_err(|error| in_one_line(&error))?;
    let spki = SubjectPublicKeyInfoRef::from_der(key.spki_der()).unwrap();
    assert!(key.algorithm().verifies(&spki, MESSAGE, &signature));
    Ok(())
}

struct Fixture {
    fake: Fake,
    key: RemoteKey,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start().await;
    let token = token_file(folder.path(), TOKEN);
    let key = open(fake.address(), "ca", token).await.unwrap();
    Fixture { fake, key, folder }
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let Fixture {
        fake,
        key,
        folder: _folder,
    } = fixture().await;
    for act in [
        Act::Answer(503, r#"{"errors":["Vault is sealed"]}"#),
        Act::Answer(500, ""),
        Act::Answer(473, ""),
        Act::Answer(412, r#"{"errors":["required index state not present"]}"#),
        Act::Throttle("0"),
        Act::Redirect,
        Act::SignOther,
        Act::Answer(200, r#"{"data":{"signature":"vault:v1:!"}}"#),
        Act::Answer(200, "<html>"),
        Act::Huge,
        Act::Hang,
    ] {
        let before = fake.asked();
        fake.then(&[act]);
        sign(&key)
            .await
            .unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_eq!(fake.asked(), before + 2, "{act:?}");
    }
    assert!(!fake.was_led_astray(), "a redirect was followed");
}

#[tokio::test]
async fn what_stays_is_not_asked_again_and_says_why() {
    for (act, said) in [
        (
            Act::Answer(403, r#"{"errors":["permission denied"]}"#),
            "its policies do not allow",
        ),
        (
            Act::Answer(400, r#"{"errors":["unsupported\n key type"]}"#),
            "status 400: unsupported key type",
        ),
        (Act::Answer(404, r#"{"errors":[]}"#), "status 404"),
    ] {
        let Fixture {
            fake,
            key,
            folder: _folder,
        } = fixture().await;
        let before = fake.asked();
        fake.then(&[act; 3]);
        let error = sign(&key).await.unwrap_err();
        assert!(error.contains(said) && !error.contains(TOKEN), "{error}");
        assert_eq!(fake.asked(), before + 1, "{act:?}");
    }
}

#[tokio::test]
async fn who_is_sent_away_for_long_does_not_come_back_soon() {
    let Fixture {
        fake,
        key,
        folder: _folder,
    } = fixture().await;
    fake.then(&[Act::Throttle("30")]);
    let error = sign(&key).await.unwrap_err();
    assert!(error.contains("takes no more requests"), "{error}");
    let asked = fake.asked();
    let error = sign(&key).await.unwrap_err();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(fake.asked(), asked);
}

#[tokio::test]
async fn another_keys_signature_never_leaves() {
    let Fixture {
        fake,
        key,
        folder: _folder,
    } = fixture().await;
    fake.then(&[Act::SignOther; 3]);
    let error = sign(&key).await.unwrap_err();
    assert!(error.contains("not the key's"), "{error}");
}

#[tokio::test]
async fn a_renewed_token_is_read() {
    let Fixture { fake, key, folder } = fixture().await;
    fake.change_token("hvs.renewed");
    sign(&key).await.unwrap_err();
    token_file(folder.path(), "hvs.renewed\n");
    sign(&key).await.unwrap();
    let asked = fake.asked();
    sign(&key).await.unwrap();
    assert_eq!(fake.asked(), asked + 1, "the new token is kept");
}

#[tokio::test]
async fn what_is_not_there_is_said_at_the_start() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(folder.path(), TOKEN);
    for (name, said) in [
        ("other", "status 404"),
        ("ca/7", "no version 7, but [1, 2]"),
        ("ed25519", "not ECDSA"),
    ] {
        let error = in_one_line(&open(fake.address(), name, token.clone()).await.unwrap_err());
        assert!(error.contains(said), "{error}");
    }
    fake.then(&[Act::SignOther]);
    let error = open(fake.address(), "ca", token.clone()).await.unwrap_err();
    assert!(matches!(error, VaultError::OtherKey));
    fake.then(&[Act::Answer(403, "")]);
    let error = open(fake.address(), "ca", token).await.unwrap_err();
    assert!(matches!(error, VaultError::Forbidden));
    let error = open(fake.address(), "ca", token_file(folder.path(), "wrong"))
        .await
        .unwrap_err();
    assert!(matches!(error, VaultError::Forbidden));
    let unset = PassphraseSource::Environment("MAYFLY_TEST_UNSET".to_owned());
    let error = in_one_line(&open(fake.address(), "ca", unset).await.unwrap_err());
    assert!(error.contains("MAYFLY_TEST_UNSET is not set"), "{error}");
}

#[tokio::test]
async fn the_version_of_the_start_stays() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let token = token_file(folder.path(), TOKEN);
    let newest = open(fake.address(), "ca", token.clone()).await.unwrap();
    let first = open(fake.address(), "ca/1", token).await.unwrap();
    sign(&newest).await.unwrap();
    assert_eq!(fake.last_version(), 2);
    sign(&first).await.unwrap();
    assert_eq!(fake.last_version(), 1);
}
