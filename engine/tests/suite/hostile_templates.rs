//! Templates are foreign code: whatever they do ends soon, in a text or in one line, and never in a panic.

use gristmill_engine::template::{ChatTemplate, Message};
use proptest::prelude::*;

fn render(source: &str) -> Result<String, String> {
    let said = [
        Message::new("user", "Hi"),
        Message::new("assistant", "<b>\u{1f600}"),
    ];
    let one_line = |error: gristmill_engine::TemplateError| {
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    ChatTemplate::new(source, "<s>", "</s>")
        .map_err(one_line)?
        .render(&said, None, true, &Default::default())
        .map_err(one_line)
}

#[test]
fn what_never_ends_is_stopped() {
    let many = "{% for i in range(100000) %}";
    for (source, part) in [
        (format!("{many}{many}x{{% endfor %}}{{% endfor %}}"), "steps"),
        (format!("{{% set ns = namespace(x='ab') %}}{many}{{% set ns.x = ns.x ~ ns.x %}}{{% endfor %}}"), "MiB"),
        (format!("{{% set ns = namespace(x='ab') %}}{many}{{% set ns.x = ns.x + ns.x %}}{{% endfor %}}"), "MiB"),
        (format!("{{% set ns = namespace(x=[1]) %}}{many}{{% set ns.x = ns.x + ns.x %}}{{% endfor %}}"), "MiB"),
        (format!("{{% set ns = namespace(x=[1]) %}}{many}{{% set ns.x = [ns.x] %}}{{% endfor %}}"), "deep"),
        (format!("{{% set ns = namespace(x=1) %}}{many}{{% set ns.x = {{'a': ns.x}} %}}{{% endfor %}}"), "deep"),
        (format!("{{% set ns = namespace(x=1) %}}{many}{{% set ns.x = namespace(y=ns.x) %}}{{% endfor %}}"), "namespaces"),
        (format!("{{% set x = 'a' * 1000000 %}}{many}{{{{ x }}}}{{% endfor %}}"), "MiB"),
        ("{% set x = 'a' * 10000000 %}{{ x.replace('', x) }}".to_owned(), "MiB"),
        ("{% set x = 'a' * 10000000 %}{{ x | replace('a', x) }}".to_owned(), "MiB"),
        ("{% set x = 'a' * 10000000 %}{{ x.join(x) }}".to_owned(), "MiB"),
        ("{% set x = 'a' * 10000000 %}{{ x | join(x) }}".to_owned(), "MiB"),
        ("{{ 'a' * 10000000000000 }}".to_owned(), "MiB"),
        ("{{ [1] * 10000000000000 }}".to_owned(), "MiB"),
        ("{{ 'a'.center(10000000000000) }}".to_owned(), "MiB"),
        ("{% set x = 'a' * 1000000 %}{{ 'a'.center(100000000, x) }}".to_owned(), "one character"),
        ("{% set x = ['a' * 1000000] * 10000 %}{{ x | join }}".to_owned(), "MiB"),
        ("{% set x = ['a' * 1000000] * 10000 %}{{ ''.join(x) }}".to_owned(), "MiB"),
        ("{% set x = ['a' * 1000000] * 10000 %}{{ x }}".to_owned(), "MiB"),
        ("{% set x = ['a' * 1000000] * 10000 %}{{ x | tojson }}".to_owned(), "MiB"),
        ("{{ [[[[1]]]] | tojson(indent='a' * 100000000) }}".to_owned(), "indent"),
        ("{{ [1, 2] | tojson(separators=['a' * 100000000, ':']) }}".to_owned(), "separators"),
        ("{% set x = 'a' * 100000000 %}{{ x.split('a') }}".to_owned(), "MiB"),
        ("{% set x = 'a ' * 50000000 %}{{ x.split() }}".to_owned(), "MiB"),
        ("{% set x = '\\n' * 100000000 %}{{ x.splitlines() }}".to_owned(), "MiB"),
        ("{% set x = 'a' * 100000000 %}{{ x | list }}".to_owned(), "MiB"),
        ("{{ '%9999999999d' % 1 }}".to_owned(), "width"),
        ("{{ '{:>9999999999}'.format(1) }}".to_owned(), "width"),
        ("{{ [1] | batch(10000000000000, 2) | list }}".to_owned(), "MiB"),
        ("{{ [1] | slice(10000000000000) | list }}".to_owned(), "MiB"),
        ("{{ 2 ** 1000 }}".to_owned(), "large"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(), "recursion"),
        ("{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ n() }}".to_owned(), "recursion"),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}".to_owned(), "recursion"),
        ("x".repeat(1 << 20), "bytes"),
    ] {
        let shown: String = source.chars().take(90).collect();
        let error = render(&source).map(|text| text.len()).expect_err(&shown);
        assert!(error.contains(part), "{shown}: {error}");
    }
}

/// An order that is none (of what is no number, of unlike values) is an error or any order, but no panic.
#[test]
fn what_has_no_order_is_sorted_somehow() {
    let nan =
        "{% set nan = 'nan' | float %}{% set ns = namespace(x=[]) %}{% for i in range(100) %}";
    for (item, all) in [
        ("[nan, i, nan, 99 - i, nan, i * 7 % 13]", true),
        ("[i, 'a', none, 99 - i, [1]]", false),
    ] {
        for filter in [
            "sort",
            "sort(reverse=true)",
            "groupby('x')",
            "min",
            "max",
            "unique",
        ] {
            let _ = render(&format!(
                "{nan}{{% set ns.x = ns.x + {item} %}}{{% endfor %}}{{{{ ns.x | {filter} | list }}}}"
            ));
        }
        let sorted = render(&format!(
            "{nan}{{% set ns.x = ns.x + {item} %}}{{% endfor %}}{{{{ ns.x | sort | length }}}}"
        ));
        match sorted {
            Ok(length) => assert!(all && length == "600", "{length}"),
            Err(error) => assert!(!all && error.contains("unsupported operand"), "{error}"),
        }
    }
}

