//! Each sentence of the design about the sidecar's decisions is a test here; `storm.rs` plays random orders of events.

use std::collections::BTreeMap;
use std::time::Duration;

use vouchsafe_model::path::FileMode;
use vouchsafe_model::plan::{
    Action as PlanAction, Content, Engine, Gate as GateKind, Injection, Login, PLAN_VERSION, PlanFile, PlanSecret,
    PlanTemplate, PlanVolume, PlanWorkload, Reaction, Server, Signal,
};
use vouchsafe_model::wire::Document;
use vouchsafe_model::wire::extension::{Change, Held, WatchAnswer};

use super::*;
use crate::cause::{
    DELETED, Fault, LOGIN_DENIED, NO_KEY, NO_SECRET, NOT_SIGNALLED, READ_DENIED, SEALED, VALUES_TOO_LARGE, WENT_BACK,
};

mod agent;
mod classic;
mod leases;
mod play;
mod storm;

use play::{Play, failure, ready_play};

/// A Plan of `count` secrets `s0`… with one file each, straight gate, broker.
pub(crate) fn plan(count: usize) -> Plan {
    let secret = |index: usize| PlanSecret {
        grant: "argocd-sso".parse().unwrap(),
        name: format!("s{index}").parse().unwrap(),
        engine: Engine::KvV2,
        mount: "secret".parse().unwrap(),
        path: format!("app/s{index}").parse().unwrap(),
        keys: Vec::new(),
        version: None,
        parameters: None,
        agent: None,
    };
    let file = |index: usize| PlanFile {
        volume: 0,
        name: format!("f{index}").parse().unwrap(),
        mode: FileMode::READ_ALL,
        optional: false,
        content: Content::Key { secret: index, key: "password".parse().unwrap() },
    };
    Plan {
        version: PLAN_VERSION,
        workload: PlanWorkload {
            namespace: "argocd".parse().unwrap(),
            service_account: "argocd-dex-server".parse().unwrap(),
        },
        server: Server {
            kind: ServerKind::Broker,
            address: "https://broker.vouchsafe.svc:8200".parse().unwrap(),
            namespace: None,
            trust: String::new(),
        },
        login: Login {
            auth_path: "auth/kubernetes".parse().unwrap(),
            role: "vouchsafe.argocd.argocd-dex-server".parse().unwrap(),
        },
        injection: Injection::Native,
        gate: GateKind::Hook,
        wait_seconds: 20,
        secrets: (0..count).map(secret).collect(),
        volumes: vec![PlanVolume {
            container: "dex".parse().unwrap(),
            mount_path: "/vouchsafe/secrets".parse().unwrap(),
            also: Vec::new(),
        }],
        files: (0..count).map(file).collect(),
        environments: Vec::new(),
        reactions: Vec::new(),
        agent: None,
    }
}

pub(crate) fn document(text: &str) -> Document {
    serde_json::from_str(text).unwrap()
}

/// A file `t` made of a template over secrets.
pub(crate) fn template_file(text: &str, roots: &[(&str, usize)]) -> PlanFile {
    let roots: BTreeMap<_, _> = roots.iter().map(|(name, index)| (name.parse().unwrap(), *index)).collect();
    PlanFile {
        volume: 0,
        name: "t".parse().unwrap(),
        mode: FileMode::READ_ALL,
        optional: false,
        content: Content::Template(PlanTemplate { text: text.to_owned(), delimiters: None, roots }),
    }
}

fn direct(count: usize) -> Plan {
    let mut plan = plan(count);
    plan.server.kind = ServerKind::Direct;
    plan
}

fn signalled(count: usize) -> Plan {
    let mut plan = plan(count);
    plan.reactions.push(Reaction {
        container: "dex".parse().unwrap(),
        files: (0..count).collect(),
        action: PlanAction::Signal(Signal::Sighup),
    });
    plan
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

// One login, each distinct path once, in parallel.

#[test]
fn logs_in_once_and_reads_each_distinct_path_once_in_parallel() {
    let mut plan = plan(3);
    plan.secrets[2].path = plan.secrets[0].path.clone();
    let mut play = Play::new(plan);
    assert_eq!(play.start(), [Action::Login]);
    let actions = play.log_in(HOUR);
    assert!(actions.contains(&Action::Read(0)) && actions.contains(&Action::Read(1)));
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Read(_))).count(), 2);
}

