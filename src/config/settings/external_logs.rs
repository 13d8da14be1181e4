//! `external-logs` and `embed-scts`: which logs there are beside the embedded one, and whose SCTs certificates carry.

use std::{
    fs,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ct_log::{ExternalLogKey, LogSpec};
use url::Url;
use x509_cert::Certificate;

use super::shards::instant;
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems, did_you_mean},
        yaml::Node,
    },
    log::{EMBEDDED, Embedding, ExternalLogSettings, Use},
    loopback::is_loopback,
};

const KEYS: Keys = &["name", "url", "key", "spec", "use", "not-after", "ca-cert"];
const NOT_AFTER: Keys = &["from", "until"];
const EMBEDDINGS: [&str; 3] = ["embedded", "first", "all"];

/// The longest name of a log: it is a metrics label and stands in every log line.
const MAX_NAME: usize = 64;

/// The external logs, and the policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) logs: Vec<ExternalLogSettings>,
    pub(super) embedding: Embedding,
}

pub(super) fn policy(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<Policy> {
    let mut logs: Vec<(Place, ExternalLogSettings)> = Vec::new();
    let mut complete = true;
    if let Some((place, node)) = fields.get("external-logs") {
        for item in node.items(&place, problems) {
            match one_log(&place, item, folder, problems) {
                Some(log) => {
                    report_repeated(&logs, &log, problems);
                    logs.push(log);
                }
                None => complete = false,
            }
        }
    }
    let embedding = embedding(fields, problems)?;
    if complete {
        check(fields, embedding.as_ref(), &logs, problems);
    }
    let has_embedded = fields.get("log").is_some();
    let default = if has_embedded {
        Embedding::Embedded
    } else {
        Embedding::First
    };
    complete.then(|| Policy {
        logs: logs.into_iter().map(|(_, log)| log).collect(),
        embedding: embedding.map_or(default, |(_, embedding)| embedding),
    })
}

/// `None` if it is wrong; `Some(None)` if it is not said.
fn embedding(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<(Place, Embedding)>> {
    let Some(text) = fields.text("embed-scts", problems) else {
        return Some(None);
    };
    let embedding = match text.value {
        "embedded" => Embedding::Embedded,
        "first" => Embedding::First,
        "all" => Embedding::All,
        other => {
            let what = format!("`{other}` is not a choice");
            problems.report(&text.place, what, did_you_mean(other, &EMBEDDINGS));
            return None;
        }
    };
    Some(Some((text.place, embedding)))
}

fn check(
    fields: &Fields<'_>,
    said: Option<&(Place, Embedding)>,
    logs: &[(Place, ExternalLogSettings)],
    problems: &mut Problems,
) {
    let has_embedded = fields.get("log").is_some();
    let embed: Vec<_> = logs.iter().filter(|(_, log)| log.purpose == Use::Embed).collect();
    let place = said.map_or_else(|| fields.place().clone(), |(place, _)| place.clone());
    match (said.map(|(_, embedding)| *embedding), has_embedded) {
        (Some(Embedding::Embedded), false) => {
            let what = "is `embedded`, but there is no embedded log";
            problems.report(&place, what, "Write a `log` section, or `embed-scts: first`");
        }
        (_, false) if embed.is_empty() => {
            let suggestion = "Write a `log` section, or `use: embed` in one of the `external-logs`";
            problems.report(
                &place,
                "names no log whose SCT certificates could carry",
                suggestion,
            );
        }
        (None | Some(Embedding::Embedded), true) => {
            for (place, _) in &embed {
                let what = "is for certificates, but they carry the embedded log's SCT alone";
                let suggestion =
                    "Write `embed-scts: first` or `embed-scts: all`, or `use: informational` here";
                problems.report(place, what, suggestion);
            }
        }
        (Some(Embedding::First | Embedding::All), true) if embed.is_empty() => {
            let what = "is a choice among logs, and there is only the embedded one";
            let suggestion = "Remove it, or write `use: embed` in one of the `external-logs`";
            problems.report(&place, what, suggestion);
        }
        (Some(Embedding::All), _) => {
            warn_of_several(&place, embed.len() + usize::from(has_embedded), problems);
        }
        _ => {}
    }
}

fn warn_of_several(place: &Place, number: usize, problems: &mut Problems) {
    if number > 1 {
        let what =
            format!("certificates carry up to {number} SCTs, which sigstore-python and sigstore-rs refuse");
        let suggestion = "cosign wants to know the key of each; `embed-scts: first` and `use: informational` suit all clients";
        problems.warn(place, what, suggestion);
    }
}

fn report_repeated(
    logs: &[(Place, ExternalLogSettings)],
    (place, log): &(Place, ExternalLogSettings),
    problems: &mut Problems,
) {
    for (_, other) in logs {
        if other.name == log.name {
            let what = format!("is the second log that is called `{}`", log.name);
            problems.report(place, what, "Give each a name of its own");
        }
        if other.key.log_id() == log.key.log_id() {
            let what = format!("has the same key as `{}`", other.name);
            problems.report(place, what, "Name each log once, with its own key");
        }
    }
}

fn one_log(
    list: &Place,
    item: &Node,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<(Place, ExternalLogSettings)> {
    let place = item.place(list);
    let fields = Fields::open(place.clone(), item, KEYS, problems)?;
    let name = fields.required_text(
        "name",
        "Name it for metrics and log lines, such as tesseract-2027",
        problems,
    );
    let name = name.and_then(|text| log_name(&text, problems));
    let suggestion = "Write the log's submission prefix, such as https://ct.example.com/2027";
    let url = fields.required_text("url", suggestion, problems);
    let url = url.and_then(|text| log_url(&text, problems));
    let key = fields.required_text("key", "Name a PEM file with the log's public key", problems);
    let key = key.and_then(|text| log_key(&text, folder, problems));
    let suggestion = "Write `spec: static-ct-api`, or `spec: rfc6962` for Trillian";
    let spec = fields.required_text("spec", suggestion, problems);
    let spec = spec.and_then(|text| log_spec(&text, problems));
    let purpose = purpose(&fields, problems);
    let not_after = not_after(&fields, problems);
    let roots = roots(&fields, folder, problems);
    let log = ExternalLogSettings {
        name: name?,
        url: url?,
        key: key?,
        spec: spec?,
        purpose: purpose?,
        not_after: not_after?,
        roots: roots?,
    };
    Some((place, log))
}

fn log_name(text: &Text<'_>, problems: &mut Problems) -> Option<Arc<str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    if text.value == EMBEDDED {
        problems.report(
            &text.place,
            "is what the log in this process is called",
            "Choose another name",
        );
        return None;
    }
    if text.value.len() > MAX_NAME || !text.value.bytes().all(plain) {
        let suggestion = "Use at most 64 letters, digits and `-`, `_`, `.`, `/`";
        problems.report(
            &text.place,
            format!("`{}` is not a name for a log", text.value),
            suggestion,
        );
        return None;
    }
    Some(text.value.into())
}

fn log_url(text: &Text<'_>, problems: &mut Problems) -> Option<Url> {
    let suggestion = "Write the log's submission prefix alone, such as https://ct.example.com/2027";
    let url = Url::parse(text.value).ok().filter(|url| {
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let has_more = url.query().is_some() || url.fragment().is_some();
        is_http && !has_more && url.username().is_empty() && url.password().is_none()
    });
    let Some(url) = url else {
        problems.report(&text.place, "is not the URL of a log", suggestion);
        return None;
    };
    if url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host)) {
        let what = "is plain HTTP: whoever is on the way sees and can stop what is submitted, though not forge an SCT";
        problems.warn(&text.place, what, "Use https, with `ca-cert` if need be");
    }
    Some(url)
}

