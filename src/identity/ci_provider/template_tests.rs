use std::collections::BTreeMap;

use super::*;

fn data(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs
        .iter()
        .map(|(name, text)| (Arc::from(*name), Value::String((*text).into())));
    Value::Map(Arc::new(pairs.collect::<BTreeMap<_, _>>()))
}

fn rendered(source: &str, pairs: &[(&str, &str)]) -> String {
    Template::compile(source).unwrap().render(&data(pairs)).unwrap()
}

#[test]
fn the_forms_that_issuer_files_use() {
    let claims = [
        ("url", "https://ci.example"),
        ("a/b.c", "x y"),
        ("kind", "branch"),
        ("ref", "main"),
    ];
    for (source, text) in [
        ("ref", "main"),
        ("{{ .url }}/{{.ref}}", "https://ci.example/main"),
        ("{{(index . \"a/b.c\")}}", "x y"),
        ("{{index . \"a/b.c\"}}", "x y"),
        (
            "refs/{{if eq .kind \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}",
            "refs/heads/main",
        ),
        (
            "{{if ne .kind \"branch\"}}a{{else if eq .ref \"main\"}}b{{end}}",
            "b",
        ),
        (
            "{{if .ref}}{{if eq .ref \"x\"}}1{{else if .kind}}2{{end}}3{{else}}4{{end}}5",
            "235",
        ),
        (
            "{{if eq .ref \"x\"}}1{{else if eq .ref \"y\"}}2{{else}}3{{end}}4",
            "34",
        ),
        ("{{if and .kind (not (eq .ref \"x\"))}}yes{{end}}", "yes"),
        ("{{ printf \"%s:%s\" .kind .ref }}", "branch:main"),
        ("{{ .ref | print \"ref=\" }}", "ref=main"),
        ("a {{- /* comment */ -}} b", "ab"),
        (
            "{{if eq (index . \"missing\") \"true\"}}a{{ else }}\"\"{{end}}",
            "\"\"",
        ),
    ] {
        assert_eq!(rendered(source, &claims), text, "{source}");
    }
}

#[test]
fn values_are_neither_escaped_nor_evaluated() {
    let value = "<b>&\"{{ .secret }}${x}'";
    assert_eq!(rendered("{{ .a }}", &[("a", value), ("secret", "s")]), value);
    assert_eq!(rendered("a", &[("a", value), ("secret", "s")]), value);
}

#[test]
fn a_missing_field_is_an_error_and_a_missing_index_is_empty() {
    for source in ["{{ .a }}", "a", "{{if .a}}x{{end}}"] {
        let error = Template::compile(source).unwrap().render(&data(&[])).unwrap_err();
        assert!(
            matches!(error, gotmpl::TemplateError::MissingKey { key } if key == "a"),
            "{source}"
        );
    }
    assert_eq!(rendered("[{{index . \"a\"}}]", &[]), "[]");
}

#[test]
fn names_and_what_is_always_printed_are_known() {
    let template =
        Template::compile("{{.a}}{{(index . \"b\")}}{{if .c}}{{.d}}{{else}}{{.e}}{{end}}{{print .f}}")
            .unwrap();
    assert_eq!(
        template.names().collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e", "f"]
    );
    assert_eq!(template.printed().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_claims_do_not_need_is_refused_at_load() {
    for source in [
        "",
        "  ",
        "{{/* only a comment */}}",
        "{{",
        "{{ .a",
        "{{ .a }",
        "{{if .a}}",
        "{{end}}",
        "{{.a}}{{end}}{{.b}}",
        "{{.a}}{{else}}{{.b}}",
        "{{if .a}}x{{else}}y{{else}}z{{end}}",
        "{{if .a}}x{{else}}y",
        "{{if .a}}x{{end}}{{end}}",
        "{{.a}}\u{1}",
        "{{ nonsense .a }}",
        "{{ call .a }}",
        "{{ len .a }}",
        "{{range .a}}x{{end}}",
        "{{with .a}}x{{end}}",
        "{{define \"x\"}}y{{end}}{{.a}}",
        "{{define \"value\"}}{{template \"value\"}}{{end}}",
        "{{template \"value\"}}",
        "{{block \"x\" .}}y{{end}}",
        "{{$x := .a}}{{$x}}",
        "{{$.a}}",
        "{{.}}",
        "{{.a.b}}",
        "{{(index . \"a\").b}}",
        "{{index .a \"b\"}}",
        "{{index . .a}}",
        "{{.a | index .}}",
        "{{eq .a 1}}",
        "{{eq .a}}",
        "{{if true}}x{{end}}",
        "{{printf .a}}",
        "{{.a | printf}}",
        "{{printf (print .a) .b}}",
    ] {
        assert!(Template::compile(source).is_err(), "{source}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}x{}", "{{if .a}}".repeat(5_000), "{{end}}".repeat(5_000));
    assert!(matches!(Template::compile(&deep), Err(TemplateError::Syntax(_))));
}
