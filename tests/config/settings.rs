//! `mayfly.yaml`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use mayfly::{
    config::{ConfigErrors, Settings, issuers},
    key::KeySettings,
    log::{
        Embedding, Use,
        embedded::{ShardKey, Storage},
    },
};
use tempfile::TempDir;

use crate::{lines, policy};

/// A folder with a `mayfly.yaml` and the files that the example names.
pub(crate) struct Installation(TempDir);

impl Installation {
    pub(crate) fn new(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["tls.pem", "ca.pem", "issuers.yaml"] {
            fs::write(folder.path(name), "").unwrap();
        }
        fs::create_dir(folder.path("keys")).unwrap();
        fs::write(folder.path("keys/ct-2027.pem"), log_key()).unwrap();
        for name in ["tls-key.pem", "ca-key.pem", "log-key.pem"] {
            fs::write(folder.path(name), "").unwrap();
            folder.chmod(name, 0o600);
        }
        fs::write(folder.path("mayfly.yaml"), text).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn load(&self) -> Result<Settings, ConfigErrors> {
        Settings::load(&self.path("mayfly.yaml"))
    }

    /// The report, without the folder's name.
    pub(crate) fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        let lines = lines(&self.load().unwrap_err(), &self.path("mayfly.yaml"));
        lines.into_iter().map(|line| line.replace(&folder, "")).collect()
    }
}

/// A new key, as a log's operator publishes it.
pub(crate) fn log_key() -> String {
    rcgen::KeyPair::generate().unwrap().public_key_pem()
}

pub(crate) const MINIMAL: &str = "ca: {chain: ca.pem, key: ca-key.pem}
log: {directory: log, origin: ca.example.com/log, key: log-key.pem}
issuers: issuers.yaml
audit: audit.jsonl
";

#[test]
fn the_example_settings_load() {
    let installation = Installation::new(&fs::read_to_string("config/mayfly.yaml").unwrap());
    let settings = installation.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.listen().to_string(), "0.0.0.0:5555");
    assert_eq!(settings.metrics_listen().unwrap().to_string(), "127.0.0.1:2112");
    let tls = settings.tls().unwrap();
    assert_eq!(
        (&*tls.certificate, &*tls.key),
        (&*installation.path("tls.pem"), &*installation.path("tls-key.pem"))
    );
    let ca = settings.ca();
    assert_eq!(
        (ca.chain(), ca.key()),
        (
            &*installation.path("ca.pem"),
            &KeySettings::plain_file(installation.path("ca-key.pem"))
        )
    );
    let [log] = &*settings.log().unwrap().shards else {
        panic!("not one log")
    };
    assert_eq!(log.storage, Storage::Directory(installation.path("log")));
    assert_eq!(
        log.key,
        ShardKey::Signing(KeySettings::plain_file(installation.path("log-key.pem")))
    );
    assert_eq!((&*log.origin, log.window), ("ca.example.com/log", None));
    let [external] = settings.external_logs() else {
        panic!("not one external log")
    };
    assert_eq!(
        (&*external.name, external.purpose),
        ("ct-2027", Use::Informational)
    );
    assert_eq!(settings.embedding(), Embedding::Embedded);
    assert!(settings.warnings().is_empty());
    assert_eq!(settings.issuers(), installation.path("issuers.yaml"));
    assert_eq!(
        settings.private_identity_providers(),
        ["dex.corp.example", "10.0.0.7"]
    );
    assert_eq!(settings.audit(), installation.path("audit.jsonl"));
    assert_eq!(
        settings.verified_issuers().unwrap(),
        installation.path("verified-issuers.json")
    );
}

#[test]
fn what_is_left_out_has_safe_defaults() {
    let settings = Installation::new(MINIMAL).load().unwrap();
    assert_eq!(settings.listen().to_string(), "127.0.0.1:5555");
    assert_eq!(settings.metrics_listen().unwrap().to_string(), "127.0.0.1:2112");
    assert!(settings.tls().is_none());
    assert!(settings.private_identity_providers().is_empty());
    let off = Installation::new(&format!("{MINIMAL}metrics-listen: off\nverified-issuers: off\n"));
    assert!(off.load().unwrap().metrics_listen().is_none());
    assert!(off.load().unwrap().verified_issuers().is_none());
}

