//! Dynamic secrets on a real node before a real OpenBao: changes by others, leases, certificates, tokens that end, and the
//! classic form of injection. What a sidecar asked for is counted in OpenBao's own audit log, and which credentials are good
//! is known by whoever they were made at (`queue`).
//!
//! Out of scope: faults (faults), our own store (smoke: it has no leases).

#![expect(clippy::indexing_slicing, reason = "looking into a JSON value gives null where nothing is, never a panic")]

mod audit;
mod certificates;
mod changes;
mod classic;
mod ground;
mod leases;
mod queue;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::ground::Ground;
use crate::smoke::outcome::Outcome;
use crate::smoke::programs::Programs;
use crate::smoke::suite::{Scenario, UNAVAILABLE, Words, play, verdict};
use crate::smoke::target;

/// All of them, in the order in which they run.
const SCENARIOS: &[Scenario<Ground>] = &[
    Scenario {
        sentence: "ten secrets cost one login and one read of each path",
        run: changes::ten_secrets_cost_one_login_and_one_read_each,
        pod: ("native", "many"),
    },
    Scenario {
        sentence: "what somebody else changes in OpenBao is followed",
        run: changes::what_somebody_else_changes_is_followed,
        pod: ("native", "many"),
    },
    Scenario {
        sentence: "a lease is renewed, replaced with overlap, and lives on when only the sidecar is restarted",
        run: leases::a_lease_is_renewed_replaced_and_survives_a_restart,
        pod: ("native", "leased"),
    },
    Scenario {
        sentence: "at the pod's end its token and its credentials end",
        run: leases::at_the_pods_end_its_credentials_end,
        pod: ("native", "leased"),
    },
    Scenario {
        sentence: "a token at its maximum takes no credential along that the app holds",
        run: leases::a_token_at_its_maximum_takes_no_credential_along,
        pod: ("native", "brief"),
    },
    Scenario {
        sentence: "certificates of 20 s are replaced with key and chain of the same issuance",
        run: certificates::certificates_are_replaced_as_one_set,
        pod: ("native", "certified"),
    },
    Scenario {
        sentence: "in classic form the app is never bare and the sidecar goes on without a login",
        run: classic::the_sidecar_goes_on_without_a_login,
        pod: ("classic", "leased"),
    },
    Scenario {
        sentence: "in classic form a Job gets its files once, with a warning, and ends",
        run: classic::a_job_ends,
        pod: ("classic", ""),
    },
];

/// The program. Arguments are words of the sentences of scenarios to run; none runs all.
pub fn main(repository: &Path, arguments: &[String]) -> ExitCode {
    let result = match arguments {
        [verb, address, file] if verb == queue::VERB => {
            queue::serve(address, Path::new(file)).map(|()| ExitCode::SUCCESS)
        }
        words => scenarios(repository, words),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("dynamic: {failure}");
        ExitCode::FAILURE
    })
}

fn scenarios(repository: &Path, words: &[String]) -> Outcome<ExitCode> {
    let began = Instant::now();
    let programs = Programs::find(&target(repository), true)?;
    let Some(mut ground) = Ground::build(repository, programs)? else { return Ok(ExitCode::from(UNAVAILABLE)) };
    println!("set up    {:>6.1} s", began.elapsed().as_secs_f64());
    let mut score = play(&mut ground, SCENARIOS, &Words(words))?;
    score.end("broker and webhooks", ground.end());
    Ok(verdict(&score, began))
}
