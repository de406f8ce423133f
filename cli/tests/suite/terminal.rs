//! The chat in a terminal: its commands, Ctrl-C, and leaving.
#![cfg(unix)]

use crate::tiny::Tiny;
use pty_process::blocking::{Command, Pty};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A chat whose keyboard and screen are ours.
pub struct Screen {
    child: Child,
    keyboard: Arc<Pty>,
    shown: Arc<Mutex<String>>,
    /// How much of what was shown has been waited for.
    seen: usize,
    /// A folder of its own.
    pub folder: TempDir,
}

impl Screen {
    fn open(tiny: &Tiny, arguments: &str) -> Screen {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny.write(folder.path());
        let arguments = format!("-t 1 {arguments}");
        Screen::of(folder, &model, &arguments)
    }

    /// A chat with this model, which may lie elsewhere.
    pub fn of(folder: TempDir, model: &Path, arguments: &str) -> Screen {
        Screen::with_colour(folder, model, arguments, false)
    }

    fn with_colour(folder: TempDir, model: &Path, arguments: &str, colour: bool) -> Screen {
        let (terminal, program_side) = pty_process::blocking::open().unwrap();
        terminal.resize(pty_process::Size::new(24, 80)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gristmill"))
            .arg("chat")
            .arg(model)
            .args(arguments.split(' '))
            .env("GRISTMILL_CACHE", folder.path())
            .env("HOME", folder.path())
            .env("XDG_STATE_HOME", folder.path())
            .env("NO_COLOR", if colour { "" } else { "1" })
            .env("TERM", "xterm")
            .spawn(program_side)
            .unwrap();
        let keyboard = Arc::new(terminal);
        let shown = Arc::new(Mutex::new(String::new()));
        let (screen, sink) = (Arc::clone(&keyboard), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = (&*screen).read(&mut buffer) {
                sink.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Screen {
            child,
            keyboard,
            shown,
            seen: 0,
            folder,
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        (&*self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until something new is shown that contains `text`.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            {
                let shown = self.shown.lock().unwrap();
                if let Some(at) = shown[self.seen..].find(text) {
                    self.seen += at + text.len();
                    return;
                }
                assert!(
                    start.elapsed() < Duration::from_secs(60),
                    "no {text:?} in {:?}",
                    &shown[self.seen..]
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this many more bytes are shown.
    fn wait_for_more(&mut self, bytes: usize) {
        let start = Instant::now();
        while self.shown.lock().unwrap().len() < self.seen + bytes {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "nothing more is shown"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the chat; what it has written is in the folder.
    pub fn leave(mut self) -> TempDir {
        self.wait_for("> ");
        self.press("\x04");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.shown.lock().unwrap());
        self.folder
    }
}

#[test]
fn the_commands_of_a_chat() {
    let mut screen = Screen::open(&Tiny::default(), "-n 5 --timings --temp 0");
    screen.wait_for("512 tokens of context");
    screen.wait_for("> ");
    screen.press("/help\r");
    screen.wait_for("/regen");
    screen.press("/params --temp 0.5 --top-k 7\r");
    screen.wait_for("--temp 0.5 --top-k 7");
    // What is wrong is said as on the command line, and the chat goes on.
    for (wrong, complaint) in [
        ("--temp -1", "--temp is -1; it must be"),
        ("--temp nan", "must be a finite number"),
        ("--samplers ;;", "--samplers names no sampler"),
        ("--samplers=", "--samplers names no sampler"),
        ("--min-keep 0", "--min-keep is 0; it must be"),
        ("--temp 0 --mirostat 2", "--mirostat is 2; it must be"),
        ("--seed -1", "from 0 to 18446744073709551615"),
        ("--logit-bias 5=inf", "must be ID=X"),
    ] {
        screen.press(&format!("/params {wrong}\r"));
        screen.wait_for("error: ");
        screen.wait_for(complaint);
    }
    screen.press("/params\r");
    screen.wait_for("--temp 0.5 --top-k 7");
    screen.press("/system Be brief.\r");
    screen.wait_for("is set");
    screen.press("hello\r");
    screen.wait_for("new tokens");
    screen.press("/regen\r");
    screen.wait_for("new tokens");
    // Two lines that are one message.
    screen.press("one \\\rtwo\r");
    screen.wait_for("new tokens");
    let file = screen.folder.path().join("talk.json").display().to_string();
    screen.press(&format!("/save {file}\r"));
    screen.wait_for("Saved");
    screen.press("/reset\r");
    screen.wait_for("forgotten");
    screen.press(&format!("/load {file}\r"));
    screen.wait_for("5 messages");
    screen.press("/nonsense\r");
    screen.wait_for("no command /nonsense");
    screen.press("/load /nowhere.json\r");
    screen.wait_for("error: cannot read");
    let folder = screen.leave();
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("talk.json")).unwrap()).unwrap();
    let roles: Vec<&str> = saved["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
    assert_eq!(saved["messages"][3]["content"], "one \ntwo");
    let kept = if cfg!(target_vendor = "apple") {
        "Library/Application Support/gristmill/chat-history"
    } else {
        "gristmill/chat-history"
    };
    let history = std::fs::read_to_string(folder.path().join(kept)).unwrap();
    assert!(history.contains("/params"), "{history}");
}

#[test]
fn ctrl_c_stops_the_answer_and_keeps_the_chat() {
    let tiny = Tiny {
        context: 1 << 20,
        ..Tiny::default()
    };
    // A model that never ends its answer: the end token is banned.
    let mut screen = Screen::open(&tiny, "-c 1000000 --logit-bias 0=-inf");
    screen.wait_for("> ");
    screen.press("hello\r");
    // The end of line editing; what comes then is the answer.
    screen.wait_for("[?2004l");
    screen.wait_for_more(20);
    screen.press("\x03");
    screen.wait_for("[stopped]");
    screen.press("/params --seed 5\r");
    screen.wait_for("--repeat-penalty");
    screen.wait_for("> ");
    // At the prompt it only warns.
    screen.press("\x03");
    screen.wait_for("Ctrl-D leaves");
    screen.leave();
}

/// A model whose prompt begins the reasoning: all of its answer is that.
#[test]
fn reasoning_is_dimmed() {
    let tiny = Tiny {
        template: Some("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}<think>"),
        ..Tiny::default()
    };
    let open = |arguments: &str, colour: bool| {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny.write(folder.path());
        let arguments = format!("-t 1 -n 30 --temp 0 --timings --logit-bias 0=-inf {arguments}");
        let mut screen = Screen::with_colour(folder, &model, arguments.trim_end(), colour);
        screen.wait_for("> ");
        screen.press("hello\r");
        screen.wait_for("[?2004l");
        let start = screen.seen;
        screen.wait_for("30 new tokens");
        let shown = screen.shown.lock().unwrap()[start..screen.seen].to_owned();
        screen.leave();
        shown
    };
    let dimmed = open("", true);
    let (before, answer) = dimmed.split_once("\x1b[2m").unwrap();
    assert!(before.trim().is_empty(), "{dimmed:?}");
    assert!(answer.contains("\x1b[0m"), "{dimmed:?}");
    assert!(!open("", false).contains("\x1b[2m"));
    let hidden = open("--no-reasoning", true);
    let answer = &hidden[..hidden.find("30 new").unwrap()];
    assert!(!answer.contains("\x1b[2m"), "{hidden:?}");
}
