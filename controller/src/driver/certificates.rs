//! Looks at certificates and caBundles, and makes them what they should be. Decisions are made in [`crate::authority`] and
//! [`crate::bundle`].

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::KeyPair;
use serde_json::Value;

use super::cluster::{Cluster, ClusterError};
use crate::authority::leaf::{Serving, issue};
use crate::authority::{Authority, AuthorityError, Note, Terms, advance};
use crate::bundle::{bundles, repair};
use crate::config::Source;
use crate::metrics::Metrics;

/// Why a look did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{object}: {cause}")]
    Authority { object: String, cause: AuthorityError },
    #[error("read the CA file {file}: {cause}")]
    File { file: String, cause: String },
}

/// Looks after certificates, the trust bundle and caBundles.
pub(super) struct Keeper {
    pub(super) cluster: Cluster,
    pub(super) source: Source,
    pub(super) ca_secret: String,
    pub(super) trust: String,
    pub(super) configurations: Vec<String>,
    pub(super) metrics: Arc<Metrics>,
    /// The bundle as it was decided last.
    bundle: Option<String>,
}

/// The outcome of one round.
#[derive(Default)]
struct Round {
    /// Whether something was written, so that the next round may find more to do.
    has_written: bool,
    problems: Vec<LookError>,
}

impl Round {
    fn take(&mut self, outcome: Result<bool, LookError>) {
        match outcome {
            Ok(has_written) => self.has_written |= has_written,
            Err(problem) => self.problems.push(problem),
        }
    }
}

