//! An `allow` expression on claims: compiling and answering it ends, within the stack of a server's thread and without a
//! panic. The answer is the same each time, and the same where the expression looks at every claim, although a
//! condition is only shown the claims that it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::admission::{Condition, Unanswered};
use mayfly_fuzz::TextAndClaims;

/// Macros that make a list of a mapping, in an order that differs each time.
const UNORDERED: [&str; 2] = ["map", "filter"];

fuzz_target!(|input: TextAndClaims<'_>| {
    let TextAndClaims { text, claims } = input;
    let Ok(condition) = Condition::compile("fuzzed", text) else {
        return;
    };
    let answer = condition.holds(&claims).ok();
    if UNORDERED.iter().any(|name| text.contains(name)) {
        return;
    }
    assert_eq!(condition.holds(&claims).ok(), answer);
    // On a line of its own, because the text may end in a comment.
    if let Ok(condition) = Condition::compile("fuzzed", &format!("({text}\n) && claims == claims")) {
        // A claim with too many items matters only to who looks at it.
        let whole = condition.holds(&claims);
        assert!(whole == Err(Unanswered::TooManyItems) || whole.ok() == answer);
    }
});
