//! The driver: feeds the machine with events and does what it says. Thin on purpose: no decision is made here.
//!
//! One thread. Exchanges with servers run as tasks, each of which ends in one event; files and state are written in place,
//! since they lie in memory.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use vouchsafe_model::plan::{PlanSecret, STATE_FOLDER, TOKEN_FOLDER};
use vouchsafe_model::wire::extension::{Ack, WatchRequest};
use vouchsafe_model::{Secret, Workload};
use vouchsafe_net::lifecycle::{Lifecycle, termination};
use vouchsafe_net::tls::TrustRoots;
use vouchsafe_net::vault::Vault;

use crate::cause::Cause;
use crate::control::Control;
use crate::environment::Environment;
use crate::files::{NewFile, Volume};
use crate::gate::{GateServer, Input, Progress};
use crate::machine::{Action, Discard, Event, Machine, Role, Saved};
use crate::moment::Moment;
use crate::opening::{StartError, client, complete, hopeless, open_controls, open_environments, open_volumes};
use crate::place::Place;
use crate::settings::Settings;
use crate::state::StateFolder;
use crate::{credentials, environment, react, server};

/// How the process ends.
pub(crate) struct Ending {
    pub(crate) code: u8,
    pub(crate) cause: Option<Cause>,
    pub(crate) workload: Workload,
}

/// Runs until the machine says that it is over.
pub(crate) async fn run(settings: Settings, role: Role, place: &Place) -> Result<Ending, StartError> {
    let folder = place.at(STATE_FOLDER);
    let failed = |source| StartError::State { folder: place.at(STATE_FOLDER), source };
    let state = StateFolder::take(&folder).map_err(failed)?.ok_or_else(|| StartError::Held(folder.clone()))?;
    let lifecycle = Lifecycle::new();
    let (inputs, received) = mpsc::channel(INPUTS);
    let (progress, watched) = watch::channel(Progress::Waiting("starting".to_owned()));
    let mut plan = settings.plan.clone();
    if let Some(ending) = hopeless(&plan, &settings.workload) {
        return Ok(ending);
    }
    let roots = complete(&mut plan, place)?;
    let mut driver = Driver {
        vault: Vault::new(client(&plan, &roots), plan.server.namespace.clone()),
        volumes: open_volumes(&plan, place)?,
        controls: open_controls(&plan, place, &lifecycle)?,
        environments: open_environments(&plan, place, &lifecycle)?,
        place: place.clone(),
        token_file: place.at(TOKEN_FOLDER).join("token"),
        machine: Machine::of(role, plan, settings.workload, seed(), now()),
        state,
        lifecycle: lifecycle.clone(),
        progress,
        inputs: inputs.clone(),
        queue: VecDeque::new(),
        generation: 0,
    };
    let server = GateServer { progress: watched, inputs, lifecycle: lifecycle.clone() };
    server.listen(driver.state.folder()).map_err(failed)?;
    let ending = driver.drive(received).await;
    lifecycle.stop("the sidecar ends");
    // What is left are exchanges whose answers nobody awaits.
    let _ = lifecycle.drain(DRAIN).await;
    Ok(ending)
}

struct Driver {
    machine: Machine,
    vault: Vault,
    volumes: Vec<Volume>,
    controls: BTreeMap<String, Control>,
    environments: Vec<Environment>,
    place: Place,
    token_file: PathBuf,
    state: StateFolder,
    lifecycle: Lifecycle,
    progress: watch::Sender<Progress>,
    inputs: mpsc::Sender<Input>,
    /// Events that actions brought at once.
    queue: VecDeque<Event>,
    generation: u64,
}

