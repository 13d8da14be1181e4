//! An issued certificate out of thin air.

use std::sync::Arc;

use mayfly::{
    issuer::{CertificateChain, IssuedCertificate},
    log::Logged,
};

pub fn forged(logged: Logged, chain: Arc<CertificateChain>) -> IssuedCertificate {
    IssuedCertificate { der: Vec::new(), logged, chain }
}
