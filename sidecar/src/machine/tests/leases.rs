//! Leased credentials against a server that keeps leases and tokens as Vault does: what is never allowed to happen.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::play::{Play, auth, failure};
use super::*;
use crate::machine::retired::KEPT;
use vouchsafe_model::wire::Lease;

/// How the server's engine and auth method are set.
#[derive(Clone, Copy, Debug)]
struct Terms {
    lease: u64,
    lease_max: u64,
    renewable: bool,
    token: u64,
    token_max: u64,
    may_revoke: bool,
    told: bool,
}

struct Server {
    terms: Terms,
    /// When each ends, can end at the latest, and whose it is.
    leases: BTreeMap<String, (Moment, Moment, String)>,
    tokens: BTreeMap<String, (Moment, Moment)>,
    minted: usize,
    logins: usize,
    is_down: bool,
}

impl Server {
    fn new(terms: Terms) -> Self {
        Self { terms, leases: BTreeMap::new(), tokens: BTreeMap::new(), minted: 0, logins: 0, is_down: false }
    }

    fn expire(&mut self, now: Moment) {
        self.tokens.retain(|_, (ends, _)| *ends > now);
        self.leases.retain(|_, (ends, _, token)| *ends > now && self.tokens.contains_key(token));
    }

    /// Whole seconds from `now` to `latest`, at most `wanted`, as the wire has them.
    fn granted(wanted: u64, latest: Moment, now: Moment) -> Duration {
        Duration::from_secs(wanted.min(latest.since(now).as_secs()))
    }

    fn answer(&mut self, machine: &Machine, action: &Action, now: Moment) -> Option<Event> {
        self.expire(now);
        let token = machine.token().and_then(Secret::expose_str).unwrap_or_default().to_owned();
        let refused = if self.is_down {
            Some(failure(Fault::Connect, Kind::Unavailable))
        } else if matches!(action, Action::Login) || self.tokens.contains_key(&token) {
            None
        } else {
            Some(failure(Fault::Status(403), Kind::Denied))
        };
        Some(match (action, refused) {
            (Action::Login, Some(failure)) => Event::LoginFailed(failure),
            (Action::Login, None) => {
                self.logins += 1;
                let mut auth = auth(Duration::from_secs(self.terms.token));
                let name = format!("hvs.{}", self.logins);
                let (token, most) = (Duration::from_secs(self.terms.token), Duration::from_secs(self.terms.token_max));
                self.tokens.insert(name.clone(), (now.after(token), now.after(most)));
                auth.client_token = Secret::from(name);
                Event::LoggedIn(auth)
            }
            (Action::Renew, Some(failure)) => Event::RenewFailed(failure),
            (Action::Renew, None) => {
                let (ends, latest) = self.tokens.get_mut(&token)?;
                let granted = Self::granted(self.terms.token, *latest, now);
                *ends = now.after(granted);
                Event::Renewed(auth(granted))
            }
            (Action::Read(index), Some(failure)) => Event::ReadFailed(*index, failure),
            (Action::Read(index), None) => self.mint(*index, token, now),
            (Action::RenewLease(index), Some(failure)) => Event::LeaseFailed(*index, failure),
            (Action::RenewLease(index), None) => {
                let id = machine.lease_id(*index).unwrap().to_owned();
                match self.leases.get_mut(&id) {
                    None => Event::LeaseFailed(*index, failure(Fault::Status(400), Kind::Invalid)),
                    Some((ends, latest, _)) => {
                        let duration = Self::granted(self.terms.lease, *latest, now);
                        *ends = now.after(duration);
                        Event::LeaseRenewed(*index, Lease { id, duration, renewable: true })
                    }
                }
            }
            (Action::Discard(number), refused) => {
                Event::Discarded(*number, self.discard(machine, *number, refused, now))
            }
            (Action::Commit, _) => Event::Written,
            (Action::React(index), _) => Event::Reacted(*index, None),
            (Action::Watch(_), _) => Event::WatchFailed(failure(Fault::Status(404), Kind::Missing)),
            (Action::Acknowledge(_), _) => Event::Acknowledged,
            (Action::FetchTrust, _) => Event::TrustFailed(failure(Fault::Status(404), Kind::Missing)),
            _ => return None,
        })
    }

