//! Conversations in files: `{"messages":[{"role":"user","content":"…"}, …]}`, as chat interfaces everywhere have them.

use anyhow::{Context, Result, bail};
use gristmill_engine::template::Message;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::Path;

/// A conversation as a file holds it.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// The system prompt, if any, then users' and assistants' messages.
    pub messages: Vec<Message>,
}

impl Record {
    /// Writes the file under a temporary name and renames it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", path.display());
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        serde_json::to_writer_pretty(&mut file, self).with_context(cannot)?;
        file.write_all(b"\n").with_context(cannot)?;
        file.persist(path).with_context(cannot)?;
        Ok(())
    }

    /// Reads a file and checks that it is a conversation that can be taken up.
    pub fn load(path: &Path) -> Result<Record> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let record: Record = serde_json::from_str(&text)
            .with_context(|| format!("{} holds no conversation", path.display()))?;
        let mut expected = "user";
        for (i, message) in record.messages.iter().enumerate() {
            if i == 0 && message.role == "system" {
                continue;
            }
            if message.role != expected {
                bail!(
                    "{}: message {} is by \"{}\" where \"{expected}\" should be",
                    path.display(),
                    i + 1,
                    message.role
                );
            }
            expected = if expected == "user" {
                "assistant"
            } else {
                "user"
            };
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let said = [
            ("system", "Be brief."),
            ("user", "Hi \"you\"\n"),
            ("assistant", "Hi."),
        ];
        let messages = said
            .iter()
            .map(|(role, content)| Message::new(*role, *content))
            .collect();
        Record { messages }.save(&path).unwrap();
        let back = Record::load(&path).unwrap().messages;
        let back: Vec<_> = back
            .iter()
            .map(|message| (message.role.as_str(), message.content.as_str()))
            .collect();
        assert_eq!(back, said);

        fs::write(&path, r#"{"messages":[{"role":"assistant","content":""}]}"#).unwrap();
        assert!(
            Record::load(&path)
                .err()
                .unwrap()
                .to_string()
                .contains("message 1")
        );
        fs::write(&path, "[]").unwrap();
        assert!(Record::load(&path).is_err());
    }
}
