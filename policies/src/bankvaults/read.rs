//! From annotations to what they want: everything wrong at once, everything odd as a warning.

use std::collections::BTreeMap;
use std::str::FromStr;

use vouchsafe_model::name::RoleName;
use vouchsafe_model::path::{AuthPath, ServerAddress, VaultNamespace};
use vouchsafe_model::text::{nearest, quoted};
use vouchsafe_template::reference::Settings;

use super::table::{ANNOTATIONS, Annotation, FORGOTTEN, Kind, NEW_PREFIX, OLD_PREFIX, Verdict};
use crate::fault::Fault;

/// Whether annotations and labels want the pod to be changed where it has references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `mutate: skip`, as annotation or label.
    Skip,
    /// As far as it has references.
    Yes(Box<BankVaults>),
}

/// How the references of a pod are to be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankVaults {
    /// Settings of the wrapper.
    pub settings: Settings,
    /// Whether exec probes see the resolved variables.
    pub probes: bool,
    /// Server and login.
    pub wish: Wish,
    /// What is allowed but deserves a look.
    pub warnings: Vec<String>,
}

/// What differs from the installation's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Server; the installation decides whether it may be asked.
    pub address: Option<ServerAddress>,
    /// Role; the pod's service account where there is none.
    pub role: Option<RoleName>,
    /// Mount of the login method.
    pub auth_path: Option<AuthPath>,
    /// Vault namespace.
    pub namespace: Option<VaultNamespace>,
    /// A Secret with `ca.crt`.
    pub tls_secret: Option<String>,
    /// Our container must not run as root.
    pub run_as_non_root: Option<bool>,
    /// User of our container.
    pub run_as_user: Option<i64>,
    /// Group of our container.
    pub run_as_group: Option<i64>,
}

/// An annotation of ours as it was written.
struct Written<'a> {
    entry: &'static Annotation,
    /// With its prefix.
    name: &'a str,
    value: &'a str,
}

impl Asked {
    /// Reads annotations and labels; those of others are passed over.
    pub fn read(annotations: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut wanted = BankVaults::default();
        let mut skip = SKIP_LABELS.iter().any(|label| labels.get(*label).is_some_and(|value| value == "skip"));
        for written in written(annotations, &mut wanted.warnings, &mut faults) {
            if written.entry.new == "mutate" {
                skip |= written.value == "skip";
                if written.value != "skip" {
                    wanted.warnings.push(format!(
                        "{}: {} changes nothing; write skip or remove it",
                        written.name,
                        quoted(written.value)
                    ));
                }
            } else if let Err(problem) = wanted.take(&written) {
                faults.push(Fault::new(None, written.name, problem));
            }
        }
        match (skip, faults.is_empty()) {
            // A pod that is left alone is not judged.
            (true, _) => Ok(Self::Skip),
            (false, true) => Ok(Self::Yes(Box::new(wanted))),
            (false, false) => Err(faults),
        }
    }
}

/// The annotations of the table, the new name before the old one, in the table's order.
fn written<'a>(
    annotations: &'a BTreeMap<String, String>,
    warnings: &mut Vec<String>,
    faults: &mut Vec<Fault>,
) -> Vec<Written<'a>> {
    let mut found: Vec<Written<'a>> = Vec::new();
    for (name, value) in annotations {
        let (short, is_new) = match (name.strip_prefix(OLD_PREFIX), name.strip_prefix(NEW_PREFIX)) {
            (Some(short), _) => (short, false),
            (_, Some(short)) => (short, true),
            _ => continue,
        };
        let Some(entry) = find(short, is_new) else {
            warnings.push(unknown(name, short, is_new));
            continue;
        };
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        match found.iter_mut().find(|known| known.entry == entry) {
            Some(known) if known.value == value => {}
            Some(known) if is_new && known.name.starts_with(OLD_PREFIX) => {
                warnings.push(format!("{} is passed over, since {name} says otherwise; remove it", known.name));
                *known = Written { entry, name, value };
            }
            // Old names come later in the map than new ones.
            Some(known) if !is_new && known.name.starts_with(NEW_PREFIX) => {
                warnings.push(format!("{name} is passed over, since {} says otherwise; remove it", known.name));
            }
            Some(known) => {
                faults.push(Fault::new(None, name, format!("says otherwise than {}; remove one", known.name)));
            }
            None => found.push(Written { entry, name, value }),
        }
    }
    let place = |written: &Written<'_>| ANNOTATIONS.iter().position(|entry| entry == written.entry);
    found.sort_by_key(place);
    found
}

