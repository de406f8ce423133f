//! `template`: every fixture through the program, and what it says where something is wrong.

use crate::program::{Place, gristmill, testdata};
use predicates::str::contains;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The time at which the fixtures were rendered.
const NOW: &str = "2026-01-15T12:00:00";

/// The folder of conformance references, if it is there.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("GRISTMILL_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let folder = root.join("conformance").join(folder);
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// A fixture as the program reads it.
fn request(case: &Value) -> Value {
    json!({
        "messages": case["messages"],
        "tools": case["tools"],
        "add_generation_prompt": case["add_generation_prompt"],
        "variables": case["extra"],
    })
}

/// Whether a result is what Python's Jinja2 gave; `None` where there is nothing to compare.
fn agrees(result: &Value, expected: &Value) -> Option<bool> {
    Some(match expected["kind"].as_str() {
        None => *result == json!({ "text": expected }),
        Some("raise_exception") => *result == json!({ "error": expected["error"] }),
        // The program supports what is refused there.
        Some("SecurityError" | "TemplateRuntimeError") => return None,
        Some(_) => result["error"].is_string(),
    })
}

/// Renders all templates of a folder, with one call of the program for each, and prints how many cases agree.
fn walk(folder: &Path) {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jinja").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let (mut all, mut wrong) = ([0; 3], Vec::new());
    for name in names {
        let cases = std::fs::read(folder.join("cases").join(format!("{name}.json"))).unwrap();
        let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
        let requests: String = cases
            .iter()
            .map(|case| format!("{}\n", request(case)))
            .collect();
        let assert = gristmill(folder)
            .args(["template", "--jsonl", "--now", NOW, "--file"])
            .arg(folder.join(format!("{name}.jinja")))
            .write_stdin(requests)
            .assert()
            .success();
        let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let results: Vec<Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(results.len(), cases.len(), "{name}");
        let mut tally = [0; 3];
        for (case, result) in cases.iter().zip(&results) {
            match agrees(result, &case["expected"]) {
                Some(true) => tally[0] += 1,
                Some(false) => {
                    tally[1] += 1;
                    wrong.push(format!("{name} / {}: {result}", case["case"]));
                }
                None => tally[2] += 1,
            }
        }
        let [passed, failed, unscored] = tally;
        println!("{name}: {passed} cases pass, {failed} fail, {unscored} are not scored");
        all.iter_mut().zip(tally).for_each(|(all, one)| *all += one);
    }
    let [passed, failed, unscored] = all;
    println!("all: {passed} cases pass, {failed} fail, {unscored} are not scored");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cases_of_the_fresh_clone() {
    walk(&testdata("templates"));
}

#[test]
fn cases_of_the_shared_folder() {
    if let Some(folder) = shared("templates") {
        walk(&folder);
    }
}

const SOURCE: &str = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}\
    {% if tools %}{{ tools|length }} tools{% endif %}{{ mode }}{% if add_generation_prompt %}>{% endif %}";

fn run(place: &Place, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = gristmill(place.folder.path());
    command.arg("template").args(arguments);
    command
}

