//! The text of an issuer file: reading it ends, in bounded memory, without a panic; the same text means the same, so
//! that reloading an unchanged file changes nothing; and every problem is on a line of the file.
#![no_main]

use std::{path::Path, sync::Arc};

use libfuzzer_sys::fuzz_target;
use mayfly::{
    config::{
        Problem,
        issuers::{IssuerFile, parse},
    },
    token::{FetchPolicy, LoopbackHttp},
    trusted_issuer::{Changes, TrustedIssuer},
};
use mayfly_fuzz::Parts;

fuzz_target!(|input: Parts<'_, 1>| {
    let Parts([text]) = input;
    let policy = FetchPolicy::new(LoopbackHttp::Refused);
    let read = || parse(Path::new("issuers.yaml"), text, &policy);
    match (read(), read()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(first.warnings, second.warnings);
            assert_eq!(entries(&first), entries(&second));
            assert_on_lines(&first.warnings, text);
            let (_, changes) = second.issuers.succeed(&first.issuers);
            assert_eq!(changes, Changes::default());
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert!(!first.problems().is_empty());
            assert_on_lines(first.problems(), text);
        }
        (first, second) => assert_eq!(first.is_ok(), second.is_ok()),
    }
});

fn entries(file: &IssuerFile) -> Vec<String> {
    let shown = |entry: &Arc<TrustedIssuer>| format!("{entry:?}");
    file.issuers.iter().map(shown).collect()
}

fn assert_on_lines(problems: &[Problem], text: &str) {
    // YAML 1.2 section 5.4: a carriage return alone ends a line, too.
    let lines = text.split(['\n', '\r']).count();
    for problem in problems {
        let line = problem.line().map(usize::try_from);
        assert!(
            line.is_none_or(|line| line.is_ok_and(|line| (1..=lines).contains(&line))),
            "{problem}"
        );
    }
}
