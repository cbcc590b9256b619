//! `docs/benchmarks.md` from the figures of a run. Pure.

use std::fmt::Write as _;

use super::measure::ROUNDS;
use super::pods::{Kind, SECRETS};

/// What was measured of one kind of pod.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) kind: Kind,
    /// From creation to the app's first instruction, one entry a round.
    pub(crate) seconds: Vec<f64>,
    /// Of the container that stays.
    pub(crate) resident_kib: Option<u64>,
    /// Requests of one pod at OpenBao until it rests.
    pub(crate) requests: usize,
    pub(crate) logins: usize,
    pub(crate) reads: usize,
}

/// The machine of a run.
pub(crate) struct Surroundings {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// Load average before the run.
    pub(crate) load: f64,
}

/// Versions of what was compared.
pub(crate) struct Versions {
    pub(crate) openbao: String,
    pub(crate) kubernetes: String,
}

/// All that the page says.
pub(crate) struct Page {
    pub(crate) figures: Vec<Figures>,
    pub(crate) surroundings: Surroundings,
    pub(crate) versions: Versions,
    pub(crate) load_after: f64,
}

/// The page, and what is grossly worse than promised.
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) regressions: Vec<String>,
}

/// Writes the page.
pub(crate) fn page(page: &Page) -> Written {
    let of = |kind: Kind| page.figures.iter().find(|figures| figures.kind == kind);
    let median_of = |kind: Kind| of(kind).map_or(f64::NAN, |figures| median(&figures.seconds));
    let bare = median_of(Kind::Bare);
    let resident = |kind: Kind| of(kind).and_then(|figures| figures.resident_kib).map_or(f64::NAN, kibibytes);
    let mut text = head(&page.surroundings, &page.versions, page.load_after);
    for figures in &page.figures {
        let (middle, low, high) = (median(&figures.seconds), least(&figures.seconds), most(&figures.seconds));
        let over = if figures.kind == Kind::Bare { "-".to_owned() } else { format!("{:.2}", middle - bare) };
        let memory = figures.resident_kib.map_or("-".to_owned(), |kib| format!("{:.1}", kibibytes(kib)));
        let requests = match figures.requests {
            0 => "-".to_owned(),
            all => format!("{all} (logins: {}, reads: {})", figures.logins, figures.reads),
        };
        let name = name(figures.kind);
        let _ = writeln!(text, "| {name} | {middle:.2} | {low:.2} to {high:.2} | {over} | {memory} | {requests} |");
    }
    let ours = Compared {
        overhead: median_of(Kind::Broker) - bare,
        agent_overhead: median_of(Kind::Agent) - bare,
        memory: resident(Kind::Broker),
        agent_memory: resident(Kind::Agent),
    };
    text += &ours.goals();
    text += METHOD;
    Written { text: text.replace("ROUNDS", &ROUNDS.to_string()), regressions: ours.regressions() }
}

struct Compared {
    /// Seconds over a bare pod.
    overhead: f64,
    agent_overhead: f64,
    /// MiB.
    memory: f64,
    agent_memory: f64,
}

impl Compared {
    fn goals(&self) -> String {
        let share = self.overhead / self.agent_overhead * 100.0;
        let times = self.agent_memory / self.memory;
        let word = |met: bool| if met { "met" } else { "not met in this run" };
        format!(
            "\n| goal | measured | |\n|---|---|---|\n\
             | at most {GOAL_OVERHEAD} s over a bare pod | {:.2} s | {} |\n\
             | at most {GOAL_SHARE} % of the agent's overhead | {share:.0} % | {} |\n\
             | at most 1/{GOAL_TIMES} of the agent's memory | 1/{times:.0} | {} |\n",
            self.overhead,
            word(self.overhead <= GOAL_OVERHEAD),
            word(share <= GOAL_SHARE),
            word(times >= GOAL_TIMES),
        )
    }

    /// Far beyond what a noisy machine explains. Not a number is worse than any.
    fn regressions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.overhead.is_nan() || self.overhead > GROSS_OVERHEAD {
            found.push(format!(
                "injection adds {:.2} s to a bare pod's start; {GROSS_OVERHEAD} is far too much",
                self.overhead
            ));
        }
        if self.overhead.is_nan() || self.overhead > self.agent_overhead {
            found.push(format!("injection adds {:.2} s, the agent only {:.2} s", self.overhead, self.agent_overhead));
        }
        let times = self.agent_memory / self.memory;
        if times.is_nan() || times < GROSS_TIMES {
            found.push(format!("the sidecar takes {:.1} MiB, the agent {:.1} MiB", self.memory, self.agent_memory));
        }
        found
    }
}

