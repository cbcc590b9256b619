//! Where our containers stand among the init containers: by rule, so that every order of webhooks gives the same pod.
//!
//! The kubelet starts init containers one after the other. Ours needs the network and must be done before whoever reads
//! its files. Service meshes decide who has the network:
//!
//! | mesh | containers | ours |
//! |---|---|---|
//! | none | | first |
//! | classic (iptables set by `kuma-init`, `istio-init`, `linkerd-init`; proxy among the apps) | after the init nothing has network until the proxy runs | first, before that init |
//! | native (`kuma-sidecar`, `istio-proxy`, `linkerd-proxy` restartable among the inits) | after the proxy everything has network | right after the proxy |
//! | CNI (`kuma-validation`, … and a classic proxy) | no init container has network | first, with a warning |
//!
//! Never between a mesh's init and its proxy. Out of scope: what the containers are made of.

use serde_json::Value;

use crate::names::{INIT, SIDECAR, WAIT};

/// Where our containers go, counted in the list of init containers without ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of foreign init containers that stand before ours.
    pub index: usize,
    /// What the pod's owner should know.
    pub warnings: Vec<String>,
}

/// Decides the place. `inits` are the init containers without ours; `consumers` names those that mount our files.
pub fn place(inits: &[Value], consumers: &[&str]) -> Place {
    let mesh = Mesh::find(inits);
    let reader = first_reader(inits, consumers);
    let mut warnings = Vec::new();
    let index = match (mesh.proxy, reader) {
        (Some(proxy), Some(reader)) if reader <= proxy => {
            warnings.push(format!(
                "init container {} reads secrets and stands before the mesh's sidecar, so Vouchsafe starts before the mesh \
                 and talks to its server outside of it; move the init container behind {}",
                name(inits.get(reader)),
                name(inits.get(proxy)),
            ));
            0
        }
        (Some(proxy), _) => proxy + 1,
        (None, _) => 0,
    };
    if let (None, Some(validator)) = (mesh.proxy, mesh.validator) {
        warnings.push(format!(
            "{} means that the mesh's CNI plugin captures the network before any init container runs, and its proxy starts \
             only after them: exclude the server's port from capture for the sidecar's user (Kuma: annotation \
             traffic.kuma.io/exclude-outbound-ports-for-uids), or switch the mesh to native sidecars",
            name(inits.get(validator)),
        ));
    }
    Place { index, warnings }
}

/// The place behind all init containers, as vault-k8s has it; never behind a classic mesh's init, since from there on nothing
/// has network until its proxy runs.
pub fn last(inits: &[Value]) -> Place {
    let mesh = Mesh::find(inits);
    let index = match (mesh.first, mesh.proxy) {
        (Some(first), None) => first,
        _ => inits.len(),
    };
    Place { index, warnings: Vec::new() }
}

/// Whether a place that somebody else's changes led to still works: `before` foreign init containers stand before ours.
pub fn is_fit(inits: &[Value], consumers: &[&str], before: usize) -> bool {
    let mesh = Mesh::find(inits);
    if first_reader(inits, consumers).is_some_and(|reader| reader < before) {
        return false;
    }
    match (mesh.first, mesh.proxy) {
        (Some(first), Some(proxy)) => before <= first || before > proxy,
        (Some(first), None) => before <= first,
        (None, _) => true,
    }
}

struct Mesh {
    /// First container of any mesh.
    first: Option<usize>,
    /// Last restartable proxy.
    proxy: Option<usize>,
    /// First container that only checks what a CNI plugin did.
    validator: Option<usize>,
}

impl Mesh {
    fn find(inits: &[Value]) -> Self {
        let at = |wanted: &[&str]| inits.iter().position(|init| wanted.contains(&text(init, "name")));
        let proxy = inits
            .iter()
            .rposition(|init| PROXIES.contains(&text(init, "name")) && text(init, "restartPolicy") == "Always");
        let validator = at(&VALIDATORS);
        Self { first: [at(&CAPTURES), validator, proxy].into_iter().flatten().min(), proxy, validator }
    }
}

fn first_reader(inits: &[Value], consumers: &[&str]) -> Option<usize> {
    inits.iter().position(|init| consumers.contains(&text(init, "name")))
}

/// Whether a container is one of ours.
pub fn is_ours(container: &Value) -> bool {
    matches!(text(container, "name"), SIDECAR | WAIT | INIT)
}

fn name(init: Option<&Value>) -> &str {
    init.map_or("", |init| text(init, "name"))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Init containers after which a pod's network goes through a proxy.
const CAPTURES: [&str; 3] = ["kuma-init", "istio-init", "linkerd-init"];
/// Init containers that check what a mesh's CNI plugin set up before.
const VALIDATORS: [&str; 3] = ["kuma-validation", "istio-validation", "linkerd-network-validator"];
/// Proxies of meshes, where they run as native sidecars.
const PROXIES: [&str; 3] = ["kuma-sidecar", "istio-proxy", "linkerd-proxy"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inits(names: &[&str]) -> Vec<Value> {
        names
            .iter()
            .map(|name| match name.strip_prefix('*') {
                Some(native) => json!({"name": native, "restartPolicy": "Always"}),
                None => json!({"name": name}),
            })
            .collect()
    }

    #[test]
    fn stands_first_without_a_mesh_and_before_a_classic_mesh_init() {
        assert_eq!(place(&inits(&[]), &[]).index, 0);
        assert_eq!(place(&inits(&["copyutil", "kuma-init"]), &[]), Place { index: 0, warnings: Vec::new() });
        assert_eq!(place(&inits(&["kuma-init", "copyutil"]), &[]).index, 0);
    }

    #[test]
    fn stands_right_after_a_native_mesh_proxy() {
        assert_eq!(place(&inits(&["kuma-init", "*kuma-sidecar", "migrate"]), &["migrate"]).index, 2);
        assert_eq!(place(&inits(&["a", "istio-init", "*istio-proxy"]), &[]).index, 3);
        assert_eq!(place(&inits(&["linkerd-init", "*linkerd-proxy"]), &[]).index, 2);
    }

    #[test]
    fn never_stands_between_a_mesh_init_and_its_proxy() {
        let between = inits(&["kuma-init", "migrate", "*kuma-sidecar"]);
        let place = place(&between, &["migrate"]);
        assert_eq!(place.index, 0);
        assert!(place.warnings[0].contains("move the init container behind kuma-sidecar"), "{:?}", place.warnings);
        assert!(!is_fit(&between, &[], 1));
        assert!(!is_fit(&between, &[], 2));
        assert!(is_fit(&between, &[], 0));
        assert!(is_fit(&between, &[], 3));
    }

    #[test]
    fn a_mesh_with_a_cni_plugin_gets_a_warning_that_names_the_way_out() {
        let place = place(&inits(&["kuma-validation"]), &[]);
        assert!(place.warnings[0].contains("exclude-outbound-ports-for-uids"));
    }

    #[test]
    fn an_init_container_that_reads_secrets_never_runs_before_ours() {
        for list in [&["reader"][..], &["a", "reader", "kuma-init"], &["kuma-init", "*kuma-sidecar", "reader"]] {
            let list = inits(list);
            let index = place(&list, &["reader"]).index;
            assert!(index <= first_reader(&list, &["reader"]).unwrap());
            assert!(is_fit(&list, &["reader"], index));
        }
        assert!(!is_fit(&inits(&["reader"]), &["reader"], 1));
    }

    #[test]
    fn a_mesh_init_that_was_put_first_afterwards_makes_the_place_unfit() {
        assert!(!is_fit(&inits(&["kuma-init", "app-init"]), &[], 1));
    }
}