#[test]
fn a_plan_without_secrets_is_ready_without_a_login() {
    let mut play = Play::new(plan(0));
    assert_eq!(play.start(), [Action::Save, Action::Commit]);
    assert!(play.on(Event::Written).contains(&Action::Ready));
}

// One atomic generation; nothing before it is whole.

#[test]
fn nothing_is_written_before_every_file_is_known() {
    let mut play = Play::new(plan(2));
    play.start();
    play.log_in(HOUR);
    assert!(!play.read(0, 1, "a").contains(&Action::Commit));
    assert!(play.read(1, 1, "b").contains(&Action::Commit));
    assert!(play.on(Event::Written).contains(&Action::Ready));
    assert_eq!(play.file("f0").as_deref(), Some("a"));
}

#[test]
fn state_is_kept_before_files_are_written() {
    let mut play = Play::new(plan(1));
    play.start();
    play.log_in(HOUR);
    let actions = play.read(0, 1, "a");
    let save = actions.iter().position(|action| *action == Action::Save).unwrap();
    let commit = actions.iter().position(|action| *action == Action::Commit).unwrap();
    assert!(save < commit);
}

// Per-secret state: one bad secret disturbs no other.

#[test]
fn one_failing_secret_disturbs_no_other_after_the_first_generation() {
    let mut play = ready_play(plan(2));
    play.change(&[(0, 2), (1, 2)]);
    play.on(Event::ReadFailed(0, failure(Fault::Status(500), Kind::Unavailable)));
    let actions = play.read(1, 2, "new");
    assert!(actions.contains(&Action::Commit));
    assert_eq!(play.file("f0").as_deref(), Some("v0"));
    assert_eq!(play.file("f1").as_deref(), Some("new"));
}