impl Keeper {
    pub(super) fn new(
        cluster: Cluster,
        source: Source,
        arguments: &crate::config::Arguments,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            cluster,
            source,
            ca_secret: arguments.certificates.ca_secret.clone(),
            trust: arguments.certificates.trust_configmap.clone(),
            configurations: arguments.webhook_configuration.clone(),
            metrics,
            bundle: None,
        }
    }

    /// Forgets what was decided: another replica may have worked since.
    pub(super) fn forget(&mut self) {
        self.bundle = None;
    }

    /// Repairs caBundles by the bundle that was decided last.
    pub(super) async fn look_at_configurations(&self) -> Vec<LookError> {
        let mut round = Round::default();
        if let Some(bundle) = &self.bundle {
            for name in &self.configurations {
                round.take(self.repair(name, bundle).await);
            }
        }
        round.problems
    }

    /// Looks at everything until nothing is left to write.
    pub(super) async fn look_at_all(&mut self) -> Vec<LookError> {
        for _ in 1..ROUNDS {
            let round = self.round().await;
            if !round.has_written || !round.problems.is_empty() {
                return round.problems;
            }
        }
        self.round().await.problems
    }

    async fn round(&mut self) -> Round {
        match self.source.clone() {
            Source::File(file) => self.round_with_file(&file).await,
            Source::Made { terms, serving } => self.round_with_authority(&terms, &serving).await,
        }
    }

    async fn round_with_file(&mut self, file: &Path) -> Round {
        let mut round = Round::default();
        match read(file) {
            Ok(bundle) => self.bundle = Some(bundle),
            Err(problem) => round.problems.push(problem),
        }
        round.problems.extend(self.look_at_configurations().await);
        round
    }

    async fn round_with_authority(&mut self, terms: &Terms, serving: &[Serving]) -> Round {
        let mut round = Round::default();
        let seen = self.seen(&mut round).await;
        let authority = match self.authority(terms, &seen).await {
            Ok((authority, has_written)) => {
                round.has_written |= has_written;
                authority
            }
            Err(problem) => {
                round.problems.push(problem);
                round.problems.extend(self.look_at_configurations().await);
                return round;
            }
        };
        let bundle = authority.bundle();
        round.take(self.publish(&bundle).await);
        for name in &self.configurations {
            round.take(self.repair(name, &bundle).await);
        }
        self.bundle = Some(bundle);
        for server in serving {
            round.take(self.serve(server, &authority, terms).await);
        }
        round
    }

    /// The bundles that clients get now. One that cannot be read counts as empty, so nothing is taken for published.
    async fn seen(&self, round: &mut Round) -> Vec<String> {
        let mut seen = Vec::new();
        match self.cluster.trust(&self.trust).await {
            Ok(stored) => seen.push(stored.content),
            Err(problem) => unseen(problem, &mut seen, round),
        }
        for name in &self.configurations {
            match self.cluster.configuration(name).await {
                Ok(configuration) => seen.extend(bundles(&configuration)),
                Err(problem) => unseen(problem, &mut seen, round),
            }
        }
        seen
    }

    async fn authority(&self, terms: &Terms, seen: &[String]) -> Result<(Authority, bool), LookError> {
        let stored = self.cluster.secret(&self.ca_secret).await?;
        let mut keys = KeyPair::generate;
        let advance = advance(&stored.content, seen, terms, SystemTime::now(), &mut keys)
            .map_err(|cause| LookError::Authority { object: format!("Secret {}", self.ca_secret), cause })?;
        let is_due = !advance.changes.is_empty();
        if is_due {
            self.cluster.write_secret(&self.ca_secret, &stored.version, &advance.changes).await?;
            self.wrote(&self.ca_secret, &advance.notes);
        }
        self.metrics.certificate("current", advance.authority.current().0.not_after);
        self.metrics.certificate("next", advance.authority.next().0.not_after);
        Ok((advance.authority, is_due))
    }

    async fn publish(&self, bundle: &str) -> Result<bool, LookError> {
        let stored = self.cluster.trust(&self.trust).await?;
        let is_due = stored.content != bundle;
        if is_due {
            self.cluster.write_trust(&self.trust, &stored.version, bundle).await?;
            self.wrote(&self.trust, &[]);
        }
        Ok(is_due)
    }

    async fn repair(&self, name: &str, bundle: &str) -> Result<bool, LookError> {
        let found: Value = self.cluster.configuration(name).await?;
        let Some(repair) = repair(&found, bundle) else { return Ok(false) };
        self.cluster.patch_configuration(name, repair.patch).await?;
        self.metrics.repaired(name);
        tracing::info!(configuration = %name, webhooks = repair.webhooks.len(), "wrote the caBundle");
        Ok(true)
    }

    async fn serve(&self, serving: &Serving, authority: &Authority, terms: &Terms) -> Result<bool, LookError> {
        let stored = self.cluster.secret(&serving.secret).await?;
        let mut keys = KeyPair::generate;
        let issue = issue(serving, &stored.content, authority, terms, SystemTime::now(), &mut keys)
            .map_err(|cause| LookError::Authority { object: format!("Secret {}", serving.secret), cause })?;
        let is_due = !issue.changes.is_empty();
        if is_due {
            self.cluster.write_secret(&serving.secret, &stored.version, &issue.changes).await?;
            self.wrote(&serving.secret, &issue.notes);
        }
        if let Some(ends) = issue.not_after {
            self.metrics.certificate(&serving.secret, ends);
        }
        Ok(is_due)
    }

    fn wrote(&self, object: &str, notes: &[Note]) {
        self.metrics.wrote(object);
        tracing::info!(object, "wrote");
        for note in notes {
            if note.is_fault {
                tracing::warn!(object, "{}", note.text);
            } else {
                tracing::info!(object, "{}", note.text);
            }
        }
    }
}

/// Nobody takes a bundle from what does not exist; anything else may hold an old one.
fn unseen(problem: ClusterError, seen: &mut Vec<String>, round: &mut Round) {
    if !matches!(problem, ClusterError::Absent(_)) {
        seen.push(String::new());
    }
    // What is absent is told by the write that follows; telling it twice helps nobody.
    if !matches!(problem, ClusterError::Absent(_)) {
        round.problems.push(problem.into());
    }
}

fn read(file: &Path) -> Result<String, LookError> {
    let fail = |cause: String| LookError::File { file: file.display().to_string(), cause };
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    vouchsafe_net::tls::TrustRoots::from_pem(&text).map_err(|error| fail(error.to_string()))?;
    Ok(text)
}

/// Rounds of one look: made, published, stamped, signed, and one that finds nothing to do.
const ROUNDS: usize = 6;
