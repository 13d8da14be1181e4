//! Encodings of public keys: PEM, DER, and what is neither.

use crate::{CHALLENGE, EcKey, KEY_ACCEPTED, NULL, OID_EC_PUBLIC_KEY, OID_ED25519, OID_P256, OID_RSA};
use crate::{key_refusal, prove, spki, tlv, vector, vector_der};
use mayfly::proof::KeyProof;

const MALFORMED: &str = "public_key_malformed";

fn pem_of(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

fn one_line(pem: &str) -> String {
    let lines: Vec<&str> = pem.lines().collect();
    let [begin, base64 @ .., end] = lines.as_slice() else {
        unreachable!()
    };
    format!("{begin}\n{}\n{end}", base64.concat())
}

#[test]
fn every_common_way_to_write_a_key_gives_the_same_key() {
    let key = EcKey::p256();
    let pem = pem_of("PUBLIC KEY", &key.spki);
    for text in [
        pem.clone(),
        one_line(&pem),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', " \n\n").trim_end().to_owned(),
        format!("Public-Key: (256 bit)\n{pem}trailing words\n"),
    ] {
        let proven = prove(text.as_bytes(), &key.sign(CHALLENGE));
        // A blank line after the first line of base64 would end RFC 1421 headers.
        match text.contains("\n\n") {
            true => assert_eq!(proven.unwrap_err().reason(), MALFORMED),
            false => assert_eq!(proven.unwrap().spki_der(), key.spki, "{text}"),
        }
    }
}

#[test]
fn a_pkcs1_key_becomes_a_subject_public_key_info() {
    let der = vector_der("rsa-fermat-round-101.pem");
    let pkcs1 = &der[24..];
    assert_eq!(
        key_refusal(pem_of("RSA PUBLIC KEY", pkcs1).as_bytes()),
        KEY_ACCEPTED
    );
    assert_eq!(key_refusal(pem_of("PUBLIC KEY", pkcs1).as_bytes()), MALFORMED);
    assert_eq!(key_refusal(pem_of("RSA PUBLIC KEY", &der).as_bytes()), MALFORMED);
    assert_eq!(
        key_refusal(pkcs1),
        MALFORMED,
        "PKCS#1 without a label is not read"
    );
}

#[test]
fn one_block_of_the_right_label_without_headers() {
    let key = EcKey::p256();
    let pem = pem_of("PUBLIC KEY", &key.spki);
    for (what, text) in [
        ("two blocks", format!("{pem}{pem}")),
        (
            "a second block cut off",
            format!("{pem}-----BEGIN PUBLIC KEY-----\n"),
        ),
        ("another label", pem_of("CERTIFICATE", &key.spki)),
        ("EC's own label", pem_of("EC PUBLIC KEY", &key.spki)),
        ("the request's label", pem_of("CERTIFICATE REQUEST", &key.spki)),
        (
            "labels that differ",
            pem.replacen("PUBLIC KEY", "RSA PUBLIC KEY", 1),
        ),
        (
            "headers",
            pem.replacen(
                "-----\n",
                "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
                1,
            ),
        ),
        (
            "headers without end",
            pem.replacen("-----\n", "-----\nComment: mine\n", 1),
        ),
        ("no end", pem.split("-----END").next().unwrap().to_owned()),
        ("no base64", pem.replacen("MFkw", "M!kw", 1)),
        ("base64 cut short", pem.replacen("MFkw", "MFk", 1)),
        ("no content", pem_of("PUBLIC KEY", b"")),
        ("no PEM at all", "jane@example.com".to_owned()),
        (
            "base64 without armor",
            one_line(&pem).lines().nth(1).unwrap().to_owned(),
        ),
        ("nothing", String::new()),
        ("too much", " ".repeat(16 * 1024) + &pem),
    ] {
        assert_eq!(key_refusal(text.as_bytes()), MALFORMED, "{what}");
    }
}

#[test]
fn a_private_key_is_refused_by_name_and_never_shown() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let pkcs8 = pair.serialize_der();
    let sec1 = tlv(0x30, &[tlv(0x02, &[1]), tlv(0x04, &[7; 32])].concat());
    let public = pem_of("PUBLIC KEY", &EcKey::p256().spki);
    for sent in [
        pair.serialize_pem().into_bytes(),
        pkcs8.clone(),
        sec1.clone(),
        pem_of("EC PRIVATE KEY", &sec1).into_bytes(),
        pem_of("PUBLIC KEY", &pkcs8).into_bytes(),
        pem_of("ENCRYPTED PRIVATE KEY", b"whatever").into_bytes(),
        pem_of("OPENSSH PRIVATE KEY", b"whatever").into_bytes(),
        format!("{public}{}", pair.serialize_pem()).into_bytes(),
        b"-----BEGIN PRIVATE KEY-----\ncut off".to_vec(),
    ] {
        let error = prove(&sent, b"signature").unwrap_err();
        assert_eq!(error.reason(), "private_key_sent");
        assert!(error.to_string().contains("Discard that key pair"), "{error}");

        let request = KeyProof::CertificateSigningRequest(sent.clone());
        assert_eq!(format!("{request:?}"), "CertificateSigningRequest(elided)");
        let error = mayfly::proof::prove_key(&[CHALLENGE], request).unwrap_err();
        assert_eq!(error.reason(), "private_key_sent");

        let proof = KeyProof::Challenge {
            public_key: sent,
            signature: vec![],
        };
        assert_eq!(format!("{proof:?}"), "Challenge(elided)");
    }
}