#[test]
fn a_value_without_the_needed_key_leaves_the_last_good_one_and_says_so() {
    let mut play = ready_play(plan(2));
    play.change(&[(0, 2)]);
    let actions = play.read_document(0, 2, r#"{"other":"x"}"#);
    assert!(!actions.contains(&Action::Commit));
    assert!(play.reported(&actions, NO_KEY));
    assert_eq!(play.file("f0").as_deref(), Some("v0"));
    play.change(&[(0, 3)]);
    let actions = play.read(0, 3, "good again");
    assert!(actions.iter().any(|action| matches!(action, Action::Resolve(cause) if cause.code == NO_KEY)));
    assert_eq!(play.file("f0").as_deref(), Some("good again"));
}

#[test]
fn two_values_that_only_fit_together_are_adopted_together() {
    let mut with = plan(2);
    with.files = vec![template_file("{{ .s0.a }}{{ .s1.b }}", &[("s0", 0), ("s1", 1)])];
    let mut play = Play::new(with);
    play.start();
    play.log_in(HOUR);
    play.read_document(0, 1, r#"{"other":"x"}"#);
    let actions = play.read_document(1, 1, r#"{"b":"2"}"#);
    assert!(!actions.contains(&Action::Commit));
    play.change(&[(0, 2)]);
    assert!(play.read_document(0, 2, r#"{"a":"1"}"#).contains(&Action::Commit));
    assert_eq!(play.file("t").as_deref(), Some("12"));
}

#[test]
fn an_unchanged_value_writes_nothing() {
    let mut play = ready_play(direct(1));
    play.wait(Duration::from_secs(34));
    play.on(Event::Polled(0, 2));
    let actions = play.read(0, 2, "v0");
    assert!(!actions.contains(&Action::Commit));
}

#[test]
fn values_above_the_sum_are_refused_and_the_others_stay() {
    let mut play = ready_play(plan(10));
    let large = "x".repeat(1_000_000);
    for index in 0..9 {
        play.change(&[(index, 2)]);
        let actions = play.read_document(index, 2, &format!(r#"{{"password":"p","pad":"{large}"}}"#));
        assert_eq!(play.reported(&actions, VALUES_TOO_LARGE), index == 8);
    }
    assert_eq!(play.file("f8").as_deref(), Some("v8"));
}

// Fail static.

#[test]
fn whatever_fails_the_files_stay() {
    let mut play = ready_play(plan(1));
    for fault in [Fault::Sealed, Fault::Connect, Fault::Status(403), Fault::Status(404), Fault::Status(500)] {
        play.change(&[(0, 2)]);
        let kind = match fault {
            Fault::Status(403) => Kind::Denied,
            Fault::Status(404) => Kind::Missing,
            _ => Kind::Unavailable,
        };
        let actions = play.on(Event::ReadFailed(0, failure(fault, kind)));
        assert!(!actions.iter().any(|action| matches!(action, Action::Commit | Action::Exit { .. })), "{fault:?}");
        assert_eq!(play.file("f0").as_deref(), Some("v0"));
    }
}

#[test]
fn a_deleted_secret_keeps_its_last_good_value_and_says_so() {
    let mut play = ready_play(plan(1));
    play.on(Event::WatchAnswered(WatchAnswer { changes: vec![Change { path: play.path(0), version: 0 }] }));
    let actions = play.on(Event::ReadDone(0, Reading::Deleted { version: 1 }));
    assert!(play.reported(&actions, DELETED));
    assert_eq!(play.file("f0").as_deref(), Some("v0"));
    play.wait(2 * SECOND);
    assert_eq!(play.watched(), Some(vec![Held { path: play.path(0), version: 0 }]));
}

#[test]
fn versions_never_go_back() {
    let mut play = ready_play(plan(1));
    play.change(&[(0, 7)]);
    play.read(0, 7, "seven");
    play.on(Event::Written);
    play.change(&[(0, 8)]);
    let mut reported = false;
    for _ in 0..10 {
        let actions = play.read(0, 6, "six");
        reported |= play.reported(&actions, WENT_BACK);
        assert_eq!(play.file("f0").as_deref(), Some("seven"));
        play.wait(Duration::from_secs(40));
    }
    assert!(reported);
}

#[test]
fn a_stale_answer_after_an_announcement_is_asked_for_again() {
    let mut play = ready_play(plan(1));
    play.change(&[(0, 2)]);
    assert!(!play.read(0, 1, "v0").contains(&Action::Commit));
    let actions = play.wait(SECOND);
    assert!(actions.contains(&Action::Read(0)));
    assert!(play.read(0, 2, "two").contains(&Action::Commit));
}

#[test]
fn a_secret_made_anew_begins_its_versions_anew() {
    let mut play = ready_play(plan(1));
    play.change(&[(0, 5)]);
    play.read(0, 5, "five");
    play.on(Event::Written);
    play.change(&[(0, 6)]);
    play.on(Event::ReadFailed(0, failure(Fault::Status(404), Kind::Missing)));
    play.wait(2 * SECOND);
    play.change(&[(0, 1)]);
    assert!(play.read(0, 1, "anew").contains(&Action::Commit));
}

// Back-off.

#[test]
fn retry_after_is_honoured() {
    let mut play = Play::new(plan(1));
    play.start();
    let mut asked = failure(Fault::Status(429), Kind::Busy);
    asked.retry_after = Some(Duration::from_secs(17));
    play.on(Event::LoginFailed(asked));
    play.on(Event::WaitConnected);
    assert!(!play.wait(Duration::from_secs(16)).contains(&Action::Login));
    assert!(play.wait(Duration::from_secs(2)).contains(&Action::Login));
}

#[test]
fn a_sealed_server_is_asked_ever_more_slowly_and_at_most_every_half_minute() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    let mut logins = 0;
    let actions = play.on(Event::LoginFailed(failure(Fault::Sealed, Kind::Unavailable)));
    assert!(play.reported(&actions, SEALED));
    for _ in 0..3600 {
        if play.wait(SECOND).contains(&Action::Login) {
            logins += 1;
            play.on(Event::LoginFailed(failure(Fault::Sealed, Kind::Unavailable)));
        }
    }
    assert!((60..600).contains(&logins), "{logins}");
}

#[test]
fn a_refused_role_is_not_hammered() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    let actions = play.on(Event::LoginFailed(failure(Fault::Status(403), Kind::Denied)));
    assert!(play.reported(&actions, LOGIN_DENIED));
    assert!(!play.wait(SECOND).contains(&Action::Login));
}

// Denied reads.

#[test]
fn a_denied_read_leads_to_one_new_login_and_then_to_slow_probes() {
    let mut play = ready_play(plan(2));
    play.wait(Duration::from_secs(60));
    play.change(&[(0, 2), (1, 2)]);
    let denied = || failure(Fault::Status(403), Kind::Denied);
    assert!(play.on(Event::ReadFailed(0, denied())).contains(&Action::Login));
    assert!(!play.on(Event::ReadFailed(1, denied())).contains(&Action::Login), "single flight");
    let actions = play.log_in(HOUR);
    assert!(actions.contains(&Action::Read(0)) && actions.contains(&Action::Read(1)));
    let actions = play.on(Event::ReadFailed(0, denied()));
    assert!(play.reported(&actions, READ_DENIED) && !actions.contains(&Action::Login));
    play.read(1, 2, "fine");
    let mut probes = 0;
    for _ in 0..60 {
        let actions = play.wait(Duration::from_secs(60));
        if actions.contains(&Action::Login) {
            play.log_in(HOUR);
        }
        if actions.contains(&Action::Read(0)) {
            probes += 1;
            play.on(Event::ReadFailed(0, denied()));
        }
    }
    assert!((3..12).contains(&probes), "{probes} probes in an hour");
    assert_eq!(play.file("f0").as_deref(), Some("v0"));
}

#[test]
fn a_denied_path_is_not_part_of_the_watch() {
    let mut play = ready_play(plan(2));
    play.change(&[(0, 2)]);
    play.on(Event::ReadFailed(0, failure(Fault::Status(403), Kind::Denied)));
    play.wait(2 * SECOND);
    assert_eq!(play.watched(), Some(vec![Held { path: play.path(1), version: 1 }]));
}

// Renewal.

#[test]
fn the_token_is_renewed_at_sixty_to_seventy_percent() {
    let mut play = ready_play(plan(1));
    assert!(!play.wait(Duration::from_secs(2150)).contains(&Action::Renew));
    assert!(play.wait(Duration::from_secs(380)).contains(&Action::Renew));
}

#[test]
fn a_renewal_near_the_maximum_leads_to_a_new_login() {
    let mut play = ready_play(plan(1));
    play.wait(Duration::from_secs(2530));
    assert!(play.on(Event::Renewed(play::auth(Duration::from_secs(600)))).contains(&Action::Login));
}

#[test]
fn a_denied_renewal_leads_to_a_new_login_and_never_to_a_loop() {
    let mut play = ready_play(plan(1));
    assert!(play.wait(Duration::from_secs(2530)).contains(&Action::Renew));
    let actions = play.on(Event::RenewFailed(failure(Fault::Status(403), Kind::Denied)));
    assert!(actions.contains(&Action::Login) && !actions.contains(&Action::Renew));
    play.log_in(HOUR);
    assert!(!play.wait(Duration::from_secs(600)).contains(&Action::Renew));
}

#[test]
fn a_failed_renewal_is_tried_again_within_the_time_left() {
    let mut play = ready_play(plan(1));
    assert!(play.wait(Duration::from_secs(2530)).contains(&Action::Renew));
    let mut tries = 0;
    play.on(Event::RenewFailed(failure(Fault::Sealed, Kind::Unavailable)));
    for _ in 0..1000 {
        if play.wait(SECOND).contains(&Action::Renew) {
            tries += 1;
            play.on(Event::RenewFailed(failure(Fault::Sealed, Kind::Unavailable)));
        }
    }
    assert!((30..200).contains(&tries), "{tries}");
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced_while_it_is_still_good() {
    let mut play = Play::new(plan(1));
    play.start();
    let mut auth = play::auth(HOUR);
    auth.renewable = false;
    play.on(Event::LoggedIn(auth));
    play.finish_reads();
    let actions = play.wait(Duration::from_secs(2530));
    assert!(actions.contains(&Action::Login) && !actions.contains(&Action::Renew));
}

#[test]
fn an_expired_token_is_not_used() {
    let mut play = ready_play(plan(1));
    play.wait(Duration::from_secs(3599));
    let actions = play.wait(Duration::from_secs(2));
    assert!(actions.contains(&Action::Login));
    assert!(!actions.iter().any(|action| matches!(action, Action::Read(_) | Action::Watch(_) | Action::Poll(_))));
}

// Watch and polls.

#[test]
fn one_long_poll_is_held_and_a_change_leads_to_a_read() {
    let mut play = ready_play(plan(2));
    assert_eq!(play.watched().map(|held| held.len()), Some(2));
    let change = Change { path: play.path(1), version: 2 };
    let actions = play.on(Event::WatchAnswered(WatchAnswer { changes: vec![change] }));
    assert_eq!(actions, [Action::Read(1)]);
    let actions = play.read(1, 2, "new");
    assert!(actions.contains(&Action::Commit));
}

#[test]
fn a_server_without_the_extension_is_polled() {
    let mut play = ready_play(plan(1));
    play.on(Event::WatchFailed(failure(Fault::Status(404), Kind::Missing)));
    let actions = play.wait(Duration::from_secs(34));
    assert!(actions.contains(&Action::Poll(0)), "{actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Watch(_))));
}

#[test]
fn a_watch_that_always_answers_makes_no_storm() {
    let mut play = ready_play(plan(1));
    let mut watches = 0;
    play.on(Event::WatchAnswered(WatchAnswer::default()));
    for _ in 0..600 {
        if play.wait(Duration::from_millis(100)).iter().any(|action| matches!(action, Action::Watch(_))) {
            watches += 1;
            play.on(Event::WatchAnswered(WatchAnswer::default()));
        }
    }
    assert!((50..=61).contains(&watches), "{watches} in a minute");
}

#[test]
fn straight_to_vault_metadata_is_polled_every_half_minute() {
    let mut play = ready_play(direct(1));
    let mut polls = 0;
    for _ in 0..600 {
        let actions = play.wait(SECOND);
        assert!(!actions.iter().any(|action| matches!(action, Action::Watch(_) | Action::Acknowledge(_))));
        if actions.contains(&Action::Poll(0)) {
            polls += 1;
            play.on(Event::Polled(0, 1));
        }
    }
    assert!((17..=23).contains(&polls), "{polls} in ten minutes");
}

#[test]
fn where_metadata_is_denied_the_value_itself_is_polled() {
    let mut play = ready_play(direct(1));
    assert!(play.wait(Duration::from_secs(34)).contains(&Action::Poll(0)));
    assert!(play.on(Event::PollFailed(0, failure(Fault::Status(403), Kind::Denied))).contains(&Action::Read(0)));
    play.read(0, 1, "v0");
    let actions = play.wait(Duration::from_secs(34));
    assert!(actions.contains(&Action::Read(0)) && !actions.contains(&Action::Poll(0)));
}

#[test]
fn a_denied_watch_leads_to_one_login_only() {
    let mut play = ready_play(plan(1));
    play.wait(Duration::from_secs(60));
    let denied = || Event::WatchFailed(failure(Fault::Status(403), Kind::Denied));
    assert!(play.on(denied()).contains(&Action::Login));
    play.log_in(HOUR);
    for _ in 0..20 {
        let actions = play.wait(Duration::from_secs(40));
        assert!(!actions.contains(&Action::Login));
        if actions.iter().any(|action| matches!(action, Action::Watch(_))) {
            assert!(!play.on(denied()).contains(&Action::Login));
        }
    }
}

#[test]
fn with_a_watch_a_belt_poll_looks_every_five_minutes() {
    let mut play = ready_play(plan(1));
    assert!(!play.wait(Duration::from_secs(269)).contains(&Action::Poll(0)));
    assert!(play.wait(Duration::from_secs(62)).contains(&Action::Poll(0)));
}

#[test]
fn a_missing_secret_names_put_and_starts_the_pod_when_it_appears() {
    let mut play = Play::new(plan(1));
    play.start();
    play.log_in(HOUR);
    play.on(Event::WaitConnected);
    let actions = play.on(Event::ReadFailed(0, failure(Fault::Status(404), Kind::Missing)));
    assert!(play.reported(&actions, NO_SECRET));
    assert_eq!(play.watched(), Some(vec![Held { path: play.path(0), version: 0 }]));
    play.change(&[(0, 1)]);
    assert!(play.read(0, 1, "there").contains(&Action::Commit));
}

#[test]
fn an_optional_file_waits_for_nobody() {
    let mut with = plan(2);
    with.files[1].optional = true;
    let mut play = Play::new(with);
    play.start();
    play.log_in(HOUR);
    play.read(0, 1, "a");
    let actions = play.on(Event::ReadFailed(1, failure(Fault::Status(404), Kind::Missing)));
    assert!(actions.contains(&Action::Commit) && !play.reported(&actions, NO_SECRET));
    assert_eq!(play.file("f1"), None);
}

// Gate.

#[test]
fn ends_when_nobody_waits_soon_after_the_start() {
    let mut play = Play::new(plan(1));
    play.start();
    assert_eq!(play.exit_code(&play.clone_wait(Duration::from_millis(4900))), None);
    let actions = play.wait(Duration::from_secs(6));
    assert_eq!(play.exit_code(&actions), Some(69));
}

#[test]
fn ends_when_the_wait_vanishes_before_the_first_generation() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    let actions = play.on(Event::WaitLost);
    assert_eq!(play.exit_code(&actions), Some(69));
}

#[test]
fn lives_on_when_the_wait_ends_after_the_first_generation() {
    let mut play = ready_play(plan(1));
    let actions = play.on(Event::WaitLost);
    assert_eq!(play.exit_code(&actions), None);
    let actions = play.wait(Duration::from_secs(20));
    assert_eq!(play.exit_code(&actions), None);
}

#[test]
fn with_the_strict_gate_nobody_has_to_wait() {
    let mut with = plan(1);
    with.gate = GateKind::Init;
    let mut play = Play::new(with);
    play.start();
    play.on(Event::LoginFailed(failure(Fault::Connect, Kind::Unavailable)));
    let actions = play.wait(Duration::from_secs(100));
    assert_eq!(play.exit_code(&actions), None);
    play.on(Event::WaitConnected);
    let actions = play.on(Event::WaitLost);
    assert_eq!(play.exit_code(&actions), None);
}

#[test]
fn after_giving_up_the_termination_message_has_code_and_reason_and_the_state_stays() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    play.on(Event::LoginFailed(failure(Fault::Status(400), Kind::Invalid)));
    assert_eq!(play.on(Event::WaitGaveUp), []);
    assert_eq!(play.on(Event::WaitLost), []);
    let actions = play.on(Event::Terminate);
    let [Action::Exit { code: 69, cause: Some(cause) }] = actions.as_slice() else { panic!("{actions:?}") };
    assert!(cause.to_string().ends_with("run 'vouchsafe apply' (E-VLT-010)"), "{cause}");
}

#[test]
fn a_generation_that_comes_after_giving_up_does_not_turn_the_end_into_a_goodbye() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    play.log_in(HOUR);
    play.on(Event::WaitGaveUp);
    play.finish_reads();
    let actions = play.on(Event::Terminate);
    assert_eq!(play.exit_code(&actions), Some(69));
    assert!(!actions.contains(&Action::Goodbye));
}

#[test]
fn ends_by_itself_when_no_sigterm_follows_the_giving_up() {
    let mut play = Play::new(plan(1));
    play.start();
    play.on(Event::WaitConnected);
    play.on(Event::WaitGaveUp);
    let actions = play.wait(Duration::from_secs(11));
    assert_eq!(play.exit_code(&actions), Some(69));
}

// Goodbye.

#[test]
fn a_broker_gets_a_goodbye() {
    let mut play = ready_play(plan(1));
    assert_eq!(play.on(Event::Terminate), [Action::Goodbye]);
    assert_eq!(play.on(Event::Parted), [Action::Exit { code: 0, cause: None }]);
}

#[test]
fn straight_to_vault_the_token_is_forgotten_and_then_revoked() {
    let mut play = ready_play(direct(1));
    assert_eq!(play.on(Event::Terminate), [Action::Save, Action::Revoke(Secret::from("hvs.1".to_owned()))]);
    assert!(play.machine.token().is_none());
    assert_eq!(play.on(Event::Parted), [Action::Exit { code: 0, cause: None }]);
}

#[test]
fn straight_to_vault_nothing_is_revoked_while_a_lease_is_out() {
    let mut with = direct(1);
    with.secrets[0].engine = Engine::Generic;
    let mut play = Play::new(with);
    play.start();
    play.log_in(HOUR);
    play.lease(0, HOUR);
    play.on(Event::Written);
    assert_eq!(play.on(Event::Terminate), [Action::Exit { code: 0, cause: None }]);
}

// Leases.

#[test]
fn a_lease_is_renewed_and_a_failed_renewal_mints_nothing_while_time_is_left() {
    let mut with = plan(1);
    with.secrets[0].engine = Engine::Generic;
    let mut play = Play::new(with);
    play.start();
    play.log_in(10 * HOUR);
    play.lease(0, HOUR);
    play.on(Event::Written);
    let actions = play.wait(Duration::from_secs(2530));
    assert!(actions.contains(&Action::RenewLease(0)) && !actions.contains(&Action::Read(0)));
    let actions = play.on(Event::LeaseFailed(0, failure(Fault::Sealed, Kind::Unavailable)));
    assert!(!actions.contains(&Action::Read(0)));
    assert!(play.wait(Duration::from_secs(5)).contains(&Action::RenewLease(0)));
}

// State.

#[test]
fn a_restart_with_a_whole_generation_is_ready_at_once_and_mints_nothing() {
    let mut play = ready_play(plan(2));
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(plan(2), play.now.after(SECOND));
    let actions = again.on(Event::Started(Some(saved)));
    assert!(actions.contains(&Action::Commit), "{actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Login | Action::Read(_))));
    assert!(again.on(Event::Written).contains(&Action::Ready));
    assert_eq!(again.file("f1").as_deref(), Some("v1"));
    assert_eq!(again.machine.token(), Some(&Secret::from("hvs.1".to_owned())));
    play.wait(SECOND);
}

#[test]
fn a_restart_without_network_serves_what_it_had() {
    let play = ready_play(plan(1));
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(plan(1), play.now.after(2 * HOUR));
    let actions = again.on(Event::Started(Some(saved)));
    assert!(actions.contains(&Action::Commit) && actions.contains(&Action::Login));
    again.on(Event::Written);
    again.on(Event::LoginFailed(failure(Fault::Connect, Kind::Unavailable)));
    let actions = again.wait(Duration::from_secs(60));
    assert_eq!(again.exit_code(&actions), None);
    assert!(again.machine.is_ready());
}

#[test]
fn a_token_whose_times_cannot_be_right_is_not_taken_over() {
    let play = ready_play(plan(1));
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(plan(1), Moment::default());
    assert!(again.on(Event::Started(Some(saved))).contains(&Action::Login));
}

#[test]
fn a_change_written_before_a_crash_is_told_to_the_app_after_the_restart() {
    let mut play = ready_play(signalled(1));
    play.change(&[(0, 2)]);
    play.read(0, 2, "new");
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(signalled(1), play.now.after(SECOND));
    again.on(Event::Started(Some(saved)));
    assert!(again.on(Event::Written).contains(&Action::React(0)));
}

#[test]
fn a_restart_without_a_change_tells_the_app_nothing() {
    let play = ready_play(signalled(1));
    let saved = Saved::parse(&play.machine.snapshot()).unwrap();
    let mut again = Play::at(signalled(1), play.now.after(SECOND));
    again.on(Event::Started(Some(saved)));
    assert!(!again.on(Event::Written).contains(&Action::React(0)));
}

#[test]
fn a_broken_or_foreign_state_file_means_a_fresh_start() {
    for text in ["", "{}", "[1", r#"{"format":99,"values":[],"revisions":[]}"#] {
        assert!(Saved::parse(&Secret::from(text.to_owned())).is_none(), "{text}");
    }
}

// Reactions and acknowledgements.

#[test]
fn the_app_is_told_once_for_each_generation_and_not_at_its_start() {
    let mut play = ready_play(signalled(2));
    play.change(&[(0, 2), (1, 2)]);
    play.read(0, 2, "a");
    play.on(Event::Written);
    let first = play.on(Event::Reacted(0, None));
    assert!(!first.contains(&Action::React(0)));
    play.read(1, 2, "b");
    assert!(play.on(Event::Written).contains(&Action::React(0)));
}

#[test]
fn an_app_that_refuses_is_told_again_and_nothing_is_read_for_it() {
    let mut play = ready_play(signalled(1));
    play.change(&[(0, 2)]);
    play.read(0, 2, "new");
    play.on(Event::Written);
    let trouble = Cause::new(NOT_SIGNALLED, "signal dex", "refused", "look");
    let actions = play.on(Event::Reacted(0, Some(trouble)));
    assert!(play.reported(&actions, NOT_SIGNALLED));
    let actions = play.wait(Duration::from_secs(1));
    assert!(actions.contains(&Action::React(0)));
    assert!(!actions.iter().any(|action| matches!(action, Action::Read(_))));
}

#[test]
fn the_broker_learns_what_is_delivered_and_how_the_app_took_it() {
    let mut play = ready_play(signalled(1));
    play.on(Event::Acknowledged);
    play.change(&[(0, 2)]);
    play.read(0, 2, "new");
    let held = vec![Held { path: play.path(0), version: 2 }];
    let actions = play.on(Event::Written);
    assert!(actions.contains(&Action::Acknowledge(Ack { held: held.clone(), applied: Applied::Written })));
    play.on(Event::Acknowledged);
    let actions = play.on(Event::Reacted(0, None));
    assert!(actions.contains(&Action::Acknowledge(Ack { held, applied: Applied::Told })), "{actions:?}");
}

// Trust.

#[test]
fn a_successor_of_the_trust_bundle_is_used_and_kept() {
    let mut play = Play::new(plan(1));
    play.start();
    assert!(play.log_in(HOUR).contains(&Action::FetchTrust));
    let actions = play.on(Event::TrustFetched("new".to_owned()));
    assert!(actions.contains(&Action::UseTrust("new".to_owned())) && actions.contains(&Action::Save));
    assert_eq!(Saved::parse(&play.machine.snapshot()).unwrap().bundle(), Some("new"));
    assert!(!play.on(Event::TrustFetched("new".to_owned())).contains(&Action::UseTrust("new".to_owned())));
}

// Writing.

#[test]
fn a_full_volume_is_said_and_tried_again_and_the_app_keeps_its_files() {
    let mut play = ready_play(plan(1));
    play.change(&[(0, 2)]);
    play.read(0, 2, "new");
    let actions = play.on(Event::WriteFailed("volume 0: no space left on device".to_owned()));
    assert!(play.reported(&actions, crate::cause::WRITE) && !actions.contains(&Action::Commit));
    assert!(play.wait(Duration::from_secs(2)).contains(&Action::Commit));
}

#[test]
fn status_and_debug_texts_hold_no_value() {
    let mut play = ready_play(plan(1));
    play.change(&[(0, 2)]);
    play.read(0, 2, "hunter2");
    let texts = format!("{} {:?}", play.machine.status(play.now), play.machine.causes());
    assert!(!texts.contains("hunter2") && !texts.contains("hvs."));
    assert!(texts.contains("argocd-sso/s0"));
}
