//! `Exchange`: one audited request on its way, pure: what is recorded before and after, and what it teaches the broker.
//!
//! Out of scope: asking and writing (front), which happens between the steps.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use vouchsafe_model::Kind;
use vouchsafe_model::record::{Decision, Entry, Phase};

use crate::answer::Withheld;
use crate::identity::{Claims, Jwt, Unverified, Verified};
use crate::refusal::Refusal;
use crate::route::{Class, audited_path, changed_path};
use crate::session::{Seen, Session, Sessions, TokenKey};
use crate::upstream::{Operation, UpstreamError, UpstreamRequest};
use crate::watch::Hint;

/// One audited request on its way.
pub(crate) struct Exchange {
    /// The broker's id of it.
    pub(crate) id: String,
    class: Class,
    operation: Operation,
    path: String,
    namespace: Option<String>,
    client: IpAddr,
    /// The asking token.
    pub(crate) key: Option<TokenKey>,
    session: Session,
    jwt: Option<Unverified<Jwt>>,
}

/// What a finished exchange means for the rest of the broker.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// A secret may have changed.
    pub(crate) changed: Option<Hint>,
    /// This session logged in.
    pub(crate) logged_in: Option<Session>,
    /// The asking token is no more.
    pub(crate) is_revoked: bool,
}

impl Exchange {
    /// Begins an exchange.
    pub(crate) fn begin(
        id: String,
        class: Class,
        request: &UpstreamRequest,
        sessions: &Sessions,
        now: SystemTime,
    ) -> Self {
        let key = request.token.as_ref().map(|token| sessions.key(token));
        let session = key.and_then(|key| sessions.find(key, now)).cloned().unwrap_or_default();
        let is_login = class == Class::Login;
        Self {
            jwt: is_login.then(|| Unverified::of_login(&id, &request.body)).flatten(),
            id,
            class,
            operation: request.operation,
            path: request.path.clone(),
            namespace: request.namespace.clone(),
            client: request.client,
            key,
            // Whoever logs in is who the new token says, not who an old one in the header said.
            session: if is_login { Session::default() } else { session },
        }
    }

    /// The record before the upstream is asked.
    pub(crate) fn intent(&self) -> Entry {
        self.entry(Phase::Intent, &self.session)
    }

    /// Takes in what an answer says, and gives the record of it.
    pub(crate) fn settle(&mut self, answer: &Withheld, sessions: &mut Sessions, now: SystemTime) -> (Entry, Effects) {
        let is_success = (200..300).contains(&answer.status());
        let mut effects = Effects::default();
        if is_success {
            let session = self.learn(answer, sessions, now);
            effects.logged_in = session.filter(|_| self.class == Class::Login);
            effects.changed = self.change(answer);
            effects.is_revoked = self.operation == Operation::Write && self.path == REVOKE_SELF;
        }
        if let (true, Some(key)) = (effects.is_revoked, self.key) {
            sessions.forget(key);
        }
        let shown = effects.logged_in.as_ref().unwrap_or(&self.session);
        let mut entry = self.entry(Phase::Outcome, shown);
        entry.status = Some(answer.status());
        entry.decision = Some(decision(answer.status()));
        entry.version = answer.facts().version;
        entry.upstream_request.clone_from(&answer.facts().upstream_request);
        (entry, effects)
    }

    /// The record of an upstream that gave no answer.
    pub(crate) fn failed(&self, error: &UpstreamError) -> Entry {
        let mut entry = self.entry(Phase::Outcome, &self.session);
        entry.decision = Some(if error.may_have_happened { Decision::Unknown } else { Decision::Failed });
        entry
    }

    /// Remembers tokens that the answer made, renewed or described; the session of that token.
    fn learn(&mut self, answer: &Withheld, sessions: &mut Sessions, now: SystemTime) -> Option<Session> {
        let facts = answer.facts();
        let claims: Option<Verified<Claims>> = self.jwt.take().and_then(|jwt| jwt.confirmed(answer));
        if let Some(auth) = &facts.auth {
            let role = auth.metadata.get("role").map(String::as_str).filter(|role| role.len() <= ROLE_BYTES);
            let seen = Seen { accessor: &auth.accessor, lease: auth.lease, role };
            let key = sessions.key(&auth.token);
            let session = sessions.saw(key, claims.as_ref(), seen, now);
            if self.key == Some(key) {
                self.session = session.clone();
            }
            return Some(session);
        }
        if let (Some(accessor), Some(key), Class::TokenSelf) = (&facts.accessor, self.key, self.class)
            && self.session.accessor.is_none()
        {
            let seen = Seen { accessor, lease: DESCRIBED, role: None };
            self.session = sessions.saw(key, None, seen, now);
            return Some(self.session.clone());
        }
        None
    }

    fn change(&self, answer: &Withheld) -> Option<Hint> {
        let path = (self.class == Class::KvWrite).then(|| changed_path(self.operation, &self.path)).flatten()?;
        // Only a write of the data itself says which version is the newest now.
        let is_new_version = matches!(self.operation, Operation::Write | Operation::Patch) && path == self.path;
        let version = answer.facts().version.filter(|_| is_new_version);
        Some(Hint { namespace: self.namespace.clone(), path, version })
    }

    fn entry(&self, phase: Phase, session: &Session) -> Entry {
        let mut entry = Entry::new(phase);
        entry.request.clone_from(&self.id);
        operation_name(self.class, self.operation).clone_into(&mut entry.operation);
        entry.path = audited_path(&self.path);
        entry.vault_namespace.clone_from(&self.namespace);
        entry.client = Some(self.client);
        name_session(&mut entry, session);
        entry
    }
}

/// Writes into a record who holds the session.
pub(crate) fn name_session(entry: &mut Entry, session: &Session) {
    entry.verified = session.workload.is_some();
    entry.workload.clone_from(&session.workload);
    entry.accessor.clone_from(&session.accessor);
    entry.role.clone_from(&session.role);
}

/// What a client is told when the upstream gave no answer.
pub(crate) fn no_answer(error: &UpstreamError) -> Refusal {
    let status = if error.kind == Kind::Unavailable { 503 } else { 502 };
    let after = if error.may_have_happened { "; it may have taken effect all the same" } else { "" };
    Refusal::new(status, format!("upstream: {}{after}", error.message))
}

fn decision(status: u16) -> Decision {
    match status {
        // A 404 is an answer: the upstream says it only to who may read there.
        200..=299 | 404 => Decision::Allowed,
        401 | 403 => Decision::Denied,
        _ => Decision::Failed,
    }
}

fn operation_name(class: Class, operation: Operation) -> &'static str {
    match (class, operation) {
        (Class::Login, _) => "login",
        (_, Operation::Read | Operation::Head) => "read",
        (_, Operation::Write) => "write",
        (_, Operation::Patch) => "patch",
        (_, Operation::Delete) => "delete",
        (_, Operation::List) => "list",
        (_, Operation::Scan) => "scan",
    }
}

/// Ends the asking token.
pub(crate) const REVOKE_SELF: &str = "auth/token/revoke-self";
/// How long a token is remembered that was only described; it is asked about again by then.
const DESCRIBED: Duration = Duration::from_secs(60 * 60);
/// Longest role name that is recorded.
const ROLE_BYTES: usize = 512;
