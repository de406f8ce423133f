//! What goes wrong in a template, in one line.

use std::error::Error as _;

/// An error of a chat template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chat template{}: {}", line.map(|line| format!(", line {line}")).unwrap_or_default(), message.replace(['\n', '\r'], " "))]
pub struct TemplateError {
    message: String,
    line: Option<usize>,
    raised: bool,
}

/// Carries the words of `raise_exception` through minijinja's errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

impl TemplateError {
    /// What is wrong. Where the template itself refuses the conversation, exactly the template's words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The template's line, counted from 1, if known.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Whether the template refused the conversation by `raise_exception`.
    pub fn is_raised(&self) -> bool {
        self.raised
    }

    pub(crate) fn internal(message: impl Into<String>) -> TemplateError {
        TemplateError {
            message: message.into(),
            line: None,
            raised: false,
        }
    }
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let line = error.line().filter(|&line| line > 0);
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(Raised(message)) = cause.downcast_ref() {
                return TemplateError {
                    message: message.clone(),
                    line,
                    raised: true,
                };
            }
            source = cause.source();
        }
        let message = match (error.kind(), error.detail()) {
            (minijinja::ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
            (kind, None) => kind.to_string(),
            (minijinja::ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
        };
        TemplateError {
            message,
            line,
            raised: false,
        }
    }
}

/// An error of an operation, with its message.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, minijinja::Error> {
    Err(minijinja::Error::new(
        minijinja::ErrorKind::InvalidOperation,
        message.into(),
    ))
}

/// An error of an operation on an undefined value.
pub(super) fn undefined<T>(what: impl Into<String>) -> Result<T, minijinja::Error> {
    Err(minijinja::Error::new(
        minijinja::ErrorKind::UndefinedError,
        what.into(),
    ))
}
