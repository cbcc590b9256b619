//! `Grants`: the Grants in use, replaced as a whole when their source changes.
//!
//! A source that fails leaves the last good state in place: pods that were allowed stay allowed (fail static), and the
//! fault is logged, counted and shown by `/readyz` until somebody mends it. Out of scope: reading Grants (policies).

pub mod folder;
pub mod kubernetes;
pub mod mirror;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use vouchsafe_policies::GrantSet;

/// Where Grants come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files below a folder, read again when it changes.
    Folder(PathBuf),
    /// The custom resources of the cluster.
    Kubernetes,
    /// These and no others.
    Fixed(GrantSet),
}

/// The Grants in use; clones share them.
#[derive(Clone)]
pub struct Grants {
    current: Arc<ArcSwap<State>>,
}

/// One consistent state.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// All good Grants; `None` until the source was read once.
    pub set: Option<Arc<GrantSet>>,
    /// What is wrong in the source, one line each.
    pub faults: Vec<String>,
}

impl Grants {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(State::default())) }
    }

    /// The state now.
    pub fn state(&self) -> Arc<State> {
        self.current.load_full()
    }

    /// Replaces the state; returns whether it differs.
    pub fn replace(&self, set: GrantSet, faults: Vec<String>) -> bool {
        let before = self.state();
        let same = before.faults == faults && before.set.as_deref() == Some(&set);
        if !same {
            self.current.store(Arc::new(State { set: Some(Arc::new(set)), faults }));
        }
        !same
    }

    /// Keeps the Grants and replaces what is known to be wrong; returns whether that differs.
    pub fn report(&self, faults: Vec<String>) -> bool {
        let before = self.state();
        let same = before.faults == faults;
        if !same {
            self.current.store(Arc::new(State { set: before.set.clone(), faults }));
        }
        !same
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self::new()
    }
}
