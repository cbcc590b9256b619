//! A machine with a clock, for tests that read like a story.

use std::time::Duration;

use vouchsafe_model::wire::Auth;
use vouchsafe_model::wire::extension::{Change, Held, WatchAnswer};
use vouchsafe_model::{Code, Kind, Secret};

use super::{HOUR, document};
use crate::cause::{Failure, Fault};
use crate::machine::{Action, Event, Machine, Reading, Role};
use crate::moment::Moment;

pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    watched: Option<Vec<Held>>,
    tokens: u32,
}

impl Play {
    pub(super) fn new(plan: vouchsafe_model::plan::Plan) -> Self {
        Self::at(plan, Moment::new(Duration::from_secs(1000)))
    }

    pub(super) fn at(plan: vouchsafe_model::plan::Plan, now: Moment) -> Self {
        Self::of(Role::Keeper, plan, now)
    }

    /// The classic form's init container.
    pub(super) fn first(plan: vouchsafe_model::plan::Plan) -> Self {
        Self::first_at(plan, Moment::new(Duration::from_secs(1000)))
    }

    pub(super) fn first_at(plan: vouchsafe_model::plan::Plan, now: Moment) -> Self {
        Self::of(Role::First, plan, now)
    }

    fn of(role: Role, plan: vouchsafe_model::plan::Plan, now: Moment) -> Self {
        let workload = vouchsafe_model::Workload {
            namespace: plan.workload.namespace.clone(),
            service_account: plan.workload.service_account.clone(),
            pod: Some("dex-0".parse().unwrap()),
            pod_uid: None,
        };
        Self { machine: Machine::of(role, plan, workload, 7, now), now, watched: None, tokens: 0 }
    }

    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.on(event, self.now);
        for action in &actions {
            if let Action::Watch(request) = action {
                self.watched = Some(request.paths.clone());
            }
        }
        actions
    }

    pub(super) fn start(&mut self) -> Vec<Action> {
        self.on(Event::Started(None))
    }

    pub(super) fn log_in(&mut self, lease: Duration) -> Vec<Action> {
        self.tokens += 1;
        let mut auth = auth(lease);
        auth.client_token = Secret::from(format!("hvs.{}", self.tokens));
        self.on(Event::LoggedIn(auth))
    }

    pub(super) fn read(&mut self, index: usize, version: u64, password: &str) -> Vec<Action> {
        self.read_document(index, version, &format!(r#"{{"password":"{password}"}}"#))
    }

    pub(super) fn read_document(&mut self, index: usize, version: u64, text: &str) -> Vec<Action> {
        self.on(Event::ReadDone(index, Reading::Value { document: document(text), version, lease: None }))
    }

    pub(super) fn lease(&mut self, index: usize, duration: Duration) -> Vec<Action> {
        let lease = vouchsafe_model::wire::Lease { id: "creds/1".to_owned(), duration, renewable: true };
        let document = document(r#"{"password":"leased"}"#);
        self.on(Event::ReadDone(index, Reading::Value { document, version: 0, lease: Some(lease) }))
    }

    /// Answers the first read of every source with `v0`, `v1`…, and the write.
    pub(super) fn finish_reads(&mut self) {
        for index in 0..self.machine.sources.len() {
            self.read(index, 1, &format!("v{index}"));
        }
        self.on(Event::Written);
    }

    /// Lets time pass in steps, as a driver would, and gives back all that was to be done.
    pub(super) fn wait(&mut self, wait: Duration) -> Vec<Action> {
        let end = self.now.after(wait);
        let mut actions = Vec::new();
        while let Some(next) = self.machine.next_wake(self.now).filter(|next| *next <= end) {
            self.now = next.max(self.now);
            let more = self.on(Event::Tick);
            assert!(self.machine.next_wake(self.now).is_none_or(|again| again > self.now), "busy loop");
            actions.extend(more);
        }
        self.now = end;
        actions.extend(self.on(Event::Tick));
        actions
    }

    /// What would happen within `wait`, without letting it: only for plays that wait for nothing else.
    pub(super) fn clone_wait(&self, wait: Duration) -> Vec<Action> {
        let next = self.machine.next_wake(self.now);
        assert!(next.is_none_or(|next| next > self.now.after(wait)));
        Vec::new()
    }

    /// The watch reports new versions.
    pub(super) fn change(&mut self, changes: &[(usize, u64)]) -> Vec<Action> {
        let changes = changes.iter().map(|(index, version)| Change { path: self.path(*index), version: *version });
        let changes = changes.collect();
        self.wait(Duration::from_secs(2));
        self.on(Event::WatchAnswered(WatchAnswer { changes }))
    }

    pub(super) fn path(&self, index: usize) -> String {
        self.machine.plan.secrets[index].api_path()
    }

    pub(super) fn watched(&self) -> Option<Vec<Held>> {
        self.watched.clone()
    }

    pub(super) fn file(&self, name: &str) -> Option<String> {
        let found = self.machine.files().find(|(_, file, _)| file.name.as_str() == name);
        found.map(|(_, _, bytes)| String::from_utf8(bytes.expose().to_vec()).unwrap())
    }

    #[expect(clippy::unused_self, reason = "reads like the rest of the play")]
    pub(super) fn reported(&self, actions: &[Action], code: Code) -> bool {
        actions.iter().any(|action| matches!(action, Action::Report(cause) if cause.code == code))
    }

    #[expect(clippy::unused_self, reason = "reads like the rest of the play")]
    pub(super) fn exit_code(&self, actions: &[Action]) -> Option<u8> {
        actions.iter().find_map(|action| match action {
            Action::Exit { code, .. } => Some(*code),
            _ => None,
        })
    }
}

/// A play whose first generation is complete.
pub(super) fn ready_play(plan: vouchsafe_model::plan::Plan) -> Play {
    let mut play = Play::new(plan);
    play.start();
    play.on(Event::WaitConnected);
    play.log_in(HOUR);
    play.finish_reads();
    assert!(play.machine.is_ready());
    play
}

pub(super) fn auth(lease: Duration) -> Auth {
    Auth {
        client_token: Secret::from("hvs.1".to_owned()),
        accessor: "a".to_owned(),
        policies: Vec::new(),
        metadata: std::collections::BTreeMap::default(),
        lease,
        renewable: true,
        num_uses: 0,
    }
}

pub(super) fn failure(fault: Fault, kind: Kind) -> Failure {
    Failure { fault, kind, retry_after: None, detail: "detail".to_owned() }
}
