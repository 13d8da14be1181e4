//! From the keys of `mayfly.yaml` to settings.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ct_log::acceptor::{self, IpNet};
use url::Host;

use super::{
    AlsoTrusted, CaFiles, Settings, algorithms, embedded_log, external_logs,
    key::{self, Existing},
    shards, timestamp, tuf,
};
use crate::{
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    server::TlsFiles,
    trust::PublicUrl,
};

/// Where the API is served unless the file says otherwise: loopback, on the port of Fulcio's HTTP API.
const DEFAULT_LISTEN: &str = "127.0.0.1:5555";
/// Where metrics are served unless the file says otherwise: loopback, on Fulcio's metrics port.
const DEFAULT_METRICS_LISTEN: &str = "127.0.0.1:2112";
/// Where the verified issuers of patterns are remembered, beside the audit record.
const VERIFIED_ISSUERS: &str = "verified-issuers.json";

const ROOT: Keys = &[
    "url",
    "listen",
    "metrics-listen",
    "tls",
    "ca",
    "log",
    "external-logs",
    "embed-scts",
    "timestamp",
    "tuf",
    "issuers",
    "private-identity-providers",
    "trusted-proxies",
    "client-signing-algorithms",
    "audit",
    "verified-issuers",
];
const TLS: Keys = &["certificate", "key"];
const CA: Keys = &["chain", "key", "passphrase", "also-trusted"];
const ALSO_TRUSTED: Keys = &["chain", "until"];

pub(super) fn settings(root: &Node, folder: &Folder, problems: &mut Problems) -> Option<Settings> {
    let fields = Fields::open(Place::whole_file(), root, ROOT, problems)?;
    let url = url(&fields, problems);
    let (listen, metrics_listen) = addresses(&fields, problems);
    let tls = fields
        .get("tls")
        .map(|(place, node)| tls(place, node, folder, problems));
    let ca = ca(&fields, folder, problems);
    let log = fields
        .get("log")
        .map(|(place, node)| embedded_log::settings(place, node, folder, problems));
    let logs = external_logs::policy(&fields, folder, problems);
    let timestamp = fields
        .get("timestamp")
        .map(|(place, node)| timestamp::settings(place, node, folder, problems));
    let tuf = fields
        .get("tuf")
        .map(|(place, node)| tuf::settings(place, node, folder, problems));
    let issuers = fields.required_text("issuers", "Name the issuer file, such as issuers.yaml", problems);
    let issuers = issuers.and_then(|text| folder.file(&text, problems));
    let audit = fields.required_text(
        "audit",
        "Name the file for audit records, such as audit.jsonl",
        problems,
    );
    let audit = audit.and_then(|text| folder.new_file(&text, problems));
    let verified_issuers = verified_issuers(&fields, audit.as_deref(), folder, problems);
    let private_identity_providers = hosts(&fields, problems);
    let trusted_proxies = proxies(&fields, problems);
    let client_signing_algorithms = algorithms::read(&fields, problems);
    Some(Settings {
        url: url?,
        listen: listen?,
        metrics_listen: metrics_listen?,
        // `Some(None)` is a section with problems, which have been reported.
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        ca: ca?,
        log: log.map_or(Some(None), |log| log.map(Some))?,
        logs: logs?,
        timestamp: timestamp.map_or(Some(None), |timestamp| timestamp.map(Some))?,
        tuf: tuf.map_or(Some(None), |tuf| tuf.map(Some))?,
        issuers: issuers?,
        private_identity_providers,
        trusted_proxies,
        client_signing_algorithms,
        audit: audit?,
        verified_issuers: verified_issuers?,
        warnings: Vec::new(),
    })
}

