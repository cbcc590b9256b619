//! Scenarios: what a pod costs OpenBao, and changes that somebody else makes there.

use std::time::Duration;

use serde_json::json;

use super::audit::{LOGIN, count};
use super::ground::{Ground, SECRETS};
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{until, uptime};

/// One login and one read of each distinct path, however many files are made of them.
pub(crate) fn ten_secrets_cost_one_login_and_one_read_each(ground: &mut Ground) -> Outcome<String> {
    ground.start("native", "many")?;
    let files = ground.in_app(POD, "cat f0 f9 again old")?;
    ensure(files == "first-0first-9first-0first", || "the files hold something else".to_owned())?;
    let asked = ground.asked("native", "many");
    let paths =
        (0..SECRETS).map(|number| format!("read secret/data/many/s{number}")).chain(["read kv/once".to_owned()]);
    // The broker reads a watched path again every few seconds, with the pod's own token: those come after the first round.
    let first = asked.iter().take(SECRETS + 2).cloned().collect::<Vec<_>>();
    for path in paths {
        ensure(count(&first, &path) == 1, || format!("{path}: {} times in {first:?}", count(&first, &path)))?;
    }
    ensure(count(&asked, LOGIN) == 1, || format!("{} logins", count(&asked, LOGIN)))?;
    Ok(format!("{} files from {} answers of OpenBao", SECRETS + 2, first.len()))
}

/// The broker finds what was not written through it; KV v1, which has no versions, is read again.
pub(crate) fn what_somebody_else_changes_is_followed(ground: &mut Ground) -> Outcome<String> {
    let mut delays = Vec::new();
    for number in [3, 7] {
        let value = format!("second-{number}");
        let written = uptime();
        ground.world.bao.write(&format!("secret/many/s{number}"), &json!({"value": value}))?;
        delays.push(followed(ground, &format!("f{number}"), &value, written)?);
    }
    let written = uptime();
    ground.world.bao.good("POST", "/v1/kv/once", Some(&json!({"value": "second"})))?;
    let old = followed(ground, "old", "second", written)?;
    let logins = count(&ground.asked("native", "many"), LOGIN);
    ensure(logins == 1, || format!("{logins} logins"))?;
    Ok(format!("seconds to the file: {delays:.1?}, KV v1 {old:.1}"))
}

fn followed(ground: &Ground, file: &str, value: &str, written: f64) -> Outcome<f64> {
    until(&format!("{file} follows"), FOLLOWED, || {
        let found = ground.in_app(POD, &format!("cat {file}"))?;
        ensure(found == value, || format!("it holds {} bytes of something else", found.len()))
    })?;
    Ok(uptime() - written)
}

const POD: (&str, &str) = ("native", "many");
/// Half a minute give or take a tenth, and the look into the container.
const FOLLOWED: Duration = Duration::from_secs(45);
