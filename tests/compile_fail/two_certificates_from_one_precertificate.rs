//! Two certificates from one precertificate.

use mayfly::{
    issuer::{Issuer, IssuerError},
    log::Logged,
};

pub async fn twice(issuer: Issuer, logged: Logged) -> Result<(), IssuerError> {
    issuer.sign_final(logged).await?;
    issuer.sign_final(logged).await?;
    Ok(())
}
