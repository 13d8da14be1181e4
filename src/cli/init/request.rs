//! `--csr`: the request for a root that is there already, and what whoever holds that root must know.

use mayfly::{issuer::ceremony, key::SigningKey, pem_block};

use super::{
    folder::{self, Layout},
    plan::Plan,
};
use crate::cli::failure::Failure;

/// For `openssl x509 -req -extfile`: the intermediate's extensions (Fulcio's certificate specification).
const EXTENSIONS: &str = "\
# The extensions of the certificate for ca.csr.pem, for openssl x509 -req -extfile ca-extensions.cnf.
# Mayfly refuses a certificate without them, because its clients would.
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
";

/// Into a staged folder, with the names that its files will have.
pub(super) async fn write(
    plan: &Plan,
    key: &dyn SigningKey,
    (layout, place): (&Layout, &Layout),
) -> Result<(), Failure> {
    folder::make(&layout.request())?;
    let request = ceremony::request(plan.names.intermediate.clone(), key).await?;
    let pem = pem_block::encode("CERTIFICATE REQUEST", &request);
    folder::write_new(&layout.signing_request(), &pem)?;
    folder::write_new(&layout.extensions(), EXTENSIONS)?;
    Ok(folder::write_new(
        &layout.instructions(),
        &instructions(plan, place),
    )?)
}

fn instructions(plan: &Plan, place: &Layout) -> String {
    format!(
        "\
To whoever holds the root of {organization}

ca.csr.pem is a request for an intermediate CA certificate. The key will sign certificates for code signing that are valid
for ten minutes each, and nothing else; all of them are in a public log. Please sign it with these extensions:

  basicConstraints       critical, CA:TRUE, pathlen:0
  keyUsage               critical, keyCertSign and cRLSign
  extendedKeyUsage       codeSigning, and nothing else (not critical)
  subjectKeyIdentifier   the hash of the key
  authorityKeyIdentifier that of the CA that signs

The subject as in the request; valid for some years, within the life of the CA that signs. If there are CAs between that and
the root, each must allow one more below it (pathlen). If a CA above has an extendedKeyUsage, codeSigning must be in it.
Signed with ECDSA or RSA, and SHA-256 or better; not with Ed25519.

With openssl:

  openssl x509 -req -in ca.csr.pem -CA root.pem -CAkey root-key.pem -days 3650 -sha384 \\
    -extfile ca-extensions.cnf -out intermediate.pem

Please send back the certificate, and those above it up to the root, in one PEM file:

  cat intermediate.pem root.pem > chain.pem

It is installed with

  mayfly init --chain chain.pem {directory}
",
        organization = plan.organization,
        directory = place.path().display(),
    )
}
