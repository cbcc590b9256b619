//! Secrets and their files: which there are, where they go, what they hold.
//!
//! A file belongs to one suffix (`agent-inject-secret-db`): annotations with the same suffix, in the same case, say more
//! about it. Out of scope: reading secrets; which containers mount the folders.

use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_model::text::{nearest, quoted};
use vouchsafe_template::{MissingKey, Options, Template};

use super::command::Command;
use super::read::{Given, Reading};
use super::settings::{DefaultTemplate, Defaults};
use super::{table, value};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropInFile {
    /// The suffix, as written.
    pub name: String,
    /// The annotation that defines it, with its prefix.
    pub annotation: String,
    /// What it holds.
    pub template: FileTemplate,
    /// Left and right delimiter of the template, if they are not `{{` and `}}`.
    pub delimiters: Option<(String, String)>,
    /// Whether an absent key is an error instead of `<no value>`.
    pub strict: bool,
    /// Folder in the containers: absolute and clean.
    pub folder: String,
    /// Path below the folder, clean.
    pub file: String,
    /// Permission bits, at most `0o777`.
    pub mode: u32,
    /// What is done after it changed; foreign commands were warned about and are `Nothing`.
    pub command: Command,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTemplate {
    /// The default template over one path.
    Default {
        /// Path as an agent's template names it, without slashes at its ends.
        path: String,
        /// Lines or JSON.
        form: DefaultTemplate,
    },
    /// A template of its own.
    Inline(String),
    /// A template in a file of our container.
    File(String),
}

/// The default template's text. The path is data: whatever it holds, it cannot end its string.
pub fn default_template(path: &str, form: DefaultTemplate) -> String {
    let path = go_string(path);
    match form {
        DefaultTemplate::Map => {
            format!(
                "{{{{ with secret {path} }}}}{{{{ range $k, $v := .Data }}}}{{{{ $k }}}}: {{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}"
            )
        }
        DefaultTemplate::Json => format!("{{{{ with secret {path} }}}}{{{{ .Data | toJSON }}}}\n{{{{ end }}}}"),
    }
}

/// A Go string literal: everything but plain characters is escaped, delimiters included.
fn go_string(text: &str) -> String {
    let mut literal = String::from("\"");
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '/' | '.' | '_' | '-' | ':' | '@' | '=' | ',' | '~' | '+' => {
                literal.push(character);
            }
            other => literal.push_str(&format!("\\U{:08x}", u32::from(other))),
        }
    }
    literal.push('"');
    literal
}

/// All files, the folder of the token's own file, and the folder of all that name none.
pub(super) fn read(reading: &mut Reading<'_>, defaults: &Defaults) -> (Vec<DropInFile>, Option<String>, String) {
    let form = reading
        .single("agent-inject-default-template")
        .map_or(Some(defaults.default_template), |given| DefaultTemplate::read(given.value))
        .unwrap_or_default();
    let keep_case = reading.single("preserve-secret-case").is_some_and(|given| lenient(&given));
    let folder = common_folder(reading);
    let names = names(reading);
    let mut files = Vec::new();
    for name in &names {
        files.extend(file(reading, name, form, keep_case, &folder));
    }
    report_strays(reading, &names);
    let files = without_doubles(reading, files);
    let token = token_folder(reading, &files, &folder);
    (files, token, folder)
}

/// Suffixes that define a file: a path, a template or a template file that is not empty.
fn names(reading: &Reading<'_>) -> BTreeSet<String> {
    DEFINING
        .iter()
        .flat_map(|family| reading.members(family))
        .filter(|(_, given)| !given.value.trim().is_empty())
        .map(|(suffix, _)| suffix.to_owned())
        .collect()
}

fn file(
    reading: &mut Reading<'_>,
    name: &str,
    form: DefaultTemplate,
    keep_case: bool,
    common: &str,
) -> Option<DropInFile> {
    let full = |reading: &Reading<'_>, family| reading.member(family, name).map(|given| given.full.to_owned());
    let annotation = DEFINING.iter().find_map(|family| full(reading, family))?;
    let delimiters = delimiters(reading, name);
    let strict = strict(reading, name);
    let template = template(reading, name, form, delimiters.as_ref(), strict)?;
    let folder = folder(reading, name, common);
    let file = place(reading, name, keep_case, &annotation)?;
    let mode = mode(reading, name);
    let command = command(reading, name);
    Some(DropInFile { name: name.to_owned(), annotation, template, delimiters, strict, folder, file, mode, command })
}