/// Under the old prefix only old names count; under the new one both, and `bao-` for `vault-`.
fn find(short: &str, is_new: bool) -> Option<&'static Annotation> {
    let by = |name: &str| {
        ANNOTATIONS.iter().find(|entry| (is_new && entry.new == name) || (!entry.old.is_empty() && entry.old == name))
    };
    by(short).or_else(|| {
        let rest = short.strip_prefix("bao-").filter(|_| is_new)?;
        by(&format!("vault-{rest}"))
    })
}

fn unknown(name: &str, short: &str, is_new: bool) -> String {
    let shown = quoted(name);
    if FORGOTTEN.iter().any(|old| short.starts_with(old)) {
        return format!("{shown} has no effect, and has none in Bank-Vaults either; remove it");
    }
    let names =
        ANNOTATIONS.iter().map(|entry| if is_new { entry.new } else { entry.old }).filter(|name| !name.is_empty());
    match nearest(short, names) {
        Some(near) => format!("{shown} is unknown and has no effect; did you mean {near}?"),
        None => format!("{shown} is unknown and has no effect; remove it"),
    }
}

impl BankVaults {
    fn take(&mut self, written: &Written<'_>) -> Result<(), String> {
        let Written { entry, name, value } = written;
        let is_false = entry.kind == Kind::Bool && !truth(value)?;
        match entry.verdict {
            Verdict::Refused | Verdict::Inert if is_false => return Ok(()),
            Verdict::Refused => return Err(format!("is refused ({}): {}; remove it", entry.meaning, entry.difference)),
            Verdict::Inert => {
                self.warnings.push(format!("{name} has no effect: {}", entry.difference));
                return Ok(());
            }
            Verdict::Works => {}
        }
        if !entry.setting.is_empty() {
            return self.settings.set(entry.setting, value).map_err(|error| format!("{} {error}", quoted(value)));
        }
        let wish = &mut self.wish;
        match (entry.new, entry.kind) {
            ("mutate-probes", _) => self.probes = !is_false,
            ("run-as-non-root", _) => wish.run_as_non_root = Some(!is_false),
            ("run-as-user", _) => wish.run_as_user = Some(id(value)?),
            ("run-as-group", _) => wish.run_as_group = Some(id(value)?),
            ("vault-tls-secret", _) => wish.tls_secret = Some((*value).to_owned()),
            (_, Kind::Address) => wish.address = Some(parse(value)?),
            (_, Kind::Role) => wish.role = Some(parse(value)?),
            (_, Kind::Namespace) => wish.namespace = Some(parse(value.trim_matches('/'))?),
            (_, Kind::Mount) => wish.auth_path = Some(mount(value)?),
            (_, Kind::Method) if !METHODS.contains(value) => {
                return Err(format!("{} is not offered: {}; use kubernetes", quoted(value), entry.difference));
            }
            (_, Kind::Provider) if !PROVIDERS.contains(value) => {
                return Err(format!("{} is not offered; use vault or bao", quoted(value)));
            }
            _ => {}
        }
        Ok(())
    }
}

fn parse<T>(value: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|error| format!("{error}"))
}

/// `kubernetes` and `auth/kubernetes` are one.
fn mount(value: &str) -> Result<AuthPath, String> {
    let value = value.trim_matches('/');
    parse(&format!("auth/{}", value.strip_prefix("auth/").unwrap_or(value)))
}

fn truth(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("{} is no truth value; write true or false", quoted(value))),
    }
}

fn id(value: &str) -> Result<i64, String> {
    match value.parse::<u32>() {
        Ok(0) => Err("0 is root; our container never runs as root".to_owned()),
        Ok(id) => Ok(i64::from(id)),
        Err(_) => Err(format!("{} is no user or group id", quoted(value))),
    }
}

/// Labels with which a pod is left alone.
const SKIP_LABELS: [&str; 2] = ["security.banzaicloud.io/mutate", "security.bank-vaults.io/mutate"];
const METHODS: [&str; 2] = ["jwt", "kubernetes"];
const PROVIDERS: [&str; 2] = ["vault", "bao"];
