//! Names of what injection makes. They are part of the contract: policies, dashboards and the sidecar know them.
//!
//! Out of scope: paths inside containers (`vouchsafe_model::plan`).

use vouchsafe_net::hash;
pub use vouchsafe_policies::STATUS_ANNOTATION;

/// The sidecar: a native one, or an ordinary container beside the app's.
pub const SIDECAR: &str = "vouchsafe-sidecar";
/// The plain init container of `gate: init`.
pub const WAIT: &str = "vouchsafe-wait";
/// The plain init container that makes the first generation, where there are no native sidecars.
pub const INIT: &str = "vouchsafe-init";
/// The sidecar's private memory volume.
pub const STATE_VOLUME: &str = "vouchsafe-state";
/// The sidecar's projected token.
pub const TOKEN_VOLUME: &str = "vouchsafe-token";
/// A Secret with certificates that a pod of the drop-in dialect names.
pub const TLS_VOLUME: &str = "vouchsafe-tls";
/// Another Secret that such a pod names.
pub const EXTRA_VOLUME: &str = "vouchsafe-extra";
/// The sidecar's program in its image.
pub const PROGRAM: &str = "/vouchsafe-sidecar";
/// File name of the wrapper in a supervised container's run folder.
pub const WRAPPER: &str = "vouchsafe-sidecar";
/// Value of [`STATUS_ANNOTATION`] after injection.
pub const STATUS_INJECTED: &str = "injected";
/// On pods that a kubelet made from a file of its own.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Name of the memory volume behind Plan volume `index`.
pub fn files_volume(index: usize) -> String {
    format!("vouchsafe-files-{index}")
}

/// Name of the memory volume that holds a supervised container's wrapper and socket.
///
/// A name of a volume has at most 63 characters, a container's too: long ones are cut and told apart by a digest.
pub fn run_volume(container: &str) -> String {
    let whole = format!("vouchsafe-run-{container}");
    if whole.len() <= LABEL_CHARS {
        return whole;
    }
    let digest = hash::hex(&hash::sha256(container.as_bytes()));
    let kept: String = whole.chars().take(LABEL_CHARS - DIGEST_CHARS - 1).collect();
    let short: String = digest.chars().take(DIGEST_CHARS).collect();
    format!("{kept}-{short}")
}

/// Longest name of a volume (RFC 1123 label).
const LABEL_CHARS: usize = 63;
/// Digits of a digest that tell cut names apart: a pod has a handful of containers.
const DIGEST_CHARS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_container_names_give_distinct_volume_names_within_the_limit() {
        let (left, right) = (format!("{}a", "x".repeat(62)), format!("{}b", "x".repeat(62)));
        assert_ne!(run_volume(&left), run_volume(&right));
        assert_eq!(run_volume(&left).len(), 63);
        assert_eq!(run_volume("dex"), "vouchsafe-run-dex");
    }
}