fn log_key(text: &Text<'_>, folder: &Folder, problems: &mut Problems) -> Option<ExternalLogKey> {
    let path = folder.file(text, problems)?;
    match ExternalLogKey::from_pem(&fs::read_to_string(&path).unwrap_or_default()) {
        Ok(key) => Some(key),
        Err(error) => {
            let suggestion = "Get it from the log's operator: it begins with -----BEGIN PUBLIC KEY-----";
            problems.report(&text.place, format!("{} {error}", path.display()), suggestion);
            None
        }
    }
}

fn log_spec(text: &Text<'_>, problems: &mut Problems) -> Option<LogSpec> {
    match text.value {
        "static-ct-api" => Some(LogSpec::StaticCtApi),
        "rfc6962" => Some(LogSpec::Rfc6962),
        other => {
            let what = format!("`{other}` is not a specification of logs");
            problems.report(
                &text.place,
                what,
                did_you_mean(other, &["static-ct-api", "rfc6962"]),
            );
            None
        }
    }
}

fn purpose(fields: &Fields<'_>, problems: &mut Problems) -> Option<Use> {
    let Some(text) = fields.text("use", problems) else {
        return Some(Use::Informational);
    };
    match text.value {
        "embed" => Some(Use::Embed),
        "informational" => Some(Use::Informational),
        other => {
            let what = format!("`{other}` is not a use of logs");
            problems.report(
                &text.place,
                what,
                did_you_mean(other, &["embed", "informational"]),
            );
            None
        }
    }
}

fn not_after(fields: &Fields<'_>, problems: &mut Problems) -> Option<Range<Duration>> {
    let Some((place, node)) = fields.get("not-after") else {
        return Some(Duration::ZERO..Duration::MAX);
    };
    let fields = Fields::open(place, node, NOT_AFTER, problems)?;
    let from = time(&fields, "from", Duration::ZERO, problems);
    let until = time(&fields, "until", Duration::MAX, problems);
    let interval = from?..until?;
    if interval.is_empty() {
        problems.report(
            fields.place(),
            "ends before it begins",
            "Exchange `from` and `until`",
        );
        return None;
    }
    Some(interval)
}

fn time(fields: &Fields<'_>, key: &str, default: Duration, problems: &mut Problems) -> Option<Duration> {
    let Some(text) = fields.text(key, problems) else {
        return Some(default);
    };
    let time = instant(&text, problems)?;
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

/// `Some(None)` if the machine's certificates are to be used.
fn roots(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<Option<Arc<[u8]>>> {
    let Some(text) = fields.text("ca-cert", problems) else {
        return Some(None);
    };
    let path = folder.file(&text, problems)?;
    let pem = fs::read(&path).unwrap_or_default();
    match Certificate::load_pem_chain(&pem) {
        Ok(certificates) if !certificates.is_empty() => Some(Some(pem.into())),
        _ => {
            let what = format!("{} is not one or more certificates in PEM", path.display());
            problems.report(
                &text.place,
                what,
                "Name the certificate that the log's TLS certificate is below",
            );
            None
        }
    }
}
