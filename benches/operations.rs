//! What one issuance is made of: each cryptographic operation alone, then each step of ours alone.
//!
//! `cargo bench --bench operations`. The unit is CPU time of the process.

#![expect(clippy::unwrap_used, reason = "a benchmark may end at the first surprise")]

mod support;

use std::{cell::RefCell, hint::black_box, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, VerificationAlgorithm,
    },
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mayfly::{
    admission::{Admission, Admitted},
    clock::{Clock, SystemClock, Timestamp},
    identity::{Identity, identify},
    issue::IssueRequest,
    issuer::{
        Issuer, Precertificate,
        ceremony::{self, KeyKind, TimestampNames},
    },
    key::{SigningKey, SoftwareKey},
    log::{CertificateLog, Logged},
    profile::{Draft, Profile},
    proof::{Applicant, KeyProof, prove},
    timestamp::{DEFAULT_POLICY, Query, TimestampAuthority, TimestampChain, TimestampSigner, WatchedClock},
    token::{TokenVerifier, VerifiedToken},
};
use tokio::runtime::Runtime;

use support::{
    CpuTime,
    authority::{self, Provider},
};

/// About the size of a token, of a TBSCertificate, and of what an SCT signs.
const MESSAGE: &[u8] = &[0x5a; 1024];

criterion_group! {
    name = operations;
    config = Criterion::default().with_measurement(CpuTime);
    targets = cryptography, steps, timestamps
}
criterion_main!(operations);