/// Beside the audit record unless the file says otherwise; `Some(None)` if `off`.
fn verified_issuers(
    fields: &Fields<'_>,
    audit: Option<&Path>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Option<PathBuf>> {
    match fields.text("verified-issuers", problems) {
        // Beside a device or a pipe is no place for files.
        None => {
            let audit = audit.filter(|audit| !audit.exists() || audit.is_file());
            Some(audit.map(|audit| audit.with_file_name(VERIFIED_ISSUERS)))
        }
        Some(text) if text.value == "off" => Some(None),
        Some(text) => {
            let path = folder.new_file(&text, problems)?;
            if audit == Some(&path) {
                problems.report(
                    &text.place,
                    "is the file of `audit`",
                    "Name another file, or `off`",
                );
                return None;
            }
            Some(Some(path))
        }
    }
}

/// `Some(None)` if it is not said.
fn url(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<PublicUrl>> {
    let Some(text) = fields.text("url", problems) else {
        return Some(None);
    };
    match text.value.parse::<PublicUrl>() {
        Ok(url) => {
            if url.is_insecure() {
                let what = "is plain HTTP: whoever is on the way sees the tokens of those who sign";
                problems.warn(&text.place, what, "Use https");
            }
            Some(Some(url))
        }
        Err(_) => {
            let what = format!("`{}` is not where clients reach the API", text.value);
            let suggestion = "Write the public URL without a path, such as https://ca.example.com";
            problems.report(&text.place, what, suggestion);
            None
        }
    }
}

/// `issuers` alone.
pub(super) fn issuer_file(root: &Node, folder: &Folder, problems: &mut Problems) -> Option<PathBuf> {
    let text = Fields::open(Place::whole_file(), root, ROOT, problems)?.text("issuers", problems)?;
    folder.file(&text, problems)
}

fn addresses(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> (Option<SocketAddr>, Option<Option<SocketAddr>>) {
    let listen_text = text_or(fields, "listen", DEFAULT_LISTEN, problems);
    let metrics_text = text_or(fields, "metrics-listen", DEFAULT_METRICS_LISTEN, problems);
    let listen = address(&listen_text, problems);
    let metrics = match metrics_text.value {
        "off" => Some(None),
        _ => address(&metrics_text, problems).map(Some),
    };
    if let (Some(listen), Some(Some(metrics))) = (listen, metrics)
        && listen == metrics
        && listen.port() != 0
    {
        problems.report(
            &metrics_text.place,
            "is the same address as `listen`",
            "Choose another port",
        );
    }
    (listen, metrics)
}

fn text_or<'a>(fields: &Fields<'a>, key: &str, default: &'a str, problems: &mut Problems) -> Text<'a> {
    fields.text(key, problems).unwrap_or_else(|| Text {
        place: fields.place().child(key, 0),
        value: default,
    })
}

fn address(text: &Text<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let address = text.value.parse().ok();
    if address.is_none() {
        let what = format!("`{}` is not an IP address and a port", text.value);
        let suggestion = "Write 127.0.0.1:5555 for this machine, 0.0.0.0:5555 or [::]:5555 for all addresses";
        problems.report(&text.place, what, suggestion);
    }
    address
}

fn tls(place: Place, node: &Node, folder: &Folder, problems: &mut Problems) -> Option<TlsFiles> {
    let fields = Fields::open(place, node, TLS, problems)?;
    let certificate = fields.required_text("certificate", "Name a PEM file", problems);
    let certificate = certificate.and_then(|text| folder.file(&text, problems));
    let key = fields.required_text("key", "Name a PEM file", problems);
    let key = key.and_then(|text| folder.key_file(&text, problems));
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn ca(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<CaFiles> {
    let (place, node) = fields.required("ca", "It needs: chain, key", problems)?;
    let fields = Fields::open(place, node, CA, problems)?;
    let suggestion = "Name a PEM file with the certificate that signs, the ones above it, and the root";
    let chain = fields.required_text("chain", suggestion, problems);
    let chain = chain.and_then(|text| folder.file(&text, problems));
    let key = key::read(&fields, Existing::Yes, folder, problems);
    let also_trusted = also_trusted(&fields, folder, problems);
    Some(CaFiles {
        chain: chain?,
        key: key?,
        also_trusted: also_trusted?,
    })
}

pub(super) fn also_trusted(
    fields: &Fields<'_>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Vec<AlsoTrusted>> {
    let Some((place, node)) = fields.get("also-trusted") else {
        return Some(Vec::new());
    };
    let items = node.items(&place, problems);
    let files: Vec<_> = items
        .iter()
        .map(|item| other_ca(item.place(&place), item, folder, problems))
        .collect();
    files.into_iter().collect()
}

/// A file, or a file and until when its CA is believed.
fn other_ca(place: Place, item: &Node, folder: &Folder, problems: &mut Problems) -> Option<AlsoTrusted> {
    if !item.is_mapping() {
        let chain = folder.file(&item.text(&place, problems)?, problems)?;
        return Some(AlsoTrusted { chain, until: None });
    }
    let fields = Fields::open(place, item, ALSO_TRUSTED, problems)?;
    let suggestion = "Name a PEM file with its certificate, the ones above it, and the root";
    let chain = fields.required_text("chain", suggestion, problems);
    let chain = chain.and_then(|text| folder.file(&text, problems));
    let until = shards::time("until", &fields, problems);
    Some(AlsoTrusted {
        chain: chain?,
        until: until?,
    })
}

fn proxies(fields: &Fields<'_>, problems: &mut Problems) -> Vec<IpNet> {
    let Some((place, node)) = fields.get("trusted-proxies") else {
        return acceptor::loopback();
    };
    let mut networks = Vec::new();
    for item in node.items(&place, problems) {
        let Some(text) = item.text(&place, problems) else {
            continue;
        };
        match acceptor::parse_network(text.value) {
            Some(network) => networks.push(network),
            None => {
                let what = format!("`{}` is not an IP address or network", text.value);
                let suggestion = "Write an address, or a network such as 10.0.0.0/8 or fd00::/8";
                problems.report(&text.place, what, suggestion);
            }
        }
    }
    networks
}

fn hosts(fields: &Fields<'_>, problems: &mut Problems) -> Vec<String> {
    let Some((place, node)) = fields.get("private-identity-providers") else {
        return Vec::new();
    };
    let mut hosts = Vec::new();
    for item in node.items(&place, problems) {
        let Some(text) = item.text(&place, problems) else {
            continue;
        };
        match Host::parse(text.value) {
            Ok(host) if host.to_string() == text.value && !text.value.contains('*') => {
                hosts.push(text.value.to_owned());
            }
            _ => {
                let what = format!("`{}` is not a host name or IP address", text.value);
                let suggestion = "Write the host alone, in lower case, such as dex.corp.example";
                problems.report(&text.place, what, suggestion);
            }
        }
    }
    hosts
}