    fn mint(&mut self, index: usize, token: String, now: Moment) -> Event {
        self.minted += 1;
        let id = format!("creds/app/{}", self.minted);
        let duration = Duration::from_secs(self.terms.lease);
        let latest = now.after(Duration::from_secs(self.terms.lease_max));
        self.leases.insert(id.clone(), (now.after(duration), latest, token));
        let document = document(&format!(r#"{{"password":"{id}"}}"#));
        let lease = Some(Lease { id, duration, renewable: self.terms.renewable });
        Event::ReadDone(index, Reading::Value { document, version: 0, lease })
    }

    fn discard(
        &mut self,
        machine: &Machine,
        number: u64,
        refused: Option<crate::cause::Failure>,
        now: Moment,
    ) -> Option<crate::cause::Failure> {
        let denied = || Some(failure(Fault::Status(403), Kind::Denied));
        match (machine.discarded(number).expect("a number that is known"), refused) {
            (_, Some(refused)) => return Some(refused),
            (Discard::Lease(_), None) if !self.terms.may_revoke => return denied(),
            (Discard::Lease(id), None) => drop(self.leases.remove(id)),
            (Discard::Token(token), None) => drop(self.tokens.remove(token.expose_str().unwrap())),
        }
        self.expire(now);
        None
    }
}

struct World {
    machine: Machine,
    server: Server,
    now: Moment,
    /// Since when the server has answered without a break.
    up_since: Moment,
    exchanges: usize,
}

impl World {
    fn new(terms: Terms) -> Self {
        let now = Moment::new(Duration::from_secs(50));
        let mut world =
            Self { machine: machine(terms, now), server: Server::new(terms), now, up_since: now, exchanges: 0 };
        world.tell(Event::Started(None));
        world.tell(Event::WaitConnected);
        world
    }

    /// Tells the machine, and has every exchange answered at once.
    fn tell(&mut self, event: Event) {
        let mut waiting = vec![event];
        let mut told = 0;
        while let Some(event) = waiting.pop() {
            told += 1;
            assert!(told < 100, "events without end");
            for action in self.machine.on(event, self.now) {
                assert!(!matches!(action, Action::Exit { .. }), "{action:?}");
                if let Some(answer) = self.server.answer(&self.machine, &action, self.now) {
                    self.exchanges += 1;
                    waiting.push(answer);
                }
            }
        }
        let allowed = 2 + KEPT;
        assert!(self.server.leases.len() <= allowed || !self.server.terms.may_revoke, "{:?}", self.server.leases);
    }

    /// What the app reads now.
    fn credential(&self) -> Option<String> {
        self.machine.files().next().map(|(_, _, bytes)| bytes.expose_str().unwrap().to_owned())
    }

    /// Lets time pass as a driver does; the credential in the files must be one that the server knows, unless it was away.
    fn pass(&mut self, wait: Duration) {
        let end = self.now.after(wait);
        loop {
            let wake = self.machine.next_wake(self.now).map_or(end, |wake| wake.max(self.now)).min(end);
            self.now = wake;
            self.server.expire(self.now);
            self.check();
            self.tell(Event::Tick);
            if wake == end {
                return self.check();
            }
        }
    }

    fn check(&self) {
        let settled = self.now.since(self.up_since) >= Duration::from_secs(45);
        if self.server.is_down || !settled {
            return;
        }
        let credential = self.credential().expect("files");
        assert!(self.server.leases.contains_key(&credential), "{credential} is dead: {:?}", self.server.leases);
    }

    /// The process ends at once and starts again over what it had saved.
    fn restart(&mut self) {
        let before = self.server.minted;
        let had = self.credential();
        let token = self.machine.token().and_then(Secret::expose_str).unwrap_or_default();
        let had_token = self.server.tokens.contains_key(token);
        // What is dead, or has less than half of its life left, may be due for its successor at this very moment.
        let half = Duration::from_secs(self.server.terms.lease / 2);
        let is_fresh = had
            .as_ref()
            .is_none_or(|id| self.server.leases.get(id).is_some_and(|(ends, _, _)| ends.since(self.now) > half));
        let saved = Saved::parse(&self.machine.snapshot()).unwrap();
        self.machine = machine(self.server.terms, self.now);
        self.tell(Event::Started(Some(saved)));
        assert!(self.machine.is_ready() || had.is_none());
        if had_token && is_fresh {
            assert_eq!(self.credential(), had, "a restart changes no file by itself");
            assert_eq!(self.server.minted, before, "a restart minted");
        }
    }

    fn outage(&mut self, wait: Duration) {
        self.server.is_down = true;
        let had = self.credential();
        self.pass(wait);
        assert_eq!(self.credential(), had, "an outage changes no file");
        self.server.is_down = false;
        self.up_since = self.now;
    }
}

fn machine(terms: Terms, now: Moment) -> Machine {
    let mut plan = if terms.told { signalled(1) } else { direct(1) };
    plan.secrets[0].engine = Engine::Generic;
    let workload = Workload {
        namespace: plan.workload.namespace.clone(),
        service_account: plan.workload.service_account.clone(),
        pod: None,
        pod_uid: None,
    };
    Machine::new(plan, workload, 3, now)
}

const RENEWED: Terms =
    Terms { lease: 20, lease_max: 100, renewable: true, token: 3600, token_max: 36_000, may_revoke: true, told: true };

#[test]
fn a_lease_is_renewed_until_its_maximum_and_then_replaced_with_overlap() {
    let mut world = World::new(RENEWED);
    world.pass(Duration::from_secs(80));
    assert_eq!(world.server.minted, 1, "renewed");
    world.pass(Duration::from_secs(17));
    assert_eq!(world.server.minted, 2, "replaced before its end");
    assert_eq!(world.server.leases.len(), 2, "both are good for a while");
    world.pass(Duration::from_secs(3600));
    // Each lives 100 s and is replaced about 7 s before.
    assert!((34..50).contains(&world.server.minted), "{}", world.server.minted);
    assert_eq!(world.server.logins, 1);
}

#[test]
fn what_cannot_be_renewed_is_replaced_at_two_thirds() {
    let mut world = World::new(Terms { renewable: false, lease: 300, ..RENEWED });
    world.pass(Duration::from_secs(175));
    assert_eq!(world.server.minted, 1);
    world.pass(Duration::from_secs(30));
    assert_eq!((world.server.minted, world.server.leases.len()), (2, 2));
    // The app was told: a minute later the old one is given up, before its own end.
    world.pass(Duration::from_secs(65));
    assert_eq!(world.server.leases.len(), 1);
    assert!(world.server.leases.contains_key(&world.credential().unwrap()));
}

#[test]
fn where_the_app_is_not_told_the_old_one_runs_to_its_own_end() {
    let mut world = World::new(Terms { renewable: false, lease: 300, told: false, ..RENEWED });
    world.pass(Duration::from_secs(285));
    assert_eq!(world.server.leases.len(), 2, "nobody knows what the app has read");
    world.pass(Duration::from_secs(20));
    assert_eq!(world.server.leases.len(), 1);
}

#[test]
fn a_lease_that_the_server_lost_is_replaced_at_the_next_renewal() {
    let mut world = World::new(RENEWED);
    world.server.leases.clear();
    world.up_since = world.now;
    world.pass(Duration::from_secs(16));
    assert_eq!(world.server.minted, 2);
    assert!(world.server.leases.contains_key(&world.credential().unwrap()));
}

#[test]
fn leases_move_to_the_new_token_before_the_old_one_takes_them_along() {
    let terms = Terms { lease: 3600, lease_max: 36_000, token: 120, token_max: 400, ..RENEWED };
    let mut world = World::new(terms);
    world.pass(Duration::from_secs(2000));
    assert!(world.server.logins >= 5, "{}", world.server.logins);
    assert_eq!(world.server.minted, world.server.logins, "one credential a login");
    assert!(world.server.tokens.len() <= 2 && world.server.leases.len() <= 2);
}

#[test]
fn a_renewal_that_is_not_allowed_leads_to_a_replacement_and_not_to_a_storm() {
    let mut world = World::new(Terms { lease: 300, ..RENEWED });
    for _ in 0..40 {
        world.pass(Duration::from_secs(30));
        let refused = failure(Fault::Status(403), Kind::Denied);
        if world.machine.sources[0].in_flight.is_none() {
            world.tell(Event::LeaseFailed(0, refused));
        }
    }
    assert!(world.server.minted <= 8, "{}", world.server.minted);
}

#[test]
fn a_token_that_ended_while_the_server_was_away_makes_no_storm_of_logins() {
    let mut world = World::new(Terms { token: 60, token_max: 60, ..RENEWED });
    let before = world.exchanges;
    world.outage(Duration::from_secs(600));
    assert!(world.exchanges - before < 120, "{} exchanges in 10 minutes", world.exchanges - before);
    world.pass(Duration::from_secs(60));
    assert!(world.server.leases.contains_key(&world.credential().unwrap()));
}

#[test]
fn a_lease_of_no_time_does_not_make_a_storm() {
    let mut world = World::new(Terms { lease: 0, renewable: false, ..RENEWED });
    world.up_since = world.now.after(HOUR);
    world.pass(Duration::from_secs(1000));
    assert!(world.server.minted <= 5, "{}", world.server.minted);
}

#[test]
fn a_successor_that_cannot_become_files_is_given_up_and_the_old_one_stays_in_use() {
    let mut world = World::new(Terms { lease: 600, lease_max: 600, renewable: false, ..RENEWED });
    let had = world.credential();
    world.pass(Duration::from_secs(30));
    world.machine.sources[0].read_now(world.now);
    let actions = world.machine.on(Event::Tick, world.now);
    assert_eq!(actions, [Action::Read(0)]);
    let lease = Lease { id: "creds/app/odd".to_owned(), duration: Duration::from_secs(600), renewable: false };
    let reading = Reading::Value { document: document(r#"{"other":"x"}"#), version: 0, lease: Some(lease) };
    let actions = world.machine.on(Event::ReadDone(0, reading), world.now);
    let Some(Action::Discard(number)) = actions.iter().find(|action| matches!(action, Action::Discard(_))) else {
        panic!("{actions:?}")
    };
    assert!(matches!(world.machine.discarded(*number), Some(Discard::Lease("creds/app/odd"))));
    assert_eq!(world.credential(), had);
    assert!(world.machine.causes().iter().any(|cause| cause.code == NO_KEY));
    assert!(world.machine.next_wake(world.now).unwrap() > world.now);
}

#[test]
fn a_certificate_has_no_lease_to_give_up_and_is_replaced_at_two_thirds() {
    let mut plan = signalled(1);
    plan.secrets[0].engine = Engine::Generic;
    let mut play = Play::new(plan);
    play.start();
    play.on(Event::WaitConnected);
    play.log_in(10 * HOUR);
    let issue = |play: &mut Play, serial: u32| {
        let lease = Lease { id: String::new(), duration: Duration::from_secs(90), renewable: false };
        let document = document(&format!(r#"{{"password":"{serial}"}}"#));
        play.on(Event::ReadDone(0, Reading::Value { document, version: 0, lease: Some(lease) }));
        play.on(Event::Written)
    };
    issue(&mut play, 1);
    assert!(!play.wait(Duration::from_secs(53)).contains(&Action::Read(0)));
    assert!(play.wait(Duration::from_secs(8)).contains(&Action::Read(0)));
    issue(&mut play, 2);
    assert_eq!(play.file("f0").as_deref(), Some("2"));
    play.on(Event::Reacted(0, None));
    assert!(play.machine.retired_leases().is_empty());
    assert!(!play.machine.holds_leases());
}

#[test]
fn a_restarted_sidecar_goes_on_giving_up_what_was_replaced() {
    let mut world = World::new(Terms { renewable: false, lease: 300, ..RENEWED });
    world.pass(Duration::from_secs(205));
    assert_eq!(world.server.leases.len(), 2);
    world.restart();
    world.pass(Duration::from_secs(70));
    assert_eq!(world.server.leases.len(), 1);
    assert_eq!(world.server.minted, 2);
}

fn terms() -> impl Strategy<Value = Terms> {
    let times = (10u64..200, 1u64..20, 60u64..2000, 1u64..20);
    (times, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |((lease, more, token, longer), renewable, revoke, told)| Terms {
            lease,
            lease_max: lease * more,
            renewable,
            token,
            token_max: token * longer,
            may_revoke: revoke,
            told,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn while_the_server_answers_the_app_never_holds_a_dead_credential(
        terms in terms(),
        steps in proptest::collection::vec((0u64..90, 0u8..8, 0u64..400), 1..25),
    ) {
        let mut world = World::new(terms);
        for (pause, what, outage) in steps {
            world.pass(Duration::from_secs(pause));
            match what {
                0 => world.restart(),
                1 => world.outage(Duration::from_secs(outage)),
                _ => {}
            }
        }
        world.pass(Duration::from_secs(120));
        world.check();
    }
}
