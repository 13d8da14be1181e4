//! Services beside the CA: the timestamp authority, the TUF repository.

use mayfly::{key::KeySettings, server::GrantedStatus};

use crate::settings::{Installation, MINIMAL};

#[test]
fn a_timestamp_authority_has_a_chain_a_key_and_a_policy() {
    let with = |section: &str| Installation::new(&format!("{MINIMAL}timestamp: {{{section}}}\n"));
    assert!(Installation::new(MINIMAL).load().unwrap().timestamp().is_none());
    let installation = with("chain: ca.pem, key: ca-key.pem");
    let settings = installation.load().unwrap();
    let timestamp = settings.timestamp().unwrap();
    assert_eq!(timestamp.chain(), installation.path("ca.pem"));
    assert_eq!(
        timestamp.key(),
        &KeySettings::plain_file(installation.path("ca-key.pem"))
    );
    assert_eq!(timestamp.policy().to_string(), "1.3.6.1.4.1.57264.2");
    assert_eq!(timestamp.granted(), GrantedStatus::Ok);
    for (status, granted) in [("200", GrantedStatus::Ok), ("201", GrantedStatus::Created)] {
        let settings = with(&format!("chain: ca.pem, key: ca-key.pem, status: {status}")).load();
        assert_eq!(settings.unwrap().timestamp().unwrap().granted(), granted);
    }
    let settings = with("chain: ca.pem, key: \"awskms:///alias/time\", policy: 1.2.3.4")
        .load()
        .unwrap();
    let timestamp = settings.timestamp().unwrap();
    assert_eq!(timestamp.policy().to_string(), "1.2.3.4");
    assert_eq!(timestamp.key().to_string(), "awskms:///alias/time");
    for (section, said) in [
        ("chain: ca.pem", "5: timestamp: `key` is missing"),
        ("key: ca-key.pem", "5: timestamp: `chain` is missing"),
        (
            "chain: none.pem, key: ca-key.pem",
            "5: timestamp.chain: none.pem cannot be read",
        ),
        ("chain: ca.pem, key: ca.pem", "chmod 600 ca.pem"),
        (
            "chain: ca.pem, key: ca-key.pem, policy: sigstore",
            "5: timestamp.policy: `sigstore` is not an object identifier",
        ),
        (
            "chain: ca.pem, key: ca-key.pem, ntp: [\"https://time.example.com\"]",
            "5: timestamp.ntp: `https://time.example.com` is not a time server",
        ),
        (
            "chain: ca.pem, key: ca-key.pem, ntp: []",
            "5: timestamp.ntp: names no time server",
        ),
        (
            "chain: ca.pem, key: ca-key.pem, status: 202",
            "5: timestamp.status: `202` is neither 200 nor 201",
        ),
        (
            "chain: ca.pem, key: ca-key.pem, polcy: 1.2.3",
            "5: timestamp.polcy: is not a known key. Did you mean `policy`?",
        ),
    ] {
        let problems = with(section).problems();
        assert!(
            problems.iter().any(|problem| problem.contains(said)),
            "{problems:?}"
        );
    }
}

#[test]
fn a_timestamp_authority_has_time_servers_and_others_beside_it() {
    let with = |section: &str| Installation::new(&format!("{MINIMAL}timestamp: {{{section}}}\n"));
    let settings = with("chain: ca.pem, key: ca-key.pem").load().unwrap();
    let timestamp = settings.timestamp().unwrap();
    assert!(timestamp.ntp().is_empty());
    let settings = with("chain: ca.pem, key: ca-key.pem, ntp: [time.example.com, \"127.0.0.1:1123\"]")
        .load()
        .unwrap();
    let servers = settings.timestamp().unwrap().ntp().iter();
    let servers: Vec<_> = servers.map(ToString::to_string).collect();
    assert_eq!(servers, ["time.example.com", "127.0.0.1:1123"]);

    let settings =
        with("chain: ca.pem, key: ca-key.pem, also-trusted: [{chain: ca.pem, until: 2026-01-02T03:04:05Z}]")
            .load()
            .unwrap();
    let [other] = settings.timestamp().unwrap().also_trusted() else {
        panic!("one other")
    };
    assert_eq!(other.until().unwrap().unix_seconds(), 1_767_323_045);
}

#[test]
fn a_tuf_repository_has_a_folder_and_perhaps_a_key() {
    let with = |section: &str| Installation::new(&format!("{MINIMAL}tuf: {{{section}}}\n"));
    assert!(Installation::new(MINIMAL).load().unwrap().tuf().is_none());
    let installation = with("directory: ., key: ca-key.pem");
    let settings = installation.load().unwrap();
    let tuf = settings.tuf().unwrap();
    assert_eq!(tuf.directory(), installation.path("."));
    assert_eq!(
        tuf.key(),
        Some(&KeySettings::plain_file(installation.path("ca-key.pem")))
    );
    let settings = with("directory: .").load().unwrap();
    assert_eq!(settings.tuf().unwrap().key(), None);

    for (section, said) in [
        ("key: ca-key.pem", "5: tuf: `directory` is missing"),
        ("directory: none", "5: tuf.directory: none is not a folder"),
        ("directory: ca.pem", "5: tuf.directory: ca.pem is not a folder"),
        ("directory: ., key: ca.pem", "chmod 600 ca.pem"),
        (
            "directory: ., passphrase: \"env:TUF\"",
            "5: tuf: `key` is missing",
        ),
        (
            "directory: ., keys: ca-key.pem",
            "5: tuf.keys: is not a known key. Did you mean `key`?",
        ),
    ] {
        let problems = with(section).problems();
        assert!(
            problems.iter().any(|problem| problem.contains(said)),
            "{problems:?}"
        );
    }
}
