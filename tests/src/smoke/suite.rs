//! Scenarios, one after the other on one stage; each says in a sentence what must hold.
//!
//! Out of scope: what the stage is made of (a `World`, or what a further suite builds upon it).

use std::process::ExitCode;
use std::time::Instant;

use super::outcome::Outcome;

/// Something that must hold on a stage `S`.
pub(crate) struct Scenario<S> {
    pub(crate) sentence: &'static str,
    /// What it found, in words, or why it does not hold.
    pub(crate) run: fn(&mut S) -> Outcome<String>,
    /// The pod that a failure is about: namespace and name.
    pub(crate) pod: (&'static str, &'static str),
}

/// What scenarios run on.
pub(crate) trait Stage {
    /// What helps to understand a failure that is about this pod.
    fn evidence(&self, namespace: &str, pod: &str) -> String;

    /// After a failure: brings back what the next scenario needs.
    fn mend(&mut self) -> Outcome;
}

/// Words of the sentences of scenarios to run; none runs all. A word behind `!` leaves out those that hold it.
pub(crate) struct Words<'a>(pub(crate) &'a [String]);

impl Words<'_> {
    fn want(&self, sentence: &str) -> bool {
        let (without, with): (Vec<&str>, Vec<&str>) =
            self.0.iter().map(String::as_str).partition(|word| word.starts_with('!'));
        let is_left_out = without.iter().any(|word| sentence.contains(word.trim_start_matches('!')));
        !is_left_out && (with.is_empty() || with.iter().any(|word| sentence.contains(word)))
    }
}

/// How many held.
#[derive(Default)]
pub(crate) struct Score {
    passed: usize,
    failed: usize,
}

impl Score {
    /// Counts a program that did not end well.
    pub(crate) fn end(&mut self, name: &str, ended: Outcome) {
        if let Err(failure) = ended {
            self.failed += 1;
            println!("FAIL                {name}: {failure}");
        }
    }
}

/// Runs the wanted scenarios and prints a line for each.
pub(crate) fn play<S: Stage>(stage: &mut S, scenarios: &[Scenario<S>], words: &Words<'_>) -> Outcome<Score> {
    let mut score = Score::default();
    for scenario in scenarios.iter().filter(|scenario| words.want(scenario.sentence)) {
        let began = Instant::now();
        let result = (scenario.run)(stage);
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(found) => {
                score.passed += 1;
                println!("ok        {seconds:>6.1} s  {}: {found}", scenario.sentence);
            }
            Err(failure) => {
                score.failed += 1;
                println!("FAIL      {seconds:>6.1} s  {}: {failure}", scenario.sentence);
                println!("{}", stage.evidence(scenario.pod.0, scenario.pod.1));
                stage.mend()?;
            }
        }
    }
    Ok(score)
}

/// The last line, and the program's exit code: nothing run is no success.
pub(crate) fn verdict(score: &Score, began: Instant) -> ExitCode {
    println!("{} passed, {} failed in {:.0} s", score.passed, score.failed, began.elapsed().as_secs_f64());
    if score.failed == 0 && score.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Exit code where this machine cannot run a node.
pub(crate) const UNAVAILABLE: u8 = 69;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_and_leave_out() {
        let want = |words: &[&str], sentence: &str| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Words(&words).want(sentence)
        };
        assert!(want(&[], "a Job ends") && want(&["Job"], "a Job ends") && !want(&["Job"], "a pod waits"));
        assert!(!want(&["!Job"], "a Job ends") && want(&["!Job"], "a pod waits"));
        assert!(!want(&["ends", "!Job"], "a Job ends") && want(&["ends", "!Job"], "a pod ends"));
    }
}
