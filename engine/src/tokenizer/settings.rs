//! The switches of a vocabulary.

use super::load::Roles;

/// The switches of a vocabulary, from the file or by default.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) roles: Roles,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
    pub(super) space_prefix: bool,
    pub(super) clean_spaces: bool,
    pub(super) ends_with_separator: bool,
}
