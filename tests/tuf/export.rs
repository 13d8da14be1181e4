//! From a folder of trust files to targets.

use mayfly::trust::tuf::{TargetFileError, read_export};
use serde_json::{Value, json};

use super::*;

const CERTIFICATE: &[u8] = b"a certificate";
const LOG_KEY: &[u8] = b"a key";

fn pem(label: &str, contents: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, contents))
}

/// As `mayfly trust export` writes it, and a timestamp authority's certificate.
fn folder() -> TempDir {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let trusted_root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [{
            "uri": "https://ca.example.com",
            "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(CERTIFICATE) }] },
            "validFor": { "start": "2026-01-01T00:00:00Z" },
        }],
        "ctlogs": [{
            "baseUrl": "https://ca.example.com/log",
            "publicKey": {
                "rawBytes": STANDARD.encode(LOG_KEY),
                "validFor": { "start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z" },
            },
        }],
    });
    write("trusted_root.json", &trusted_root.to_string());
    let signing_config = json!({ "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json" });
    write("signing_config.json", &signing_config.to_string());
    write("trust_config.json", "{}");
    write("ca.pem", &pem("CERTIFICATE", CERTIFICATE));
    write("ctlog-1.pem", &pem("PUBLIC KEY", LOG_KEY));
    write("tsa.certchain.pem", &pem("CERTIFICATE", b"another"));
    folder
}

fn read(folder: &Path) -> Result<Vec<TargetFile>, TargetFileError> {
    read_export(folder, &[], now())
}

#[test]
fn files_get_the_names_and_metadata_that_sigstore_s_clients_look_for() {
    let folder = folder();
    fs::write(folder.path().join("extra.txt"), "as it is").unwrap();
    let also = ["extra.txt".to_owned()];
    let files = read_export(folder.path(), &also, now()).unwrap();
    let found: Vec<(&str, Value)> = files
        .iter()
        .map(|file| (file.name.as_str(), file.sigstore.clone().unwrap_or_default()))
        .collect();
    let ca = json!({ "usage": "Fulcio", "status": "Active", "uri": "https://ca.example.com" });
    let log = json!({ "usage": "CTFE", "status": "Expired", "uri": "https://ca.example.com/log" });
    let tsa = json!({ "usage": "TSA", "status": "Active" });
    assert_eq!(
        found,
        [
            ("fulcio.crt.pem", ca),
            ("ctfe.pub", log),
            ("extra.txt", Value::Null),
            ("signing_config.v0.2.json", Value::Null),
            ("trusted_root.json", Value::Null),
            ("tsa.certchain.pem", tsa),
        ]
    );
}

#[tokio::test]
async fn a_client_gets_the_metadata_with_the_files() {
    let fixture = Fixture::new().await;
    let files = read(folder().path()).unwrap();
    let repository = fixture.open();
    repository.propose_targets(&files, now()).unwrap();
    sign(&repository, &fixture.signers()).await;
    repository.publish(&fixture.signers(), now()).await.unwrap();
    let client = Client::new(&fixture.root())
        .loads(&fixture.public())
        .await
        .unwrap();
    let name = TargetName::new("ctfe.pub").unwrap();
    let target = &client.targets().signed.targets[&name];
    assert_eq!(target.custom["sigstore"]["usage"], "CTFE");
}

#[test]
fn what_was_perhaps_not_meant_for_everybody_is_refused() {
    let folder = folder();
    let refusal = |name: &str, text: &str| {
        let path = folder.path().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        let error = read(folder.path()).unwrap_err();
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        error
    };
    assert!(matches!(
        refusal("ca-key.pem", "secret"),
        TargetFileError::Unknown(_)
    ));
    assert!(matches!(refusal(".hidden", ""), TargetFileError::Unknown(_)));
    let key = pem("PRIVATE KEY", b"secret");
    assert!(matches!(
        refusal("ca.pem", &key),
        TargetFileError::Contents { .. }
    ));
    assert!(matches!(
        refusal("ctlog-1.pem", ""),
        TargetFileError::Contents { .. }
    ));
    assert!(matches!(
        refusal("signing_config.json", "{}"),
        TargetFileError::Contents { .. }
    ));
    assert!(matches!(
        refusal("trusted_root.json", "["),
        TargetFileError::Contents { .. }
    ));
    let same = pem("PUBLIC KEY", LOG_KEY);
    assert!(matches!(refusal("ctfe.pub", &same), TargetFileError::Twice(_)));
    let absent = read_export(folder.path(), &["extra.txt".to_owned()], now());
    assert!(matches!(absent, Err(TargetFileError::Absent { .. })));
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(matches!(read(folder.path()), Err(TargetFileError::Unknown(_))));
    fs::remove_file(folder.path().join("trusted_root.json")).unwrap();
    assert!(matches!(
        read(folder.path()),
        Err(TargetFileError::NoTrustedRoot(_))
    ));
}
