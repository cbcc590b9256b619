//! What injection costs a pod, measured side by side: ours, a hand-written `bao agent`, and nothing at all.
//!
//! `smoke --bench FILE` sets up a real node with one OpenBao and our broker before it, measures, and writes the page FILE.
//! It fails on gross regressions only, since machines that run suites are noisy; the page says how noisy this one was.
//! Out of scope: throughput of broker and webhook.

#![expect(clippy::indexing_slicing, reason = "looking into a JSON value gives null where nothing is, never a panic")]

mod measure;
mod page;
mod pods;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use self::measure::{measure, prepare};
use self::page::{Page, Surroundings, page};
use crate::faults::field::Field;
use crate::smoke::outcome::{Failure, Outcome};
use crate::smoke::process::{QUICK, run};
use crate::smoke::programs::Programs;
use crate::smoke::suite::UNAVAILABLE;
use crate::smoke::target;

/// First argument of the program for the benchmark: `smoke --bench FILE`.
pub(crate) const VERB: &str = "--bench";

/// Measures, writes the page, and says whether anything is grossly worse than promised.
pub(crate) fn main(repository: &Path, arguments: &[String]) -> Outcome<ExitCode> {
    let file = arguments.first().ok_or_else(|| Failure(format!("{VERB} FILE: say where the page goes")))?;
    let began = Instant::now();
    let surroundings = surroundings()?;
    let programs = Programs::find(&target(repository), true)?;
    let Some(mut field) = Field::build(repository, programs, ONE_SERVER)? else {
        return Ok(ExitCode::from(UNAVAILABLE));
    };
    let versions = prepare(&mut field)?;
    println!("set up    {:>6.1} s", began.elapsed().as_secs_f64());
    let figures = measure(&mut field)?;
    let page = page(&Page { figures, surroundings, versions, load_after: load()? });
    fs::write(repository.join(file), &page.text)?;
    print!("{}", page.text);
    field.end()?;
    println!("measured in {:.0} s; written to {file}", began.elapsed().as_secs_f64());
    for regression in &page.regressions {
        println!("FAIL      {regression}");
    }
    Ok(if page.regressions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The machine, and how busy it is before anything of ours runs.
fn surroundings() -> Outcome<Surroundings> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let date = run(Command::new("date").args(["-u", "+%F"]), "", QUICK)?.good("date")?;
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kibibytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    Ok(Surroundings {
        date: date.trim().to_owned(),
        processor: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: kibibytes >> 20,
        // What a builder has added to the version says nothing to others.
        kernel: read("/proc/sys/kernel/osrelease").trim().split('-').next().unwrap_or_default().to_owned(),
        load: load()?,
    })
}

/// Average number of runnable processes over the last minute.
fn load() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.ok_or_else(|| Failure("/proc/loadavg has no number".to_owned()))
}

/// A single OpenBao server: fail-over is no matter here.
const ONE_SERVER: u16 = 1;
