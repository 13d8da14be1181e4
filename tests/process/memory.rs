//! Where the CA's private key is in the memory of `mayfly serve`: where it must be, and nowhere else (H2, H3).

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
};

use aws_lc_rs::{
    encoding::AsBigEndian,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use mayfly::{
    clock::{Clock, SystemClock},
    key::{
        file as key_file,
        passphrase::{Passphrase, PassphraseSource},
    },
};
use rustix::process::Pid;
use zeroize::Zeroizing;

use crate::{
    installation::Installation,
    program::Program,
    rotation::IN_FORCE,
    strangers::{Stranger, TrailerBomb, resident},
};

/// A private key in each form in which it could lie about.
struct Forms(Vec<(&'static str, Vec<u8>)>);

impl Forms {
    fn of(installation: &Installation, key: &str, passphrase: &PassphraseSource) -> Self {
        let pkcs8 = key_file::read(&installation.path(key), Some(passphrase)).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap();
        let scalar = pair.private_key().as_be_bytes().unwrap().as_ref().to_vec();
        let little_endian = scalar.iter().rev().copied().collect();
        let middle = pkcs8.len() / 3 * 3;
        let base64 = STANDARD.encode(&pkcs8[..middle]);
        let hex = hex::encode(&scalar);
        Self(vec![
            ("big-endian", scalar),
            ("little-endian", little_endian),
            // In lines of 64 characters: the second is whole.
            ("PEM", base64.as_bytes()[64..128].to_vec()),
            ("hexadecimal", hex.into_bytes()),
        ])
    }

    fn found_in(&self, memory: &[Vec<u8>]) -> Vec<(&'static str, usize)> {
        let count = |form: &[u8]| {
            let places = memory.iter().flat_map(|region| region.windows(form.len()));
            places.filter(|window| *window == form).count()
        };
        self.0.iter().map(|(name, form)| (*name, count(form))).collect()
    }
}

/// Everything that the process can write, which is where secrets are.
fn memory_of(pid: Pid) -> Vec<Vec<u8>> {
    let pid = pid.as_raw_nonzero();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut regions = Vec::new();
    for line in maps
        .lines()
        .filter(|line| line.contains(" rw") && !line.ends_with("[vvar]"))
    {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut region = vec![0; usize::try_from(to - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        if memory.read_exact(&mut region).is_ok() {
            regions.push(region);
        }
    }
    regions
}

fn locked_kilobytes(program: &Program) -> u64 {
    let pid = program.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root: reads another process's memory, and lets it lock its own"]
async fn h2_a_key_is_in_one_place_of_locked_memory_and_gone_after_its_rotation() {
    let installation = Installation::new().await;
    let secret = b"correct horse battery staple of the test".to_vec();
    let passphrase = Passphrase::new(Zeroizing::new(secret.clone())).unwrap();
    for name in ["ca", "next"] {
        installation
            .make_ca_as(name, SystemClock.now(), Some(&passphrase))
            .await;
    }
    installation.write("pass.txt", std::str::from_utf8(&secret).unwrap());
    installation.chmod("pass.txt", 0o600);
    installation.configure(
        "  key: ca-key.pem",
        "  key: ca-key.pem\n  passphrase: file:pass.txt",
    );
    let source = PassphraseSource::File(installation.path("pass.txt"));
    let forms = ["ca-key.pem", "next-key.pem"].map(|key| Forms::of(&installation, key, &source));

    let mut serving = installation.serve();
    for _ in 0..50 {
        serving.request().await.issued();
    }
    let memory = memory_of(serving.program.pid());
    let found = forms[0].found_in(&memory);
    assert_eq!(
        found,
        [
            ("big-endian", 0),
            ("little-endian", 1),
            ("PEM", 0),
            ("hexadecimal", 0)
        ]
    );
    assert!(forms[1].found_in(&memory).iter().all(|(_, count)| *count == 0));
    let passphrases = Forms(vec![("passphrase", secret)]);
    assert_eq!(passphrases.found_in(&memory), [("passphrase", 0)]);
    assert!(locked_kilobytes(&serving.program) > 0);
    let limits = format!("/proc/{}/limits", serving.program.pid().as_raw_nonzero());
    let limits = fs::read_to_string(limits).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).collect::<Vec<_>>(),
        ["0", "0", "bytes"]
    );

    installation.configure(
        "  chain: ca.pem\n  key: ca-key.pem",
        "  chain: next.pem\n  key: next-key.pem",
    );
    serving.reconfigure(IN_FORCE).await;
    serving.request().await.issued();
    let memory = memory_of(serving.program.pid());
    assert!(
        forms[0].found_in(&memory).iter().all(|(_, count)| *count == 0),
        "the old key is gone"
    );
    assert_eq!(forms[1].found_in(&memory)[1], ("little-endian", 1));
    serving.program.stop();
}

/// What memory strangers may hold here beside four times what they sent.
const FIXED: usize = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_of_indexed_header_fields_hold_a_bounded_amount_of_memory() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    let pid = u32::try_from(serving.program.pid().as_raw_nonzero().get()).unwrap();
    serving.request().await.issued();
    let before = resident(pid);
    let mut strangers = Vec::new();
    for _ in 0..50 {
        let mut stranger = Stranger::connect(&serving.address).await;
        for _ in 0..60 {
            stranger.post_bomb("/api/v2/signingCert", 1400).await;
        }
        strangers.push(stranger);
    }
    for stranger in &mut strangers {
        stranger.read_heads(60).await;
    }
    let sent: usize = strangers.iter().map(|stranger| stranger.sent).sum();
    let held = resident(pid).saturating_sub(before);
    assert!(held < 4 * sent + FIXED, "{held} bytes held for {sent} sent");
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_in_trailers_hold_a_bounded_amount_of_memory() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    let pid = u32::try_from(serving.program.pid().as_raw_nonzero().get()).unwrap();
    serving.request().await.issued();
    // ServerReflectionRequest with `list_services`, more often than answers wait for their reader.
    let questions = [0, 0, 0, 0, 2, 0x3a, 0].repeat(32);
    for bomb in [
        TrailerBomb::Post("/api/v2/signingCert", &[]),
        TrailerBomb::Post("/nothing", &[]),
        TrailerBomb::Get("/healthz"),
        TrailerBomb::Connect,
        TrailerBomb::Post(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            &questions,
        ),
    ] {
        let before = resident(pid);
        let mut strangers = Vec::new();
        for _ in 0..50 {
            let mut stranger = Stranger::connect(&serving.address).await;
            for _ in 0..60 {
                stranger.trailer_bomb(&bomb, 1400).await;
            }
            strangers.push(stranger);
        }
        for stranger in &mut strangers {
            stranger.read_heads(60).await;
        }
        let sent: usize = strangers.iter().map(|stranger| stranger.sent).sum();
        let held = resident(pid).saturating_sub(before);
        assert!(
            held < 4 * sent + FIXED,
            "{bomb:?}: {held} bytes held for {sent} sent"
        );
        serving.request().await.issued();
    }
    serving.program.stop();
}
