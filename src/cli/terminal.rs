//! Questions to a person. They go to standard error: standard output is for results.

use std::io::{self, BufRead, IsTerminal, Write};

use ct_log::output;
use mayfly::key::passphrase::Passphrase;
use zeroize::Zeroizing;

/// Somebody is there to answer. Only who found a terminal can ask.
pub(crate) struct Terminal(());

impl Terminal {
    /// Nothing if standard input is no terminal.
    pub(crate) fn find() -> Option<Self> {
        io::stdin().is_terminal().then_some(Self(()))
    }

    pub(crate) fn say(&self, text: &str) -> io::Result<()> {
        output::flush();
        writeln!(io::stderr(), "{text}")
    }

    /// Asks until there is an answer; an empty one is the default, if there is one.
    pub(crate) fn ask(&self, question: &str, default: Option<&str>) -> io::Result<String> {
        loop {
            let suggestion = default.map_or_else(String::new, |default| format!(" [{default}]"));
            let answer = self.line(&format!("{question}{suggestion}: "))?;
            match (answer.trim(), default) {
                ("", None) => {}
                ("", Some(default)) => return Ok(default.to_owned()),
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// No unless it is clearly yes.
    pub(crate) fn confirm(&self, question: &str) -> io::Result<bool> {
        let answer = self.line(&format!("{question} [y/N]: "))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// A new passphrase, typed twice and not shown; nothing if it is empty.
    pub(crate) fn new_passphrase(&self, of: &str) -> io::Result<Option<Passphrase>> {
        loop {
            let once = hidden(&format!("Passphrase for {of}: "))?;
            let Ok(passphrase) = Passphrase::new(once) else {
                return Ok(None);
            };
            let again = hidden("The same again: ")?;
            if *again == *passphrase.expose() {
                return Ok(Some(passphrase));
            }
            self.say("These are two different passphrases.")?;
        }
    }

    /// The passphrase of something that has one, not shown; nothing if it is empty.
    pub(crate) fn passphrase(&self, of: &str) -> io::Result<Option<Passphrase>> {
        Ok(Passphrase::new(hidden(&format!("Passphrase for {of}: "))?).ok())
    }

    fn line(&self, prompt: &str) -> io::Result<String> {
        output::flush();
        let mut out = io::stderr();
        write!(out, "{prompt}")?;
        out.flush()?;
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }
}

fn hidden(prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    output::flush();
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?.into_bytes()))
}