fn head(machine: &Surroundings, versions: &Versions, load_after: f64) -> String {
    let Surroundings { date, processor, cores, memory_gib, kernel, load } = machine;
    format!(
        "# Benchmarks\n\n\
         What it costs a pod to get {SECRETS} secrets before its app starts: by Vouchsafe, by a hand-written `bao agent` (init \
         container and sidecar), and without any. Written by `make bench-pods`, which measures all of them in one run, on one \
         node, in turn; do not edit by hand.\n\n\
         - {date}, {processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}; load average {load:.1} before the run and \
         {load_after:.1} after it (the run itself is most of the latter)\n\
         - Vouchsafe {}, Kubernetes {}, {}\n\n\
         | pod | seconds to the app's start (median) | range | over bare | memory that stays, MiB | requests at OpenBao |\n\
         |---|---|---|---|---|---|\n",
        env!("CARGO_PKG_VERSION"),
        versions.kubernetes,
        versions.openbao,
    )
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bare => "bare",
        Kind::Broker => "Vouchsafe, by way of the broker",
        Kind::Direct => "Vouchsafe, straight to OpenBao",
        Kind::Agent => "`bao agent`, init container and sidecar",
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    sorted(values).get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn least(values: &[f64]) -> f64 {
    sorted(values).first().copied().unwrap_or(f64::NAN)
}

fn most(values: &[f64]) -> f64 {
    sorted(values).last().copied().unwrap_or(f64::NAN)
}

/// In MiB; a process has less than 4 TiB.
fn kibibytes(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// Seconds over a bare pod.
const GOAL_OVERHEAD: f64 = 0.25;
/// Per cent of the agent's overhead.
const GOAL_SHARE: f64 = 40.0;
/// How many times as much memory the agent takes.
const GOAL_TIMES: f64 = 25.0;
/// Four times the goal: no noise of a machine on which other things run.
const GROSS_OVERHEAD: f64 = 1.0;
/// Memory is hardly noisy at all.
const GROSS_TIMES: f64 = 10.0;
/// The page's end.
const METHOD: &str = "\n## How it is measured\n\n\
- One real node (kubelet, containerd, API server as processes of this machine; see [tests/real](../tests/real/README.md)), one OpenBao server \
with raft storage, our broker and our webhook on the same node.\n\
- Time runs from before the request that creates the pod until the app's first instruction, which reads the clock of the kernel (steps of \
10 ms). The app then lists its files: a pod counts only with all of its secrets.\n\
- ROUNDS rounds; in each, one pod of every kind, in rotating order, and nothing of it is left when the next one is created. A first round, \
which reads programs from disk, does not count. Images are on the node already.\n\
- Memory is resident memory (`VmRSS`) of the container that stays beside the app, ten seconds after the start. The agent's is a Go program \
of 120 MB; pages of the program file count where they were touched.\n\
- Requests are those that OpenBao's audit log attributes to the pod's role, from its creation until ten seconds after its start. Behind our \
broker that includes watching for changes: it reads each watched path again every five seconds, with the pod's own token. The agent reads \
again every five minutes, and so learns of a change that late.\n\
- The agent gets its secrets by templates without any processing, uses the same role and policy, and sits in an init container \
(`exit_after_auth`) and in an ordinary sidecar behind the app.\n\n\
## Run it again\n\n\
```sh\nmake bench-pods   # 4 minutes on 2 cores; needs what tests/real/README.md names\n```\n\n\
The run fails only when something is grossly worse: more than 1 s over a bare pod, more than the agent, or more than a tenth of its memory.\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(kind: Kind, seconds: &[f64], resident_kib: Option<u64>) -> Figures {
        Figures { kind, seconds: seconds.to_vec(), resident_kib, requests: 12, logins: 1, reads: 10 }
    }

    fn written(ours: f64, agent: f64, memory: u64) -> Written {
        page(&Page {
            figures: vec![
                figures(Kind::Bare, &[0.9, 0.7, 0.8], None),
                figures(Kind::Broker, &[ours, ours, ours], Some(memory)),
                figures(Kind::Agent, &[agent, agent, agent], Some(150 << 10)),
            ],
            surroundings: Surroundings {
                date: "2026-01-01".to_owned(),
                processor: "Some Processor".to_owned(),
                cores: 2,
                memory_gib: 8,
                kernel: "6.1".to_owned(),
                load: 0.5,
            },
            versions: Versions { openbao: "OpenBao v2.4.0".to_owned(), kubernetes: "v1.36.3".to_owned() },
            load_after: 2.0,
        })
    }

    #[test]
    fn a_good_run_meets_its_goals() {
        let written = written(0.95, 1.5, 4 << 10);
        assert!(written.regressions.is_empty(), "{:?}", written.regressions);
        assert!(written.text.contains("| bare | 0.80 | 0.70 to 0.90 | - | - |"), "{}", written.text);
        assert!(
            written.text.contains("| 0.15 s | met |") && written.text.contains("| 21 % | met |"),
            "{}",
            written.text
        );
        assert!(written.text.contains("| 1/38 | met |"), "{}", written.text);
    }

    #[test]
    fn gross_regressions_fail_and_noise_does_not() {
        assert!(written(1.3, 1.5, 4 << 10).regressions.is_empty());
        assert_eq!(written(1.6, 1.5, 4 << 10).regressions.len(), 1);
        assert_eq!(written(2.0, 2.5, 4 << 10).regressions.len(), 1);
        assert_eq!(written(0.9, 1.5, 40 << 10).regressions.len(), 1);
        assert!(written(1.3, 1.5, 4 << 10).text.contains("not met in this run"));
    }
}
