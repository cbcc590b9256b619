//! `Patch`: the few JSON patch operations that injection needs, written by hand.
//!
//! A diff of whole pods would drop every field that is newer than our types, so the pod is never rebuilt: each operation
//! names one place (RFC 6902), and only places on [`ALLOWED`] can be named. Out of scope: what is inserted.

use serde_json::{Value, json};

/// One operation of RFC 6902 (`add`, or `move` within a list).
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `add` of a value: into a list position, at a list's end, or as an object's member (which replaces).
    Add {
        /// JSON pointer, RFC 6901.
        path: String,
        /// What is put there.
        value: Value,
    },
    /// `move` of a list entry to another position of the same list.
    Move {
        /// Where it stands.
        from: String,
        /// Where it goes; counted after it was taken out.
        path: String,
    },
}

impl Operation {
    /// Where it acts, as JSON pointer.
    pub fn path(&self) -> &str {
        match self {
            Self::Add { path, .. } | Self::Move { path, .. } => path,
        }
    }

    /// The operation as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Add { path, value } => json!({"op": "add", "path": path, "value": value}),
            Self::Move { from, path } => json!({"op": "move", "from": from, "path": path}),
        }
    }
}

/// Collects operations. A place outside of [`ALLOWED`] is a mistake of ours and surfaces in [`Patch::finish`].
#[derive(Debug, Default)]
pub struct Patch {
    operations: Vec<Operation>,
    stray: Option<String>,
}

/// Why a patch cannot be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Larger than [`PATCH_BYTES`].
    #[error("the patch is {bytes} bytes, the limit is {PATCH_BYTES}; shorten the templates of the pod's Grants")]
    TooLarge {
        /// Size found.
        bytes: usize,
    },
    /// A place that injection has no business with.
    #[error("the patch would touch {path}, which injection may not; report this as a bug of Vouchsafe")]
    Stray {
        /// The place.
        path: String,
    },
}

impl Patch {
    /// Makes `list` exist (empty) where `holder` has none yet.
    pub fn ensure_list(&mut self, holder: Option<&Value>, list: &Pointer) {
        if !holder.is_some_and(Value::is_array) {
            self.add(list.to_string(), json!([]));
        }
    }

    /// Inserts `value` before position `index` of `list`.
    pub fn insert(&mut self, list: &Pointer, index: usize, value: Value) {
        self.add(list.index(index).to_string(), value);
    }

    /// Puts `value` at the end of `list`.
    pub fn append(&mut self, list: &Pointer, value: Value) {
        self.add(list.field("-").to_string(), value);
    }

    /// Sets (or replaces) the member at `place`.
    pub fn set(&mut self, place: &Pointer, value: Value) {
        self.add(place.to_string(), value);
    }

    /// Moves entry `from` of `list` to position `to` (counted after it was taken out).
    pub fn shift(&mut self, list: &Pointer, from: usize, to: usize) {
        let path = list.index(to).to_string();
        self.guard(&path);
        self.operations.push(Operation::Move { from: list.index(from).to_string(), path });
    }

    /// The finished operations, if all stay in bounds.
    pub fn finish(self) -> Result<Vec<Operation>, PatchError> {
        if let Some(path) = self.stray {
            return Err(PatchError::Stray { path });
        }
        let bytes = serialized(&self.operations).len();
        if bytes > PATCH_BYTES {
            return Err(PatchError::TooLarge { bytes });
        }
        Ok(self.operations)
    }

    fn add(&mut self, path: String, value: Value) {
        self.guard(&path);
        self.operations.push(Operation::Add { path, value });
    }

    fn guard(&mut self, path: &str) {
        if !is_allowed(path) && self.stray.is_none() {
            self.stray = Some(path.to_owned());
        }
    }
}

/// The operations as the text that travels in base64.
pub fn serialized(operations: &[Operation]) -> String {
    Value::Array(operations.iter().map(Operation::to_json).collect()).to_string()
}

