//! What `status` shows: names, versions, ages and causes; never a value.

use serde_json::{Value as Json, json};

use super::Machine;
use super::source::Source;
use crate::moment::Moment;

impl Machine {
    /// The state in words and numbers, for people and for `why`.
    pub fn status(&self, now: Moment) -> Json {
        let secrets: Vec<Json> = self.sources.iter().map(|source| secret(source, now)).collect();
        let token = self.access.token.as_ref().map(|token| {
            json!({
                "ageSeconds": now.since(token.issued).as_secs(),
                "leaseSeconds": token.lease.as_secs(),
                "renewable": token.renewable,
            })
        });
        let causes: Vec<Json> =
            self.causes().iter().map(|cause| json!({"code": cause.code.as_str(), "text": cause.to_string()})).collect();
        json!({
            "pod": self.workload.to_string(),
            "ready": self.delivery.ready,
            "server": self.plan.server.address.to_string(),
            "token": token,
            "secrets": secrets,
            "replaced": self.retired.len(),
            "files": self.files().map(|(volume, file, _)| json!({"volume": volume, "name": file.name.as_str()})).collect::<Vec<_>>(),
            "causes": causes,
        })
    }
}

fn secret(source: &Source, now: Moment) -> Json {
    json!({
        "secret": source.secret.label(),
        "path": source.user_path(),
        "version": source.adopted.as_ref().map(|value| value.version),
        "newest": source.floor.max(source.announced),
        "leaseSecondsLeft": source.newest().and_then(|value| value.lease.as_ref()).map(|lease| lease.ends().since(now).as_secs()),
        "gone": source.gone,
        "denied": source.denial.stands,
        "nextSeconds": source.due().map(|due| due.since(now).as_secs()),
    })
}
