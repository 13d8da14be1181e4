//! The trust files, against files that other people's clients were seen to accept (tests/vectors/trust/README.md).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_log::{ExternalLogKey, LogSpec, Window};
use mayfly::{
    clock::Timestamp,
    config::issuers,
    issuer::{
        CertificateChain,
        ceremony::{self, AuthorityNames, KeyKind, TimestampNames},
    },
    log::{ExternalLogSettings, Use},
    timestamp::TimestampChain,
    token::{FetchPolicy, LoopbackHttp},
    trust::{
        Logs, OwnLog, TrustError, TrustMaterial, TrustStatement, TrustedAuthority, TrustedTimestamps,
        is_log_key_file,
    },
    trusted_issuer::TrustedIssuers,
};
use serde_json::{Value, json};

const URL: &str = "http://127.0.0.1:5555";

fn vector(name: &str) -> Vec<u8> {
    fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/vectors/trust")
            .join(name),
    )
    .unwrap()
}

fn golden(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

fn chain() -> Arc<CertificateChain> {
    let pem =
        ["intermediate.der", "root.der"].map(|name| pem::encode(&pem::Pem::new("CERTIFICATE", vector(name))));
    Arc::new(CertificateChain::of_any_time(pem.concat().as_bytes()).unwrap())
}

fn issuers(file: &str) -> TrustedIssuers {
    let fetch = FetchPolicy::new(LoopbackHttp::Allowed);
    issuers::parse(Path::new("issuers.yaml"), file, &fetch)
        .unwrap()
        .issuers
}

fn people() -> TrustedIssuers {
    let url = format!("{URL}/dev/oidc");
    issuers(&format!(
        "oidc-issuers:\n  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: email\n"
    ))
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_unix(Duration::from_secs(seconds))
}

fn days(days: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400)
}

fn own(origin: &str, window: Option<(u64, u64)>) -> OwnLog {
    OwnLog {
        origin: origin.to_owned(),
        public_key: vector("log-key.der"),
        window: window.map(|(from, until)| Window::new(days(from), days(until)).unwrap()),
    }
}

fn statement() -> TrustStatement {
    TrustStatement {
        url: Some(URL.parse().unwrap()),
        ..TrustStatement::default()
    }
}

fn material(statement: &TrustStatement, own: Vec<OwnLog>) -> TrustMaterial {
    let external = Vec::new();
    TrustMaterial::new(chain(), statement, Logs { own, external }, &people())
}

fn trusted_root(material: &TrustMaterial) -> Value {
    serde_json::from_str(&material.trusted_root().unwrap().to_json()).unwrap()
}

#[test]
fn as_they_were_seen_to_be_accepted() {
    let material = material(&statement(), vec![own("localhost/log", None)]);
    let (root, config) = (
        material.trusted_root().unwrap().to_json(),
        material.signing_config().unwrap().to_json(),
    );
    assert_eq!(root, golden("trusted_root.json"));
    assert_eq!(config, golden("signing_config.json"));
    let both: Value = serde_json::from_str(&material.trust_config().unwrap().to_json()).unwrap();
    let [root, config] = [root, config].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(
        both,
        json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": root,
            "signingConfig": config,
        })
    );
}

/// C14: the shard before, this one and the next, each for as long as its SCTs can be; and a log elsewhere.
#[test]
fn every_log_is_in_the_trusted_root() {
    let key = pem::encode(&pem::Pem::new("PUBLIC KEY", vector("log-key.der")));
    let external = |purpose| ExternalLogSettings {
        name: "elsewhere".into(),
        url: "https://ct.example.com/2027/".parse().unwrap(),
        key: ExternalLogKey::from_pem(&key).unwrap(),
        spec: LogSpec::StaticCtApi,
        purpose,
        not_after: Duration::from_secs(365 * 86_400)..Duration::MAX,
        roots: None,
    };
    let logs = Logs {
        own: vec![
            own("ca.example.com/past", Some((365, 730))),
            own("ca.example.com/next", Some((36_524, 36_889))),
            own("localhost", None),
        ],
        external: vec![external(Use::Informational), external(Use::Embed)],
    };
    let root = trusted_root(&TrustMaterial::new(chain(), &statement(), logs, &people()));
    let [past, next, whole, elsewhere] = &**root["ctlogs"].as_array().unwrap() else {
        panic!("not four logs")
    };
    assert_eq!(past["baseUrl"], format!("{URL}/past"));
    assert_eq!(
        past["publicKey"]["validFor"],
        json!({ "start": "1970-12-31T00:00:00Z", "end": "1972-01-01T00:00:00Z" })
    );
    assert_eq!(next["publicKey"]["validFor"]["start"], "2069-12-30T00:00:00Z");
    assert_eq!(whole["baseUrl"], format!("{URL}/log"));
    assert_eq!(
        whole["publicKey"]["validFor"],
        json!({ "start": "2026-11-23T20:05:49Z" })
    );
    assert_eq!(elsewhere["baseUrl"], "https://ct.example.com/2027");
    assert_eq!(
        elsewhere["publicKey"]["validFor"],
        json!({ "start": "1970-12-31T00:00:00Z" })
    );
}

