use super::*;

fn parsed(text: &str) -> Node {
    let mut problems = Problems::new(Path::new("test.yaml"));
    let node = parse(text, &mut problems);
    problems.into_result(node).unwrap()
}

fn entries(node: &Node) -> &[Entry] {
    let Value::Map(entries) = &node.value else {
        panic!("{node:?} is not a mapping");
    };
    entries
}

fn scalar(node: &Node) -> &str {
    let Value::Scalar(text) = &node.value else {
        panic!("{node:?} is not a scalar");
    };
    text
}

#[test]
fn keys_and_values_know_their_lines() {
    let root = parsed("# comment\na: 1\nb:\n  c: x\n");
    let [a, b] = entries(&root) else { panic!() };
    assert_eq!((a.line, a.node.line), (2, 2));
    assert_eq!((b.line, b.node.line, entries(&b.node)[0].line), (3, 4, 4));
}

#[test]
fn numbers_and_booleans_keep_their_spelling() {
    let root =
        parsed("a: 0123 # octal?\nb: True\nc: 1.50\nd: \"0123\"\ne: 1_000\nf: 99999999999999999999999\n");
    let texts: Vec<_> = entries(&root).iter().map(|entry| scalar(&entry.node)).collect();
    assert_eq!(
        texts,
        ["0123", "True", "1.50", "0123", "1_000", "99999999999999999999999"]
    );
}

#[test]
fn an_alias_may_be_a_key_and_stands_where_it_is_used() {
    let root = parsed("define:\n  - &type \"github\"\nmetadata:\n  *type:\n    a: *type\n");
    let metadata = &entries(&root)[1].node;
    let [entry] = entries(metadata) else { panic!() };
    assert_eq!((entry.key.as_str(), entry.line), ("github", 4));
    let value = &entries(&entry.node)[0].node;
    assert_eq!((scalar(value), value.line), ("github", 5));
}

#[test]
fn only_aliases_used_as_keys_are_rewritten() {
    for text in ["a: *b\n", "- *b\n", "*b\n", "  *b:c: 1\n", "a:\n  - '*x:'\n"] {
        assert_eq!(separate_alias_keys(text), text);
    }
    assert_eq!(separate_alias_keys("  *b:\n*c: 1\n*d:"), "  *b :\n*c : 1\n*d :");
}

#[test]
fn keys_given_twice_are_all_kept_for_the_report() {
    assert_eq!(entries(&parsed("a: 1\na: 2\n")).len(), 2);
}

#[test]
fn merged_mappings_are_overridden_not_doubled() {
    let root = parsed("base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  a: 3\n");
    let mine = entries(&entries(&root)[1].node);
    let mut pairs: Vec<_> = mine.iter().map(|e| (e.key.as_str(), scalar(&e.node))).collect();
    pairs.sort_unstable();
    assert_eq!(pairs, [("a", "3"), ("b", "2")]);
}

#[test]
fn what_is_not_yaml_is_one_problem_with_its_line() {
    let mut problems = Problems::new(Path::new("test.yaml"));
    assert!(parse("a: 1\nb: [1, 2\nc: 3\n", &mut problems).is_none());
    let errors = problems.into_result(None::<()>).unwrap_err();
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    assert!(problem.line().is_some_and(|line| line > 1), "{problem}");
    assert!(problem.what().starts_with("is not valid YAML: "), "{problem}");
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let mut problems = Problems::new(Path::new("bomb.yaml"));
    assert!(parse(&bomb, &mut problems).is_none());
    assert!(problems.into_result(None::<()>).is_err());
}