fn cryptography(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("cryptography");
    let random = SystemRandom::new();

    group.bench_function("sha256-1KiB", |b| b.iter(|| digest(&SHA256, black_box(MESSAGE))));

    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; rsa.public_modulus_len()];
    rsa.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut signature)
        .unwrap();
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref()).unwrap();
    group.bench_function("rs256-verify", |b| {
        b.iter(|| key.verify_sig(black_box(MESSAGE), &signature).unwrap());
    });

    let ecdsa: [(&str, &EcdsaSigningAlgorithm, &'static dyn VerificationAlgorithm); 3] = [
        (
            "es256",
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &ECDSA_P256_SHA256_FIXED,
        ),
        ("p256", &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
        ("p384", &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
    ];
    for (name, signing, verification) in ecdsa {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let signature = pair.sign(&random, MESSAGE).unwrap();
        let key = ParsedPublicKey::new(verification, pair.public_key().as_ref()).unwrap();
        group.bench_function(format!("{name}-verify"), |b| {
            b.iter(|| key.verify_sig(black_box(MESSAGE), signature.as_ref()).unwrap());
        });
        group.bench_function(format!("{name}-sign"), |b| {
            b.iter(|| pair.sign(&random, black_box(MESSAGE)).unwrap());
        });
    }
}

/// Each step with its cryptography: what the operations above do not explain is ours.
fn steps(criterion: &mut Criterion<CpuTime>) {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let provider = Provider::start(&runtime);
    let path = Path::new(&runtime, &provider);
    let mut group = criterion.benchmark_group("step");
    let small = BatchSize::SmallInput;
    let now = path.now;
    group.bench_function("1-verify-token-rs256", |b| {
        let step = |request: IssueRequest| {
            runtime
                .block_on(path.verifier.verify(request.token, now))
                .unwrap()
        };
        b.iter_batched(|| path.request(), step, small);
    });
    group.bench_function("2-identify-github", |b| {
        b.iter_batched(|| path.verified().0, |token| identify(token).unwrap(), small);
    });
    group.bench_function("3-admit", |b| {
        b.iter_batched(|| path.identity().0, |identity| path.admit(identity), small);
    });
    group.bench_function("3-prove-p256", |b| {
        let step = |(admitted, proof)| prove(admitted, proof).unwrap();
        b.iter_batched(|| path.admitted(), step, small);
    });
    group.bench_function("4-draft", |b| {
        let step = |applicant| path.profile.draft(applicant, now).unwrap();
        b.iter_batched(|| path.applicant(), step, small);
    });
    group.bench_function("5-sign-precert-p256", |b| {
        let step = |draft| runtime.block_on(path.issuer.sign_precert(draft)).unwrap();
        b.iter_batched(|| path.draft(), step, small);
    });
    group.bench_function("6-submit-in-memory", |b| {
        let step = |precertificate| runtime.block_on(path.log.submit(precertificate)).unwrap();
        b.iter_batched(|| path.precertificate(), step, small);
    });
    group.bench_function("7-sign-final-p256", |b| {
        let step = |logged| runtime.block_on(path.issuer.sign_final(logged)).unwrap();
        b.iter_batched(|| path.logged(), step, small);
    });
}

/// The way of a request up to each of its states.
struct Path<'a> {
    runtime: &'a Runtime,
    verifier: TokenVerifier,
    admission: Admission,
    profile: Profile,
    issuer: Issuer,
    log: CertificateLog,
    now: Timestamp,
    requests: RefCell<Box<dyn Iterator<Item = IssueRequest> + 'a>>,
}

impl<'a> Path<'a> {
    fn new(runtime: &'a Runtime, provider: &'a Provider) -> Self {
        let issuer = runtime.block_on(authority::issuer(KeyKind::EcdsaP256, provider.now));
        Self {
            runtime,
            verifier: provider.verifier(runtime),
            admission: Admission::default(),
            profile: Profile::new(issuer.chain()).unwrap(),
            log: authority::log(&issuer, None),
            issuer,
            now: provider.now,
            requests: RefCell::new(Box::new(provider.requests())),
        }
    }

    fn request(&self) -> IssueRequest {
        self.requests.borrow_mut().next().unwrap()
    }

    fn verified(&self) -> (VerifiedToken, KeyProof) {
        let IssueRequest { token, proof } = self.request();
        let verified = self.runtime.block_on(self.verifier.verify(token, self.now));
        (verified.unwrap(), proof)
    }

    fn identity(&self) -> (Identity, KeyProof) {
        let (token, proof) = self.verified();
        (identify(token).unwrap(), proof)
    }

    fn admit(&self, identity: Identity) -> Admitted {
        self.admission
            .admit(identity, self.now)
            .map_err(|refused| refused.error)
            .unwrap()
    }

    fn admitted(&self) -> (Admitted, KeyProof) {
        let (identity, proof) = self.identity();
        (self.admit(identity), proof)
    }

    fn applicant(&self) -> Applicant {
        let (admitted, proof) = self.admitted();
        prove(admitted, proof).unwrap()
    }

    fn draft(&self) -> Draft {
        self.profile.draft(self.applicant(), self.now).unwrap()
    }

    fn precertificate(&self) -> Precertificate {
        self.runtime
            .block_on(self.issuer.sign_precert(self.draft()))
            .unwrap()
    }

    fn logged(&self) -> Logged {
        self.runtime
            .block_on(self.log.submit(self.precertificate()))
            .unwrap()
    }
}

/// A whole timestamp, from request to answer, beside the one signature that it cannot do without.
fn timestamps(criterion: &mut Criterion<CpuTime>) {
    const QUERY: &[u8] =
        br#"{"artifactHash":"WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=","hashAlgorithm":"sha256","certificates":true}"#;
    let mut group = criterion.benchmark_group("timestamps");
    let runtime = Runtime::new().unwrap();
    for (name, kind) in [("p256", KeyKind::EcdsaP256), ("p384", KeyKind::EcdsaP384)] {
        let now = SystemClock.now();
        let names = TimestampNames::of("Acme", "Acme").unwrap();
        let made = ceremony::generate_timestamp_authority(names, kind, now);
        let made = runtime.block_on(made).unwrap();
        let key = Arc::new(SoftwareKey::from_pkcs8_der(&made.key).unwrap());
        group.bench_function(format!("{name}/signature"), |b| {
            b.iter(|| runtime.block_on(key.sign(black_box(MESSAGE))).unwrap());
        });
        let chain = TimestampChain::from_der(made.chain, now).unwrap();
        let signer = TimestampSigner::new(key.clone(), chain, DEFAULT_POLICY);
        let signer = runtime.block_on(signer).unwrap();
        let authority = TimestampAuthority::new(signer, WatchedClock::of_this_machine());
        group.bench_function(format!("{name}/timestamp"), |b| {
            b.iter(|| {
                let query = Query::from_json(black_box(QUERY)).unwrap();
                runtime.block_on(authority.stamp(&query)).unwrap()
            });
        });
    }
    group.finish();
}
