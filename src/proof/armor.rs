//! PEM or DER to DER: one block, no private key, no headers.

use der::{AnyRef, Decode, SliceReader, Tagged};

/// The most bytes that a key or request may have: an RSA-4096 request with room for attributes, ten times over.
const MAX_LEN: usize = 16 * 1024;

/// How every PEM block begins (RFC 7468 section 2).
const BEGIN: &str = "-----BEGIN ";

/// How the labels of all private keys end: PKCS#8 (encrypted too), PKCS#1, SEC 1, OpenSSH.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// What the input holds, out of its armor.
pub(super) enum Encoded {
    /// A PEM block.
    Pem {
        /// What stands between `BEGIN` and the dashes.
        label: String,
        /// The block's content.
        der: Vec<u8>,
    },
    /// Input without armor.
    Der(Vec<u8>),
}

/// Why the input is refused before its ASN.1 is looked at.
pub(super) enum ArmorError {
    /// It is or has a private key.
    PrivateKey,
    /// It is not one encoded object.
    Malformed(&'static str),
}

/// Takes the armor off. Text around a PEM block is ignored (RFC 7468 section 2), and so is the wrapping of lines.
pub(super) fn remove(input: &[u8]) -> Result<Encoded, ArmorError> {
    if input.is_empty() {
        return Err(ArmorError::Malformed("it is empty"));
    }
    if input.len() > MAX_LEN {
        return Err(ArmorError::Malformed("it is longer than 16 KiB"));
    }
    let encoded = match std::str::from_utf8(input) {
        Ok(text) if text.contains(BEGIN) => decode_pem(text)?,
        _ => Encoded::Der(input.to_vec()),
    };
    let (Encoded::Pem { der, .. } | Encoded::Der(der)) = &encoded;
    if is_private_key(der) {
        return Err(ArmorError::PrivateKey);
    }
    Ok(encoded)
}

fn decode_pem(text: &str) -> Result<Encoded, ArmorError> {
    if text.contains(PRIVATE_KEY) {
        return Err(ArmorError::PrivateKey);
    }
    if text.matches(BEGIN).count() > 1 {
        return Err(ArmorError::Malformed(
            "it has more than one PEM block; send exactly one",
        ));
    }
    let block =
        pem::parse(text).map_err(|_| ArmorError::Malformed("its PEM block is incomplete or not base64"))?;
    if block.headers().iter().next().is_some() {
        return Err(ArmorError::Malformed(
            "its PEM block has headers; send it without",
        ));
    }
    Ok(Encoded::Pem {
        label: block.tag().to_owned(),
        der: block.into_contents(),
    })
}

/// Private keys of PKCS#8, PKCS#1 and SEC 1 are SEQUENCEs that begin with a version, 0 or 1. Public keys and requests
/// are not: theirs begin with a SEQUENCE, or in PKCS#1 with the modulus.
fn is_private_key(der: &[u8]) -> bool {
    fn version(der: &[u8]) -> der::Result<u8> {
        let outer = AnyRef::decode(&mut SliceReader::new(der)?)?;
        outer.tag().assert_eq(der::Tag::Sequence)?;
        u8::decode(&mut SliceReader::new(outer.value())?)
    }
    matches!(version(der), Ok(0 | 1))
}
