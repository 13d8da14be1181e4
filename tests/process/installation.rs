//! What an operator of `mayfly serve` has: a folder with a configuration, a CA, and trusted issuers.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::Duration,
};

use mayfly::{
    clock::{Clock, SystemClock, Timestamp},
    issuer::{
        CertificateChain,
        ceremony::{self, AuthorityNames, KeyKind},
    },
    key::{file as key_file, passphrase::Passphrase},
};
use serde_json::json;
use tempfile::TempDir;
use x509_cert::name::Name;

use crate::{
    client::{Answer, Client},
    fake_issuer::{FakeIssuer, SigningKey},
    program::{Program, mayfly},
    published::Published,
};

pub(crate) const EMAIL: &str = "alice@example.com";

const CONFIGURATION: &str = "\
listen: 127.0.0.1:0
metrics-listen: off
ca:
  chain: ca.pem
  key: ca-key.pem
log:
  directory: log
  origin: ca.example.com/log
  key: log-key.pem
issuers: issuers.yaml
private-identity-providers: [127.0.0.1]
audit: audit.jsonl
";

pub(crate) struct Installation {
    folder: TempDir,
    issuer_url: String,
    pub(crate) issuer_key: SigningKey,
    _issuer: Option<FakeIssuer>,
}

impl Installation {
    /// Everything but the log, which the first start makes.
    pub(crate) async fn new() -> Self {
        let issuer_key = SigningKey::generate("ES256", "key-1");
        let issuer = FakeIssuer::start(&[&issuer_key]).await;
        let mut installation = Self::trusting(issuer.url(), issuer_key).await;
        installation._issuer = Some(issuer);
        installation
    }

    /// The same for an issuer that need not be there.
    pub(crate) async fn trusting(issuer_url: &str, issuer_key: SigningKey) -> Self {
        let installation = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer_url: issuer_url.to_owned(),
            issuer_key,
            _issuer: None,
        };
        installation.write("mayfly.yaml", CONFIGURATION);
        installation.write("issuers.yaml", &issuer_file(issuer_url));
        installation.make_ca(SystemClock.now()).await;
        installation
    }

    /// Makes a CA that is valid for ten years from `start`, in the place of the one before.
    pub(crate) async fn make_ca(&self, start: Timestamp) {
        self.make_ca_as("ca", start, None).await;
    }

    /// Makes a CA with its chain in `NAME.pem` and its key in `NAME-key.pem`, encrypted if there is a passphrase.
    pub(crate) async fn make_ca_as(&self, name: &str, start: Timestamp, passphrase: Option<&Passphrase>) {
        let names = AuthorityNames {
            root: Name::from_str("CN=Test root,O=Test").unwrap(),
            intermediate: Name::from_str("CN=Test intermediate,O=Test").unwrap(),
        };
        let ca = ceremony::generate(names, KeyKind::EcdsaP256, start)
            .await
            .unwrap();
        let chain = CertificateChain::from_der(ca.chain, start.plus(Duration::from_secs(1))).unwrap();
        self.write(&format!("{name}.pem"), &chain.pem().concat());
        let key = self.path(&format!("{name}-key.pem"));
        let _ = fs::remove_file(&key);
        key_file::write_new(&key, &ca.key, passphrase).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Changes one line of the configuration.
    pub(crate) fn configure(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("mayfly.yaml")).unwrap();
        assert!(text.contains(old));
        self.write("mayfly.yaml", &text.replace(old, new));
    }

    /// Starts, and waits until it serves.
    pub(crate) fn serve(&self) -> Serving<'_> {
        self.serve_as(&mut mayfly())
    }

    /// The same with the program wrapped in something.
    pub(crate) fn serve_as(&self, command: &mut Command) -> Serving<'_> {
        let program = self.spawn(command);
        let address = program.serving();
        Serving {
            installation: self,
            program,
            client: Client::new(&format!("http://{address}")),
            address,
        }
    }

    /// A start that fails: its exit code and what it said.
    pub(crate) fn refusal(&self) -> (Option<i32>, String) {
        self.refusal_as(&mut mayfly())
    }

    /// The same with the program wrapped in something.
    pub(crate) fn refusal_as(&self, command: &mut Command) -> (Option<i32>, String) {
        let mut program = self.spawn(command);
        let code = program.exit().code();
        let stderr = program.stderr();
        assert!(!stderr.contains(r#""message":"serving""#), "{stderr}");
        (code, stderr)
    }

    fn spawn(&self, command: &mut Command) -> Program {
        Program::spawn(command.arg("serve").arg("--config").arg(self.path("mayfly.yaml")))
    }

    pub(crate) fn token(&self) -> String {
        let now = SystemClock.now().unix_seconds();
        self.issuer_key.token(&json!({
            "iss": self.issuer_url, "aud": "sigstore", "sub": "alice", "iat": now, "exp": now + 600,
            "email": EMAIL, "email_verified": true,
        }))
    }
}

fn issuer_file(url: &str) -> String {
    format!("oidc-issuers:\n  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: email\n")
}

/// A running `mayfly serve`.
pub(crate) struct Serving<'a> {
    installation: &'a Installation,
    pub(crate) program: Program,
    pub(crate) client: Client,
    /// Host and port.
    pub(crate) address: String,
}

impl Serving<'_> {
    pub(crate) async fn request(&self) -> Answer {
        self.try_request().await.unwrap()
    }

    /// # Errors
    /// The server is gone.
    pub(crate) async fn try_request(&self) -> Result<Answer, reqwest::Error> {
        let token = self.installation.token();
        self.client.request(&token, EMAIL).await
    }

    pub(crate) fn published(&self, directory: &Path) -> Published {
        Published::at(&format!("http://{}", self.address), directory)
    }
}
