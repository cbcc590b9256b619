//! Templates in an agent's dialect: where paths lead, what is computed, the token's own file.

use std::time::Duration;

use vouchsafe_model::Kind;
use vouchsafe_model::plan::{AgentPlan, AgentRead, AgentSecret, AgentTemplate, Content, Plan, PlanFile, PlanSecret};

use super::play::{Play, failure};
use super::{HOUR, SECOND, direct, document};
use crate::cause::Fault;
use crate::machine::{Action, Event, Saved};

const KV2: &str = r#"{"path":"secret/","options":{"version":"2"}}"#;

/// A Plan with one file `t` of that template; `paths` are what its webhook found in it.
fn agent(text: &str, paths: &[&str]) -> Plan {
    let mut plan = direct(0);
    plan.agent = Some(Box::new(AgentPlan { refresh_seconds: Some(300), ..AgentPlan::default() }));
    for (number, path) in paths.iter().enumerate() {
        let secret = AgentSecret { path: path.parse().unwrap(), read: AgentRead::Secret };
        plan.secrets.push(PlanSecret::of_agent(number, secret, None).unwrap());
    }
    let reads = (0..paths.len()).collect();
    let template = AgentTemplate { text: text.to_owned(), source: None, delimiters: None, strict: false, reads };
    plan.files.push(file("t", Content::Agent(template)));
    plan
}

fn file(name: &str, content: Content) -> PlanFile {
    PlanFile {
        volume: 0,
        name: name.parse().unwrap(),
        mode: vouchsafe_model::path::FileMode::READ_ALL,
        optional: false,
        content,
    }
}

fn requested(play: &Play, index: usize) -> String {
    play.machine.request(index).unwrap().api_path()
}

#[test]
fn a_path_is_located_once_and_then_read_where_it_leads() {
    let mut play = Play::new(agent("{{ with secret \"secret/db\" }}{{ .Data.data.user }}{{ end }}", &["secret/db"]));
    assert_eq!(play.start(), [Action::Login]);
    assert!(play.log_in(HOUR).contains(&Action::Locate(0)));
    assert!(play.on(Event::Located(0, document(KV2))).contains(&Action::Read(0)));
    assert_eq!(requested(&play, 0), "secret/data/db");
    let value = r#"{"data":{"user":"app"},"metadata":{"version":1}}"#;
    assert!(play.read_document(0, 1, value).contains(&Action::Commit));
    assert!(play.on(Event::Written).contains(&Action::Ready));
    assert_eq!(play.file("t").as_deref(), Some("app"));
    let quiet = play.wait(Duration::from_secs(200));
    assert!(!quiet.iter().any(|action| matches!(action, Action::Read(_) | Action::Locate(_))), "{quiet:?}");
    let later = play.wait(Duration::from_secs(400));
    assert!(later.contains(&Action::Read(0)) && !later.contains(&Action::Locate(0)), "{later:?}");
}

#[test]
fn a_computed_path_is_read_as_soon_as_it_is_known() {
    let text =
        "{{ with secret \"kv/a\" }}{{ with secret (printf \"kv/%s\" .Data.next) }}{{ .Data.x }}{{ end }}{{ end }}";
    let mut play = Play::new(agent(text, &["kv/a"]));
    play.start();
    play.log_in(HOUR);
    play.on(Event::Located(0, document("{}")));
    let actions = play.read_document(0, 0, r#"{"next":"b"}"#);
    assert!(actions.contains(&Action::Locate(1)) && !actions.contains(&Action::Commit), "{actions:?}");
    play.on(Event::Located(1, document("{}")));
    assert_eq!(requested(&play, 1), "kv/b");
    assert!(play.read_document(1, 0, r#"{"x":"1"}"#).contains(&Action::Commit));
    play.on(Event::Written);
    assert_eq!(play.file("t").as_deref(), Some("1"));
    // The computed one is an input like any other.
    play.wait(Duration::from_secs(400));
    assert!(play.read_document(1, 0, r#"{"x":"2"}"#).contains(&Action::Commit));
    assert_eq!(play.file("t").as_deref(), Some("2"));
}

#[test]
fn a_template_that_computes_its_only_path_logs_in_for_it() {
    let mut play = Play::new(agent("{{ with secret (printf \"kv/%s\" \"a\") }}{{ .Data.x }}{{ end }}", &[]));
    assert!(play.start().contains(&Action::Login));
    assert!(play.log_in(HOUR).contains(&Action::Locate(0)));
}

#[test]
fn a_server_that_does_not_say_where_a_path_leads_is_asked_again_after_a_denial() {
    let mut play = Play::new(agent("{{ with secret \"secret/db\" }}{{ .Data.x }}{{ end }}", &["secret/db"]));
    play.start();
    play.log_in(HOUR);
    let denied = || failure(Fault::Status(403), Kind::Denied);
    assert!(play.on(Event::LocateFailed(0, denied())).contains(&Action::Read(0)));
    assert_eq!(requested(&play, 0), "secret/db");
    play.on(Event::ReadFailed(0, denied()));
    let mut actions = play.wait(30 * SECOND);
    if actions.contains(&Action::Login) {
        actions.extend(play.log_in(HOUR));
    }
    assert!(actions.contains(&Action::Locate(0)), "{actions:?}");
}

#[test]
fn the_tokens_own_file_follows_each_login() {
    let mut plan = direct(0);
    plan.files.push(file("token", Content::Token));
    let mut play = Play::new(plan);
    assert_eq!(play.start(), [Action::Login]);
    assert!(play.log_in(HOUR).contains(&Action::Commit));
    play.on(Event::Written);
    assert_eq!(play.file("token").as_deref(), Some("hvs.1"));
    play.log_in(HOUR);
    assert_eq!(play.file("token").as_deref(), Some("hvs.2"));
}

#[test]
fn what_a_template_computed_survives_a_restart() {
    let plan = agent("{{ with secret (printf \"kv/%s\" \"a\") }}{{ .Data.x }}{{ end }}", &[]);
    let mut play = Play::new(plan.clone());
    play.start();
    play.log_in(HOUR);
    play.on(Event::Located(0, document("{}")));
    play.read_document(0, 0, r#"{"x":"1"}"#);
    play.on(Event::Written);
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(plan, play.now);
    again.on(Event::Started(Some(saved)));
    let actions = again.wait(SECOND);
    assert_eq!(again.file("t").as_deref(), Some("1"), "{actions:?}");
}