#[test]
fn der_is_strict() {
    let key = EcKey::p256();
    let point = &key.spki[26..];
    let algorithm = [OID_EC_PUBLIC_KEY, OID_P256].concat();
    assert_eq!(
        spki(&algorithm, point),
        key.spki,
        "the parts used below make up a good key"
    );

    let bits_with_unused = tlv(0x03, &[&[1], point].concat());
    for (what, der) in [
        ("trailing byte", [&key.spki[..], &[0]].concat()),
        ("cut short", key.spki[..key.spki.len() - 1].to_vec()),
        ("long length", [&[0x30, 0x81, 0x59], &key.spki[2..]].concat()),
        (
            "indefinite length",
            [&[0x30, 0x80], &key.spki[2..], &[0, 0]].concat(),
        ),
        (
            "element after the key",
            tlv(0x30, &[&key.spki[2..], NULL].concat()),
        ),
        (
            "element after the parameters",
            spki(&[&algorithm, NULL].concat(), point),
        ),
        (
            "unused bits",
            tlv(0x30, &[tlv(0x30, &algorithm), bits_with_unused].concat()),
        ),
        ("nested", tlv(0x30, &key.spki)),
        ("no curve", spki(OID_EC_PUBLIC_KEY, point)),
        (
            "an octet string for the bits",
            tlv(0x30, &[tlv(0x30, &algorithm), tlv(0x04, point)].concat()),
        ),
        (
            "no bits",
            tlv(0x30, &[tlv(0x30, &algorithm), tlv(0x03, &[])].concat()),
        ),
        ("empty", tlv(0x30, &[])),
        ("set for sequence", tlv(0x31, &key.spki[2..])),
        (
            "OID arc of 64 bits and more",
            spki(
                &tlv(0x06, &[0x2a, 0x82, 255, 255, 255, 255, 255, 255, 255, 255, 127]),
                point,
            ),
        ),
    ] {
        assert_eq!(key_refusal(&der), MALFORMED, "{what}");
    }
}

#[test]
fn parameters_are_exact() {
    let rsa = vector_der("rsa-fermat-round-101.pem");
    let rsa_key = &rsa[24..];
    let ed25519 = curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED;
    assert_eq!(
        key_refusal(&spki(&[OID_RSA, NULL].concat(), rsa_key)),
        KEY_ACCEPTED
    );
    assert_eq!(key_refusal(&spki(OID_ED25519, ed25519.as_bytes())), KEY_ACCEPTED);
    for (algorithm, key) in [
        (OID_RSA.to_vec(), rsa_key),
        ([OID_RSA, OID_P256].concat(), rsa_key),
        ([OID_RSA, &[0x05, 1, 0]].concat(), rsa_key),
        ([OID_ED25519, NULL].concat(), ed25519.as_bytes()),
    ] {
        assert_eq!(key_refusal(&spki(&algorithm, key)), MALFORMED);
    }
}

#[test]
fn other_kinds_of_key_are_unsupported() {
    for name in [
        "key-P-224.pem",
        "key-secp256k1.pem",
        "key-brainpoolP256r1.pem",
        "key-p256-explicit.pem",
        "key-p256-compressed.pem",
        "key-p256-hybrid.pem",
        "key-x25519.pem",
        "key-ed448.pem",
        "key-rsa-pss.pem",
        "key-dsa.pem",
    ] {
        assert_eq!(key_refusal(&vector(name)), "key_unsupported", "{name}");
    }
    // id-ml-dsa-65 (NIST), not enabled
    let ml_dsa = [0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12];
    assert_eq!(key_refusal(&spki(&ml_dsa, &[7; 1952])), "key_unsupported");
}
