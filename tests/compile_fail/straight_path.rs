//! The counterpart of the programs beside it: the steps in their order do compile.

use mayfly::{
    clock::Timestamp,
    identity,
    issuer::{IssuedCertificate, Issuer},
    log::CertificateLog,
    profile::Profile,
    proof::{self, KeyProof},
    token::VerifiedToken,
};

pub async fn issue(
    (token, proof, now): (VerifiedToken, KeyProof, Timestamp),
    (profile, issuer, log): (Profile, Issuer, CertificateLog),
) -> Result<IssuedCertificate, Box<dyn std::error::Error>> {
    let identity = identity::identify(token)?;
    let applicant = proof::prove(identity, proof)?;
    let draft = profile.draft(applicant, now)?;
    let precertificate = issuer.sign_precert(draft).await?;
    let logged = log.submit(precertificate).await?;
    Ok(issuer.sign_final(logged).await?)
}
