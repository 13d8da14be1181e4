use serde_json::json;

use super::*;

fn answer(expression: &str) -> Result<bool, Unanswered> {
    let claims = json!({
        "repository_owner": "acme", "ref": "refs/tags/v1.2", "run_attempt": 2, "big": u64::MAX, "ratio": 0.5,
        "admin": true, "groups": ["dev", "ops"], "nothing": null,
        "kubernetes.io": {"namespace": "ci", "pod": {"name": "x"}},
    });
    Condition::compile("allow", expression)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
        .holds(claims.as_object().unwrap())
}

#[test]
fn conditions_say_what_they_look_like() {
    for (expression, expected) in [
        (r#"claims.repository_owner == "acme""#, true),
        (r#"claims.repository_owner == 'evil'"#, false),
        (
            r#"claims.repository_owner == "acme" && claims.ref == "refs/heads/main""#,
            false,
        ),
        (
            r#"claims.ref.startsWith("refs/tags/") || claims.nosuch == 1"#,
            true,
        ),
        (r#"claims.ref.matches("^refs/tags/v[0-9.]+$")"#, true),
        (r#"matches(claims.ref, "^v")"#, false),
        (r#"claims.ref.matches("a") || claims.ref.matches("v1")"#, true),
        ("claims.run_attempt == 2 && claims.run_attempt < 3", true),
        ("claims.run_attempt == 2.0", true),
        ("claims.big > 5", true),
        ("claims.ratio < 1.0", true),
        ("claims.admin", true),
        ("claims.nothing == null", true),
        (r#""ops" in claims.groups"#, true),
        (r#"claims.groups.exists(g, g == "dev")"#, true),
        (r#"claims.groups.all(g, g.size() == 3)"#, true),
        (r#"claims.groups.exists(g, g.matches("^o"))"#, true),
        (r#"claims.groups.map(g, g.size()) == [3, 3]"#, true),
        (r#"claims.groups.map(g, g == "ops", g.size()) == [3]"#, true),
        (r#"claims.groups.filter(g, g.startsWith("o")) == ["ops"]"#, true),
        (r#"claims.groups.exists_one(g, g == "dev")"#, true),
        (r#"claims.repository_owner + "/" == "acme/""#, true),
        (r#"claims["kubernetes.io"].namespace == "ci""#, true),
        ("has(claims.nosuch)", false),
        (r#"has(claims.ref) ? claims.ref != "" : false"#, true),
        (r#"claims.repository_owner in ["acme", "other"]"#, true),
        (r#"{"acme": true}[claims.repository_owner]"#, true),
    ] {
        assert_eq!(answer(expression), Ok(expected), "{expression}");
    }
}

#[test]
fn only_claims_that_are_read_are_converted() {
    let reads = |expression: &str| Condition::compile("allow", expression).unwrap().reads;
    let these = |names: &[&str]| Reads::These(names.iter().map(|name| (*name).to_owned()).collect());
    for (expression, expected) in [
        ("claims.a == 1 && claims.b.c == 2", these(&["a", "b"])),
        (r#"claims["a.b"].c == 1 || has(claims.d)"#, these(&["a.b", "d"])),
        (r#"claims.list.exists(claims, claims == "x")"#, these(&["list"])),
        (r#""a" in claims"#, Reads::All),
        ("claims.exists(name, name == claims.a)", Reads::All),
        ("claims[claims.a] == 1", Reads::All),
        ("true", these(&[])),
    ] {
        assert_eq!(reads(expression), expected, "{expression}");
    }
}

#[test]
fn what_cannot_be_answered_is_not_true() {
    for (expression, expected) in [
        (
            "claims.nosuch == 1",
            Unanswered::ClaimMissing("nosuch".to_owned()),
        ),
        (
            "claims.nosuch == 1 || claims.nosuch2",
            Unanswered::ClaimMissing("nosuch2".to_owned()),
        ),
        ("claims.ref", Unanswered::NotBoolean),
        ("claims.run_attempt.startsWith('a')", Unanswered::Other),
        ("claims.ref + 1 == 2", Unanswered::Other),
        ("claims.run_attempt / 0 == 1", Unanswered::Other),
        ("claims.groups[7] == 'x'", Unanswered::Other),
        // The value of another claim is not told.
        ("claims[claims.ref] == 'x'", Unanswered::Other),
        (
            "claims[\"nosuch\"] == 'x'",
            Unanswered::ClaimMissing("nosuch".to_owned()),
        ),
    ] {
        assert_eq!(answer(expression), Err(expected), "{expression}");
    }
}

/// `==` and `in` go through whole lists: inside a loop, their time grows with the square of the list.
#[test]
fn long_lists_are_not_looked_at() {
    let condition = Condition::compile("allow", "claims.a.all(x, claims.a == claims.a)").unwrap();
    let holds = |items: usize| condition.holds(json!({"a": vec![0; items]}).as_object().unwrap());
    assert_eq!(holds(MAX_ITEMS), Ok(true));
    assert_eq!(holds(MAX_ITEMS + 1), Err(Unanswered::TooManyItems));
    let object: serde_json::Map<String, Json> = (0..=MAX_ITEMS)
        .map(|name| (name.to_string(), Json::Null))
        .collect();
    assert_eq!(
        Condition::compile("allow", "\"a\" in claims")
            .unwrap()
            .holds(&object),
        Err(Unanswered::TooManyItems)
    );
}

fn error(expression: &str) -> ConditionError {
    match Condition::compile("allow", expression) {
        Err(error) => error,
        Ok(_) => panic!("{expression}: accepted"),
    }
}

#[test]
fn mistakes_are_found_when_the_file_is_loaded() {
    for (expression, expected) in [
        (
            "repository_owner == 'acme'",
            ConditionError::Variable("repository_owner".to_owned()),
        ),
        (
            "email_verified",
            ConditionError::Variable("email_verified".to_owned()),
        ),
        ("claims", ConditionError::NotBoolean),
        (
            "claims.ref.startswith('a')",
            ConditionError::Function("startswith".to_owned()),
        ),
        (
            "starts_with(claims.ref, 'a')",
            ConditionError::Function("starts_with".to_owned()),
        ),
        ("claims.ref.matches(claims.sub)", ConditionError::DynamicRegex),
        ("claims.ref.matches('a', 'b')", ConditionError::DynamicRegex),
        (
            "claims.a.all(x, claims.b.all(y, x == y))",
            ConditionError::NestedLoop,
        ),
        (
            "claims.a.map(x, claims.b.map(y, y)) == []",
            ConditionError::NestedLoop,
        ),
        (
            "claims.a.map(x, claims.b + claims.b + x) == []",
            ConditionError::SumInLoop,
        ),
        (
            "claims.a.exists(x, x + claims.b == 'c')",
            ConditionError::SumInLoop,
        ),
        (
            "claims.a.exists(x, true) && x",
            ConditionError::Variable("x".to_owned()),
        ),
        ("Message{a: 1} == claims", ConditionError::Message),
    ] {
        assert_eq!(error(expression), expected, "{expression}");
    }
    assert!(matches!(
        error("claims.ref.matches('(')"),
        ConditionError::Regex(_)
    ));
    assert!(matches!(
        error("claims.ref.matches('(((a{999}){999}){999})')"),
        ConditionError::Regex(_)
    ));
}

#[test]
fn what_is_no_expression_or_too_large_is_found_when_the_file_is_loaded() {
    for expression in [
        "",
        "claims.ref ==",
        "claims.ref = 'a'",
        "claims.ref == 'a",
        "(",
        "claims ref",
    ] {
        assert!(
            matches!(error(expression), ConditionError::Syntax(_)),
            "{expression}"
        );
    }
    assert_eq!(error(&"1 + ".repeat(2000)), ConditionError::TooLong);
    for nested in [
        format!("{}1{} == 1", "[".repeat(1000), "]".repeat(1000)),
        format!("claims{} == 1", ".a".repeat(1500)),
        format!("claims.a == 1{}", "+1".repeat(1500)),
    ] {
        assert!(matches!(
            error(&nested),
            ConditionError::TooDeep | ConditionError::Syntax(_)
        ));
    }
    // Parentheses leave nothing behind.
    Condition::compile("allow", &format!("{}true{}", "(".repeat(1000), ")".repeat(1000))).unwrap();
}