impl Driver {
    async fn drive(&mut self, mut received: mpsc::Receiver<Input>) -> Ending {
        let saved = self.state.load().and_then(|bytes| Saved::parse(&bytes));
        self.queue.push_back(Event::Started(saved));
        let mut terminated = Box::pin(termination());
        let mut terminating = false;
        loop {
            while let Some(event) = self.queue.pop_front() {
                if let Some(ending) = self.step(event) {
                    return ending;
                }
            }
            tokio::select! {
                input = received.recv() => match input {
                    Some(Input::Event(event)) => self.queue.push_back(event),
                    Some(Input::Status(answer)) => {
                        // Who asked may have gone.
                        let _ = answer.send(self.machine.status(now()).to_string());
                    }
                    None => {}
                },
                signal = &mut terminated, if !terminating => {
                    terminating = true;
                    tracing::info!(signal, "ending");
                    self.queue.push_back(Event::Terminate);
                }
                () = tokio::time::sleep(self.pause()) => self.queue.push_back(Event::Tick),
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = now();
        let wanted = self.machine.next_wake(now).map_or(PAUSE_MAX, |wake| wake.since(now));
        wanted.clamp(PAUSE_MIN, PAUSE_MAX)
    }

    fn step(&mut self, event: Event) -> Option<Ending> {
        let actions = self.machine.on(event, now());
        let mut ending = None;
        for action in actions {
            ending = self.perform(action).or(ending);
        }
        if !self.machine.is_ready() {
            let reason = Progress::Waiting(self.machine.reason().to_string());
            self.progress.send_if_modified(|current| {
                let news = *current != reason;
                if news {
                    *current = reason;
                }
                news
            });
        }
        ending
    }

    fn perform(&mut self, action: Action) -> Option<Ending> {
        match action {
            Action::Login => self.login(),
            Action::Locate(index) => self.ask(index, server::locate),
            Action::Read(index) => self.ask(index, server::read),
            Action::Poll(index) => self.ask(index, server::poll),
            Action::RenewLease(index) => self.renew_lease(index),
            Action::Discard(number) => self.discard(number),
            Action::Renew => self.renew(),
            Action::Watch(request) => self.watch(request),
            Action::Save => self.save(),
            Action::Commit => self.commit(),
            Action::Ready => {
                tracing::info!(files = self.machine.files().count(), "ready");
                self.progress.send_replace(Progress::Ready);
            }
            Action::React(index) => self.react(index),
            Action::Acknowledge(ack) => self.acknowledge(ack),
            Action::FetchTrust => self.fetch_trust(),
            Action::UseTrust(bundle) => self.use_trust(&bundle),
            Action::Report(cause) => tracing::warn!(code = cause.code.as_str(), "{cause}"),
            Action::Resolve(cause) => tracing::info!(code = cause.code.as_str(), "over: {}", cause.doing),
            Action::Goodbye => self.part(None),
            Action::Revoke(token) => self.part(Some(token)),
            Action::Exit { code, cause } => {
                return Some(Ending { code, cause, workload: self.machine.workload().clone() });
            }
        }
        None
    }

    /// Runs an exchange; its event comes back as input.
    fn exchange(&self, name: &'static str, exchange: impl Future<Output = Event> + Send + 'static) {
        let inputs = self.inputs.clone();
        self.lifecycle.spawn(name, async move {
            let event = exchange.await;
            // Fails only after the end.
            let _ = inputs.send(Input::Event(event)).await;
        });
    }

    fn token(&self) -> Secret {
        self.machine.token().map_or_else(|| Secret::new(Vec::new()), Secret::duplicate)
    }

    fn login(&self) {
        let (vault, plan) = (self.vault.clone(), self.machine.plan().clone());
        let shown = credentials::read(&plan, &self.place, &self.token_file);
        self.exchange("login", async move { server::login(vault, &plan, shown).await });
    }

    fn ask<F>(&self, index: usize, ask: impl FnOnce(Vault, Secret, usize, PlanSecret) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        if let Some(secret) = self.machine.request(index) {
            self.exchange("read", ask(self.vault.clone(), self.token(), index, secret));
        }
    }

    fn renew_lease(&self, index: usize) {
        let (vault, token) = (self.vault.clone(), self.token());
        let id = self.machine.lease_id(index).unwrap_or_default().to_owned();
        self.exchange("renew lease", async move {
            match vault.renew_lease(&token, &id).await {
                Ok(lease) => Event::LeaseRenewed(index, lease),
                Err(error) => Event::LeaseFailed(index, server::failure(&error)),
            }
        });
    }

    /// Gives up a replaced lease, with the present token, or a replaced token, with itself.
    fn discard(&self, number: u64) {
        let (vault, token) = (self.vault.clone(), self.token());
        let (lease, token) = match self.machine.discarded(number) {
            Some(Discard::Lease(id)) => (Some(id.to_owned()), token),
            Some(Discard::Token(replaced)) => (None, replaced.duplicate()),
            None => return,
        };
        self.exchange("discard", async move {
            let result = match lease {
                Some(id) => vault.revoke_lease(&token, &id).await,
                None => vault.revoke_self(&token).await,
            };
            if let Err(error) = &result {
                tracing::info!("what was replaced is not given up now: {error}");
            }
            Event::Discarded(number, result.err().map(|error| server::failure(&error)))
        });
    }

    fn renew(&self) {
        let (vault, token) = (self.vault.clone(), self.token());
        self.exchange("renew", async move {
            match vault.renew_self(&token).await {
                Ok(auth) => Event::Renewed(auth),
                Err(error) => Event::RenewFailed(server::failure(&error)),
            }
        });
    }

    fn watch(&self, request: WatchRequest) {
        let (vault, token) = (self.vault.clone(), self.token());
        self.exchange("watch", async move {
            match vault.watch(&token, &request).await {
                Ok(answer) => Event::WatchAnswered(answer),
                Err(error) => Event::WatchFailed(server::failure(&error)),
            }
        });
    }

    fn acknowledge(&self, ack: Ack) {
        let (vault, token) = (self.vault.clone(), self.token());
        self.exchange("acknowledge", async move {
            match vault.ack(&token, &ack).await {
                Ok(()) => Event::Acknowledged,
                Err(error) => Event::AcknowledgeFailed(server::failure(&error)),
            }
        });
    }

    fn fetch_trust(&self) {
        let (vault, token) = (self.vault.clone(), self.token());
        self.exchange("trust", async move {
            match vault.trust(&token).await {
                Ok(trust) => Event::TrustFetched(trust.bundle),
                Err(error) => Event::TrustFailed(server::failure(&error)),
            }
        });
    }

    /// The Plan's roots stay trusted; the fetched ones come beside them.
    fn use_trust(&self, bundle: &str) {
        let pem = format!("{}\n{bundle}", self.machine.plan().server.trust);
        match TrustRoots::from_pem(&pem) {
            Ok(roots) => self.vault.client().replace_roots(&roots),
            Err(error) => tracing::warn!("the fetched trust bundle is not used: {error}"),
        }
    }

    /// Says goodbye, or revokes `revoked`; bounded, because the pod is waiting.
    fn part(&self, revoked: Option<Secret>) {
        let (vault, token) = (self.vault.clone(), self.token());
        self.exchange("part", async move {
            let parting = async {
                match revoked {
                    Some(token) => vault.revoke_self(&token).await,
                    None => vault.goodbye(&token).await,
                }
            };
            if let Ok(Err(error)) = tokio::time::timeout(PARTING, parting).await {
                tracing::info!("leaving without a goodbye: {error}");
            }
            Event::Parted
        });
    }

    fn save(&mut self) {
        if let Err(error) = self.state.save(&self.machine.snapshot()) {
            self.queue.push_back(Event::SaveFailed(error.to_string()));
        }
    }

    fn commit(&mut self) {
        self.generation += 1;
        let name = format!("{}-{}", self.generation, short(&vouchsafe_net::random::identifier()));
        let mut failed = None;
        for (index, volume) in self.volumes.iter().enumerate() {
            let files: Vec<NewFile<'_>> = self
                .machine
                .files()
                .filter(|(volume, ..)| *volume == index)
                .map(|(_, file, bytes)| NewFile { name: &file.name, mode: file.mode, bytes })
                .collect();
            match volume.replace(&files, &name, &mut || {}) {
                Ok(true) => tracing::info!(volume = index, files = files.len(), "files replaced"),
                Ok(false) => {}
                Err(error) => failed = Some(format!("volume {index}: {error}")),
            }
        }
        if failed.is_none() {
            self.publish();
        }
        self.queue.push_back(failed.map_or(Event::Written, Event::WriteFailed));
    }

    /// Hands the variables of the generation to those who ask.
    fn publish(&self) {
        let (plan, behind) = (self.machine.plan(), self.volumes.len());
        for (index, (wanted, environment)) in plan.environments.iter().zip(&self.environments).enumerate() {
            let variables = self.machine.files().filter(|(volume, ..)| *volume == behind + index);
            let variables: Vec<_> = variables.map(|(_, file, value)| (file.name.as_str(), value)).collect();
            environment.publish(environment::answer(wanted, &variables));
        }
    }

    fn react(&self, index: usize) {
        let Some(reaction) = self.machine.plan().reactions.get(index).cloned() else { return };
        let control = self.controls.get(reaction.container.as_str()).cloned();
        self.exchange("react", async move { Event::Reacted(index, react::tell(&reaction, control).await) });
    }
}

/// Time since boot. It goes on while the node sleeps, where the system offers such a clock.
pub(crate) fn now() -> Moment {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    Moment::new(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default()))
}

fn seed() -> u64 {
    u64::from_le_bytes(vouchsafe_net::random::bytes())
}

fn short(identifier: &str) -> &str {
    identifier.get(..8).unwrap_or(identifier)
}

/// Events waiting for the machine; there is at most one for each exchange under way and connection.
const INPUTS: usize = 256;
/// Longest goodbye; the kubelet's grace period is 30 s by default, and others may have used most of it.
const PARTING: Duration = Duration::from_secs(3);
/// How long tasks may take to notice the end.
const DRAIN: Duration = Duration::from_millis(200);
/// Shortest pause between two looks at the clock.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest: timers stand still while a node sleeps, the clock does not.
const PAUSE_MAX: Duration = Duration::from_secs(30);
