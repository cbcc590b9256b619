//! Health, seal state and leadership: what is answered without a token, also of a sealed store.
//!
//! Out of scope: unsealing, which happens from the key file when the program starts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::envelope::{Answer, Refusal, UNAVAILABLE, object};
use super::fields::Fields;
use crate::upstream::{Operation, UpstreamRequest};

/// What health and seal state say.
pub(crate) struct Facts {
    /// Whether the keys are away.
    pub(crate) sealed: bool,
    /// Identifies the store.
    pub(crate) cluster_id: String,
    /// The time.
    pub(crate) now: Timestamp,
}

/// Answers the paths that need no token and work sealed.
pub(crate) fn open_path(request: &UpstreamRequest, facts: &Facts) -> Option<Result<Answer, Refusal>> {
    use Operation::{Head, Read, Write};
    let answer = match (request.path.as_str(), request.operation) {
        ("sys/health", Read | Head) => return Some(health(request, facts)),
        ("sys/seal-status", Read) => Answer::plain(200, seal_status(facts)),
        ("sys/leader", Read) => Answer::plain(
            200,
            json!({
                "ha_enabled": false, "is_self": false, "active_time": "0001-01-01T00:00:00Z", "leader_address": "",
                "leader_cluster_address": "",
            }),
        ),
        ("sys/init", Read) => Answer::plain(200, json!({ "initialized": true })),
        ("sys/init", Write) => return Some(Err(Refusal::bad("Vault is already initialized"))),
        ("sys/unseal", Write) if !facts.sealed => return Some(unseal(request, facts)),
        ("sys/unseal", Write) => {
            let text = "the embedded store unseals itself from its key file when its program starts: restart it";
            return Some(Err(Refusal::bad(text)));
        }
        _ => return None,
    };
    Some(Ok(answer))
}

/// An open store takes a key as Vault does: it looks whether it is one, and says that the store is open.
fn unseal(request: &UpstreamRequest, facts: &Facts) -> Result<Answer, Refusal> {
    let fields = Fields::from_body(&request.body)?;
    let key = fields.text("key")?.unwrap_or_default();
    if key.is_empty() && fields.flag("reset")? != Some(true) {
        return Err(Refusal::bad("'key' must be specified in request body as JSON, or 'reset' set to true"));
    }
    let is_hex = key.len().is_multiple_of(2) && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex && STANDARD.decode(&key).is_err() {
        return Err(Refusal::bad("'key' must be a valid hex or base64 string"));
    }
    Ok(Answer::plain(200, seal_status(facts)))
}

/// The status tells a load balancer what it needs; whoever asks may choose which status means what.
fn health(request: &UpstreamRequest, facts: &Facts) -> Result<Answer, Refusal> {
    for name in CODES {
        code(request, name, 0)?;
    }
    let status =
        if facts.sealed { code(request, "sealedcode", UNAVAILABLE)? } else { code(request, "activecode", 200)? };
    let mut body = object(json!({
        "initialized": true, "sealed": facts.sealed, "standby": facts.sealed, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
        "server_time_utc": facts.now.as_second(), "version": VERSION,
    }));
    if !facts.sealed {
        body.insert("cluster_name".to_owned(), Value::from(CLUSTER));
        body.insert("cluster_id".to_owned(), Value::from(facts.cluster_id.as_str()));
    }
    Ok(Answer::plain(status, Value::Object(body)))
}

/// The status that the query asks for; `{"errors":[]}` with 400 where it is no number, as in Vault.
fn code(request: &UpstreamRequest, name: &str, default: u16) -> Result<u16, Refusal> {
    let Some((_, text)) = request.query.iter().find(|(key, _)| key == name) else { return Ok(default) };
    let number: i64 = text.parse().map_err(|_| Refusal::Said { status: 400, errors: Vec::new() })?;
    Ok(u16::try_from(number).ok().filter(|number| (100..600).contains(number)).unwrap_or(default))
}

fn seal_status(facts: &Facts) -> Value {
    let mut body = object(json!({
        "type": "static", "initialized": true, "sealed": facts.sealed, "t": 1, "n": 1, "progress": 0, "nonce": "",
        "version": VERSION, "build_date": "", "migration": false, "recovery_seal": false, "storage_type": "redb",
    }));
    if !facts.sealed {
        body.insert("cluster_name".to_owned(), Value::from(CLUSTER));
        body.insert("cluster_id".to_owned(), Value::from(facts.cluster_id.as_str()));
    }
    Value::Object(body)
}

/// Parameters of health that name a status.
const CODES: [&str; 6] =
    ["activecode", "standbycode", "sealedcode", "uninitcode", "drsecondarycode", "perfstandbycode"];
/// Version that the API shows: ours, said so that nobody takes it for Vault's.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+vouchsafe");
/// Name of every embedded store.
const CLUSTER: &str = "vouchsafe-embedded";
