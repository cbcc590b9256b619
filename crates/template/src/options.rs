//! How a template is compiled.

/// Delimiters, missing keys and dialect. The default is our own dialect, strict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Left delimiter; empty means `{{`.
    pub left: String,
    /// Right delimiter; empty means `}}`.
    pub right: String,
    /// What reading a key yields that a map lacks.
    pub missing_key: MissingKey,
    /// Whose templates these are.
    pub dialect: Dialect,
}

/// What reading a key yields that a map lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingKey {
    /// An error. `index` is exempt, as in Go: `{{ with index .users "maybe" }}`.
    Strict,
    /// Nothing, which prints as `<no value>`, as in Go.
    Zero,
}

/// Whose templates these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Vouchsafe's: the root is a map of secret names to maps of keys; nothing can be read that the Grant does not name.
    /// `join` takes any list of scalars, and a number's text compares with numbers.
    Own,
    /// Vault Agent's: the root is nil, secrets come from `secret` and its kin, types are as strict as Go's.
    DropIn,
}

impl Options {
    /// Our dialect: strict.
    pub fn own() -> Self {
        Self { left: LEFT.to_owned(), right: RIGHT.to_owned(), missing_key: MissingKey::Strict, dialect: Dialect::Own }
    }

    /// Vault Agent's: a missing key prints `<no value>`.
    pub fn drop_in() -> Self {
        Self { missing_key: MissingKey::Zero, dialect: Dialect::DropIn, ..Self::own() }
    }

    /// The same with other delimiters; an empty one means the default.
    #[must_use]
    pub fn with_delimiters(mut self, left: &str, right: &str) -> Self {
        left.clone_into(&mut self.left);
        right.clone_into(&mut self.right);
        self.with_default_delimiters()
    }

    pub(crate) fn with_default_delimiters(mut self) -> Self {
        if self.left.is_empty() {
            LEFT.clone_into(&mut self.left);
        }
        if self.right.is_empty() {
            RIGHT.clone_into(&mut self.right);
        }
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::own()
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
