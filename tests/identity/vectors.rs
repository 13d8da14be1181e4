//! Golden identities of every provider and type: `tests/vectors/identity`, made with Fulcio itself.
//!
//! The identity of a token never changes in a patch release. A failure here means that a verifier somewhere would no
//! longer recognise its signers: the code is wrong, not the case. What Mayfly refuses on purpose and Fulcio certifies
//! stands in `refused.json`, with the reason that it gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use mayfly::{
    config::issuers,
    trusted_issuer::{TrustedIssuer, TrustedIssuers},
};
use serde_json::{Map, Value, json};

use crate::policy;

const FOLDER: &str = "tests/vectors/identity";

/// By file and case, the reason for which Mayfly refuses what Fulcio certifies.
type Refused = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn every_token_gets_the_identity_that_fulcio_gives() {
    let mut refused: Refused = read(&Path::new(FOLDER).join("refused.json"));
    let (mut files, mut same, mut wrong) = (0, 0, Vec::new());
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") || file == "refused" {
            continue;
        }
        files += 1;
        let vectors: Value = read(&path);
        let trusted = trusted(vectors["issuers"].as_str().unwrap());
        let mut stricter = refused.remove(&file).unwrap_or_default();
        let mut names = BTreeSet::new();
        for case in vectors["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            assert!(names.insert(name), "{file}: {name} stands there twice");
            // What Mayfly gives on purpose, what a later Fulcio gives, or what Fulcio gives.
            let otherwise = case.get("mayfly").or_else(|| case.get("fixed"));
            let fulcio = otherwise.unwrap_or(&case["expected"]);
            let expected = match stricter.remove(name) {
                Some(reason) => {
                    assert!(
                        fulcio.get("error").is_none(),
                        "{file}: {name}: Fulcio refuses it, too"
                    );
                    json!({"refused": reason})
                }
                None => fulcio.clone(),
            };
            let answer = match answer(&trusted, case["claims"].as_object().unwrap()) {
                refusal if expected.get("error").is_some() && refusal.get("refused").is_some() => {
                    expected.clone()
                }
                answer => answer,
            };
            if answer == expected {
                same += 1;
            } else {
                wrong.push(format!("{file}: {name}\n     got {answer}\n  expect {expected}"));
            }
        }
        assert!(stricter.is_empty(), "{file} has no such cases: {stricter:?}");
    }
    assert!(refused.is_empty(), "no such files: {refused:?}");
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        same + wrong.len(),
        wrong.join("\n")
    );
    assert!(
        files >= 26 && same >= 668,
        "{same} cases in {files} files: where is the rest?"
    );
}

/// What is not read may be left out of the claims unseen.
#[test]
fn every_claim_that_a_name_depends_on_is_one_that_its_entry_reads() {
    let mut depends = 0;
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vectors: Value = read(&path);
        let Some(cases) = vectors["cases"].as_array() else {
            continue;
        };
        let trusted = trusted(vectors["issuers"].as_str().unwrap());
        for case in cases {
            let claims = case["claims"].as_object().unwrap();
            let Some(entry) = entry_for(&trusted, claims) else {
                continue;
            };
            let given = answer(&trusted, claims);
            for claim in claims
                .keys()
                .filter(|claim| !["iss", "sub", "aud"].contains(&claim.as_str()))
            {
                let mut others = claims.clone();
                others.remove(claim);
                if answer(&trusted, &others) != given {
                    depends += 1;
                    assert!(entry.reads(claim), "{}: {claim}", path.display());
                }
            }
        }
    }
    assert!(depends > 1000, "{depends}");
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// For Fulcio's public instance, our file that is to be its equal.
fn trusted(issuer_file: &str) -> TrustedIssuers {
    let file = match issuer_file {
        "public" => issuers::load(Path::new("config/public-good.yaml"), &policy()),
        text => issuers::parse(Path::new("issuers.yaml"), text, &policy()),
    };
    file.unwrap_or_else(|errors| panic!("{errors}")).issuers
}

/// The entry for a token with these claims.
fn entry_for<'a>(trusted: &'a TrustedIssuers, claims: &Map<String, Value>) -> Option<&'a TrustedIssuer> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).collect(),
        _ => text("aud").into_iter().collect(),
    };
    let entries = trusted.find(text("iss")?)?;
    TrustedIssuer::for_audiences(entries, &audiences).map(AsRef::as_ref)
}

/// The identity, or the reason why there is none, in the form of the vectors.
fn answer(trusted: &TrustedIssuers, claims: &Map<String, Value>) -> Value {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let Some(entry) = entry_for(trusted, claims) else {
        return json!({"refused": "issuer_or_audience"});
    };
    let subject = text("sub").unwrap_or_default();
    let names = match entry.rule().apply(text("iss").unwrap(), subject, claims) {
        Ok(names) => names,
        Err(error) => return json!({"refused": error.reason()}),
    };
    let arc = |extension: mayfly::extension::FulcioExtension| {
        extension.oid().to_string().rsplit('.').next().unwrap().to_owned()
    };
    let extensions: Map<String, Value> = names
        .extensions()
        .iter()
        .map(|(extension, value)| (arc(extension), value.into()))
        .collect();
    json!({"name": names.subject(), "extensions": extensions})
}
