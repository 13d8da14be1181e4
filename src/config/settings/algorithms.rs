//! `client-signing-algorithms`: with which algorithms clients may prove their keys, by the names of
//! Fulcio's flag.

use crate::{
    config::{
        fields::Fields,
        problem::{Problems, did_you_mean},
    },
    proof::{PermittedAlgorithms, SigningAlgorithm},
};

const KEY: &str = "client-signing-algorithms";

/// Those of Sigstore's registry with which no client proves a key: PKCS#1 v1.5 and pure Ed25519 are
/// what is verified.
const NEVER_USED: [&str; 2] = ["rsa-sign-pss-", "ed25519-ph"];

/// What they prove them with.
const INSTEAD: &str = "Name what they use, such as rsa-sign-pkcs1-2048-sha256 or ed25519";

/// All of them if the file says nothing. What cannot be used is reported.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> PermittedAlgorithms {
    let Some((place, node)) = fields.get(KEY) else {
        return PermittedAlgorithms::default();
    };
    let known = SigningAlgorithm::ALL.map(SigningAlgorithm::name);
    let items = node.items(&place, problems);
    if node.is_list() && items.is_empty() {
        let suggestion = "Name those that clients may use, or remove the key";
        problems.report(&place, "permits no algorithm", suggestion);
    }
    let mut permitted = Vec::new();
    for item in items {
        let Some(text) = item.text(&place, problems) else {
            continue;
        };
        let algorithm = SigningAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text.value);
        permitted.extend(algorithm);
        if algorithm.is_none() && NEVER_USED.iter().any(|prefix| text.value.starts_with(prefix)) {
            let what = format!("`{}` is not how clients prove their keys", text.value);
            problems.report(&text.place, what, INSTEAD);
        } else if algorithm.is_none() {
            let what = format!("`{}` is not a signing algorithm of clients", text.value);
            problems.report(&text.place, what, did_you_mean(text.value, &known));
        }
    }
    PermittedAlgorithms::only(permitted)
}
