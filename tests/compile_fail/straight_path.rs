//! The counterpart of the programs beside it: the steps in their order do compile.

use mayfly::{
    admission::Admission,
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
    (admission, profile, issuer, log): (Admission, Profile, Issuer, CertificateLog),
) -> Result<IssuedCertificate, Box<dyn std::error::Error>> {
    let identity = identity::identify(token)?;
    let admitted = admission.admit(identity, now).map_err(|refused| refused.error)?;
    let applicant = proof::prove(admitted, proof)?;
    let draft = profile.draft(applicant, now)?;
    let precertificate = issuer.sign_precert(draft).await?;
    let logged = log.submit(precertificate).await?;
    Ok(issuer.sign_final(logged).await?)
}
