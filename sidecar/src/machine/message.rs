//! What the driver tells the machine, and what the machine has it do.

use vouchsafe_model::Secret;
use vouchsafe_model::wire::extension::{Ack, WatchAnswer, WatchRequest};
use vouchsafe_model::wire::{Auth, Document, Lease};

use super::Saved;
use crate::cause::{Cause, Failure};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The process started, with what an earlier one left in the state volume.
    Started(Option<Saved>),
    /// Time went by; nothing else.
    Tick,
    /// The answer to [`Action::Login`].
    LoggedIn(Auth),
    /// See [`Action::Login`].
    LoginFailed(Failure),
    /// The answer to [`Action::Locate`]: what the server says of the mount.
    Located(usize, Document),
    /// See [`Action::Locate`].
    LocateFailed(usize, Failure),
    /// The answer to [`Action::Read`].
    ReadDone(usize, Reading),
    /// See [`Action::Read`].
    ReadFailed(usize, Failure),
    /// The answer to [`Action::Poll`]: the newest version; 0 where it is deleted.
    Polled(usize, u64),
    /// See [`Action::Poll`].
    PollFailed(usize, Failure),
    /// The answer to [`Action::RenewLease`].
    LeaseRenewed(usize, Lease),
    /// See [`Action::RenewLease`].
    LeaseFailed(usize, Failure),
    /// [`Action::Discard`] is through, or why not.
    Discarded(u64, Option<Failure>),
    /// The answer to [`Action::Renew`].
    Renewed(Auth),
    /// See [`Action::Renew`].
    RenewFailed(Failure),
    /// The answer to [`Action::Watch`].
    WatchAnswered(WatchAnswer),
    /// See [`Action::Watch`].
    WatchFailed(Failure),
    /// The state could not be written; everything goes on without it.
    SaveFailed(String),
    /// Every volume holds the generation of [`Action::Commit`].
    Written,
    /// The generation could not be written everywhere; old files stand.
    WriteFailed(String),
    /// The answer to [`Action::React`]; the cause says why the app did not take it.
    Reacted(usize, Option<Cause>),
    /// The answer to [`Action::Acknowledge`].
    Acknowledged,
    /// See [`Action::Acknowledge`].
    AcknowledgeFailed(Failure),
    /// The answer to [`Action::FetchTrust`].
    TrustFetched(String),
    /// See [`Action::FetchTrust`].
    TrustFailed(Failure),
    /// A `wait` connected.
    WaitConnected,
    /// A `wait` disconnected.
    WaitLost,
    /// A `wait` says that its time is up.
    WaitGaveUp,
    /// SIGTERM.
    Terminate,
    /// The answer, good or bad, to [`Action::Goodbye`] or [`Action::Revoke`].
    Parted,
}

/// What a read brought.
#[derive(Debug)]
pub enum Reading {
    /// A value.
    Value {
        /// The keys and values.
        document: Document,
        /// KV v2 version; 0 for engines without versions.
        version: u64,
        /// The lease of a dynamic secret; with an empty id how long a value lasts that ends by itself.
        lease: Option<Lease>,
    },
    /// The newest KV v2 version is deleted or destroyed.
    Deleted {
        /// Which one.
        version: u64,
    },
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Log in with the projected token.
    Login,
    /// Ask where the path of source `.0` leads.
    Locate(usize),
    /// Read source `.0`.
    Read(usize),
    /// Ask for the newest version of source `.0`.
    Poll(usize),
    /// Renew the lease of source `.0`.
    RenewLease(usize),
    /// Give up the replaced lease or token that [`super::Machine::discarded`] names.
    Discard(u64),
    /// Renew the token.
    Renew,
    /// Hold one long poll.
    Watch(WatchRequest),
    /// Write [`super::Machine::snapshot`] into the state volume.
    Save,
    /// Write [`super::Machine::files`] as one generation.
    Commit,
    /// The first generation is complete: the app may start.
    Ready,
    /// Tell the app of the Plan's reaction `.0`.
    React(usize),
    /// Tell the broker what is delivered.
    Acknowledge(Ack),
    /// Fetch the trust bundle.
    FetchTrust,
    /// Trust this bundle too, beside the Plan's.
    UseTrust(String),
    /// Something is wrong that was not wrong before.
    Report(Cause),
    /// Something that was wrong is well again.
    Resolve(Cause),
    /// Tell the broker that the pod may be ending.
    Goodbye,
    /// Revoke this token, which is no longer in the state.
    Revoke(Secret),
    /// End the process.
    Exit {
        /// Exit code.
        code: u8,
        /// What to write to the termination message.
        cause: Option<Cause>,
    },
}
