//! The install suite: the chart on one real Kubernetes node, by real helm, in front of a real OpenBao.
//!
//! A node of `tests/real` with cluster DNS and OpenBao is set up once (`world`), the chart is installed in mode `upstream`,
//! and scenarios run one after the other; the last ones install the other modes. Out of scope: the sidecar's own behaviour
//! in outages (other suites).

#![expect(clippy::indexing_slicing, reason = "looking into a JSON value gives null where nothing is, never a panic")]

mod admission;
mod examples;
mod grants;
mod helm;
mod modes;
mod operations;
mod pods;
mod upgrade;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use self::world::Installation;
use crate::smoke::outcome::Outcome;
use crate::smoke::suite::{Scenario, UNAVAILABLE, Words, play, verdict};

/// All of them, in the order in which they run.
const SCENARIOS: &[Scenario<Installation>] = &[
    Scenario { sentence: "the chart renders twice to the same bytes", run: helm::renders_alike, pod: NONE },
    Scenario { sentence: "helm test passes", run: operations::helm_test_passes, pod: ("vouchsafe", "vouchsafe-test") },
    Scenario {
        sentence: "nothing differs from git after the controller has run",
        run: operations::nothing_differs,
        pod: NONE,
    },
    Scenario {
        sentence: "an overwritten caBundle is repaired within 5 s",
        run: operations::bundle_is_repaired,
        pod: NONE,
    },
    Scenario {
        sentence: "the schema takes sound Grants and refuses the others",
        run: grants::schema_judges,
        pod: NONE,
    },
    Scenario { sentence: "the platform's Grants compile", run: grants::platform_compiles, pod: NONE },
    Scenario { sentence: "every example runs as every kind of workload", run: examples::run_as_every_kind, pod: NONE },
    Scenario { sentence: "a pod of a restricted namespace runs", run: pods::restricted, pod: ("odd", "restricted") },
    Scenario { sentence: "a Guaranteed pod stays Guaranteed", run: pods::guaranteed, pod: ("odd", "guaranteed") },
    Scenario { sentence: "a pod under a ResourceQuota runs", run: pods::under_quota, pod: ("quota", "counted") },
    Scenario { sentence: "an autoscaler can count an injected pod", run: pods::autoscaled, pod: ("odd", "scaled") },
    Scenario {
        sentence: "an arbitrary uid without fsGroup reads its files",
        run: pods::arbitrary_user,
        pod: ("odd", "anyuid"),
    },
    Scenario { sentence: "workloads are warned about when they are applied", run: pods::warned, pod: NONE },
    Scenario { sentence: "the admission policy knows what injection makes", run: admission::policy_judges, pod: NONE },
    Scenario { sentence: "ephemeral containers stay off our volumes", run: admission::ephemeral_containers, pod: NONE },
    Scenario { sentence: "with every webhook gone, no pod starts bare", run: admission::without_webhook, pod: NONE },
    Scenario { sentence: "no pod is admitted bare during a rolling upgrade", run: upgrade::rolling, pod: NONE },
    Scenario { sentence: "mode direct becomes ready and delivers", run: modes::direct, pod: ("odd", "straight") },
    Scenario { sentence: "mode store becomes ready and delivers", run: modes::store, pod: ("odd", "stored") },
];

/// The scenario is about no single pod.
const NONE: (&str, &str) = ("", "");

/// The program. Arguments are words of the sentences of scenarios to run; none runs all.
pub fn main(repository: &Path, arguments: &[String]) -> ExitCode {
    run(repository, arguments).unwrap_or_else(|failure| {
        eprintln!("install: {failure}");
        ExitCode::FAILURE
    })
}

fn run(repository: &Path, words: &[String]) -> Outcome<ExitCode> {
    let began = Instant::now();
    let Some(mut installation) = Installation::build(repository)? else { return Ok(ExitCode::from(UNAVAILABLE)) };
    println!("set up    {:>6.1} s", began.elapsed().as_secs_f64());
    let score = play(&mut installation, SCENARIOS, &Words(words))?;
    Ok(verdict(&score, began))
}
