//! CAs that clients would refuse, and files of a CA that do not belong together: what an operator is told by `mayfly serve`.

use std::{fs, time::Duration};

use mayfly::{
    clock::{Clock, SystemClock},
    key::passphrase::Passphrase,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use zeroize::Zeroizing;

use crate::{installation::Installation, program::mayfly};

/// A CA's two files.
struct Ca {
    chain: String,
    key: String,
}

fn authority(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(constraints);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// As the specification wants it, but for what `change` does to the intermediate.
fn ca_with(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Ca {
    let root_key = KeyPair::generate().unwrap();
    let root = authority("Root", BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let mut intermediate = authority("Intermediate", BasicConstraints::Constrained(0));
    intermediate.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    change(&mut intermediate);
    let issuer = Issuer::new(root, root_key);
    let chain = intermediate.signed_by(key, &issuer).unwrap().pem() + &root_pem;
    let key = key.serialize_pem();
    Ca { chain, key }
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> Ca {
    ca_with(&KeyPair::generate().unwrap(), change)
}

impl Installation {
    fn put(&self, ca: &Ca) {
        self.write("ca.pem", &ca.chain);
        self.write("ca-key.pem", &ca.key);
    }

    /// The start fails with exit code 1, and says this.
    fn assert_refused_only(&self, said: &str) {
        let (code, stderr) = self.refusal();
        assert_eq!(code, Some(1), "{stderr}");
        let line = stderr.lines().find(|line| line.contains(said));
        assert!(line.is_some(), "not said: {said}\n{stderr}");
    }

    /// The same, before a log is made.
    fn assert_refused(&self, said: &str) {
        self.assert_refused_only(said);
        assert!(!self.path("log").exists() && !self.path("log-key.pem").exists());
    }
}

async fn assert_refused(ca: Ca, said: &str) {
    let installation = Installation::new().await;
    installation.put(&ca);
    installation.assert_refused(said);
}

/// So that the other tests refuse what they change and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_by_the_specification_starts() {
    let installation = Installation::new().await;
    installation.put(&changed(|_| {}));
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test]
async fn an_intermediate_that_is_not_yet_valid() {
    let installation = Installation::new().await;
    let tomorrow = SystemClock.now().plus(Duration::from_secs(24 * 60 * 60));
    installation.make_ca(tomorrow).await;
    installation.assert_refused("certificate 0 of the chain is not valid before");
}

#[tokio::test]
async fn an_intermediate_for_something_else_than_code_signing() {
    let said = "the extKeyUsage of the certificate that signs must contain codeSigning";
    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]] {
        assert_refused(
            changed(|intermediate| intermediate.extended_key_usages = usages),
            said,
        )
        .await;
    }
}

/// As `openssl req -x509` makes it.
fn root_alone() -> Ca {
    let key = KeyPair::generate().unwrap();
    let root = authority("Root", BasicConstraints::Unconstrained);
    let chain = root.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    Ca { chain, key }
}

/// Fulcio runs on these. A start says what a new CA should not have, and so does a check before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_fulcio_runs_on_signs_with_a_warning() {
    for (ca, warning) in [
        (root_alone(), "the root signs the certificates itself"),
        (
            changed(|intermediate| intermediate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "the intermediate has no basicConstraints pathlen:0",
        ),
        (
            changed(|intermediate| {
                intermediate
                    .extended_key_usages
                    .push(ExtendedKeyUsagePurpose::EmailProtection);
            }),
            "is not codeSigning alone",
        ),
    ] {
        let installation = Installation::new().await;
        installation.put(&ca);
        let check = mayfly()
            .args(["config", "check", "--config"])
            .arg(installation.path("mayfly.yaml"))
            .output()
            .unwrap();
        let said = String::from_utf8(check.stdout).unwrap();
        let line = said.lines().find(|line| line.contains(warning));
        assert!(
            line.is_some_and(|line| line.starts_with("warning: ")),
            "{warning}: {said}"
        );
        let log_lines = String::from_utf8(check.stderr).unwrap();
        assert!(!log_lines.contains(warning), "said twice: {log_lines}");
        let mut serving = installation.serve();
        serving.request().await.issued();
        serving.program.stop();
        let logged = serving.program.stderr();
        let is_warning = |line: &&str| line.contains(warning) && line.contains("WARN");
        assert_eq!(
            logged.lines().filter(is_warning).count(),
            1,
            "{warning}: {logged}"
        );
    }
}

#[tokio::test]
async fn an_intermediate_that_is_no_ca() {
    let leaf = changed(|intermediate| intermediate.is_ca = IsCa::ExplicitNoCa);
    assert_refused(leaf, "certificate 0 of the chain is not a CA").await;
}

#[tokio::test]
async fn an_ed25519_ca_with_the_client_that_would_break() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ca = ca_with(&key, |_| {});
    let said = "sigstore-python, for one, rejects the SCTs of certificates that an Ed25519 CA signed";
    let key_alone = Ca {
        key: ca.key.clone(),
        ..changed(|_| {})
    };
    assert_refused(ca, said).await;
    assert_refused(key_alone, said).await;
}

#[tokio::test]
async fn a_key_that_is_not_the_chains() {
    let ca = Ca {
        key: KeyPair::generate().unwrap().serialize_pem(),
        ..changed(|_| {})
    };
    let installation = Installation::new().await;
    installation.put(&ca);
    installation.assert_refused_only("the CA key does not belong to the first certificate");
}

#[tokio::test]
async fn files_that_were_written_by_half() {
    let half = |text: &str| text.split_at(text.len() / 2).0.to_owned();
    let ca = changed(|_| {});
    let half_key = Ca {
        key: half(&ca.key),
        chain: ca.chain.clone(),
    };
    assert_refused(half_key, "the key file must hold one PEM block").await;
    // What is left is the whole intermediate, and half of the root or nothing.
    let first = ca
        .chain
        .split_inclusive("-----END CERTIFICATE-----")
        .next()
        .unwrap();
    for length in [ca.chain.len() - 100, first.len() + 1] {
        let half_chain = Ca {
            chain: ca.chain.split_at(length).0.to_owned(),
            key: ca.key.clone(),
        };
        assert_refused(half_chain, "the last certificate of the chain is not self-signed").await;
    }
    let less_than_one = Ca {
        chain: half(first),
        key: ca.key,
    };
    assert_refused(less_than_one, "the chain file must hold PEM certificates").await;
}

#[tokio::test]
async fn a_wrong_passphrase() {
    let installation = Installation::new().await;
    let secret = Passphrase::new(Zeroizing::new(b"correct horse".to_vec())).unwrap();
    installation
        .make_ca_as("ca", SystemClock.now(), Some(&secret))
        .await;
    installation.assert_refused("the key file is encrypted: say where its passphrase is");
    installation.configure("key: ca-key.pem", "key: ca-key.pem\n  passphrase: file:secret");
    installation.write("secret", "battery staple");
    installation.chmod("secret", 0o600);
    installation.assert_refused("the passphrase does not decrypt the key file");
    installation.chmod("secret", 0o644);
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(2));
    assert!(stderr.contains("is open to others than its owner"), "{stderr}");
}

#[tokio::test]
async fn a_key_that_the_world_can_read() {
    let installation = Installation::new().await;
    installation.chmod("ca-key.pem", 0o604);
    let (code, stderr) = installation.refusal_as(&mut mayfly());
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("open to others") && stderr.contains("chmod 600"),
        "{stderr}"
    );
}

/// The log, too, is told by name what keeps it from starting.
#[tokio::test]
async fn a_log_key_that_was_written_by_half() {
    let installation = Installation::new().await;
    installation.serve().program.stop();
    let key = fs::read_to_string(installation.path("log-key.pem")).unwrap();
    installation.write("log-key.pem", key.split_at(key.len() / 2).0);
    let (code, stderr) = installation.refusal();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("the key file must hold one PEM block"),
        "{stderr}"
    );
}
