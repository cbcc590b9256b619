//! The limits of the template engine, each a number with its reason.
//!
//! A template is written by whoever may write a pod, so compiling and rendering must end quickly and in little memory
//! whatever stands in it. Overflow of any of these is an error that names the limit.

use std::fmt;

/// Longest template text. An annotation holds at most 256 KiB for all keys together; real templates stay under 8 KiB.
pub const TEXT_LIMIT_BYTES: usize = 64 * 1024;

/// Deepest nesting of blocks or of parentheses in a template; real templates stay under 10, and the parser's stack use
/// grows with it.
pub const NESTING_LIMIT: usize = 100;

/// Deepest nesting of lists and maps in a value; real secrets stay under 10, and printing a value recurses this deep.
pub const VALUE_DEPTH_LIMIT: u16 = 100;

/// Evaluation steps of one rendering: a few hundred in real templates, and a million takes well under a second.
const DEFAULT_STEPS: u64 = 1_000_000;

/// Nesting of blocks, parentheses and template calls while rendering.
const DEFAULT_DEPTH: usize = 100;

/// Bytes of all outputs of one rendering together.
const DEFAULT_OUTPUT_BYTES: usize = 1024 * 1024;

/// Bytes of one value computed on the way, such as a JSON text before it is encoded as base64.
pub(crate) const TEXT_VALUE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Bytes a function may look at for the price of one step.
pub(crate) const BYTES_PER_STEP: usize = 256;

/// List or map entries a function may look at for the price of one step.
pub(crate) const ENTRIES_PER_STEP: usize = 2;

/// What one rendering may use. The defaults are what the sidecar uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Evaluation steps; functions that work on long values pay more than one.
    pub steps: u64,
    /// Nesting of blocks, parentheses and template calls; values over 100 are not recommended for small stacks.
    pub depth: usize,
    /// Bytes of the main output and all extra files together.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: DEFAULT_STEPS, depth: DEFAULT_DEPTH, output_bytes: DEFAULT_OUTPUT_BYTES }
    }
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::steps`].
    Steps,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::output_bytes`].
    Output,
    /// One intermediate value grew over 4 MiB.
    Text,
    /// A value nests deeper than [`VALUE_DEPTH_LIMIT`].
    ValueDepth,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Steps => "number of evaluation steps",
            Self::Depth => "nesting of blocks and template calls",
            Self::Output => "size of the rendered output",
            Self::Text => "size of one value (4 MiB)",
            Self::ValueDepth => "nesting of lists and maps (100)",
        })
    }
}
