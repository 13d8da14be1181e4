//! `--csr`: the requests for a root that is there already, and what whoever holds that root must know.

use std::path::Path;

use mayfly::{issuer::ceremony, key::SigningKey, pem_block};

use super::{
    folder::{self, FileError, Layout},
    plan::Plan,
    timestamps,
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

/// The same for the timestamp authority's (RFC 3161 2.3).
const TIMESTAMP_EXTENSIONS: &str = "\
# The extensions of the certificate for timestamp.csr.pem, for openssl x509 -req -extfile timestamp-extensions.cnf.
# Mayfly refuses a certificate with another extendedKeyUsage, because its clients would.
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
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
    write_request(&layout.signing_request(), &request)?;
    folder::write_new(&layout.extensions(), EXTENSIONS)?;
    if let Some(timestamps) = &plan.timestamps {
        let request = timestamps::request(timestamps, plan.kind, layout).await?;
        write_request(&layout.timestamp_request(), &request)?;
        folder::write_new(&layout.timestamp_extensions(), TIMESTAMP_EXTENSIONS)?;
    }
    let mut text = instructions(plan);
    text.push_str(&match plan.timestamps {
        Some(_) => timestamp_instructions(place),
        None => installation(place, ""),
    });
    Ok(folder::write_new(&layout.instructions(), &text)?)
}

fn write_request(path: &Path, request: &[u8]) -> Result<(), FileError> {
    folder::write_new(path, &pem_block::encode("CERTIFICATE REQUEST", request))
}

fn instructions(plan: &Plan) -> String {
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

",
        organization = plan.organization,
    )
}

fn timestamp_instructions(place: &Layout) -> String {
    let installed = installation(place, " --timestamp-chain timestamp-chain.pem");
    format!(
        "\
timestamp.csr.pem is a request for the certificate of a timestamp authority (RFC 3161), which is no CA. The key will sign
statements of the time, and nothing else. The same root may sign it, or another one. Please sign it with these extensions:

  basicConstraints       critical, CA:FALSE
  keyUsage               critical, digitalSignature
  extendedKeyUsage       critical, timeStamping, and nothing else
  subjectKeyIdentifier   the hash of the key
  authorityKeyIdentifier that of the CA that signs

If a CA above has an extendedKeyUsage, timeStamping must be in it; otherwise as above.

  openssl x509 -req -in timestamp.csr.pem -CA root.pem -CAkey root-key.pem -days 3650 -sha384 \\
    -extfile timestamp-extensions.cnf -out timestamp.pem
  cat timestamp.pem root.pem > timestamp-chain.pem

{installed}"
    )
}

fn installation(place: &Layout, timestamps: &str) -> String {
    let directory = place.path().display();
    format!("What comes back is installed with\n\n  mayfly init --chain chain.pem{timestamps} {directory}\n")
}