fn template(
    reading: &mut Reading<'_>,
    name: &str,
    form: DefaultTemplate,
    delimiters: Option<&(String, String)>,
    strict: bool,
) -> Option<FileTemplate> {
    if let Some(given) = reading.member("agent-inject-template-", name).filter(|given| !given.value.is_empty()) {
        if let Err(error) = Template::compile(name, given.value, &options(delimiters, strict)) {
            reading.hopeless(given.full, format!("{error}"));
        }
        return Some(FileTemplate::Inline(given.value.to_owned()));
    }
    if let Some(given) = reading.member("agent-inject-template-file-", name).filter(|given| !given.value.is_empty()) {
        if !given.value.starts_with('/') {
            reading.hopeless(
                given.full,
                format!(
                    "{} is not absolute; write the path in the sidecar, as in /vault/custom/db.tmpl",
                    quoted(given.value)
                ),
            );
        }
        return Some(FileTemplate::File(given.value.to_owned()));
    }
    let given = reading.member("agent-inject-secret-", name)?;
    let path = given.value.trim().trim_matches('/').to_owned();
    check_path(reading, &given, &path);
    Some(FileTemplate::Default { path, form })
}

/// Compiler options of a drop-in template.
pub(crate) fn options(delimiters: Option<&(String, String)>, strict: bool) -> Options {
    let mut options = Options::drop_in();
    if strict {
        options.missing_key = MissingKey::Strict;
    }
    match delimiters {
        Some((left, right)) => options.with_delimiters(left, right),
        None => options,
    }
}

fn check_path(reading: &mut Reading<'_>, given: &Given<'_>, path: &str) {
    if path.len() > PATH_BYTES {
        return reading
            .hopeless(given.full, format!("is {} bytes long, the limit is {PATH_BYTES}; name one secret", path.len()));
    }
    if path.chars().any(char::is_control) {
        return reading.hopeless(given.full, format!("{} holds a control character; remove it", quoted(path)));
    }
    let (plain, _) = path.split_once('?').unwrap_or((path, ""));
    if plain.split('/').any(|segment| matches!(segment, "." | ".." | "")) {
        return reading.hopeless(
            given.full,
            format!("{} has an empty segment or dots for one; write the path as in secret/data/app", quoted(path)),
        );
    }
    if path.contains(['"', '\'', '`', '{', '}', '\\', '$']) {
        reading.odd(
            given.full,
            format!(
                "{} holds quotes, braces or the like, which no path has; write the path alone, as in secret/data/app",
                quoted(path)
            ),
        );
    }
}

fn delimiters(reading: &Reading<'_>, name: &str) -> Option<(String, String)> {
    let side = |family, default: &str| {
        let given = reading.member(family, name).filter(|given| !given.value.is_empty());
        given.map_or_else(|| default.to_owned(), |given| given.value.to_owned())
    };
    let pair = (side("agent-template-left-delim-", LEFT), side("agent-template-right-delim-", RIGHT));
    (pair.0 != LEFT || pair.1 != RIGHT).then_some(pair)
}

fn strict(reading: &mut Reading<'_>, name: &str) -> bool {
    let Some(given) = reading.member("error-on-missing-key-", name) else { return false };
    match value::boolean(given.value) {
        Ok(value) => value,
        Err(problem) => {
            reading.refuse(given.full, format!("{} {problem}", quoted(given.value)));
            false
        }
    }
}

fn mode(reading: &mut Reading<'_>, name: &str) -> u32 {
    let Some(given) = reading.member("agent-inject-perms-", name).filter(|given| !given.value.is_empty()) else {
        return DEFAULT_MODE;
    };
    let bits = u32::from_str_radix(given.value, 8)
        .ok()
        .filter(|_| given.value.len() <= MODE_CHARS && !given.value.starts_with('+'));
    match bits {
        Some(bits @ 0o1..=0o777) => {
            if bits & 0o002 != 0 {
                reading.odd(given.full, format!("{} lets everybody write the file; use 0644", quoted(given.value)));
            }
            bits
        }
        Some(0) => {
            reading.odd(given.full, format!("{} lets nobody read the file; use 0640 or 0644", quoted(given.value)));
            DEFAULT_MODE
        }
        Some(_) if given.value.len() <= SPECIAL_MODE_CHARS => {
            reading.refuse(
                given.full,
                format!(
                    "{} has setuid, setgid or sticky bits, which are never given to a secret; use 0640 or 0644",
                    quoted(given.value)
                ),
            );
            DEFAULT_MODE
        }
        _ => {
            reading.hopeless(given.full, format!("{} is no mode; write it in octal, as in 0640", quoted(given.value)));
            DEFAULT_MODE
        }
    }
}

