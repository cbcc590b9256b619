//! One Grant from one document.

use vouchsafe_model::name::ServiceAccount;
use vouchsafe_model::text::{nearest, quoted};

use super::deliver::deliver;
use super::secrets::secrets;
use super::{API_VERSION, DEFAULT_AUTH_PATH, FileContent, Grant, KIND, VaultSettings};
use crate::fault::Fault;
use crate::fields::{Faults, Fields, Item};
use crate::leak::first_secret;
use crate::yaml::{Content, Node};

/// Reads a document that must be a Grant. `None` means that faults were reported.
pub(super) fn grant(node: &Node, faults: &mut Faults) -> Option<Grant> {
    let before = faults.len();
    let item = Item { node, path: String::new() };
    let mut fields = Fields::open(&item, faults)?;
    if !is_grant(&item, &mut fields, faults) {
        return None;
    }
    if let Some(found) = first_secret(node) {
        faults.push(found);
    }
    let metadata = fields.required("metadata", "metadata: {name: app, namespace: app}", faults);
    let metadata = metadata.and_then(|item| metadata_names(&item, faults));
    let spec = fields.required("spec", "spec: {serviceAccounts: [app], secrets: […]}", faults);
    fields.tolerate(&["status"]);
    fields.finish(faults);
    let mut fields = Fields::open(&spec?, faults)?;
    let mut service_accounts = fields
        .required("serviceAccounts", "serviceAccounts: [app]", faults)
        .map(|item| accounts(&item, faults))
        .unwrap_or_default();
    service_accounts.sort();
    let secrets = fields
        .required("secrets", "secrets: [{name: github, path: secret/app/github}]", faults)
        .map(|item| secrets(&item, faults))
        .unwrap_or_default();
    let deliver = fields.optional("deliver").map(|item| deliver(&item, faults)).unwrap_or_default();
    let vault = vault(fields.optional("vault"), faults);
    fields.finish(faults);
    let (name, namespace) = metadata?;
    let grant = Grant { name, namespace, at: node.at.clone(), service_accounts, secrets, deliver, vault: vault? };
    if faults.len() == before {
        check_references(&grant, faults);
    }
    (faults.len() == before).then_some(grant)
}

/// Whether the document says that it is a Grant of our version.
fn is_grant(item: &Item<'_>, fields: &mut Fields<'_>, faults: &mut Faults) -> bool {
    let before = faults.len();
    let kind = fields.required("kind", "kind: Grant", faults);
    let version = fields.required("apiVersion", "apiVersion: vouchsafe.dev/v1alpha1", faults);
    let (Some(kind), Some(version)) = (kind, version) else { return false };
    match kind.text(faults) {
        Some(KIND) | None => {}
        Some(other) if nearest(other, [KIND]).is_some() => {
            kind.wrong(faults, format!("{} is unknown; did you mean {KIND}?", quoted(other)));
        }
        Some(other) => {
            kind.wrong(faults, format!("{} may not stand here; only Grants are read from this place", quoted(other)));
        }
    }
    match version.text(faults) {
        Some(API_VERSION) | None => {}
        Some(other) => version.wrong(faults, format!("{} is unknown; write {API_VERSION}", quoted(other))),
    }
    debug_assert!(item.path.is_empty(), "a Grant is a whole document");
    faults.len() == before
}

fn metadata_names(
    item: &Item<'_>,
    faults: &mut Faults,
) -> Option<(vouchsafe_model::name::GrantName, vouchsafe_model::name::Namespace)> {
    let mut fields = Fields::open(item, faults)?;
    let name = fields.required("name", "name: app", faults).and_then(|item| item.parse(faults));
    let namespace = fields.required("namespace", "namespace: app", faults).and_then(|item| item.parse(faults));
    fields.tolerate(&OBJECT_META);
    fields.finish(faults);
    Some((name?, namespace?))
}

fn accounts(item: &Item<'_>, faults: &mut Faults) -> Vec<ServiceAccount> {
    if matches!(&item.node.content, Content::List(nodes) if nodes.is_empty()) {
        item.wrong(faults, "is empty; name at least one service account, else nobody may read");
    }
    for entry in item.list(faults) {
        if entry.node.as_text().is_some_and(|text| text.contains('*')) {
            entry.wrong(faults, "a wildcard would let every pod read; name each service account");
            return Vec::new();
        }
    }
    item.names(faults)
}

fn vault(item: Option<Item<'_>>, faults: &mut Faults) -> Option<VaultSettings> {
    let default = || DEFAULT_AUTH_PATH.parse().ok();
    let Some(item) = item else {
        return Some(VaultSettings { role: None, auth_path: default()?, audience: None });
    };
    let mut fields = Fields::open(&item, faults)?;
    let role = fields.optional("role").and_then(|item| item.parse(faults));
    let auth_path = match fields.optional("authPath") {
        Some(item) => item.parse(faults),
        None => default(),
    };
    let audience = fields.optional("audience").and_then(|item| item.parse(faults));
    fields.finish(faults);
    Some(VaultSettings { role, auth_path: auth_path?, audience })
}

/// That every delivered key belongs to a secret of this Grant and is among its `keys`.
fn check_references(grant: &Grant, faults: &mut Faults) {
    let mut check = |at: &Option<crate::fault::At>, field: &str, secret: &str, key: &str| {
        if let Err(message) = allowed_key(grant, secret, key) {
            faults.push(Fault::new(at.clone(), field, message));
        }
    };
    for file in &grant.deliver.files {
        if let FileContent::Key { secret, key } = &file.content {
            check(&file.at, &file.field, secret.name.as_str(), key.as_str());
        }
    }
    for variable in &grant.deliver.env {
        check(&variable.at, &variable.field, variable.secret.name.as_str(), variable.key.as_str());
    }
}

/// That `grant` has the secret, and that the key is among those it delivers.
pub(crate) fn allowed_key(grant: &Grant, secret: &str, key: &str) -> Result<(), String> {
    let Some(found) = grant.secret(secret) else {
        let names: Vec<&str> = grant.secrets.iter().map(|secret| secret.name.as_str()).collect();
        let hint = match nearest(secret, names.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("it has {}", names.join(", ")),
        };
        return Err(format!("Grant {}{} has no secret {}; {hint}", grant.label(), grant.place(), quoted(secret)));
    };
    if found.keys.is_empty() || found.keys.iter().any(|allowed| allowed.as_str() == key) {
        return Ok(());
    }
    let keys: Vec<&str> = found.keys.iter().map(vouchsafe_model::name::KeyName::as_str).collect();
    Err(format!(
        "secret {secret} of Grant {}{} delivers no key {}, only {}; correct the key or add it to keys",
        grant.label(),
        grant.place(),
        quoted(key),
        keys.join(", ")
    ))
}

/// Fields of `metadata` that Kubernetes defines and that mean nothing to us.
const OBJECT_META: [&str; 13] = [
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "generateName",
    "selfLink",
];
