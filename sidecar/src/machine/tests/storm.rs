//! Random orders of events against a simulated world: whatever happens, the invariants hold.

use proptest::prelude::*;

use super::play::{auth, failure};
use super::*;

/// What the world does when it is asked.
#[derive(Clone, Debug)]
enum Mood {
    Works,
    Sealed,
    Denies,
    Missing,
    OldVersion,
    WrongKey,
    Deleted,
    NoExtension,
}

fn moods() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Works),
        1 => Just(Mood::Sealed),
        1 => Just(Mood::Denies),
        1 => Just(Mood::Missing),
        1 => Just(Mood::OldVersion),
        1 => Just(Mood::WrongKey),
        1 => Just(Mood::Deleted),
        1 => Just(Mood::NoExtension),
    ]
}

/// One step: time passes, the newest version may grow, and answers come in a chosen order.
#[derive(Clone, Debug)]
struct Step {
    mood: Mood,
    milliseconds: u64,
    write: bool,
    reverse: bool,
    answers: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (moods(), 0u64..40_000, any::<bool>(), any::<bool>(), 0usize..6);
    let step = step.prop_map(|(mood, milliseconds, write, reverse, answers)| Step {
        mood,
        milliseconds,
        write,
        reverse,
        answers,
    });
    proptest::collection::vec(step, 1..60)
}

struct World {
    machine: Machine,
    now: Moment,
    started: Moment,
    version: u64,
    /// Versions that lack the key that the files need. A version never changes.
    spoilt: Vec<u64>,
    waiting: Vec<Action>,
    logins: usize,
    ready: bool,
    highest: Vec<u64>,
    total_actions: usize,
}

impl World {
    fn new(plan: Plan) -> Self {
        let workload = Workload {
            namespace: plan.workload.namespace.clone(),
            service_account: plan.workload.service_account.clone(),
            pod: None,
            pod_uid: None,
        };
        let now = Moment::new(Duration::from_secs(5));
        let highest = vec![0; plan.files.len()];
        Self {
            machine: Machine::new(plan, workload, 11, now),
            now,
            started: now,
            version: 1,
            spoilt: Vec::new(),
            waiting: Vec::new(),
            logins: 0,
            ready: false,
            highest,
            total_actions: 0,
        }
    }

    fn tell(&mut self, event: Event) {
        let before = self.files();
        let actions = self.machine.on(event, self.now);
        assert!(self.machine.next_wake(self.now).is_none_or(|next| next > self.now), "would spin");
        for action in actions {
            self.total_actions += 1;
            match action {
                Action::Ready => {
                    assert!(!self.ready, "ready twice");
                    assert_eq!(self.files().len(), self.highest.len(), "ready before the generation is complete");
                    self.ready = true;
                }
                Action::Login => {
                    self.logins += 1;
                    assert_eq!(self.logins, 1, "two logins in flight");
                    self.waiting.push(Action::Login);
                }
                Action::Exit { .. } => assert!(!self.ready, "ended although the pod runs"),
                Action::Report(_) | Action::Resolve(_) | Action::Save | Action::UseTrust(_) => {}
                other => self.waiting.push(other),
            }
        }
        let after = self.files();
        assert!(before.iter().all(|name| after.contains(name)), "a file vanished");
        self.check_versions();
    }

    fn files(&self) -> Vec<String> {
        self.machine.files().map(|(_, file, _)| file.name.to_string()).collect()
    }

    fn check_versions(&mut self) {
        let files: Vec<(usize, u64)> = self
            .machine
            .files()
            .map(|(_, file, bytes)| {
                let index = file.name.as_str().trim_start_matches('f').parse().unwrap();
                (index, bytes.expose_str().unwrap().parse().unwrap())
            })
            .collect();
        for (index, version) in files {
            assert!(version >= self.highest[index], "an older version over a newer one");
            self.highest[index] = version;
        }
    }

    fn pass(&mut self, wait: Duration) {
        let end = self.now.after(wait);
        let before = self.total_actions;
        while let Some(next) = self.machine.next_wake(self.now).filter(|next| *next <= end) {
            self.now = next;
            self.tell(Event::Tick);
        }
        self.now = end;
        self.tell(Event::Tick);
        let allowed = 60 * (2 + usize::try_from(wait.as_secs()).unwrap() / 10);
        assert!(self.total_actions - before <= allowed, "action storm");
    }

    fn answer(&mut self, step: &Step) {
        if self.waiting.is_empty() {
            return;
        }
        let action = if step.reverse { self.waiting.pop().unwrap() } else { self.waiting.remove(0) };
        if action == Action::Login {
            self.logins -= 1;
        }
        if let Some(event) = self.event(&action, &step.mood) {
            self.tell(event);
        }
    }