fn command(reading: &mut Reading<'_>, name: &str) -> Command {
    let Some(given) = reading.member("agent-inject-command-", name) else { return Command::Nothing };
    match Command::read(given.value) {
        Command::Foreign(message) => {
            reading.odd(given.full, message);
            Command::Nothing
        }
        command => command,
    }
}

/// The file's place below its folder. A leading slash means nothing, as there; what climbs out is refused.
fn place(reading: &mut Reading<'_>, name: &str, keep_case: bool, annotation: &str) -> Option<String> {
    let keep_case = reading.member("preserve-secret-case-", name).map_or(keep_case, |given| lenient(&given));
    let given = reading.member("agent-inject-file-", name).filter(|given| !given.value.is_empty());
    let (full, text) = match &given {
        Some(given) => (given.full.to_owned(), given.value.to_owned()),
        None => (annotation.to_owned(), if keep_case { name.to_owned() } else { name.to_lowercase() }),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    reading.refuse(
                        &full,
                        format!("{} leaves the volume path; write a name below it, as in config/db.ini", quoted(&text)),
                    );
                    return None;
                }
            }
            part => parts.push(part),
        }
    }
    let problem = if parts.is_empty() {
        Some("names no file; write one, as in db.ini".to_owned())
    } else if parts.len() > FILE_COMPONENTS {
        Some(format!("has {} components, the limit is {FILE_COMPONENTS}", parts.len()))
    } else {
        parts.iter().find_map(|part| component_problem(part))
    };
    if let Some(problem) = problem {
        reading.hopeless(&full, format!("{} {problem}", quoted(&text)));
        return None;
    }
    Some(parts.join("/"))
}

fn component_problem(part: &str) -> Option<String> {
    if part.len() > FILE_COMPONENT_BYTES {
        return Some(format!("has a component of {} bytes, the limit is {FILE_COMPONENT_BYTES}", part.len()));
    }
    if part.starts_with("..") {
        return Some("begins with two dots, which volumes keep for themselves; choose another name".to_owned());
    }
    part.chars().any(char::is_control).then(|| "holds a control character; remove it".to_owned())
}

/// The folder of all files that name none.
fn common_folder(reading: &mut Reading<'_>) -> String {
    let Some(given) = reading.single("secret-volume-path") else { return DEFAULT_FOLDER.to_owned() };
    checked_folder(reading, &given).unwrap_or_else(|| DEFAULT_FOLDER.to_owned())
}

fn folder(reading: &mut Reading<'_>, name: &str, common: &str) -> String {
    match reading.member("secret-volume-path-", name) {
        Some(given) => checked_folder(reading, &given).unwrap_or_else(|| common.to_owned()),
        None => common.to_owned(),
    }
}

fn checked_folder(reading: &mut Reading<'_>, given: &Given<'_>) -> Option<String> {
    match clean_folder(given.value) {
        Ok(folder) => Some(folder),
        Err(problem) => {
            reading.hopeless(given.full, format!("{} {problem}", quoted(given.value)));
            None
        }
    }
}

/// An absolute, clean path at which a container can mount a volume.
fn clean_folder(text: &str) -> Result<String, String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err("is not absolute; write a folder as in /vault/secrets".to_owned());
    };
    if text.len() > FOLDER_BYTES {
        return Err(format!("is {} bytes long, the limit is {FOLDER_BYTES}", text.len()));
    }
    let parts: Vec<&str> = relative.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("climbs with ..; write the folder clean".to_owned());
    }
    if parts.is_empty() {
        return Err("would hide the whole file system; write a folder as in /vault/secrets".to_owned());
    }
    if text.contains(':') || text.chars().any(char::is_control) {
        return Err("holds a colon or a control character, which Kubernetes refuses in a mount path".to_owned());
    }
    let folder = format!("/{}", parts.join("/"));
    match SYSTEM_FOLDERS.iter().find(|system| vouchsafe_model::path::is_below(&folder, system)) {
        Some(system) => Err(format!("lies in {system}, which belongs to the system; use another folder")),
        None => Ok(folder),
    }
}

