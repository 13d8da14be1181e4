//! What `mayfly dev` prints for a person: what is where, and what to type next.

use std::{borrow::Cow, env, fmt, path::Path};

use mayfly::dev::{data_dir::Start, ready::Ready};

use super::place::Place;

/// The address in the examples; any other works as well.
const EXAMPLE_EMAIL: &str = "you@example.com";

/// The text, for one start.
pub(crate) struct Guide<'a> {
    ready: &'a Ready,
    place: &'a Place,
    program: String,
}

impl<'a> Guide<'a> {
    /// The commands call this program as it was called itself.
    pub(crate) fn new(ready: &'a Ready, place: &'a Place) -> Self {
        let program = env::args().next().unwrap_or_else(|| "mayfly".to_owned());
        Self {
            ready,
            place,
            program,
        }
    }

    fn write_places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.ready;
        let how = match self.place {
            Place::Kept {
                start: Start::First, ..
            } => "keys, certificates and log were made just now",
            Place::Kept {
                start: Start::Later, ..
            } => "keys, certificates and log are those of the first start",
            Place::Ephemeral { .. } => "files for clients only; gone at the end, as all the rest",
        };
        writeln!(f, "  API            {}", ready.api)?;
        writeln!(f, "  log in         {}", ready.issuer)?;
        writeln!(f, "  GitHub-shaped  {}", ready.github_issuer)?;
        writeln!(f, "  metrics        {}", ready.metrics)?;
        writeln!(f, "  data           {} ({how})", ready.data_dir.display())
    }

    fn write_signing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = quoted(&self.ready.signing_config);
        let root = quoted(&self.ready.trusted_root);
        writeln!(f, "Sign a file. A browser opens; type any email address:\n")?;
        writeln!(f, "  echo hello > hello.txt")?;
        writeln!(f, "  cosign sign-blob --yes \\")?;
        writeln!(
            f,
            "    --signing-config {config} \\\n    --trusted-root {root} \\"
        )?;
        writeln!(f, "    --bundle hello.sigstore.json hello.txt")?;
        if let Place::Kept { data_dir, .. } = self.place {
            let (program, data_dir) = (shell_word(&self.program), quoted(data_dir.path()));
            writeln!(f, "\nOr without a browser:\n")?;
            writeln!(
                f,
                "  {program} dev token --email {EXAMPLE_EMAIL} \\\n    --data-dir {data_dir} > token.jwt"
            )?;
            writeln!(f, "  cosign sign-blob --yes --identity-token token.jwt \\")?;
            writeln!(
                f,
                "    --signing-config {config} \\\n    --trusted-root {root} \\"
            )?;
            writeln!(f, "    --bundle hello.sigstore.json hello.txt")?;
        }
        Ok(())
    }

    fn write_verifying(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Verify it:\n")?;
        writeln!(
            f,
            "  cosign verify-blob --insecure-ignore-tlog --use-signed-timestamps \\"
        )?;
        writeln!(f, "    --trusted-root {} \\", quoted(&self.ready.trusted_root))?;
        writeln!(f, "    --certificate-identity {EXAMPLE_EMAIL} \\")?;
        writeln!(f, "    --certificate-oidc-issuer {} \\", self.ready.issuer)?;
        writeln!(f, "    --bundle hello.sigstore.json hello.txt")
    }

    fn write_auditing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, root) = (shell_word(&self.program), quoted(&self.ready.trusted_root));
        writeln!(f, "Audit the log that its certificate is in:\n")?;
        writeln!(f, "  {program} log verify --trusted-root {root} \\")?;
        writeln!(f, "    {}/log", self.ready.api)
    }
}

impl fmt::Display for Guide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nMayfly is running. NOT FOR PRODUCTION: its login page believes whatever address is typed.\n"
        )?;
        self.write_places(f)?;
        writeln!(f)?;
        self.write_signing(f)?;
        writeln!(f)?;
        self.write_verifying(f)?;
        writeln!(f)?;
        self.write_auditing(f)?;
        writeln!(f, "\nStop with Ctrl-C.")
    }
}

pub(crate) fn quoted(path: &Path) -> String {
    shell_word(&path.to_string_lossy()).into_owned()
}

/// Text as one word of a POSIX shell.
fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for (text, word) in [
            ("/home/you/mayfly-dev", "/home/you/mayfly-dev"),
            ("/my files/x", "'/my files/x'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
