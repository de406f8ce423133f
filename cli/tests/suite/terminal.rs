//! The chat in a terminal: its commands, Ctrl-C, and leaving. The terminal comes from util-linux' `script`; where that is
//! not installed, the tests say so and pass.
#![cfg(target_os = "linux")]

use crate::tiny::Tiny;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A chat whose keyboard and screen are ours.
struct Screen {
    child: Child,
    shown: Arc<Mutex<String>>,
    /// How much of what was shown has been waited for.
    seen: usize,
    folder: TempDir,
}

impl Screen {
    fn open(tiny: &Tiny, arguments: &str) -> Option<Screen> {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny.write(folder.path());
        let line = format!(
            "{} chat {} -t 1 {arguments}",
            env!("CARGO_BIN_EXE_gristmill"),
            model.display()
        );
        let mut command = Command::new("script");
        command
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("GRISTMILL_CACHE", folder.path())
            .env("HOME", folder.path())
            .env("XDG_STATE_HOME", folder.path())
            .env("NO_COLOR", "1")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: there is no terminal to test in (script: {error})");
                return None;
            }
        };
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut stdout, sink) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                sink.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Some(Screen {
            child,
            shown,
            seen: 0,
            folder,
        })
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until something new is shown that contains `text`.
    fn wait_for(&mut self, text: &str) {
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

    fn leave(mut self) -> TempDir {
        self.wait_for("> ");
        self.press("\x04");
        // `script` may fail when its input ends while its child does, and `wait` would close that input.
        let _open = self.child.stdin.take();
        assert!(
            self.child.wait().unwrap().success(),
            "{}",
            self.shown.lock().unwrap()
        );
        self.folder
    }
}

#[test]
fn the_commands_of_a_chat() {
    let Some(mut screen) = Screen::open(&Tiny::default(), "-n 5 --timings --temp 0") else {
        return;
    };
    screen.wait_for("512 tokens of context");
    screen.wait_for("> ");
    screen.press("/help\r");
    screen.wait_for("/regen");
    screen.press("/params --temp 0.5 --top-k 7\r");
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
    let history =
        std::fs::read_to_string(folder.path().join("gristmill").join("chat-history")).unwrap();
    assert!(history.contains("/params"), "{history}");
}

#[test]
fn ctrl_c_stops_the_answer_and_keeps_the_chat() {
    let tiny = Tiny {
        context: 1 << 20,
        ..Tiny::default()
    };
    // A model that never ends its answer: the end token is banned.
    let Some(mut screen) = Screen::open(&tiny, "-c 1000000 --logit-bias 0=-inf") else {
        return;
    };
    screen.wait_for("> ");
    screen.press("hello\r");
    std::thread::sleep(Duration::from_millis(1000));
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