/// Of two files at one place the one counts whose suffix comes first; the other is a mistake.
fn without_doubles(reading: &mut Reading<'_>, files: Vec<DropInFile>) -> Vec<DropInFile> {
    let mut places: BTreeMap<(String, String), DropInFile> = BTreeMap::new();
    for file in files {
        let place = (file.folder.clone(), file.file.clone());
        if let Some(first) = places.get(&place) {
            let message = format!(
                "{}/{} is also written by {}, which counts; give one of them another name with agent-inject-file-{}",
                file.folder, file.file, first.annotation, file.name
            );
            reading.odd(&file.annotation, message);
            continue;
        }
        places.insert(place, file);
    }
    let files: Vec<DropInFile> = places.into_values().collect();
    for file in &files {
        let inside = files.iter().find(|other| {
            other.folder == file.folder
                && other.file != file.file
                && vouchsafe_model::path::is_below(&other.file, &file.file)
        });
        if let Some(inside) = inside {
            let message = format!(
                "makes the file {}/{}, but {} needs a folder of that name; rename one of them",
                file.folder, file.file, inside.annotation
            );
            reading.hopeless(&file.annotation, message);
        }
    }
    files
}

fn token_folder(reading: &mut Reading<'_>, files: &[DropInFile], common: &str) -> Option<String> {
    let given = reading.single("agent-inject-token").filter(|given| value::boolean(given.value) == Ok(true))?;
    if let Some(clash) = files.iter().find(|file| file.folder == common && file.file == TOKEN_FILE) {
        let message =
            format!("would write {common}/{TOKEN_FILE}, which {} writes, too; rename that secret", clash.annotation);
        reading.odd(given.full, message);
        return None;
    }
    Some(common.to_owned())
}

/// Members of families whose suffix defines no file: a slip of the pen, or the rest of something removed.
fn report_strays(reading: &mut Reading<'_>, names: &BTreeSet<String>) {
    let families = table::ANNOTATIONS.iter().filter(|entry| entry.group == table::Group::Secrets);
    let families: Vec<&str> = families.map(|entry| entry.name).collect();
    for (family, suffix, given) in reading.all_members() {
        if !families.contains(&family) || names.contains(suffix) || DEFINING.contains(&family) {
            continue;
        }
        let hint = nearest(suffix, names.iter().map(String::as_str))
            .map_or_else(String::new, |near| format!("; did you mean {}?", given.full.replace(suffix, near)));
        reading.odd(given.full, format!("has no effect, since no secret is called {}{hint}", quoted(suffix)));
    }
}

/// The only truth value that is false where it is none.
fn lenient(given: &Given<'_>) -> bool {
    value::boolean(given.value).unwrap_or(false)
}

/// Families of which one is enough for a file, the one that names it first.
const DEFINING: [&str; 3] = ["agent-inject-secret-", "agent-inject-template-", "agent-inject-template-file-"];
/// Where files lie.
pub(super) const DEFAULT_FOLDER: &str = "/vault/secrets";
/// Name of the token's own file.
pub(crate) const TOKEN_FILE: &str = "token";
/// Mode where none is said.
const DEFAULT_MODE: u32 = 0o644;
/// Longest mode: `0644`.
const MODE_CHARS: usize = 5;
/// Longest mode with special bits that is taken for one: `4755` or `04755`.
const SPECIAL_MODE_CHARS: usize = 5;
/// Go's own delimiters.
const LEFT: &str = "{{";
const RIGHT: &str = "}}";
/// Longest path of a secret, as in Grants.
const PATH_BYTES: usize = 512;
/// Components of a file's place: far more than anybody nests.
const FILE_COMPONENTS: usize = 16;
/// Longest component: Linux's limit.
const FILE_COMPONENT_BYTES: usize = 255;
/// Longest mount path, as in Grants.
const FOLDER_BYTES: usize = 512;
/// Where no volume can be mounted, or ours may not.
const SYSTEM_FOLDERS: [&str; 4] = ["/proc", "/sys", "/dev", "/vouchsafe/internal"];
