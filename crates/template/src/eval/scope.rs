//! What function bodies may touch: the resolver, the step counter, scratch space and extra outputs.

use vouchsafe_model::Secret;

use crate::error::{Fault, Position};
use crate::limits::{BYTES_PER_STEP, ENTRIES_PER_STEP, Limit, Limits};
use crate::options::Dialect;
use crate::resolver::Resolver;
use crate::value::{Element, Map, MapBuilder, Text, Value};

/// A file that the template asked for with `writeToFile`; to be written together with the main output.
#[derive(Debug)]
pub struct OutputFile {
    /// Path as the template wrote it.
    pub path: String,
    /// Owner by name or number; empty means our own.
    pub user: String,
    /// Group by name or number; empty means our own.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Whether an existing file is continued instead of replaced.
    pub append: bool,
    /// The bytes.
    pub content: Secret,
}

/// Something that deserves a look but stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in the template.
    pub position: Position,
    /// What, without any value.
    pub message: &'static str,
}

/// The part of an evaluation that functions see.
pub(crate) struct Scope<'r> {
    pub(crate) resolver: &'r mut dyn Resolver,
    pub(crate) files: Vec<OutputFile>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) position: Position,
    dialect: Dialect,
    steps_left: u64,
    file_bytes_left: usize,
    scratch: Vec<(Text, Value)>,
}

/// More are not kept: one for each place in a template is plenty, and loops repeat them.
const WARNINGS_KEPT: usize = 64;

/// More files than this are a mistake; a pod has at most 64 secrets.
const FILES_KEPT: usize = 256;

impl<'r> Scope<'r> {
    pub(crate) fn new(resolver: &'r mut dyn Resolver, dialect: Dialect, limits: &Limits) -> Self {
        Self {
            resolver,
            files: Vec::new(),
            warnings: Vec::new(),
            position: Position::START,
            dialect,
            steps_left: limits.steps,
            file_bytes_left: limits.output_bytes,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn is_own(&self) -> bool {
        self.dialect == Dialect::Own
    }

    pub(crate) fn charge(&mut self, steps: usize) -> Result<(), Fault> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Fault::Limit(Limit::Steps))?;
        Ok(())
    }

    /// Pays for a function's look at `value`.
    pub(crate) fn charge_for(&mut self, value: &Value) -> Result<(), Fault> {
        self.charge(match value {
            Value::Text(text) | Value::Number(text) => text.len() / BYTES_PER_STEP,
            Value::List(list) => list.items().len() / ENTRIES_PER_STEP,
            Value::Map(map) => map.len() / ENTRIES_PER_STEP,
            _ => 0,
        })
    }

    pub(crate) fn warn(&mut self, position: Position, message: &'static str) {
        let warning = Warning { position, message };
        if self.warnings.len() < WARNINGS_KEPT && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(crate) fn add_file(&mut self, file: OutputFile) -> Result<(), Fault> {
        let left = self.file_bytes_left.checked_sub(file.content.len()).ok_or(Fault::Limit(Limit::Output))?;
        if self.files.len() >= FILES_KEPT {
            return Err(Fault::Limit(Limit::Output));
        }
        self.file_bytes_left = left;
        self.files.push(file);
        Ok(())
    }

    /// A method of the scratch object; `None` if there is none of that name.
    pub(crate) fn scratch_method(&mut self, method: &str, arguments: &[Value]) -> Option<Result<Value, Fault>> {
        let wanted = match method {
            "Key" | "Get" | "MapValues" => 1,
            "Set" | "SetX" => 2,
            "MapSet" | "MapSetX" => 3,
            _ => return None,
        };
        if arguments.len() != wanted {
            return Some(Err(Fault::Function("this method of scratch takes another number of arguments")));
        }
        Some(self.run_scratch_method(method, arguments))
    }

    fn run_scratch_method(&mut self, method: &str, arguments: &[Value]) -> Result<Value, Fault> {
        self.charge(1 + self.scratch.len() / ENTRIES_PER_STEP)?;
        let key = scratch_key(arguments.first())?;
        let known = self.scratch.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone());
        let argument = |at: usize| arguments.get(at).cloned().unwrap_or(Value::Nil);
        match method {
            "Key" => return Ok(Value::Bool(known.is_some())),
            "Get" => return Ok(known.unwrap_or(Value::Nil)),
            "MapValues" => {
                let Some(Value::Map(map)) = known else { return Value::list(Vec::new()) };
                return Value::list(map.entries().iter().map(|(_, value)| value.clone()).collect());
            }
            "SetX" if known.is_some() => {}
            "Set" | "SetX" => self.set_scratch(key, argument(1)),
            _ => {
                let map = match known {
                    None => Map::new([])?,
                    Some(Value::Map(map)) => map,
                    Some(_) => return Err(Fault::Function("the scratch entry is not a map")),
                };
                self.charge(map.len() / ENTRIES_PER_STEP)?;
                let inner = scratch_key(arguments.get(1))?;
                if method == "MapSet" || map.find(inner.as_bytes()).is_none() {
                    let mut entries = MapBuilder(map.entries().to_vec());
                    entries.insert(inner, argument(2));
                    self.set_scratch(key, Value::Map(entries.finish(Element::Any)?));
                }
            }
        }
        Ok(Value::from(""))
    }

    fn set_scratch(&mut self, key: Text, value: Value) {
        match self.scratch.iter_mut().find(|(name, _)| *name == key) {
            Some((_, slot)) => *slot = value,
            None => self.scratch.push((key, value)),
        }
    }
}

fn scratch_key(value: Option<&Value>) -> Result<Text, Fault> {
    match value {
        Some(Value::Text(text)) => Ok(text.clone()),
        other => Err(Fault::WrongType { expected: "string", found: other.map_or("<nil>", Value::type_name) }),
    }
}
