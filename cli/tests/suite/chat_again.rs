//! Chats that come to the same question in another way: `/regen`, `/save` and `--load`, `/load`. At temperature 0 the
//! answer is the same.
#![cfg(unix)]

use crate::real_models::{SMOLLM2, cache_with};
use crate::terminal::Screen;
use crate::tiny::Tiny;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Asks, and waits until the answer is there.
fn ask(screen: &mut Screen, question: &str) {
    screen.wait_for("> ");
    screen.press(&format!("{question}\r"));
    screen.wait_for("; context ");
}

/// What was said so far.
fn messages(screen: &mut Screen) -> Value {
    let path = screen.folder.path().join("talk.json");
    save(screen, &path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn save(screen: &mut Screen, path: &Path) {
    screen.wait_for("> ");
    screen.press(&format!("/save {}\r", path.display()));
    screen.wait_for("Saved to");
}

/// A chat at temperature 0 that says when an answer is complete.
fn chat(model: &Path, more: &str) -> Screen {
    let arguments = format!("--temp 0 --timings {more}");
    Screen::of(tempfile::tempdir().unwrap(), model, arguments.trim_end())
}

/// Asks each question, has it answered again, and tells which answers changed.
fn changed(screen: &mut Screen, questions: &[&str]) -> Vec<String> {
    let mut changed = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        ask(screen, question);
        let first = messages(screen);
        let said = first["messages"].as_array().unwrap();
        assert_eq!(said.len(), 2 * (number + 1));
        assert_eq!(said[said.len() - 2]["content"], *question);
        ask(screen, "/regen");
        let again = messages(screen);
        if again != first {
            let answer = |talk: &Value| talk["messages"][said.len() - 1]["content"].clone();
            changed.push(format!(
                "{question:?}: {} and then {}",
                answer(&first),
                answer(&again)
            ));
        }
    }
    changed
}

const TINY_QUESTIONS: [&str; 4] = [
    "Why does the wheel of a mill turn more slowly in a dry summer?",
    "hen",
    "Then tell me what the stones are made of, and who dresses them.",
    "And the flour?",
];

#[test]
fn an_answer_again_is_the_same_answer() {
    let mut wrong = Vec::new();
    for kind in ["F32", "F16", "Q4_1", "Q4_K", "Q6_K"] {
        let folder = tempfile::tempdir().unwrap();
        let model = Tiny::stored_as(kind).write(folder.path());
        let mut screen = chat(&model, "-n 30");
        let changed = changed(&mut screen, &TINY_QUESTIONS);
        wrong.extend(changed.into_iter().map(|what| format!("{kind}: {what}")));
        screen.leave();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asks the questions in one chat, saving it before the last one; then that one in chats that take it up.
fn taken_up(model: &Path, arguments: &str, questions: &[&str]) -> Vec<String> {
    let (last, before) = questions.split_last().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saved: PathBuf = folder.path().join("saved.json");
    let mut screen = chat(model, arguments);
    before
        .iter()
        .for_each(|question| ask(&mut screen, question));
    save(&mut screen, &saved);
    ask(&mut screen, last);
    let whole = messages(&mut screen);
    // Taken up where it was, and by a program that reads all of it at once.
    screen.wait_for("> ");
    screen.press(&format!("/load {}\r", saved.display()));
    screen.wait_for("loaded from");
    ask(&mut screen, last);
    let loaded = messages(&mut screen);
    screen.leave();
    let mut screen = chat(model, &format!("{arguments} --load {}", saved.display()));
    ask(&mut screen, last);
    let resumed = messages(&mut screen);
    screen.leave();
    let count = whole["messages"].as_array().unwrap().len();
    assert_eq!(count, 2 * questions.len());
    let told = [("/load", loaded), ("--load", resumed)].into_iter();
    told.filter(|(_, talk)| *talk != whole)
        .map(|(way, talk)| {
            let answer = |talk: &Value| talk["messages"][count - 1]["content"].clone();
            format!("{way}: {} and not {}", answer(&talk), answer(&whole))
        })
        .collect()
}

#[test]
fn a_conversation_taken_up_goes_on_as_it_would_have() {
    let mut wrong = Vec::new();
    for kind in ["F32", "Q8_0", "Q4_K"] {
        let folder = tempfile::tempdir().unwrap();
        let model = Tiny::stored_as(kind).write(folder.path());
        for questions in [
            &TINY_QUESTIONS[..2],
            &TINY_QUESTIONS[..3],
            &TINY_QUESTIONS[..],
        ] {
            let told = taken_up(&model, "-n 20", questions);
            wrong.extend(told.into_iter().map(|what| format!("{kind}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const QUESTIONS: [&str; 10] = [
    "Why is the sky blue in the morning and red in the evening?",
    "Write a short poem about an old watermill.",
    "What is the difference between a list and a tuple in Python?",
    "Name three rivers in Germany and one city on each of them.",
    "How do I boil an egg so that the yolk stays soft?",
    "Explain to a child what a prime number is.",
    "Who wrote Faust, and what is it about?",
    "My train leaves at 14:35 and takes 50 minutes. When do I arrive?",
    "Give me two reasons for learning a second language.",
    "Which planet has the most moons?",
];

#[test]
fn a_real_model_answers_the_same_again() {
    let Some(cache) = cache_with(SMOLLM2) else {
        return;
    };
    let model = cache.join(SMOLLM2);
    // In one conversation that grows, and each on its own.
    let mut screen = chat(&model, "-n 40 -c 2048");
    let mut wrong = changed(&mut screen, &QUESTIONS);
    screen.leave();
    let mut screen = chat(&model, "-n 40 -c 2048");
    for question in QUESTIONS {
        wrong.extend(changed(&mut screen, &[question]));
        screen.wait_for("> ");
        screen.press("/reset\r");
        screen.wait_for("forgotten");
    }
    screen.leave();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_real_conversation_taken_up_goes_on_as_it_would_have() {
    let Some(cache) = cache_with(SMOLLM2) else {
        return;
    };
    let mut wrong = Vec::new();
    for questions in [&QUESTIONS[..2], &QUESTIONS[2..5], &QUESTIONS[5..]] {
        wrong.extend(taken_up(&cache.join(SMOLLM2), "-n 40 -c 2048", questions));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
