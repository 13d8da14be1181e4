//! A pattern of `meta-issuers` and an `iss`: the pattern matches exactly the URLs in normal form in which every `*` is
//! one run of `[-_a-zA-Z0-9]`, as a slow matcher of another make sees it; and what it matches has the scheme, port,
//! labels and path segments of the pattern, under the domain that the pattern spells out.
//!
//! The part below the separator is an `iss`, and then what every `*` of the pattern is replaced with for a second one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::{
    identity::Rule,
    trusted_issuer::{ChallengeClaim, IssuerName, TrustedIssuer, TrustedIssuers},
};
use mayfly_fuzz::Parts;
use url::Url;

fuzz_target!(|input: Parts<'_, 2>| {
    let Parts([text, iss]) = input;
    let Ok(name) = IssuerName::pattern(text) else {
        return;
    };
    let example = name.example();
    let audience = "sigstore".to_owned();
    let entry = TrustedIssuer::new(name, audience, ChallengeClaim::Subject, Rule::email());
    let issuers = TrustedIssuers::new(vec![entry]);
    for iss in [iss, &text.replace('*', iss)] {
        let matches = is_filled_in(text, iss) && is_normal(iss);
        assert_eq!(issuers.find(iss).is_some(), matches, "{iss:?}");
        if matches {
            assert!(has_parts_of(&example, iss), "{iss:?}");
        }
    }
});

/// Whether `iss` is the pattern with something for each `*`.
fn is_filled_in(pattern: &str, iss: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    // What may be left of `iss` after the parts so far.
    let mut rests: Vec<&str> = iss.strip_prefix(first).into_iter().collect();
    for part in parts {
        let next = rests.into_iter().flat_map(without_run);
        let mut next: Vec<_> = next.filter_map(|rest| rest.strip_prefix(part)).collect();
        next.sort_unstable_by_key(|rest| rest.len());
        next.dedup_by_key(|rest| rest.len());
        rests = next;
    }
    rests.contains(&"")
}

/// What follows each run of one or more characters at the head of `text` for which a `*` may stand.
fn without_run(text: &str) -> impl Iterator<Item = &str> {
    let may_stand = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let run = text
        .chars()
        .take_while(move |character| may_stand(*character))
        .count();
    (1..=run).filter_map(|length| text.get(length..))
}

fn is_normal(iss: &str) -> bool {
    Url::parse(iss).is_ok_and(|url| url.as_str() == iss || url.as_str() == format!("{iss}/"))
}

fn has_parts_of(example: &str, iss: &str) -> bool {
    let (Ok(example), Ok(iss)) = (Url::parse(example), Url::parse(iss)) else {
        return false;
    };
    let labels = |url: &Url| -> Vec<String> {
        let host = url.host_str().unwrap_or_default();
        host.rsplit('.').map(str::to_owned).collect()
    };
    let (own_labels, labels) = (labels(&example), labels(&iss));
    iss.scheme() == example.scheme()
        && iss.port() == example.port()
        && iss.username().is_empty()
        && iss.password().is_none()
        && iss.query().is_none()
        && iss.fragment().is_none()
        && labels.len() == own_labels.len()
        && labels.iter().take(2).eq(own_labels.iter().take(2))
        && iss.path_segments().map(Iterator::count) == example.path_segments().map(Iterator::count)
}
