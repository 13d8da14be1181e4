//! A SoftHSM token of one's own. The library reads its configuration once in a process, so each test is a process.

use std::{
    env,
    error::Error,
    fs, iter,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use der::Decode;
use mayfly::{
    key::{KeySettings, OpenKeyError, SigningKey, passphrase::PassphraseSource},
    telemetry::KeyMetrics,
};
use spki::SubjectPublicKeyInfoRef;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const FOLDER: &str = "MAYFLY_TEST_FOLDER";
pub(crate) const PIN: &str = "1234";
pub(crate) const MESSAGE: &[u8] = b"to be signed";

pub(crate) struct Token {
    folder: PathBuf,
    label: &'static str,
}

/// Runs `body` in a process of its own, whose SoftHSM has the token `ca` and nothing else. `test` is the name of the test.
pub(crate) fn alone<F: Future<Output = ()>>(test: &str, body: impl FnOnce(Token) -> F) {
    if let Some(folder) = env::var_os(FOLDER) {
        let token = Token {
            folder: folder.into(),
            label: "ca",
        };
        return tokio::runtime::Runtime::new().unwrap().block_on(body(token));
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\n",
        tokens.display()
    );
    fs::write(&configuration, text).unwrap();
    let token = Token {
        folder: folder.path().to_owned(),
        label: "ca",
    };
    token.initialise();
    let child = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env("SOFTHSM2_CONF", configuration)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr),
    );
    print!("{stdout}");
    eprint!("{stderr}");
    assert!(
        child.status.success() && stdout.contains("1 passed"),
        "{}\n{stdout}\n{stderr}",
        child.status
    );
}

impl Token {
    fn tool(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program)
            .args(arguments)
            .env("SOFTHSM2_CONF", self.folder.join("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    }

    fn initialise(&self) {
        let so_pin = "12345678";
        let arguments = [
            "--init-token",
            "--free",
            "--label",
            self.label,
            "--so-pin",
            so_pin,
        ];
        self.tool("softhsm2-util", &[&arguments[..], &["--pin", PIN]].concat());
    }

    /// Another one of that name in the same library.
    pub(crate) fn another(&self, label: &'static str) -> Self {
        let folder = self.folder.clone();
        let token = Self { folder, label };
        token.initialise();
        token
    }

    /// `pkcs11-tool` with what is needed to log in.
    pub(crate) fn manage(&self, arguments: &[&str]) {
        let login = [
            "--module",
            MODULE,
            "--token-label",
            self.label,
            "--login",
            "--pin",
            PIN,
        ];
        self.tool("pkcs11-tool", &[&login[..], arguments].concat());
    }

    /// Makes a key, such as `EC:prime256v1`, and its public half beside it.
    pub(crate) fn make_key(&self, kind: &str, label: &str, id: &str) {
        self.manage(&["--keypairgen", "--key-type", kind, "--label", label, "--id", id]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the PIN where [`Token::settings`] says it is.
    pub(crate) fn write_pin(&self, pin: &str) {
        let path = self.path("pin");
        fs::write(&path, pin).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The key that `attributes` name, with the right PIN.
    pub(crate) fn settings(&self, attributes: &str) -> KeySettings {
        self.settings_by(attributes, Path::new(MODULE))
    }

    pub(crate) fn settings_by(&self, attributes: &str, module: &Path) -> KeySettings {
        if !self.path("pin").exists() {
            self.write_pin(PIN);
        }
        let uri = format!("pkcs11:{attributes}?module-path={}", module.display());
        KeySettings {
            reference: uri.parse().unwrap(),
            passphrase: Some(PassphraseSource::File(self.path("pin"))),
        }
    }
}

pub(crate) async fn open(settings: &KeySettings) -> Result<Arc<dyn SigningKey>, OpenKeyError> {
    settings.open("ca", &KeyMetrics::new().unwrap()).await
}

/// Why the key cannot be opened, with all causes.
pub(crate) async fn refused(settings: &KeySettings) -> String {
    match open(settings).await {
        Ok(_) => panic!("{settings} is opened"),
        Err(error) => causes(&error),
    }
}

pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(|error| format!("{error}\n")).collect()
}

/// A signature that holds, or why there is none.
pub(crate) async fn sign(key: &dyn SigningKey) -> Result<(), String> {
    let signature = key.sign(MESSAGE).await.map_err(|error| causes(&error))?;
    let spki = SubjectPublicKeyInfoRef::from_der(key.spki_der()).unwrap();
    assert!(key.algorithm().verifies(&spki, MESSAGE, &signature));
    Ok(())
}
