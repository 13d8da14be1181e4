//! A certificate from a precertificate that no log has taken.

use mayfly::issuer::{IssuedCertificate, Issuer, IssuerError, Precertificate};

pub async fn unlogged(issuer: Issuer, precertificate: Precertificate) -> Result<IssuedCertificate, IssuerError> {
    issuer.sign_final(precertificate).await
}