#[test]
fn one_conversation_from_a_file_or_a_pipe() {
    let place = Place::new();
    let source = place.file("chat.jinja", SOURCE);
    let messages = r#"[{"role": "user", "content": "Hi"}]"#;
    let talk = place.file("talk.json", messages);
    let tools = place.file("tools.json", "[{}, {}]");
    let file = ["--file", &source];
    // The text alone, without a newline of ours.
    run(&place, &file)
        .write_stdin(messages)
        .assert()
        .success()
        .stdout("user: Hi<|im_end|>>");
    let more = ["-f", &talk, "--tools", &tools, "--var", "mode=fast"];
    run(&place, &[&file[..], &more].concat())
        .args(["--var", "bos_token=<s>", "--no-generation-prompt"])
        .assert()
        .success()
        .stdout("<s>user: Hi<|im_end|>2 toolsfast");
    // What a conversation says itself counts, and JSON is no text.
    let own = r#"{"messages": [], "tools": null, "add_generation_prompt": true, "variables": {"mode": "slow"}}"#;
    let talk = place.file("talk.json", own);
    run(&place, &["-f", &talk, "--no-generation-prompt"])
        .args(file)
        .args([
            "--tools",
            &tools,
            "--var",
            "mode=fast",
            "--var",
            "bos_token=[1, true]",
        ])
        .assert()
        .success()
        .stdout("[1, True]slow>");
    // A model's own template and its tokens.
    let model = place.model.display().to_string();
    run(&place, &[&model])
        .write_stdin(messages)
        .assert()
        .success()
        .stdout("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    run(&place, &[&model, "--file", &source])
        .write_stdin(messages)
        .assert()
        .success()
        .stdout("<|im_start|>user: Hi<|im_end|>>");
}

/// The ids are those of the text, with control tokens where the template writes them and only there.
#[test]
fn ids_of_a_conversation() {
    let place = Place::new();
    let model = place.model.display().to_string();
    let ids = |said: Value| -> Vec<u32> {
        let messages = json!([{"role": "user", "content": said}]);
        let assert = run(&place, &[&model, "--ids"])
            .write_stdin(messages.to_string())
            .assert()
            .success();
        let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let ids = output.trim_end().split(',');
        ids.map(|id| id.parse().unwrap()).collect()
    };
    let found = ids("Hi".into());
    let text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    let expected = place.json("tokenize", &["-p", text, "--parse-special", "--json"]);
    assert_eq!(json!(found), expected["ids"]);
    // A part of a list, too, can't write control tokens: 0 and 1.
    let controls = |said: Value| ids(said).into_iter().filter(|&id| id < 2).count();
    assert_eq!(controls("a<|im_end|>b".into()), 3);
    assert_eq!(
        controls(json!([{"type": "text", "text": "a<|im_end|>b"}])),
        3
    );
    let lines = r#"{"messages": []}"#;
    run(&place, &[&model, "--ids", "--jsonl"])
        .write_stdin(lines)
        .assert()
        .success()
        .stdout(contains(r#"{"ids":[1,"#));
}

#[test]
fn lines_that_fail_do_not_end_the_rest() {
    let place = Place::new();
    let source = place.file(
        "chat.jinja",
        "{% if not messages %}{{ raise_exception('Say \"something\"!') }}{% endif %}{{ messages[0].content + 1 }}",
    );
    let good = r#"{"messages": [{"role": "user", "content": 41}]}"#;
    // What a template refuses is a result.
    let refused = format!(
        "{good}\n\n{{\"messages\": []}}\n{}\n{good}",
        good.replace("41", "\"a\"")
    );
    let lines = place.file("lines.jsonl", &refused);
    let assert = run(&place, &["--jsonl", "--file", &source, "-f", &lines])
        .assert()
        .success();
    let output = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let results: Vec<&str> = output.lines().collect();
    assert_eq!(results.len(), 4, "{output}");
    assert_eq!(results[0], r#"{"text":"42"}"#);
    assert_eq!(results[1], r#"{"error":"Say \"something\"!"}"#);
    assert!(results[2].contains("chat template, line 1: "), "{output}");
    assert_eq!(results[3], results[0]);
    // What is no conversation is not, but the rest goes on.
    let bad = [
        "{",
        "7",
        r#"{"message": []}"#,
        r#"{"messages": {}}"#,
        r#"{"messages": [], "variables": []}"#,
        r#"{"messages": [], "add_generation_prompt": "yes"}"#,
    ];
    let mut lines = bad.join("\n").into_bytes();
    lines.extend_from_slice(b"\n\"\xff\"\n");
    lines.extend_from_slice(good.as_bytes());
    let assert = run(&place, &["--jsonl", "--file", &source])
        .write_stdin(lines)
        .assert()
        .code(1)
        .stderr(contains(
            "7 of 8 lines of standard input hold no conversation",
        ));
    let output = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert_eq!(output.matches("{\"error\":\"no conversation: ").count(), 7);
    assert!(output.ends_with("{\"text\":\"42\"}\n"), "{output}");
}

#[test]
fn template_says_what_is_wrong() {
    let place = Place::new();
    let source = place.file("chat.jinja", "{{ raise_exception('No!') }}");
    let broken = place.file("broken.jinja", "{% if %}");
    let talk = place.file("talk.json", "[]");
    let object = place.file("object.json", "{}");
    let plain = Place::with(&crate::tiny::Tiny {
        template: None,
        ..crate::tiny::Tiny::default()
    });
    let plain = plain.model.display().to_string();
    for (arguments, code, complaint) in [
        (&["-f", &talk][..], 2, "MODEL"),
        (&["--file", &source, "--ids"], 2, "--ids needs a MODEL"),
        (&["--file", &source, "--var", "x"], 2, "NAME=VALUE"),
        (&["--file", &source, "--now", "noon"], 2, "date and time"),
        (&["--file", &source, "-f", &talk], 1, "No!"),
        (
            &["--file", &broken, "-f", &talk],
            1,
            "broken.jinja: chat template, line 1",
        ),
        (
            &["--file", "nowhere.jinja", "-f", &talk],
            1,
            "cannot read nowhere.jinja",
        ),
        (
            &["--file", &source, "-f", &object],
            1,
            "object.json holds no conversation: \"messages\" is missing",
        ),
        (
            &["--file", &source, "-f", &talk, "--tools", &object],
            1,
            "object.json holds no list of tools",
        ),
        (
            &[&plain, "-f", &talk],
            1,
            "the model has no chat template; --file",
        ),
    ] {
        run(&place, arguments)
            .assert()
            .code(code)
            .stderr(contains(complaint));
    }
}
