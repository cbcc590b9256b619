//! One request, from its token to its answer: pure but for the records it reads.
//!
//! Order of the checks, as in Vault: path, token, policy (create or update by whether the thing is there), route, content.
//! So a caller without rights learns nothing about what exists. Every route but the named open ones goes through
//! [`authorise`]. Out of scope: transactions and threads ([`super::engine`]).

use serde_json::Value;
use vouchsafe_model::Secret;

use super::acl::Acl;
use super::envelope::{Answer, Refusal, UNAVAILABLE};
use super::fields::Fields;
use super::kubernetes::{self, Login, ReviewOf};
use super::mount::{Mount, MountKind, Mounts};
use super::policy::Capabilities;
use super::status::{self, Facts};
use super::sys;
use super::table::Session;
use super::token::{self, Token};
use super::wrapping::{self, Presented, Wish};
use super::{cubbyhole, known, kubernetes_role, kv1, kv2, policies, token_api, token_role};
use crate::upstream::{Operation, UpstreamRequest};

/// Who asks.
pub(crate) struct Caller {
    /// The token.
    pub(crate) value: Secret,
    /// Its stand-in.
    pub(crate) tag: String,
    /// What is kept about it, with this use counted; after its last use it is no longer in the records.
    pub(crate) token: Token,
    /// What it may do.
    pub(crate) acl: Acl,
}

impl Caller {
    /// Whether protected paths are open to it.
    pub(crate) fn has_sudo(&self, path: &str) -> bool {
        self.acl.allows(Operation::Write, Capabilities::SUDO, path)
    }
}

/// What a request comes to.
pub(crate) enum Outcome {
    /// An answer.
    Answer(Answer),
    /// A login that waits for the API server.
    Review(Box<ReviewOf>),
    /// The store is to be sealed.
    Seal,
    /// The whole store is to be handed out, sealed as it lies on the disk.
    Snapshot,
}

/// Whether a request can change records, and so needs the writer.
pub(crate) fn may_write(operation: Operation) -> bool {
    matches!(operation, Operation::Write | Operation::Patch | Operation::Delete)
}

/// Answers what needs neither token nor keys, also of a sealed store; `None` for everything else.
pub(crate) fn open_answer(request: &UpstreamRequest, facts: &Facts) -> Option<Result<Answer, Refusal>> {
    let open = status::open_path(request, facts);
    open.or_else(|| facts.sealed.then(|| Err(Refusal::said(UNAVAILABLE, "Vault is sealed"))))
}

/// Answers a request.
pub(crate) fn handle(session: &mut Session<'_>, request: &UpstreamRequest) -> Result<Outcome, Refusal> {
    check_form(request)?;
    let wish = Wish::of(request)?;
    let fields = read_fields(request)?;
    let mounts = Mounts::load(session)?;
    let target = mounts.find(&request.path);
    if let Some((mount, "login")) = target
        && mount.kind == MountKind::Kubernetes
        && request.operation == Operation::Write
    {
        return Ok(match kubernetes::login(session, mount, &fields, request.client)? {
            Login::Answer(answer) => Outcome::Answer(wrapping::wrap(session, wish.as_ref(), answer)?),
            Login::Review(mut review) => {
                review.wish = wish;
                Outcome::Review(review)
            }
        });
    }
    if request.token.is_none() && request.path == sys::UI_MOUNTS && request.operation == Operation::Read {
        return Ok(Outcome::Answer(sys::ui_mounts(&mounts, None)));
    }
    let presented = wrapping::presented(session, request, &fields)?;
    if let Some(presented) = presented.as_ref().filter(|_| request.path == wrapping::LOOKUP) {
        let asks = matches!(request.operation, Operation::Read | Operation::Write);
        return if asks { Ok(Outcome::Answer(wrapping::look_up(presented))) } else { Err(Refusal::unsupported()) };
    }
    let caller = authenticate(session, request)?;
    let asked = Asked { request, wish: wish.as_ref(), mounts: &mounts, target };
    let outcome = answer_caller(session, &asked, &caller, presented, fields);
    if caller.token.num_uses < 0 {
        if outcome.is_err() {
            session.roll_back();
        }
        token::revoke(session, &caller.tag)?;
        session.pin();
    }
    outcome
}

/// The rest of a login that the API server has confirmed.
pub(crate) fn finish(session: &mut Session<'_>, review: &ReviewOf) -> Result<Outcome, Refusal> {
    let answer = kubernetes::finish(session, review)?;
    Ok(Outcome::Answer(wrapping::wrap(session, review.wish.as_ref(), answer)?))
}

/// A request with what was found out about it.
struct Asked<'a> {
    request: &'a UpstreamRequest,
    wish: Option<&'a Wish>,
    mounts: &'a Mounts,
    target: Option<(&'a Mount, &'a str)>,
}

fn answer_caller(
    session: &mut Session<'_>,
    asked: &Asked<'_>,
    caller: &Caller,
    presented: Option<Presented>,
    fields: Fields,
) -> Result<Outcome, Refusal> {
    let request = asked.request;
    authorise(session, request, caller, asked.target)?;
    let Some(target) = asked.target else {
        return Err(Refusal::said(404, format!("no handler for route {:?}. route entry not found.", request.path)));
    };
    let answer = match (presented, request.path.as_str(), request.operation) {
        (Some(presented), wrapping::REWRAP, Operation::Write) => wrapping::rewrap(session, presented)?,
        (Some(presented), _, Operation::Write) => wrapping::unwrap(session, presented)?,
        (None, wrapping::WRAP, Operation::Write) => wrapping::echo(asked.wish, fields)?,
        (None, sys::SEAL, Operation::Write) => return Ok(Outcome::Seal),
        (None, sys::SNAPSHOT, Operation::Read) => return Ok(Outcome::Snapshot),
        _ => {
            let answer = dispatch(session, request, caller, asked.mounts, target, &fields)?;
            // An answer without a body stays one, as in Vault.
            let ignored =
                if answer.has_envelope() { known::warning(target, request.operation, &fields) } else { Vec::new() };
            answer.warn(ignored)
        }
    };
    Ok(Outcome::Answer(wrapping::wrap(session, asked.wish, answer)?))
}

