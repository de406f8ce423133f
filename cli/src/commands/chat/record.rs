//! Conversations in files: `{"messages":[{"role":"user","content":"…"}, …]}`, as chat interfaces everywhere have them.

use crate::whole_file;
use anyhow::{Context, Result, bail};
use gristmill_engine::chat::Conversation;
use std::fs;
use std::path::Path;

/// Writes a conversation under a temporary name and renames it.
pub fn save(conversation: &Conversation, path: &Path) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(conversation)?;
    text.push(b'\n');
    whole_file::write(path, |out| out.write_all(&text))
}

/// Reads a file and checks that it is a conversation that can be taken up.
pub fn load(path: &Path) -> Result<Conversation> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let conversation: Conversation = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no conversation", path.display()))?;
    let mut expected = "user";
    for (i, message) in conversation.messages.iter().enumerate() {
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
    Ok(conversation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut conversation = Conversation::default();
        for (role, content) in [
            ("system", "Be brief."),
            ("user", "Hi \"you\"\n"),
            ("assistant", "Hi."),
        ] {
            conversation.push(role, content);
        }
        save(&conversation, &path).unwrap();
        assert_eq!(load(&path).unwrap(), conversation);

        fs::write(&path, r#"{"messages":[{"role":"assistant","content":""}]}"#).unwrap();
        assert!(load(&path).err().unwrap().to_string().contains("message 1"));
        fs::write(&path, "[]").unwrap();
        assert!(load(&path).is_err());
    }
}
