//! Whether the answers were certificates: looked at outside the measured time.

use std::error::Error;

use const_oid::db::rfc6962::CT_PRECERT_SCTS;
use ct_log::{Entry, LogPublicKey, Sct};
use der::{Any, AnyRef, Decode, Encode, Tagged, referenced::OwnedToRef};
use mayfly::{issuer::CertificateChain, key::SignatureAlgorithm};
use serde_json::Value;
use tls_codec::SerializeBytes;
use x509_cert::{
    Certificate,
    ext::{Extension, pkix::SignedCertificateTimestampList},
};

use super::{applicants::Applicant, load::Sample, target::Target};
use crate::cli::failure::Failure;

/// How many answers were right, and why the others were not.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) right: usize,
    pub(super) wrong: Vec<String>,
}

/// What is wrong with an answer.
type Wrong = Box<dyn Error + Send + Sync>;

/// Checks each sample.
pub(super) fn all(target: &Target, applicants: &[Applicant], samples: &[Sample]) -> Result<Checked, Failure> {
    let of = |chain| Authority::new(chain, target.logs());
    let authorities = target.chains().iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let mut checked = Checked {
        right: 0,
        wrong: Vec::new(),
    };
    for sample in samples {
        let applicant = applicants.get(sample.applicant).ok_or("no such applicant")?;
        match check(&authorities, applicant, &sample.body) {
            Ok(()) => checked.right += 1,
            Err(error) => checked.wrong.push(error.to_string()),
        }
    }
    Ok(checked)
}

/// One of the CAs that should have answered.
struct Authority<'a> {
    chain: &'a CertificateChain,
    logs: &'a [LogPublicKey],
    issuer_key_hash: [u8; 32],
}

impl<'a> Authority<'a> {
    fn new(chain: &'a CertificateChain, logs: &'a [LogPublicKey]) -> Result<Self, Failure> {
        let issuing = chain.issuing().tbs_certificate();
        let spki = issuing.subject_public_key_info().to_der()?;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        Ok(Self {
            chain,
            logs,
            issuer_key_hash: hash.as_ref().try_into()?,
        })
    }

    /// The applicant's key, the CA's signature, and the log's over what was logged.
    fn check(&self, applicant: &Applicant, leaf: &str) -> Result<(), Wrong> {
        let leaf = pem::parse(leaf)?;
        let leaf = Certificate::from_der(leaf.contents())?;
        let key = leaf.tbs_certificate().subject_public_key_info().to_der()?;
        ensure(key == applicant.public_key, "the certificate is for another key")?;
        self.check_signature(&leaf)?;
        self.check_timestamp(&leaf)
    }

    fn check_signature(&self, leaf: &Certificate) -> Result<(), Wrong> {
        let issuing = self.chain.issuing().tbs_certificate();
        let key = issuing.subject_public_key_info().owned_to_ref();
        let algorithm = SignatureAlgorithm::of(&key).ok_or("the CA's key is of another kind")?;
        let tbs = leaf.tbs_certificate().to_der()?;
        let signature = leaf.signature().as_bytes().unwrap_or_default();
        ensure(
            algorithm.verifies(&key, &tbs, signature),
            "the CA did not sign the certificate",
        )
    }

    fn check_timestamp(&self, leaf: &Certificate) -> Result<(), Wrong> {
        let logged = Entry::Precertificate {
            issuer_key_hash: self.issuer_key_hash,
            tbs: without_timestamps(leaf)?,
            // The SCT does not cover it, and clients never see it.
            precertificate: Vec::new(),
        };
        let sct = embedded_timestamp(leaf)?;
        let log = self.logs.iter().find(|log| log.log_id() == sct.log_id());
        sct.verify(&logged, log.ok_or("the SCT is of a log that is not trusted")?)?;
        Ok(())
    }
}

/// The answer of whichever trusted CA gave it.
fn check(authorities: &[Authority<'_>], applicant: &Applicant, answer: &[u8]) -> Result<(), Wrong> {
    let answer: Value = serde_json::from_slice(answer)?;
    let chain = answer
        .pointer("/signedCertificateEmbeddedSct/chain/certificates")
        .and_then(Value::as_array)
        .ok_or("the answer has no chain")?;
    let (leaf, issuers) = chain.split_first().ok_or("the chain is empty")?;
    let is_of = |authority: &&Authority<'_>| {
        let trusted = authority.chain.pem().iter().map(String::as_str);
        issuers.iter().filter_map(Value::as_str).eq(trusted)
    };
    let authority = authorities.iter().find(is_of);
    let authority = authority.ok_or("the chain is not a trusted one")?;
    authority.check(applicant, leaf.as_str().unwrap_or_default())
}

fn ensure(holds: bool, otherwise: &'static str) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// The one SCT (RFC 6962 section 3.3).
fn embedded_timestamp(leaf: &Certificate) -> Result<Sct, Wrong> {
    let (_, list) = leaf
        .tbs_certificate()
        .get_extension::<SignedCertificateTimestampList>()?
        .ok_or("the certificate has no SCT")?;
    let timestamps = list
        .parse_timestamps()
        .map_err(|_| "the SCT list cannot be read")?;
    let [timestamp] = timestamps.as_slice() else {
        return Err("the certificate has more than one SCT".into());
    };
    let timestamp = timestamp
        .parse_timestamp()
        .map_err(|_| "the SCT cannot be read")?;
    Ok(Sct::from_tls(&timestamp.tls_serialize()?)?)
}

/// The TBSCertificate that was logged: this one without its SCT list (RFC 6962 section 3.2).
fn without_timestamps(leaf: &Certificate) -> Result<Vec<u8>, Wrong> {
    let tbs = leaf.tbs_certificate();
    let is_other = |extension: &&Extension| extension.extn_id != CT_PRECERT_SCTS;
    let kept: Vec<Extension> = tbs
        .extensions()
        .into_iter()
        .flatten()
        .filter(is_other)
        .cloned()
        .collect();
    let whole = tbs.to_der()?;
    let mut fields = Vec::<AnyRef<'_>>::from_der(&whole)?;
    // Extensions are the last field (RFC 5280 section 4.1).
    let extensions = fields.pop().ok_or("the certificate is empty")?;
    let extensions = Any::new(extensions.tag(), kept.to_der()?)?;
    fields.push(AnyRef::from(&extensions));
    Ok(fields.to_der()?)
}
