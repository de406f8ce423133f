//! Keeps what `cargo bench` measured, and compares what was kept.
//!
//! `cargo run -p gristmill-benches --bin record -- save NAME [FILTER] [--note TEXT]` reads `target/criterion` and writes
//! `benches/record/NAME.json`; `-- compare OLD NEW [--threshold 5]` prints what moved by more than that percentage, the
//! largest change first. A record is a name in `benches/record/` or a path.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use gristmill_benches::record::{Record, compare, read_criterion, read_json};
use gristmill_kernels::{cpu, pool::Topology};

const USAGE: &str = "\
usage: record save NAME [FILTER] [--note TEXT]      keep the last results of cargo bench whose names contain FILTER
       record compare OLD NEW [--threshold PERCENT]  what moved between two records [default: 5]
       record list                                   the records there are";

/// What can go wrong: how the program was called, or anything else.
enum Problem {
    Usage,
    Failed(String),
}

impl From<String> for Problem {
    fn from(message: String) -> Problem {
        Problem::Failed(message)
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&mut arguments) {
        Ok(text) => {
            // A closed pipe is no error.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(Problem::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(Problem::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut Vec<String>) -> Result<String, Problem> {
    let note = option(arguments, "--note")?.unwrap_or_default();
    let threshold = match option(arguments, "--threshold")? {
        None => 5.0,
        Some(text) => match text.trim_end_matches('%').parse::<f64>() {
            Ok(percent) if percent >= 0.0 => percent,
            _ => return Err(Problem::Usage),
        },
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["save", name] => save(name, "", note),
        ["save", name, filter] => save(name, filter, note),
        ["compare", old, new] => {
            let (old, new) = (load(old)?, load(new)?);
            Ok(describe(&old, &new, threshold / 100.0))
        }
        ["list"] => list(),
        ["--help" | "-h"] => Ok(format!("{USAGE}\n")),
        _ => Err(Problem::Usage),
    }
}

/// Takes `--name value` out of the arguments.
fn option(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>, Problem> {
    let Some(at) = arguments.iter().position(|argument| argument == name) else {
        return Ok(None);
    };
    arguments.remove(at);
    if at == arguments.len() {
        return Err(Problem::Usage);
    }
    Ok(Some(arguments.remove(at)))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("record")
}

fn load(name: &str) -> Result<Record, String> {
    let path = Path::new(name);
    if path.is_file() {
        return read_json(path);
    }
    read_json(&folder().join(format!("{}.json", name.trim_end_matches(".json"))))
}

/// Where criterion writes: below cargo's target folder.
fn criterion_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    target.join("criterion")
}

fn save(name: &str, filter: &str, note: String) -> Result<String, Problem> {
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(Problem::Failed(format!(
            "{name:?} is no name for a record: use letters, digits and dashes"
        )));
    }
    let mut results = read_criterion(&criterion_folder())
        .map_err(|error| format!("{error}; run cargo bench first"))?;
    results.retain(|name, _| name.contains(filter));
    if results.is_empty() {
        return Err(Problem::Failed(format!(
            "nothing in {} has a name with {filter:?}; run cargo bench first",
            criterion_folder().display()
        )));
    }
    let record = Record {
        machine: cpu::model_name(),
        cores: Topology::detect().describe().0,
        instruction_sets: cpu::available().map(|isa| isa.name().to_owned()).collect(),
        commit: commit(),
        note,
        results,
    };
    let file = folder().join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?;
    text.push('\n');
    // Under a temporary name first, so that a record is there whole or not at all.
    let temporary = file.with_extension("json.part");
    let cannot = |error| format!("cannot write {}: {error}", file.display());
    std::fs::create_dir_all(folder()).map_err(cannot)?;
    std::fs::write(&temporary, text).map_err(cannot)?;
    std::fs::rename(&temporary, &file).map_err(cannot)?;
    let count = record.results.len();
    Ok(format!("{count} results in {}\n", file.display()))
}

/// The commit of the working tree.
fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn list() -> Result<String, Problem> {
    let cannot = |error| format!("cannot read {}: {error}", folder().display());
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder()).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let record: Record = read_json(&path)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            lines.push(format!(
                "{name}: {} at {}, {} results {}\n",
                record.machine,
                record.commit,
                record.results.len(),
                record.note
            ));
        }
    }
    lines.sort();
    Ok(lines.concat())
}

/// A comparison in words.
fn describe(old: &Record, new: &Record, threshold: f64) -> String {
    let found = compare(old, new, threshold);
    let mut text = format!(
        "old: {} at {}\nnew: {} at {}\n",
        old.machine, old.commit, new.machine, new.commit
    );
    if old.machine != new.machine {
        text += "Two machines: the times differ for that reason too.\n";
    }
    let width = found.moved.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for change in &found.moved {
        let (speedup, word) = if change.speedup >= 1.0 {
            (change.speedup, "faster")
        } else {
            (1.0 / change.speedup, "slower")
        };
        text += &format!(
            "{:width$}  {speedup:5.2} x {word}  {} -> {}\n",
            change.name,
            change.old.rates(),
            change.new.rates()
        );
    }
    text += &format!(
        "{} moved by more than {:.0} %, {} did not; all together {:.3} x as fast\n",
        found.moved.len(),
        100.0 * threshold,
        found.stayed,
        found.mean_speedup
    );
    let lists = [
        ("other amounts of work, not compared", &found.other_work),
        ("only in old", &found.gone),
        ("only in new", &found.added),
    ];
    for (what, names) in lists {
        if !names.is_empty() {
            text += &format!("{what}: {}\n", names.join(", "));
        }
    }
    text
}