/// As long as a template may be, and nested as deeply as that allows: a text or an error, no overflow of the stack.
#[test]
fn deep_nesting_is_survived() {
    let bytes = 128 << 10;
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{'a':", "1", "}"),
        ("-", "1", ""),
        ("not ", "1", ""),
        ("", "1", "+1"),
        ("", "1", "~1"),
        ("1**", "1", ""),
        ("", "1", " and 1"),
        ("", "1", " or 1"),
        ("", "1", "<1"),
        ("", "a", "[0]"),
        ("", "a", ".a"),
        ("", "a", "()"),
        ("", "a", "|e"),
        ("", "1", " is odd"),
        ("a(", "1", ")"),
        ("1 if 1 else ", "1", ""),
        ("", "1", " if 1 else 1"),
        ("a[", "1", "]"),
        ("", "'a'", " 'a'"),
    ] {
        let count = (bytes - 16) / (open.len() + close.len());
        let _ = render(&format!(
            "{{{{ {}{middle}{} }}}}",
            open.repeat(count),
            close.repeat(count)
        ));
    }
    for (open, close) in [
        ("{%if 1%}", "{%endif%}"),
        ("{%for a in b%}", "{%endfor%}"),
        ("{%if 1%}{%elif 1%}", "{%endif%}"),
        ("{%with%}", "{%endwith%}"),
        ("{%set a%}", "{%endset%}"),
        ("{%macro a()%}", "{%endmacro%}"),
        ("{%elif 1%}", ""),
    ] {
        let count = (bytes - 32) / (open.len() + close.len());
        let _ = render(&format!(
            "{{%if 1%}}{}{}{{%endif%}}",
            open.repeat(count),
            close.repeat(count)
        ));
    }
}

#[test]
fn a_namespace_that_holds_itself() {
    let own = "{% set ns = namespace() %}{% set ns.x = ns %}";
    for rest in [
        "{{ ns }}",
        "{{ ns.x.x.x }}",
        "{{ [ns] }}",
        "{{ ns | tojson }}",
        "{{ ns == ns }}",
        "{{ [ns] == [ns] }}",
        "{{ ns | list }}",
    ] {
        let _ = render(&format!("{own}{rest}"));
    }
}

#[test]
fn faults_are_named_with_their_line() {
    for (source, expected) in [
        (
            "a\n{{ messages[0].content + none }}",
            "chat template, line 2: can only concatenate str (not \"NoneType\") to str",
        ),
        (
            "a\n\n{{ raise_exception('Only\ntwo') }}",
            "chat template, line 3: Only two",
        ),
        (
            "{{ nothing.more }}",
            "chat template, line 1: undefined value: an undefined value has no attribute 'more'",
        ),
        (
            "{% if %}",
            "chat template, line 1: syntax error: unexpected end of block",
        ),
        (
            "{% macro m(a, b=a) %}{% endmacro %}",
            "chat template: macro m: a parameter's default refers to parameter 'a', which is not supported",
        ),
    ] {
        assert_eq!(render(source).unwrap_err(), expected);
    }
}

/// Parts of templates, to be put together at random.
const PARTS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{%-",
    "-%}",
    "{{-",
    " if ",
    " for ",
    " in ",
    " else ",
    " elif ",
    " endif ",
    " endfor ",
    " set ",
    " endset ",
    " macro ",
    " endmacro ",
    " call ",
    " endcall ",
    " filter ",
    " endfilter ",
    " generation ",
    " endgeneration ",
    " raw ",
    " endraw ",
    " break ",
    " continue ",
    " with ",
    " endwith ",
    " m(a, b=1) ",
    " m() ",
    "messages",
    ".content",
    "[0]",
    "[::-1]",
    "['role']",
    " a ",
    " b ",
    " = ",
    " == ",
    " + ",
    " ~ ",
    " * ",
    " % ",
    " // ",
    " ** ",
    " - ",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    ".",
    "|",
    " is ",
    " not ",
    " and ",
    " or ",
    "'x'",
    "\"",
    "'",
    "\\",
    "1",
    "-7",
    "1.5",
    "99999999999999999999",
    " none ",
    " true ",
    "\n",
    "  ",
    "text",
    "é",
    "|tojson",
    "|length",
    "|join(',')",
    "|map('upper')",
    "|selectattr('a')",
    "|list",
    "|default('x')",
    "|indent",
    "|int",
    "|sort",
    ".split()",
    ".strip('x')",
    ".items()",
    ".get('a')",
    ".format(1)",
    "namespace(a=1)",
    "range(3)",
    "loop.index",
    " recursive ",
    "loop(a)",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_parts(parts in prop::collection::vec(prop::sample::select(PARTS), 0..30)) {
        let _ = render(&parts.concat());
    }

    #[test]
    fn any_expression(parts in prop::collection::vec(prop::sample::select(PARTS), 0..8)) {
        let _ = render(&format!("{{{{ {} }}}}", parts.concat()));
    }

    #[test]
    fn any_text(source in ".{0,60}") {
        let _ = render(&source);
    }
}
