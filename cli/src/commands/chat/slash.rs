//! The commands inside a chat: `/help`, `/reset` and so on. To add one: a line in [`COMMANDS`] and an arm in
//! [`Slash::parse`].

use std::path::PathBuf;

/// A command's line in `/help`.
pub struct Described {
    /// With the slash.
    pub name: &'static str,
    /// What follows it.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn described(name: &'static str, arguments: &'static str, about: &'static str) -> Described {
    Described {
        name,
        arguments,
        about,
    }
}

/// All commands.
pub static COMMANDS: &[Described] = &[
    described("/help", "", "show this"),
    described(
        "/system",
        "[TEXT|off]",
        "show, set or remove the system prompt",
    ),
    described(
        "/reset",
        "",
        "forget the conversation, keep the system prompt",
    ),
    described("/regen", "", "answer the last message again"),
    described("/save", "FILE", "write the conversation to a JSON file"),
    described("/load", "FILE", "take up a conversation from such a file"),
    described(
        "/params",
        "[--temp X …]",
        "show or change the sampling options",
    ),
    described("/quit", "", "leave (so does Ctrl-D)"),
];

/// A command, understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Slash {
    /// `/help`
    Help,
    /// `/system`, with the new text, if any
    System(Option<String>),
    /// `/reset`
    Reset,
    /// `/regen`
    Regenerate,
    /// `/save`
    Save(PathBuf),
    /// `/load`
    Load(PathBuf),
    /// `/params`, with options as on the command line
    Parameters(Vec<String>),
    /// `/quit`
    Quit,
}

impl Slash {
    /// Understands an input that starts with a slash. The error is for the person who typed it.
    pub fn parse(text: &str) -> Result<Slash, String> {
        let text = text.trim();
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let alone = |slash| {
            if rest.is_empty() {
                Ok(slash)
            } else {
                Err(format!("{name} takes nothing after it"))
            }
        };
        let file = || {
            if rest.is_empty() {
                Err(format!("{name} needs a file name"))
            } else {
                Ok(PathBuf::from(rest))
            }
        };
        match name {
            "/help" | "/?" => alone(Slash::Help),
            "/system" => Ok(Slash::System((!rest.is_empty()).then(|| rest.to_owned()))),
            "/reset" => alone(Slash::Reset),
            "/regen" => alone(Slash::Regenerate),
            "/save" => file().map(Slash::Save),
            "/load" => file().map(Slash::Load),
            "/params" => Ok(Slash::Parameters(
                rest.split_whitespace().map(str::to_owned).collect(),
            )),
            "/quit" | "/exit" => alone(Slash::Quit),
            _ => Err(format!("there is no command {name}; /help lists them")),
        }
    }
}

/// The text of `/help`.
pub fn help() -> String {
    let mut text = String::new();
    for Described {
        name,
        arguments,
        about,
    } in COMMANDS
    {
        text.push_str(&format!(
            "  {:<22} {about}\n",
            format!("{name} {arguments}")
        ));
    }
    text.push_str(
        "  A line that ends in \\ goes on in the next one; \"\"\" begins and ends a text of several lines.\n  \
         Ctrl-C stops an answer.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        assert_eq!(
            Slash::parse("/system  Be brief. "),
            Ok(Slash::System(Some("Be brief.".into())))
        );
        assert_eq!(Slash::parse("/system"), Ok(Slash::System(None)));
        assert_eq!(
            Slash::parse("/save a b.json"),
            Ok(Slash::Save("a b.json".into()))
        );
        assert_eq!(
            Slash::parse("/params --temp 0"),
            Ok(Slash::Parameters(vec!["--temp".into(), "0".into()]))
        );
        assert!(Slash::parse("/save").unwrap_err().contains("file"));
        assert!(Slash::parse("/quit now").is_err());
        assert!(Slash::parse("/nope").unwrap_err().contains("/help"));
    }

    #[test]
    fn every_command_listed_is_understood() {
        for command in COMMANDS {
            let parsed = Slash::parse(&format!("{} x", command.name))
                .or_else(|_| Slash::parse(command.name));
            assert!(parsed.is_ok(), "{}", command.name);
        }
    }
}
