//! Faults: what must hold when OpenBao, the network between, the kubelet or the whole node fail, and who is refused.
//!
//! Scenarios on a real node with our broker in front of real OpenBao servers (`field`), run by `smoke --faults`. Instants
//! and network faults come from one seed, which the run prints; `VOUCHSAFE_SEED` gives it again.
//! Out of scope: the main job on a good day (smoke), load.

#![expect(clippy::indexing_slicing, reason = "looking into a JSON value gives null where nothing is, never a panic")]

pub(crate) mod dice;
pub(crate) mod field;
pub(crate) mod gates;
pub(crate) mod identities;
pub(crate) mod mode;
pub(crate) mod node;
pub(crate) mod outage;
pub(crate) mod proxy;
pub(crate) mod raft;
pub(crate) mod storm;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::field::Field;
use crate::smoke::outcome::Outcome;
use crate::smoke::programs::Programs;
use crate::smoke::suite::{Scenario, UNAVAILABLE, Words, play, verdict};
use crate::smoke::target;

/// First argument of the program for this suite: `smoke --faults [WORD…]`.
pub(crate) const VERB: &str = "--faults";

/// All of them, in the order in which they run.
const SCENARIOS: &[Scenario<Field>] = &[
    Scenario {
        sentence: "the app's first instruction finds its files between two mesh sidecars, in each gate",
        run: gates::between_mesh_sidecars,
        pod: ("hook", "meshed"),
    },
    Scenario {
        sentence: "a foreign identity is refused by OpenBao, and the pod says so",
        run: identities::a_foreign_identity_is_refused,
        pod: ("hook", "other-account"),
    },
    Scenario {
        sentence: "OpenBao sealed: pods keep their files and are current soon after",
        run: outage::sealed,
        pod: ("init", "late-sealed"),
    },
    Scenario {
        sentence: "OpenBao killed: pods keep their files and are current soon after",
        run: outage::killed,
        pod: ("init", "late-killed"),
    },
    Scenario {
        sentence: "OpenBao's leader stepped down and killed: pods keep their files and are current soon after",
        run: outage::stepped_down,
        pod: ("init", "late-stepped-down"),
    },
    Scenario {
        sentence: "OpenBao slow: pods keep their files and are current soon after",
        run: outage::slow,
        pod: ("init", "late-slow"),
    },
    Scenario {
        sentence: "OpenBao busy: pods keep their files and are current soon after",
        run: outage::busy,
        pod: ("init", "late-busy"),
    },
    Scenario {
        sentence: "a network that drops, resets and delays: pods keep their files and are current soon after",
        run: outage::mixed,
        pod: ("init", "late-mixed"),
    },
    Scenario {
        sentence: "a node restarted while OpenBao is away: pods come back with their state, or say why not",
        run: node::restarted_during_an_outage,
        pod: ("hook", "loses"),
    },
    Scenario {
        sentence: "behind the strict gate no app starts bare when the kubelet dies at random instants",
        run: gates::kubelet_dies_behind_the_strict_gate,
        pod: ("init", "random-0"),
    },
    Scenario {
        sentence: "behind the start hook no app starts bare when the kubelet dies at random instants",
        run: gates::kubelet_dies_behind_the_hook,
        pod: ("hook", "random-0"),
    },
    Scenario {
        sentence: "a storm of pods started together: no gate ends its own sidecar",
        run: storm::started_together,
        pod: ("hook", ""),
    },
];

/// The suite. Arguments are words of the sentences of scenarios to run; none runs all.
pub(crate) fn main(repository: &Path, words: &[String]) -> Outcome<ExitCode> {
    let began = Instant::now();
    let programs = Programs::find(&target(repository), true)?;
    let Some(mut field) = Field::build(repository, programs, SERVERS)? else { return Ok(ExitCode::from(UNAVAILABLE)) };
    println!("set up    {:>6.1} s  seed {} (VOUCHSAFE_SEED)", began.elapsed().as_secs_f64(), field.seed);
    let mut score = play(&mut field, SCENARIOS, &Words(words))?;
    score.end("the end", field.end());
    Ok(verdict(&score, began))
}

/// OpenBao servers: one may fail, and the others still agree.
const SERVERS: u16 = 3;