/// A JSON pointer (RFC 6901) that is built up escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// A pointer whose every part is a plain member name: `Pointer::to(&["spec", "volumes"])`.
    pub fn to(parts: &[&str]) -> Self {
        parts.iter().fold(Self(String::new()), |pointer, part| pointer.field(part))
    }

    /// The member `name` below this place; `~` becomes `~0`, `/` becomes `~1`.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        Self(format!("{}/{}", self.0, name.replace('~', "~0").replace('/', "~1")))
    }

    /// Entry `index` of the list at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether injection may act at `path`; `*` in [`ALLOWED`] stands for a list position or `-`.
pub fn is_allowed(path: &str) -> bool {
    ALLOWED.iter().any(|pattern| {
        let mut parts = path.split('/');
        let mut wanted = pattern.split('/');
        loop {
            match (parts.next(), wanted.next()) {
                (None, None) => return true,
                (Some(part), Some("*")) if is_position(part) => {}
                (Some(part), Some(want)) if part == want => {}
                _ => return false,
            }
        }
    })
}

fn is_position(part: &str) -> bool {
    part == "-" || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Every place that a patch may name. Nothing privileged, no existing field but `command` and `args` of a supervised app.
pub const ALLOWED: [&str; 19] = [
    "/metadata/annotations/vouchsafe.dev~1status",
    // For pods of the drop-in dialect that ask for it.
    "/spec/shareProcessNamespace",
    "/spec/volumes",
    "/spec/volumes/*",
    "/spec/initContainers",
    "/spec/initContainers/*",
    "/spec/containers/-",
    "/spec/containers/*/volumeMounts",
    "/spec/containers/*/volumeMounts/*",
    "/spec/containers/*/env",
    "/spec/containers/*/env/*",
    "/spec/containers/*/command",
    "/spec/containers/*/args",
    "/spec/initContainers/*/volumeMounts",
    "/spec/initContainers/*/volumeMounts/*",
    "/spec/initContainers/*/env",
    "/spec/initContainers/*/env/*",
    "/spec/initContainers/*/command",
    "/spec/initContainers/*/args",
];
/// Largest patch in bytes: the Plan (96 KiB) escaped once more, and room for every volume and mount.
pub const PATCH_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_tilde_before_slash() {
        let pointer = Pointer::to(&["metadata", "annotations"]).field("a~b/c");
        assert_eq!(pointer.to_string(), "/metadata/annotations/a~0b~1c");
    }

    #[test]
    fn a_list_is_made_only_where_there_is_none() {
        let volumes = Pointer::to(&["spec", "volumes"]);
        let mut patch = Patch::default();
        patch.ensure_list(Some(&json!([])), &volumes);
        assert_eq!(patch.finish().unwrap(), []);
        let mut patch = Patch::default();
        patch.ensure_list(Some(&Value::Null), &volumes);
        patch.append(&volumes, json!({"name": "x"}));
        let made = patch.finish().unwrap();
        assert_eq!(
            serialized(&made),
            r#"[{"op":"add","path":"/spec/volumes","value":[]},{"op":"add","path":"/spec/volumes/-","value":{"name":"x"}}]"#
        );
    }

    #[test]
    fn a_place_that_is_none_of_ours_fails_the_whole_patch() {
        for stray in [
            &["spec", "hostNetwork"][..],
            &["spec", "containers", "0", "securityContext"],
            &["spec", "containers", "x", "env"],
            &["spec", "containers", "0"],
            &["spec"],
            &["metadata", "annotations", "other"],
            &["spec", "containers", "0", "env", "0", "value"],
        ] {
            let mut patch = Patch::default();
            patch.set(&Pointer::to(stray), json!(true));
            assert!(matches!(patch.finish(), Err(PatchError::Stray { .. })), "{stray:?}");
        }
    }

    #[test]
    fn a_patch_above_its_limit_is_refused() {
        let mut patch = Patch::default();
        patch.append(&Pointer::to(&["spec", "volumes"]), json!("x".repeat(PATCH_BYTES)));
        assert!(matches!(patch.finish(), Err(PatchError::TooLarge { .. })));
    }
}