#[test]
fn a_log_is_believed_no_longer_than_the_operator_says() {
    let mut statement = statement();
    for (until, end) in [
        (seconds(364 * 86_400), "1970-12-31T00:00:00Z"),
        (seconds(u64::from(u32::MAX)), "1972-01-01T00:00:00Z"),
    ] {
        statement
            .logs_until
            .insert("ca.example.com/past".to_owned(), until);
        let logs = vec![
            own("ca.example.com/past", Some((365, 730))),
            own("ca.example.com/log", None),
        ];
        let material = material(&statement, logs);
        let root = trusted_root(&material);
        assert_eq!(root["ctlogs"][0]["publicKey"]["validFor"]["end"], end);
        assert!(root["ctlogs"][1]["publicKey"]["validFor"].get("end").is_none());
        let names = |now| {
            let files = material.files(now).unwrap();
            let keys = files.into_iter().filter(|file| is_log_key_file(&file.name));
            keys.count()
        };
        assert_eq!((names(until), names(until.plus(Duration::from_secs(1)))), (2, 1));
    }
}

async fn other_ca() -> CertificateChain {
    let names = AuthorityNames::of("Mayfly tests", "other").unwrap();
    let made = ceremony::generate(names, KeyKind::EcdsaP256, seconds(1_767_323_045));
    CertificateChain::from_der(made.await.unwrap().chain, seconds(1_767_323_046)).unwrap()
}