    fn event(&self, action: &Action, mood: &Mood) -> Option<Event> {
        let failure = match mood {
            Mood::Sealed => Some(failure(Fault::Sealed, Kind::Unavailable)),
            Mood::Denies => Some(failure(Fault::Status(403), Kind::Denied)),
            _ => None,
        };
        let missing = || play::failure(Fault::Status(404), Kind::Missing);
        Some(match (action, failure) {
            (Action::Login, Some(failure)) => Event::LoginFailed(failure),
            (Action::Login, None) => Event::LoggedIn(auth(Duration::from_secs(90))),
            (Action::Renew, Some(failure)) => Event::RenewFailed(failure),
            (Action::Renew, None) => Event::Renewed(auth(Duration::from_secs(90))),
            (Action::Read(index), Some(failure)) => Event::ReadFailed(*index, failure),
            (Action::Read(index), None) => self.read(*index, mood),
            (Action::Poll(index), Some(failure)) => Event::PollFailed(*index, failure),
            (Action::Poll(index), None) if matches!(mood, Mood::Deleted) => Event::Polled(*index, 0),
            (Action::Poll(index), None) => Event::Polled(*index, self.version),
            (Action::Watch(_), Some(failure)) => Event::WatchFailed(failure),
            (Action::Watch(_), None) if matches!(mood, Mood::NoExtension) => Event::WatchFailed(missing()),
            (Action::Watch(request), None) => Event::WatchAnswered(WatchAnswer {
                changes: request
                    .paths
                    .iter()
                    .filter(|held| held.version != self.version)
                    .map(|held| Change { path: held.path.clone(), version: self.version })
                    .collect(),
            }),
            (Action::Commit, _) if matches!(mood, Mood::Sealed) => Event::WriteFailed("full".to_owned()),
            (Action::Commit, _) => Event::Written,
            (Action::Acknowledge(_), Some(failure)) => Event::AcknowledgeFailed(failure),
            (Action::Acknowledge(_), None) => Event::Acknowledged,
            (Action::FetchTrust, Some(failure)) => Event::TrustFailed(failure),
            (Action::FetchTrust, None) => Event::TrustFetched("bundle".to_owned()),
            (Action::React(index), failure) => {
                Event::Reacted(*index, failure.map(|_| Cause::new(NOT_SIGNALLED, "signal dex", "refused", "look")))
            }
            _ => return None,
        })
    }

    fn read(&self, index: usize, mood: &Mood) -> Event {
        let value = |version: u64| {
            let key = if self.spoilt.contains(&version) { "other" } else { "password" };
            Reading::Value { document: document(&format!(r#"{{"{key}":"{version}"}}"#)), version, lease: None }
        };
        let reading = match mood {
            Mood::Missing if !self.ready => {
                return Event::ReadFailed(index, failure(Fault::Status(404), Kind::Missing));
            }
            Mood::OldVersion => value(self.version.saturating_sub(1).max(1)),
            Mood::Deleted => Reading::Deleted { version: self.version },
            _ => value(self.version),
        };
        Event::ReadDone(index, reading)
    }

    /// Everything works again: how long until the newest version is in the files.
    fn heal(&mut self) {
        self.version += u64::from(self.spoilt.contains(&self.version));
        let works = Step { mood: Mood::Works, milliseconds: 0, write: false, reverse: false, answers: 0 };
        for _ in 0..600 {
            while !self.waiting.is_empty() {
                self.answer(&works);
            }
            self.pass(Duration::from_secs(5));
        }
    }
}

fn play(plan: Plan, steps: &[Step], gate_lost: bool) {
    let mut world = World::new(plan);
    world.tell(Event::Started(None));
    if world.machine.plan().gate == GateKind::Hook {
        world.tell(Event::WaitConnected);
    }
    for step in steps {
        world.version += u64::from(step.write);
        if step.write && matches!(step.mood, Mood::WrongKey) {
            world.spoilt.push(world.version);
        }
        world.pass(Duration::from_millis(step.milliseconds));
        for _ in 0..step.answers {
            world.answer(step);
        }
    }
    if gate_lost && world.ready {
        world.tell(Event::WaitLost);
    }
    world.heal();
    assert!(world.ready, "never became ready although everything works");
    assert!(world.now > world.started);
    assert!(world.highest.iter().all(|version| *version == world.version), "stale files although everything works");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_an_invariant_with_a_broker(steps in steps(), lost in any::<bool>()) {
        play(signalled(3), &steps, lost);
    }

    #[test]
    fn no_order_of_events_breaks_an_invariant_straight_to_vault(steps in steps(), lost in any::<bool>()) {
        play(direct(3), &steps, lost);
    }
}
