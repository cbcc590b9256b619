//! The classic form: an init container that ends with the first generation, and a sidecar that goes on from its state.

use super::play::{Play, failure};
use super::*;

fn classic(count: usize, injection: Injection) -> Plan {
    Plan { injection, ..plan(count) }
}

/// The state that a process leaves, as the next one finds it.
pub(super) fn handed_over(play: &Play) -> Saved {
    Saved::parse(&play.machine.snapshot()).unwrap()
}

#[test]
fn the_init_container_keeps_its_state_and_ends_with_the_first_generation() {
    let mut init = Play::first(classic(2, Injection::Classic));
    assert_eq!(init.start(), [Action::Login]);
    init.log_in(HOUR);
    init.read(0, 1, "v0");
    init.read(1, 1, "v1");
    let ended = init.on(Event::Written);
    assert_eq!(ended, [Action::Ready, Action::Save, Action::Exit { code: 0, cause: None }]);
    let mut sidecar = Play::new(classic(2, Injection::Classic));
    let begun = sidecar.on(Event::Started(Some(handed_over(&init))));
    assert!(begun.contains(&Action::Commit), "{begun:?}");
    assert!(!begun.iter().any(|action| matches!(action, Action::Login | Action::Read(_))), "{begun:?}");
    sidecar.on(Event::Written);
    assert!(sidecar.machine.is_ready());
    assert_eq!(sidecar.machine.token(), init.machine.token());
}

#[test]
fn the_init_container_gives_up_after_its_bound_and_says_why() {
    let mut init = Play::first(classic(1, Injection::Classic));
    init.start();
    init.on(Event::LoginFailed(failure(Fault::Status(403), Kind::Denied)));
    let actions = init.wait(Duration::from_secs(21));
    let Some(Action::Exit { code, cause: Some(cause) }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!((*code, cause.code), (Kind::Unavailable.exit_code(), LOGIN_DENIED));
}

#[test]
fn the_strict_gate_lets_the_init_container_wait_as_long_as_it_takes() {
    let mut strict = classic(1, Injection::Once);
    strict.gate = GateKind::Init;
    let mut init = Play::first(strict);
    init.start();
    init.on(Event::LoginFailed(failure(Fault::Sealed, Kind::Unavailable)));
    let actions = init_waits(&mut init);
    assert_eq!(init.exit_code(&actions), None);
}

fn init_waits(init: &mut Play) -> Vec<Action> {
    let mut all = Vec::new();
    for _ in 0..100 {
        let actions = init.wait(Duration::from_secs(31));
        if actions.contains(&Action::Login) {
            init.on(Event::LoginFailed(failure(Fault::Sealed, Kind::Unavailable)));
        }
        all.extend(actions);
    }
    all
}

#[test]
fn the_sidecar_beside_the_app_needs_no_hook() {
    let mut sidecar = Play::new(classic(1, Injection::Classic));
    sidecar.start();
    sidecar.log_in(HOUR);
    let actions = sidecar.wait(Duration::from_secs(25));
    assert_eq!(sidecar.exit_code(&actions), None);
    sidecar.finish_reads();
    assert!(sidecar.machine.is_ready());
}

#[test]
fn an_init_container_that_runs_again_over_a_complete_state_needs_no_server() {
    let mut init = Play::first(classic(1, Injection::Classic));
    init.start();
    init.log_in(Duration::from_secs(60));
    init.read(0, 1, "v0");
    init.on(Event::Written);
    let mut again = Play::first_at(classic(1, Injection::Classic), init.now.after(HOUR));
    let begun = again.on(Event::Started(Some(handed_over(&init))));
    assert!(begun.contains(&Action::Commit) && !begun.contains(&Action::Login), "{begun:?}");
    let ended = again.on(Event::Written);
    assert_eq!(again.exit_code(&ended), Some(0));
}

#[test]
fn where_no_sidecar_goes_on_the_token_is_given_up_unless_something_leased_hangs_on_it() {
    let run = |plan: Plan, leased: bool| {
        let mut init = Play::first(plan);
        init.start();
        init.log_in(HOUR);
        if leased {
            init.lease(0, HOUR);
        } else {
            init.read(0, 1, "v0");
        }
        init.on(Event::Written)
    };
    assert!(run(classic(1, Injection::Once), false).contains(&Action::Goodbye));
    let straight = run(Plan { injection: Injection::Once, ..direct(1) }, false);
    assert!(straight.iter().any(|action| matches!(action, Action::Revoke(_))), "{straight:?}");
    for plan in [classic(1, Injection::Once), Plan { injection: Injection::Once, ..direct(1) }] {
        let actions = run(plan, true);
        assert_eq!(actions.last(), Some(&Action::Exit { code: 0, cause: None }), "{actions:?}");
        assert!(!actions.iter().any(|action| matches!(action, Action::Goodbye | Action::Revoke(_))), "{actions:?}");
    }
}
