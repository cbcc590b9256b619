//! The smoke suite: the main job on one real Kubernetes node, with broker, store, webhook and sidecar as they are shipped.
//!
//! A node of `tests/real` is set up once (`world`), then scenarios run one after the other; each says in a sentence what
//! must hold, waits in bounds, and prints what helps when it does not hold. Out of scope: single crates, load.

#![expect(clippy::indexing_slicing, reason = "looking into a JSON value gives null where nothing is, never a panic")]

pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod canary;
pub(crate) mod cluster;
pub(crate) mod direct;
pub(crate) mod leaks;
pub(crate) mod listener;
pub(crate) mod memory;
pub(crate) mod objects;
pub(crate) mod outages;
pub(crate) mod outcome;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod refusals;
pub(crate) mod restarts;
pub(crate) mod starts;
pub(crate) mod suite;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use self::outcome::Outcome;
use self::programs::Programs;
use self::suite::{Scenario, Stage, UNAVAILABLE, Words, play, verdict};
use self::world::World;
use crate::bench;
use crate::faults::{self, proxy};

/// All of them, in the order in which they run.
const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        sentence: "files come straight from OpenBao",
        run: direct::files_come_straight_from_openbao,
        pod: ("direct", "direct"),
    },
    Scenario {
        sentence: "the app's first instruction finds its files",
        run: starts::finds_its_files,
        pod: ("apps", ""),
    },
    Scenario { sentence: "a Job ends", run: starts::a_job_ends, pod: ("apps", "") },
    Scenario {
        sentence: "a write reaches the file within a second",
        run: starts::a_write_reaches_the_file,
        pod: ("apps", "changing"),
    },
    Scenario {
        sentence: "a killed sidecar is ready again without a login",
        run: restarts::a_killed_sidecar_comes_back_without_a_login,
        pod: ("apps", "killed"),
    },
    Scenario {
        sentence: "a refusal names annotation, value and fix",
        run: refusals::a_refusal_names_annotation_value_and_fix,
        pod: ("apps", ""),
    },
    Scenario {
        sentence: "kubectl apply warns of a workload whose pods would be refused",
        run: refusals::a_workload_is_warned_about,
        pod: ("apps", ""),
    },
    Scenario {
        sentence: "only pods that ask depend on the webhook",
        run: refusals::only_pods_that_ask_depend_on_the_webhook,
        pod: ("apps", "bare"),
    },
    Scenario {
        sentence: "a restricted app behind the strict gate is signalled",
        run: starts::a_restricted_app_is_signalled,
        pod: ("strict", "signalled"),
    },
    Scenario {
        sentence: "a restricted app behind the strict gate is called",
        run: starts::a_restricted_app_is_called,
        pod: ("strict", "called"),
    },
    Scenario {
        sentence: "Grants of the cluster are watched with the right to read Grants only",
        run: starts::grants_of_the_cluster_are_watched,
        pod: ("watched", "watched"),
    },
    Scenario {
        sentence: "no app starts bare when the kubelet is killed",
        run: restarts::no_app_starts_bare_when_the_kubelet_is_killed,
        pod: ("apps", "gate-1"),
    },
    Scenario {
        sentence: "a waiting pod says why, and starts after recovery",
        run: outages::a_waiting_pod_says_why_and_starts_after_recovery,
        pod: ("apps", "late"),
    },
    Scenario {
        sentence: "running pods keep their files while the broker is down",
        run: outages::running_pods_keep_their_files_while_the_broker_is_down,
        pod: ("apps", "steady"),
    },
    Scenario {
        sentence: "running pods keep their files while the store is sealed",
        run: outages::running_pods_keep_their_files_while_the_store_is_sealed,
        pod: ("apps", "steady"),
    },
    Scenario {
        sentence: "every answered write survives a kill, and the audit log stays whole",
        run: outages::every_answered_write_survives_a_kill,
        pod: ("apps", ""),
    },
    Scenario {
        sentence: "straight to OpenBao, a write is found by polling",
        run: direct::a_write_is_found_by_polling,
        pod: ("direct", "direct"),
    },
    Scenario {
        sentence: "no value is anywhere but where it was asked for",
        run: leaks::no_value_is_anywhere_else,
        pod: ("apps", ""),
    },
];

/// The program. Arguments are words of the sentences of scenarios to run; none runs all.
pub fn main(repository: &Path, arguments: &[String]) -> ExitCode {
    let result = match arguments {
        [verb, address, file] if verb == listener::VERB => {
            listener::listen(address, Path::new(file)).map(|()| ExitCode::SUCCESS)
        }
        [verb, rest @ ..] if verb == proxy::VERB => proxy::serve(rest).map(|()| ExitCode::SUCCESS),
        [verb, rest @ ..] if verb == bench::VERB => bench::main(repository, rest),
        [verb, rest @ ..] if verb == faults::VERB => faults::main(repository, rest),
        [verb, rest @ ..] if verb == memory::VERB => memory::measure(repository, &target(repository), rest),
        words => scenarios(repository, words),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("smoke: {failure}");
        ExitCode::FAILURE
    })
}

/// Cargo's target folder.
pub(crate) fn target(repository: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from)
}

fn scenarios(repository: &Path, words: &[String]) -> Outcome<ExitCode> {
    let began = Instant::now();
    let programs = Programs::find(&target(repository), true)?;
    let Some(mut world) = World::build(repository, programs)? else { return Ok(ExitCode::from(UNAVAILABLE)) };
    println!("set up    {:>6.1} s", began.elapsed().as_secs_f64());
    let mut score = play(&mut world, SCENARIOS, &Words(words))?;
    for (name, webhook) in &mut world.webhooks {
        score.end(&format!("webhook {name}"), webhook.terminate());
    }
    if let Some(ended) = world.broker.as_mut().map(process::Daemon::terminate) {
        score.end("broker", ended);
    }
    world.keep_logs_if_wanted()?;
    Ok(verdict(&score, began))
}

impl Stage for World {
    fn evidence(&self, namespace: &str, pod: &str) -> String {
        World::evidence(self, namespace, pod)
    }

    fn mend(&mut self) -> Outcome {
        if self.broker.is_none() { self.start_broker() } else { Ok(()) }
    }
}
