//! Renders every template fixture: the selection in `testdata/templates`, and all of the shared conformance folder where
//! it is there. The expectations come from Python's Jinja2, set up as transformers does.

use std::path::{Path, PathBuf};

use crate::common::{shared, testdata};
use gristmill_engine::template::ChatTemplate;
use serde_json::{Map, Value};

/// The fixtures' clock.
fn clock() -> jiff::Zoned {
    "2026-01-15T12:00:00[UTC]".parse().expect("a valid time")
}

#[derive(Default)]
struct Tally {
    passed: usize,
    unscored: usize,
    failures: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let failed = self.failures.len();
        let (passed, unscored) = (self.passed, self.unscored);
        write!(
            f,
            "{passed} cases pass, {failed} fail, {unscored} are not scored"
        )
    }
}

/// Runs all templates of a folder with their cases.
fn walk(folder: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of templates")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jinja")
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no templates in {}", folder.display());
    for path in names {
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let source = std::fs::read_to_string(&path).expect("a template");
        let cases = std::fs::read_to_string(folder.join("cases").join(format!("{name}.json")))
            .expect("cases");
        let cases: Vec<Value> = serde_json::from_str(&cases).expect("JSON");
        let template = match ChatTemplate::with_clock(&source, "", "", clock()) {
            Ok(template) => template,
            Err(error) => {
                println!("{name}: does not parse");
                tally.failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut own = Tally::default();
        for case in cases {
            check(&template, &name, &case, &mut own);
        }
        println!("{name}: {own}");
        tally.passed += own.passed;
        tally.unscored += own.unscored;
        tally.failures.append(&mut own.failures);
    }
    tally
}

fn check(template: &ChatTemplate, name: &str, case: &Value, tally: &mut Tally) {
    let extra: Map<String, Value> = case["extra"].as_object().cloned().unwrap_or_default();
    let tools = Some(&case["tools"]).filter(|tools| !tools.is_null());
    let prompt = case["add_generation_prompt"].as_bool().unwrap_or(false);
    let result = template.render_values(&case["messages"], tools, prompt, &extra);
    let expected = &case["expected"];
    let kind = expected["kind"].as_str().unwrap_or_default();
    let problem = match (&result, kind) {
        (_, "SecurityError" | "TemplateRuntimeError") => {
            tally.unscored += 1;
            return;
        }
        (Ok(text), "") if Some(text.as_str()) == expected.as_str() => None,
        (Ok(text), "") => {
            let expected = expected.as_str().unwrap_or_default();
            let same = text
                .bytes()
                .zip(expected.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let from = (0..=same.saturating_sub(40))
                .rev()
                .find(|&at| text.is_char_boundary(at) && expected.is_char_boundary(at));
            let from = from.unwrap_or(0);
            let show = |text: &str| text[from..].chars().take(120).collect::<String>();
            Some(format!(
                "{:?}\n    instead of {:?}",
                show(text),
                show(expected)
            ))
        }
        (Ok(text), kind) => Some(format!("no {kind} ({}), but {text:?}", expected["error"])),
        (Err(error), "raise_exception")
            if error.is_raised() && Some(error.message()) == expected["error"].as_str() =>
        {
            None
        }
        (Err(error), "" | "raise_exception") => Some(format!("{error}; expected {expected}")),
        (Err(error), _) => {
            let line = error.to_string();
            (line.contains('\n') || error.line().is_none())
                .then(|| format!("not a line with a place: {line}"))
        }
    };
    match problem {
        None => tally.passed += 1,
        Some(problem) => {
            let case = case["case"].as_str().unwrap_or_default();
            tally
                .failures
                .push(format!("{name} / {case} (prompt: {prompt}): {problem}"));
        }
    }
}

fn report(folder: &Path, tally: &Tally) {
    println!("{}: {tally}", folder.display());
    // One of each kind, by what comes after the case's name.
    let mut seen = std::collections::BTreeSet::new();
    for failure in &tally.failures {
        let message = failure
            .split_once("): ")
            .map_or(failure.as_str(), |(_, message)| message);
        if seen.insert(message.chars().take(60).collect::<String>()) && seen.len() <= 40 {
            println!("  {}", failure.chars().take(400).collect::<String>());
        }
    }
    assert!(
        tally.failures.is_empty(),
        "{} cases fail",
        tally.failures.len()
    );
}

#[test]
fn cases_of_the_fresh_clone() {
    let folder = testdata().join("templates");
    report(&folder, &walk(&folder));
}

#[test]
fn cases_of_the_shared_folder() {
    if let Some(folder) = shared("templates") {
        report(&folder, &walk(&folder));
    }
}

/// Expressions and small templates, one by one, against Python.
#[test]
fn python() {
    let text = std::fs::read_to_string(testdata().join("templates/python.json")).expect("the file");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let mut variables = all["variables"].as_object().cloned().expect("variables");
    let tools = variables.remove("tools").expect("tools");
    let mut failures = Vec::new();
    let cases = all["cases"].as_array().expect("cases");
    for case in cases {
        let source = case["template"].as_str().expect("a template");
        let found = ChatTemplate::with_clock(source, "", "", clock()).and_then(|template| {
            template.render_values(&Value::Null, Some(&tools), false, &variables)
        });
        match (&found, case["expected"].as_str()) {
            (Ok(found), Some(expected)) if found == expected => {}
            (Err(error), None) => assert!(!error.to_string().contains('\n'), "{error}"),
            (found, expected) => {
                let found = found.as_ref().map_err(ToString::to_string);
                failures.push(format!("{source:?}: {found:?} instead of {expected:?}"));
            }
        }
    }
    println!("{} of {} cases fail", failures.len(), cases.len());
    for failure in &failures {
        println!("  {failure}");
    }
    assert!(failures.is_empty());
}

/// The field in which each template wants the reasoning of earlier answers.
#[test]
fn fields_of_reasoning() {
    let field = |folder: &Path, name: &str| {
        let source =
            std::fs::read_to_string(folder.join(format!("{name}.jinja"))).expect("a template");
        let template =
            ChatTemplate::with_clock(&source, "<s>", "</s>", clock()).expect("a template");
        gristmill_engine::reasoning::field(&template)
    };
    let folder = testdata().join("templates");
    assert_eq!(field(&folder, "Qwen-Qwen3-0.6B"), Some("reasoning_content"));
    // It knows nothing of reasoning, or looks for the marks in the text.
    assert_eq!(field(&folder, "SmolLM2-135M-Instruct"), None);
    assert_eq!(field(&folder, "HuggingFaceTB-SmolLM3-3B"), None);
    let Some(folder) = shared("templates") else {
        return;
    };
    for (name, expected) in [
        ("openai-gpt-oss-120b", Some("thinking")),
        ("GLM-4.6", Some("reasoning_content")),
        ("ByteDance-Seed-OSS", Some("reasoning_content")),
        ("Kimi-K2-Thinking", Some("reasoning_content")),
        ("MiniMax-M2", Some("reasoning_content")),
        ("upstage-Solar-Open-100B", Some("reasoning")),
        ("LFM2.5-8B-A1B", Some("thinking")),
        (
            "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
            Some("reasoning_content"),
        ),
        ("google-gemma-4-31B-it", Some("reasoning_content")),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", None),
        ("NVIDIA-Nemotron-Nano-v2", None),
        ("mistralai-Ministral-3-14B-Reasoning-2512", None),
        ("meta-llama-Llama-3.1-8B-Instruct", None),
    ] {
        assert_eq!(field(&folder, name), expected, "{name}");
    }
}
