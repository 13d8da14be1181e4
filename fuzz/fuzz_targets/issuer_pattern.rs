//! A pattern of `meta-issuers` and an `iss`: the pattern matches exactly the URLs in normal form in which every `*` is
//! one run of `[-_a-zA-Z0-9]`, as a slow matcher of another make sees it; and what it matches has the scheme, port,
//! labels and path segments of the pattern, under the domain that the pattern spells out.
//!
//! The part below the separator is an `iss`, and then what every `*` of the pattern is replaced with for a second one.
#![no_main]

use std::collections::BTreeSet;

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
    // Where in `iss` the parts so far may end.
    let mut ends = BTreeSet::new();
    if iss.starts_with(first) {
        ends.insert(first.len());
    }
    for part in parts {
        let begins = after_runs(iss, &ends).into_iter();
        let follows = |begin: &usize| iss.get(*begin..).is_some_and(|rest| rest.starts_with(part));
        ends = begins.filter(follows).map(|begin| begin + part.len()).collect();
    }
    ends.contains(&iss.len())
}

/// Where one or more characters for which a `*` may stand end, if they begin at one of these places.
fn after_runs(iss: &str, places: &BTreeSet<usize>) -> BTreeSet<usize> {
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let mut ends = BTreeSet::new();
    for place in places {
        let mut end = *place;
        // From where another run has been, everything has been seen.
        while iss.as_bytes().get(end).is_some_and(may_stand) && ends.insert(end + 1) {
            end += 1;
        }
    }
    ends
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