fn dispatch(
    session: &mut Session<'_>,
    request: &UpstreamRequest,
    caller: &Caller,
    mounts: &Mounts,
    (mount, rest): (&Mount, &str),
    fields: &Fields,
) -> Result<Answer, Refusal> {
    let operation = request.operation;
    match mount.kind {
        MountKind::Kv => kv2::handle(session, mount, rest, operation, request.content_type.as_deref(), fields),
        MountKind::Kv1 => kv1::handle(session, mount, rest, operation, fields),
        MountKind::Cubbyhole => cubbyhole::handle(session, caller, rest, operation, fields),
        MountKind::Kubernetes => kubernetes::handle(session, mount, rest, operation, fields),
        MountKind::Token => token_api::handle(session, caller, rest, operation, fields),
        MountKind::System => sys::handle(session, caller, mounts, rest, operation, fields),
    }
}

/// Refuses what no path or header of ours looks like, before anything else.
fn check_form(request: &UpstreamRequest) -> Result<(), Refusal> {
    if request.namespace.as_deref().is_some_and(|namespace| !matches!(namespace, "" | "root")) {
        return Err(Refusal::said(404, "namespace not found: the embedded store has the root namespace only"));
    }
    let path = request.path.as_str();
    if path.chars().any(char::is_control) {
        return Err(Refusal::bad("path contains unprintable characters"));
    }
    if path.split('/').any(|segment| segment == ".." || segment == ".") {
        return Err(Refusal::bad("path cannot contain parent references"));
    }
    if request.operation == Operation::Write && path.ends_with('/') {
        return Err(Refusal::bad("cannot write to a path ending in '/'"));
    }
    Ok(())
}

fn read_fields(request: &UpstreamRequest) -> Result<Fields, Refusal> {
    match request.operation {
        Operation::Write | Operation::Patch => Fields::from_body(&request.body),
        _ => Ok(Fields::from_query(&request.query)),
    }
}

fn authenticate(session: &mut Session<'_>, request: &UpstreamRequest) -> Result<Caller, Refusal> {
    let value = request.token.as_ref().ok_or_else(Refusal::unknown_token)?;
    let (tag, mut token) = token::find(session, value)?.ok_or_else(Refusal::unknown_token)?;
    if !token.allows_address(request.client) {
        return Err(Refusal::unknown_token());
    }
    let acl = policies::acl_of(session, &token)?;
    token::count_use(session, &tag, &mut token)?;
    session.pin();
    Ok(Caller { value: value.duplicate(), tag, token, acl })
}

fn authorise(
    session: &Session<'_>,
    request: &UpstreamRequest,
    caller: &Caller,
    target: Option<(&Mount, &str)>,
) -> Result<(), Refusal> {
    let exists = match (request.operation, target) {
        (Operation::Write, Some((mount, rest))) => match mount.kind {
            MountKind::Kv => kv2::exists(session, mount, rest)?,
            MountKind::Kv1 => Some(kv1::exists(session, mount, rest)?),
            MountKind::Cubbyhole => Some(cubbyhole::exists(session, &caller.tag, rest)?),
            MountKind::Token => token_role::exists(session, rest)?,
            MountKind::Kubernetes => kubernetes_role::exists(session, mount, rest)?,
            MountKind::System => None,
        },
        _ => None,
    };
    let needed = match (request.operation, exists) {
        (Operation::Read | Operation::Head, _) => Capabilities::READ,
        (Operation::Write, Some(false)) => Capabilities::CREATE,
        (Operation::Write, _) => Capabilities::UPDATE,
        (Operation::Patch, _) => Capabilities::PATCH,
        (Operation::Delete, _) => Capabilities::DELETE,
        (Operation::List, _) => Capabilities::LIST,
        (Operation::Scan, _) => Capabilities::SCAN,
    };
    let path = listing_path(request);
    let protected = target.is_some_and(|(mount, rest)| match mount.kind {
        MountKind::System => sys::needs_sudo(rest),
        MountKind::Token => token_api::needs_sudo(rest),
        _ => false,
    });
    let open_to_all = target.is_some_and(|(mount, rest)| mount.kind == MountKind::System && sys::is_open_to_all(rest));
    let allowed = caller.acl.allows(request.operation, needed, &path)
        && (!protected || caller.acl.allows(request.operation, Capabilities::SUDO, &path));
    if allowed || open_to_all { Ok(()) } else { Err(Refusal::not_allowed()) }
}

/// The path as policies see it: a listing always ends in a slash.
fn listing_path(request: &UpstreamRequest) -> String {
    let listing = matches!(request.operation, Operation::List | Operation::Scan);
    if listing && !request.path.ends_with('/') { format!("{}/", request.path) } else { request.path.clone() }
}

/// A list of texts as JSON.
pub(crate) fn texts(list: Vec<&'static str>) -> Value {
    Value::from(list)
}