#[test]
fn verified_issuers_are_kept_beside_the_audit_record_unless_the_file_says_otherwise() {
    let with = |lines: &str| {
        Installation::new(&format!(
            "{}{lines}",
            MINIMAL.replace("audit.jsonl", "keys/audit.jsonl")
        ))
    };
    for (lines, expected) in [
        ("", "keys/verified-issuers.json"),
        ("verified-issuers: other.json\n", "other.json"),
    ] {
        let installation = with(lines);
        let settings = installation.load().unwrap();
        assert_eq!(settings.verified_issuers().unwrap(), installation.path(expected));
    }
    for (value, problem) in [
        (
            "keys/audit.jsonl",
            "is the file of `audit`. Name another file, or `off`",
        ),
        ("keys", "keys is a folder, not a file"),
        ("missing/x", "the folder of missing/x does not exist"),
    ] {
        let installation = with(&format!("verified-issuers: {value}\n"));
        assert_eq!(
            installation.problems(),
            [format!("5: verified-issuers: {problem}")]
        );
    }
}

#[test]
fn every_problem_of_the_settings_is_reported_at_once() {
    let installation = Installation::new(
        "lisen: 127.0.0.1:1
listen: localhost:5555
metrics-listen: 5555
tls: {certificate: none.pem}
ca:
  chain: ca.pem
  key: ca-key.pem
  key: log-key.pem
log:
  directory: ca.pem
  origin: https://ca.example.com/
  key: /
audit: missing/audit.jsonl
private-identity-providers: [https://dex.corp.example, 10.0.0.7, Dex]
",
    );
    installation.chmod("ca-key.pem", 0o640);
    let advice = "Write 127.0.0.1:5555 for this machine, 0.0.0.0:5555 or [::]:5555 for all addresses";
    let host = "Write the host alone, in lower case, such as dex.corp.example";
    assert_eq!(
        installation.problems(),
        [
            " `issuers` is missing. Name the issuer file, such as issuers.yaml".to_owned(),
            "1: lisen: is not a known key. Did you mean `listen`?".to_owned(),
            format!("2: listen: `localhost:5555` is not an IP address and a port. {advice}"),
            format!("3: metrics-listen: `5555` is not an IP address and a port. {advice}"),
            "4: tls.certificate: none.pem cannot be read: No such file or directory (os error 2)".to_owned(),
            "4: tls: `key` is missing. Name a PEM file".to_owned(),
            "7: ca.key: ca-key.pem holds a private key and is open to others than its owner. \
             Run: chmod 600 ca-key.pem"
                .to_owned(),
            "8: ca.key: is given twice (first on line 7). Keep one of them".to_owned(),
            "10: log.directory: ca.pem is not a folder".to_owned(),
            "11: log.origin: must be a URL without its scheme, in normal form, its path made of letters, digits and \
             `-._~`. Write it as ca.example.com/log"
                .to_owned(),
            "12: log.key: / is not a file".to_owned(),
            "13: audit: the folder of missing/audit.jsonl does not exist".to_owned(),
            format!(
                "14: private-identity-providers: `https://dex.corp.example` is not a host name or IP address. {host}"
            ),
            format!("14: private-identity-providers: `Dex` is not a host name or IP address. {host}"),
        ]
    );
}

#[test]
fn a_key_without_a_value_is_not_taken_for_an_absent_one() {
    let installation = Installation::new(&format!("{MINIMAL}tls:\n  # certificate: tls.pem\n"));
    assert_eq!(
        installation.problems(),
        ["5: tls: has no value. Give it one, or remove the key"]
    );
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let proxies = |lines: &str| {
        let installation = Installation::new(&format!("{MINIMAL}{lines}"));
        let settings = installation.load().unwrap();
        let proxies = settings.trusted_proxies().iter();
        proxies.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(proxies(""), ["127.0.0.0/8", "::1/128"]);
    assert!(proxies("trusted-proxies: []\n").is_empty());
    assert_eq!(
        proxies("trusted-proxies: [10.0.0.0/8, 192.0.2.1, \"fd00::/8\"]\n"),
        ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]
    );
    let wrong = Installation::new(&format!(
        "{MINIMAL}trusted-proxies: [proxy.example.com, 10.0.0.0/33]\n"
    ));
    let what = |text| {
        format!(
            "5: trusted-proxies: `{text}` is not an IP address or network. \
             Write an address, or a network such as 10.0.0.0/8 or fd00::/8"
        )
    };
    assert_eq!(wrong.problems(), [what("proxy.example.com"), what("10.0.0.0/33")]);
}

#[test]
fn two_listeners_need_two_addresses() {
    let same = Installation::new(&format!(
        "{MINIMAL}listen: 127.0.0.1:80\nmetrics-listen: 127.0.0.1:80\n"
    ));
    assert_eq!(
        same.problems(),
        ["6: metrics-listen: is the same address as `listen`. Choose another port"]
    );
    let free = Installation::new(&format!(
        "{MINIMAL}listen: 127.0.0.1:0\nmetrics-listen: 127.0.0.1:0\n"
    ));
    assert!(free.load().is_ok());
}

#[test]
fn keys_are_refused_unless_only_their_owner_can_read_them() {
    for (name, mode) in [
        ("ca-key.pem", 0o604),
        ("log-key.pem", 0o660),
        ("ca-key.pem", 0o644),
    ] {
        let installation = Installation::new(MINIMAL);
        installation.chmod(name, mode);
        let [problem] = installation.problems().try_into().unwrap();
        assert!(problem.ends_with(&format!("Run: chmod 600 {name}")), "{problem}");
    }
    let installation = Installation::new(MINIMAL);
    installation.chmod("ca-key.pem", 0o400);
    assert!(installation.load().is_ok());
}

#[test]
fn a_log_is_named_by_a_plain_url() {
    let with = |origin: &str| MINIMAL.replace("ca.example.com/log", &format!("\"{origin}\""));
    for origin in [
        "ca.example.com",
        "ca.example.com:8443/a/b-1.2_3~",
        "localhost/log",
        "10.0.0.1/log",
    ] {
        assert!(Installation::new(&with(origin)).load().is_ok(), "{origin}");
    }
    for origin in [
        "ca.example.com/{x}",
        "ca.example.com/{*x}",
        "ca.example.com/*",
        "ca.example.com/:x",
        "ca.example.com//log",
        "ca.example.com/a/../b",
        "ca.example.com/log/",
        "ca.example.com/a+b",
        "ca.example.com/a b",
        "ca.example.com/log?x",
        "ca.example.com?x",
        "me@ca.example.com/log",
        "CA.example.com/log",
        "https://ca.example.com/log",
        "/log",
    ] {
        let [problem] = Installation::new(&with(origin)).problems().try_into().unwrap();
        assert!(problem.contains("log.origin"), "{problem}");
    }
}

#[test]
fn the_log_s_key_may_be_yet_to_be_made() {
    let installation = Installation::new(MINIMAL);
    fs::remove_file(installation.path("log-key.pem")).unwrap();
    let settings = installation.load().unwrap();
    let key = &settings.log().unwrap().shards[0].key;
    assert_eq!(
        *key,
        ShardKey::Signing(KeySettings::plain_file(installation.path("log-key.pem")))
    );

    std::os::unix::fs::symlink("nowhere", installation.path("log-key.pem")).unwrap();
    let [problem] = installation.problems().try_into().unwrap();
    assert!(
        problem.starts_with("2: log.key: log-key.pem cannot be read"),
        "{problem}"
    );
    let elsewhere = Installation::new(&MINIMAL.replace("log-key.pem", "missing/log-key.pem"));
    let [problem] = elsewhere.problems().try_into().unwrap();
    assert!(
        problem.ends_with("the folder of missing/log-key.pem does not exist"),
        "{problem}"
    );
    fs::remove_file(elsewhere.path("ca-key.pem")).unwrap();
    assert_eq!(elsewhere.problems().len(), 2, "the CA's key is never made");
}

#[test]
fn files_that_cannot_be_read_are_one_problem() {
    let missing = Path::new("config/no-such-file.yaml");
    let expected = "config/no-such-file.yaml: cannot be read: No such file or directory (os error 2)";
    assert_eq!(Settings::load(missing).unwrap_err().to_string(), expected);
    assert_eq!(
        issuers::load(missing, &policy()).unwrap_err().to_string(),
        expected
    );

    let huge = Installation::new(&"#".repeat(1024 * 1024 + 1));
    assert_eq!(
        huge.problems(),
        [" is larger than 1024 KiB. Is it the right file?"]
    );
    let binary = Installation::new("");
    fs::write(binary.path("mayfly.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(binary.load().is_err());
}

#[test]
fn files_that_are_not_mappings_are_refused() {
    for text in ["", "~", "a", "- a", "[]", "{"] {
        assert!(Installation::new(text).load().is_err(), "{text:?}");
        assert!(
            issuers::parse(Path::new("issuers.yaml"), text, &policy()).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn a_key_may_be_elsewhere_and_its_passphrase_too() {
    let with = |key: &str| {
        let text = MINIMAL.replace("key: ca-key.pem}", &format!("{key}}}"));
        assert_ne!(text, MINIMAL);
        Installation::new(&text)
    };
    let settings = with("key: awskms:///alias/ca").load().unwrap();
    assert_eq!(settings.ca().key().to_string(), "awskms:///alias/ca");
    let settings = with("key: ca-key.pem, passphrase: env:CA_PASSPHRASE")
        .load()
        .unwrap();
    let passphrase = settings.ca().key().passphrase.as_ref().unwrap();
    assert_eq!(passphrase.to_string(), "env:CA_PASSPHRASE");

    for (lines, said) in [
        ("key: kms:ca", "ca.key: `kms` is not a kind of key"),
        ("key: awskms:ca", "ca.key: must be written as awskms:///KEY"),
        ("key: pkcs11:object=ca?pin-value=1234", "ca.key: has a PIN in it"),
        ("key: pkcs11:ca", "ca.key: must be written as pkcs11:token=TOKEN"),
        (
            "key: \"pkcs11:object=ca?pin-source=file:/pin\", passphrase: env:PIN",
            "ca.passphrase: is one of two places of the PIN",
        ),
        (
            "key: ca-key.pem, passphrase: swordfish",
            "ca.passphrase: is not the place of a passphrase",
        ),
        (
            "key: ca-key.pem, passphrase: file:pass",
            "ca.passphrase: pass cannot be read",
        ),
        ("key: ca-key.pem, passphrase: file:ca.pem", "chmod 600 ca.pem"),
    ] {
        let problems = with(lines).problems();
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}")
        };
        assert!(
            problem.contains(said) && !problem.contains("swordfish"),
            "{problem}"
        );
    }
}

#[test]
fn a_public_url_is_an_origin() {
    let minimal = "ca:\n  chain: ca.pem\n  key: ca-key.pem\nlog:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\nissuers: issuers.yaml\naudit: audit.jsonl\n";
    let url = |url: &str| Installation::new(&format!("url: {url}\n{minimal}"));
    assert!(Installation::new(minimal).load().unwrap().url().is_none());
    let settings = url("https://ca.example.com/").load().unwrap();
    assert_eq!(settings.url().unwrap().as_str(), "https://ca.example.com");
    assert!(settings.warnings().is_empty());
    let settings = url("http://ca.example.com").load().unwrap();
    assert!(settings.warnings()[0].to_string().contains("plain HTTP"));
    assert_eq!(
        url("https://example.com/ca").problems(),
        [
            "1: url: `https://example.com/ca` is not where clients reach the API. Write the public URL without a path, such as https://ca.example.com"
        ]
    );
}

#[test]
fn another_ca_is_a_file_or_a_file_with_its_end() {
    let with = |also_trusted: &str| {
        Installation::new(&format!(
            "ca:\n  chain: ca.pem\n  key: ca-key.pem\n  also-trusted: {also_trusted}\nlog:\n  directory: log\n  origin: ca.example.com/log\n  key: log-key.pem\nissuers: issuers.yaml\naudit: audit.jsonl\n"
        ))
    };
    let installation = with("[ca.pem, {chain: tls.pem, until: 2026-06-01T12:00:00Z}]");
    let settings = installation.load().unwrap();
    let [plain, ended] = settings.ca().also_trusted() else {
        panic!("not two")
    };
    assert_eq!(
        (plain.chain(), plain.until()),
        (&*installation.path("ca.pem"), None)
    );
    assert_eq!(ended.chain(), installation.path("tls.pem"));
    assert_eq!(ended.until().unwrap().unix_seconds(), 1_780_315_200);
    assert_eq!(
        with("[missing.pem, {until: soon}, {chain: ca.pem, from: 2026-06-01T12:00:00Z}]").problems(),
        [
            "4: ca.also-trusted: missing.pem cannot be read: No such file or directory (os error 2)",
            "4: ca.also-trusted: `chain` is missing. Name a PEM file with its certificate, the ones above it, and the root",
            "4: ca.also-trusted.until: is not a time. Write it in UTC, as in 2027-01-01T00:00:00Z",
            "4: ca.also-trusted.from: is not a known key. Known here: chain, until",
        ]
    );
}

/// The names are those of Fulcio's `--client-signing-algorithms`.
#[test]
fn signing_algorithms_of_clients_are_named_as_in_fulcio() {
    let with = |line: &str| Installation::new(&format!("{MINIMAL}client-signing-algorithms: {line}\n"));
    let fulcios = "[ecdsa-sha2-256-nistp256, ecdsa-sha2-384-nistp384, ecdsa-sha2-512-nistp521, rsa-sign-pkcs1-2048-sha256, \
                   rsa-sign-pkcs1-3072-sha256, rsa-sign-pkcs1-4096-sha256, ed25519]";
    with(fulcios).load().unwrap();
    for (line, said) in [
        (
            "[ed25519, ecdsa-sha2-256-nistp265]",
            "5: client-signing-algorithms: `ecdsa-sha2-256-nistp265` is not a signing algorithm of clients. Did you mean \
             `ecdsa-sha2-256-nistp256`?",
        ),
        (
            "[rsa-sign-pss-2048-sha256]",
            "5: client-signing-algorithms: `rsa-sign-pss-2048-sha256` is not how clients prove their keys. Name what they use, \
             such as rsa-sign-pkcs1-2048-sha256 or ed25519",
        ),
        (
            "[ed25519-ph]",
            "5: client-signing-algorithms: `ed25519-ph` is not how clients prove their keys. Name what they use, \
             such as rsa-sign-pkcs1-2048-sha256 or ed25519",
        ),
        (
            "[]",
            "5: client-signing-algorithms: permits no algorithm. Name those that clients may use, or remove the key",
        ),
        (
            "ed25519",
            "5: client-signing-algorithms: must be a list. Write `- value` lines below it",
        ),
        (
            "",
            "5: client-signing-algorithms: has no value. Give it one, or remove the key",
        ),
    ] {
        assert_eq!(with(line).problems(), [said], "{line}");
    }
}

/// As Kubernetes mounts a Secret: links that lead to a file of root, here of the user that runs the
/// tests.
#[test]
fn a_key_is_found_through_the_links_of_a_mounted_secret() {
    let installation = Installation::new(&MINIMAL.replace("key: ca-key.pem", "key: secret/ca-key.pem"));
    fs::create_dir_all(installation.path("secret/..2026")).unwrap();
    fs::write(installation.path("secret/..2026/ca-key.pem"), "").unwrap();
    std::os::unix::fs::symlink("..2026", installation.path("secret/..data")).unwrap();
    std::os::unix::fs::symlink("..data/ca-key.pem", installation.path("secret/ca-key.pem")).unwrap();
    installation.chmod("secret/..2026/ca-key.pem", 0o400);
    installation.load().unwrap();
    installation.chmod("secret/..2026/ca-key.pem", 0o444);
    let [problem] = installation.problems().try_into().unwrap();
    assert!(problem.ends_with("Run: chmod 600 secret/ca-key.pem"), "{problem}");
}
