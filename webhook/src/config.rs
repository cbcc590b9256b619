//! `Config`: what the platform decided for every injection.
//!
//! Out of scope: flags and environment of the program ([`crate::options`]), Grants.

use vouchsafe_policies::Installation;
use vouchsafe_policies::dropin::{Compat, Defaults, GrantPolicy};

/// What the platform decided for every injection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Server, audience, gate and waiting time.
    pub installation: Installation,
    /// Whether the cluster's kubelets know native sidecars.
    pub injection: InjectionMode,
    /// Image of the sidecar, best by digest.
    pub image: String,
    /// When kubelets pull it.
    pub pull_policy: PullPolicy,
    /// User of the sidecar's process.
    pub user: SidecarUser,
    /// Processor share of the sidecar.
    pub cpu: CpuShare,
    /// How pods of vault-k8s' dialect are treated; `None` leaves them alone.
    pub drop_in: Option<DropInSettings>,
}

/// How pods of vault-k8s' dialect are treated.
#[derive(Clone, Debug, Default)]
pub struct DropInSettings {
    /// What pods get that say nothing themselves.
    pub defaults: Defaults,
    /// What becomes of annotations that cannot work.
    pub compat: Compat,
    /// What Grants mean for such pods.
    pub grants: GrantPolicy,
}

/// What the cluster's kubelets can do. The webhook cannot see them, so the platform says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InjectionMode {
    /// Restartable init containers: Kubernetes 1.29 and later, on every node.
    #[default]
    Native,
    /// Plain init container and ordinary container: any Kubernetes.
    Classic,
}

/// When kubelets pull the sidecar's image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Where the node has it not yet. Right for digests and release tags.
    #[default]
    IfNotPresent,
    /// At every start of a pod.
    Always,
    /// Never: the image was put onto the nodes some other way.
    Never,
}

/// User of the sidecar's process where the pod names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidecarUser {
    /// This uid and gid.
    Fixed(i64),
    /// The platform assigns one at admission (OpenShift's ranges): say nothing.
    Platform,
}

/// Processor share in thousandths of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShare {
    /// Requested always: a HorizontalPodAutoscaler cannot count a pod that has a container without request.
    pub request_millis: u32,
    /// Limit for pods that are not Guaranteed; `None` for no limit, because throttling a start slows the app's start.
    pub limit_millis: Option<u32>,
    /// Request and limit in a Guaranteed pod, whose limit must equal its request.
    pub guaranteed_millis: u32,
}

impl Config {
    /// The usual choices around an installation and an image.
    pub fn new(installation: Installation, image: impl Into<String>) -> Self {
        Self {
            installation,
            injection: InjectionMode::default(),
            image: image.into(),
            pull_policy: PullPolicy::default(),
            user: SidecarUser::default(),
            cpu: CpuShare::default(),
            drop_in: None,
        }
    }
}

impl PullPolicy {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

impl Default for SidecarUser {
    fn default() -> Self {
        Self::Fixed(DEFAULT_USER)
    }
}

impl Default for CpuShare {
    fn default() -> Self {
        Self { request_millis: REQUEST_MILLIS, limit_millis: None, guaranteed_millis: GUARANTEED_MILLIS }
    }
}

/// "nonroot" of the distroless images; no account of a usual distribution has it.
pub const DEFAULT_USER: i64 = 65532;
/// Request of a process that sleeps nearly always; one handshake and one rendering a minute need less.
const REQUEST_MILLIS: u32 = 10;
/// A limit throttles: with a tenth of a core a TLS handshake (2 ms of work) still ends within two scheduling periods.
const GUARANTEED_MILLIS: u32 = 100;