#[tokio::test]
async fn a_ca_is_once_in_the_trusted_root_and_in_the_bundle_only_while_it_is_believed() {
    let until = seconds(1_800_000_000);
    let mut statement = statement();
    statement.also_trusted.push(chain().into());
    let once = material(&statement, Vec::new());
    assert_eq!(
        trusted_root(&once)["certificateAuthorities"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let other = TrustedAuthority {
        chain: Arc::new(other_ca().await),
        until: Some(until),
    };
    statement.also_trusted.push(other);
    let two = material(&statement, vec![own("ca.example.com/log", None)]);
    let root = trusted_root(&two);
    let cas = root["certificateAuthorities"].as_array().unwrap();
    assert_eq!(cas.len(), 2);
    assert!(cas[0]["validFor"].get("end").is_none());
    assert_eq!(cas[1]["validFor"]["end"], "2027-01-15T08:00:00Z");
    assert_eq!(cas[1]["subject"]["organization"], "Mayfly tests");
    // The log's SCTs may be as old as the older CA.
    assert_eq!(
        root["ctlogs"][0]["publicKey"]["validFor"]["start"],
        cas[1]["validFor"]["start"]
    );

    let certificates = |now| {
        let files = two.files(now).unwrap();
        let bundle = files.into_iter().find(|file| file.name == "ca.pem").unwrap();
        assert!(!bundle.contents.contains('\r'));
        pem::parse_many(bundle.contents).unwrap().len()
    };
    let later = until.plus(Duration::from_secs(1));
    assert_eq!((certificates(until), certificates(later)), (4, 2));
}

#[test]
fn people_log_in_where_people_do() {
    let entry = |url: &str, kind: &str| {
        format!(
            "  https://{url}:\n    issuer-url: https://{url}\n    client-id: sigstore\n    type: {kind}\n"
        )
    };
    let ci = "  https://ci.example.com:\n    issuer-url: https://ci.example.com\n    client-id: sigstore\n    type: spiffe\n    spiffe-trust-domain: example.com\n";
    let urls = |file: String| {
        let material = TrustMaterial::new(chain(), &statement(), Logs::default(), &issuers(&file));
        let config: Value = serde_json::from_str(&material.signing_config().unwrap().to_json()).unwrap();
        let urls = config["oidcUrls"].as_array().unwrap().iter();
        urls.map(|service| service["url"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (first, second) = (entry("b.example.com", "email"), entry("a.example.com", "email"));
    assert_eq!(
        urls(format!("oidc-issuers:\n{ci}{first}{second}")),
        ["https://b.example.com", "https://a.example.com"]
    );
    assert_eq!(urls(format!("oidc-issuers:\n{ci}")), ["https://ci.example.com"]);
}

#[tokio::test]
async fn with_a_timestamp_authority() {
    let names = TimestampNames::of("Acme", "Acme").unwrap();
    let start = seconds(1_767_323_045);
    let made = ceremony::generate_timestamp_authority(names, KeyKind::EcdsaP256, start).await;
    let chain = TimestampChain::from_der(made.unwrap().chain, start).unwrap();
    let url = format!("{URL}/api/v1/timestamp");
    let with = |statement: TrustStatement| {
        let timestamps = Some(Arc::new(chain.clone()));
        let statement = TrustStatement {
            timestamps,
            ..statement
        };
        material(&statement, vec![own("localhost/log", None)])
    };

    let material = with(statement());
    let authority = &trusted_root(&material)["timestampAuthorities"][0];
    let certificates: Vec<_> = chain
        .der()
        .iter()
        .map(|der| json!({ "rawBytes": STANDARD.encode(der) }))
        .collect();
    assert_eq!(
        authority,
        &json!({
            "subject": { "organization": "Acme", "commonName": "Acme timestamping" },
            "uri": url,
            "certChain": { "certificates": certificates },
            "validFor": { "start": "2026-01-02T03:04:05Z" },
        })
    );
    let config: Value = serde_json::from_str(&material.signing_config().unwrap().to_json()).unwrap();
    let (ca, tsa) = (&config["caUrls"][0], &config["tsaUrls"]);
    let operator = &ca["operator"];
    assert_eq!(
        tsa,
        &json!([{ "url": url, "majorApiVersion": 1, "validFor": ca["validFor"], "operator": operator }])
    );
    assert_eq!(config["tsaConfig"], json!({ "selector": "ANY" }));
    let files = material.files(start).unwrap();
    let pem = files.iter().find(|file| file.name == "tsa.pem").unwrap();
    assert_eq!(pem.contents, chain.to_pem());

    let nowhere = trusted_root(&with(TrustStatement::default()));
    assert_eq!(nowhere["timestampAuthorities"][0]["uri"], "https://localhost");
}

#[tokio::test]
async fn timestamp_authorities_that_were_count_until_then() {
    let made = async |name: &str, start| {
        let names = TimestampNames::of(name, name).unwrap();
        let made = ceremony::generate_timestamp_authority(names, KeyKind::EcdsaP256, start).await;
        TimestampChain::from_der(made.unwrap().chain, start).unwrap()
    };
    let start = seconds(1_767_323_045);
    let chain = made("Acme", start).await;
    let other = made("Old", start.minus(Duration::from_secs(3600))).await;
    let trusted = |chain: &TimestampChain, until| TrustedTimestamps {
        chain: Arc::new(TimestampChain::of_any_time(chain.to_pem().as_bytes()).unwrap()),
        until,
    };
    // This one once more, as while it takes over.
    let statement = TrustStatement {
        timestamps: Some(Arc::new(chain.clone())),
        timestamps_also_trusted: vec![
            trusted(&other, Some(start.plus(Duration::from_secs(60)))),
            trusted(&chain, None),
        ],
        ..statement()
    };
    let material = material(&statement, Vec::new());
    let root = trusted_root(&material);
    let list = root["timestampAuthorities"].as_array().unwrap().iter();
    let periods: Vec<_> = list
        .map(|authority| (&authority["subject"]["commonName"], &authority["validFor"]))
        .collect();
    assert_eq!(
        json!(periods),
        json!([
            ["Acme timestamping", { "start": "2026-01-02T03:04:05Z" }],
            ["Old timestamping", { "start": "2026-01-02T02:04:05Z", "end": "2026-01-02T03:05:05Z" }],
        ])
    );
}

/// Each of these stops a client (docs of the fields say which): no selector without a service, no note key id on the
/// log, no null.
#[test]
fn what_must_not_be_there() {
    for name in ["trusted_root.json", "signing_config.json"] {
        let text = golden(name);
        for word in [
            "tsaConfig",
            "tsaUrls",
            "rekorTlogConfig",
            "rekorTlogUrls",
            "checkpointKeyId",
            "null",
        ] {
            assert!(!text.contains(word), "{name}: {word}");
        }
        serde_json::from_str::<Value>(&text).unwrap();
    }
}

#[test]
fn without_a_url_there_is_a_trusted_root_alone() {
    let material = material(&TrustStatement::default(), vec![own("ca.example.com/log", None)]);
    let root = trusted_root(&material);
    assert_eq!(root["certificateAuthorities"][0]["uri"], "https://ca.example.com");
    assert_eq!(root["ctlogs"][0]["baseUrl"], "https://ca.example.com/log");
    assert!(matches!(material.signing_config(), Err(TrustError::NoUrl)));
    assert!(matches!(material.trust_config(), Err(TrustError::NoUrl)));
    assert!(matches!(material.files(seconds(0)), Err(TrustError::NoUrl)));
}

#[test]
fn a_time_that_cannot_be_written() {
    let mut statement = statement();
    statement
        .logs_until
        .insert("localhost/log".to_owned(), seconds(253_402_300_800));
    let material = material(&statement, vec![own("localhost/log", None)]);
    assert!(matches!(material.trusted_root(), Err(TrustError::Time)));
}

#[test]
fn names_of_keys() {
    for name in ["ctlog-1.pem", "ctlog-12.pem"] {
        assert!(is_log_key_file(name));
    }
    for name in [
        "ctlog-.pem",
        "ctlog-a.pem",
        "ctlog-1.pem.old",
        "ctlog.pem",
        "my-ctlog-1.pem",
    ] {
        assert!(!is_log_key_file(name));
    }
}
