//! Memory and processor share of the sidecar, computed from its Plan.
//!
//! Files in a memory volume count against the container that wrote them: ours writes all of them. A limit below what the
//! Plan allows would kill the sidecar in the middle of a rotation, months after admission; so the limit is the sum of what
//! may be there at once, and each volume's `sizeLimit` is its part of that sum.
//!
//! ```text
//! volume i    2 generations x min(files x 1 MiB, 4 MiB) + pages of small files
//! state       2 x min(secrets x 1 MiB, 8 MiB) + 1 MiB            (last good values: the new beside the old)
//! run         4 MiB for each supervised container               (the wrapper and its socket)
//! process     16 MiB + 2 x min(secrets x 1 MiB, 8 MiB)
//! limit       process + state + all volumes (files at most 2 x 4 MiB in sum) + run
//! ```
//! Out of scope: enforcing the sizes of secrets and files (the sidecar does).

use serde_json::{Map, Value, json};

use vouchsafe_model::plan::{Content, Plan};

use crate::config::CpuShare;

/// Sizes in MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// `sizeLimit` of the volume behind each Plan volume.
    pub volumes: Vec<u64>,
    /// `sizeLimit` of the state volume.
    pub state: u64,
    /// `sizeLimit` of each supervised container's run volume.
    pub run: u64,
    /// Number of run volumes.
    pub runs: u64,
    /// What all files may take in sum.
    pub files: u64,
    /// What the process itself may take, values included.
    pub process: u64,
    /// Memory limit of the sidecar: the sum.
    pub limit: u64,
}

impl Sizes {
    /// Sizes for a Plan of which `supervised` containers run under the wrapper.
    pub fn of(plan: &Plan, supervised: usize) -> Self {
        let files = |volume: usize| count(plan.files.iter().filter(|file| file.volume == volume).count());
        // A template of the drop-in dialect may compute the path of one more.
        let computing = plan.files.iter().filter(|file| matches!(file.content, Content::Agent(_))).count();
        let values = count(plan.secrets.len() + computing).saturating_mul(SECRET_MIB).min(POD_VALUES_MIB);
        let volumes: Vec<u64> = (0..plan.volumes.len()).map(|volume| volume_size(files(volume))).collect();
        let state = GENERATIONS * values + STATE_BASE_MIB;
        let bound = GENERATIONS * POD_FILES_MIB + count(plan.volumes.len()) * pages(count(plan.files.len()));
        let written = volumes.iter().sum::<u64>().min(bound);
        let process = PROCESS_MIB + GENERATIONS * values;
        let runs = count(supervised);
        let limit = process + state + written + RUN_MIB * runs;
        Self { volumes, state, run: RUN_MIB, runs, files: written, process, limit }
    }
}

/// Two generations of the files, each at most 1 MiB and 4 MiB in sum, and the pages that small files fill.
fn volume_size(files: u64) -> u64 {
    GENERATIONS * files.saturating_mul(FILE_MIB).min(POD_FILES_MIB) + pages(files)
}

/// A page (4 KiB) for each file and directory entry of both generations, in whole MiB.
fn pages(files: u64) -> u64 {
    (files * GENERATIONS * PAGE_KIB * 2).div_ceil(1024).max(1)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How the pod's own containers are accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Every container has limits equal to its requests: ours must too, or the pod loses its class.
    Guaranteed,
    /// Anything else.
    Shared,
    /// The pod has resources of its own (`spec.resources`): the containers' sums may not exceed them.
    PodLevel,
}

impl Quality {
    /// The class that a pod (without our containers) is in.
    pub fn of(spec: &Map<String, Value>) -> Self {
        if spec.get("resources").is_some_and(Value::is_object) {
            return Self::PodLevel;
        }
        let lists = ["containers", "initContainers"];
        let mut containers = lists.iter().filter_map(|list| spec.get(*list)?.as_array()).flatten().peekable();
        if containers.peek().is_some() && containers.all(is_guaranteed) { Self::Guaranteed } else { Self::Shared }
    }
}

/// `resources` of our containers; `memory` is their limit in MiB.
pub fn resources(quality: Quality, memory: u64, cpu: CpuShare) -> Value {
    let limit = mebibytes(memory);
    match quality {
        Quality::PodLevel => json!({}),
        Quality::Guaranteed => {
            let both = json!({"cpu": millis(cpu.guaranteed_millis), "memory": limit});
            json!({"requests": both, "limits": both})
        }
        Quality::Shared => {
            let mut limits = json!({"memory": limit});
            if let (Some(millicores), Some(limits)) = (cpu.limit_millis, limits.as_object_mut()) {
                limits.insert("cpu".to_owned(), Value::String(millis(millicores)));
            }
            json!({
                "requests": {"cpu": millis(cpu.request_millis), "memory": mebibytes(memory.min(PROCESS_MIB))},
                "limits": limits,
            })
        }
    }
}

/// A size as Kubernetes writes it.
pub fn mebibytes(count: u64) -> String {
    format!("{count}Mi")
}

fn millis(count: u32) -> String {
    if count.is_multiple_of(1000) { (count / 1000).to_string() } else { format!("{count}m") }
}

fn is_guaranteed(container: &Value) -> bool {
    let quantity_at = |path: &str| container.pointer(path).and_then(quantity);
    ["cpu", "memory"].iter().all(|resource| {
        let limit = quantity_at(&format!("/resources/limits/{resource}"));
        let request = quantity_at(&format!("/resources/requests/{resource}"));
        limit.is_some_and(|limit| limit > 0 && request.is_none_or(|request| request == limit))
    })
}

/// A Kubernetes quantity in nano units, so that "0.5" and "500m" are equal. `None` for what is none.
fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let nanos = mantissa.checked_mul(10_i128.checked_pow(9 - u32::try_from(fraction.len()).ok()?)?)?;
    let (numerator, denominator) = scale(suffix)?;
    Some(nanos.checked_mul(numerator)? / denominator)
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    let thousands = |power: u32| Some((1000_i128.checked_pow(power)?, 1));
    let binary = |power: u32| Some((1024_i128.checked_pow(power)?, 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => thousands(1),
        "M" => thousands(2),
        "G" => thousands(3),
        "T" => thousands(4),
        "P" => thousands(5),
        "E" => thousands(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

/// The generation in use and the one that replaces it.
const GENERATIONS: u64 = 2;
/// Largest secret.
const SECRET_MIB: u64 = 1;
/// Most values of one pod.
const POD_VALUES_MIB: u64 = 8;
/// Largest rendered file.
const FILE_MIB: u64 = 1;
/// Most rendered files of one pod.
const POD_FILES_MIB: u64 = 4;
/// Least that a file takes in memory.
const PAGE_KIB: u64 = 4;
/// Token, leases, versions, trust roots, journal.
const STATE_BASE_MIB: u64 = 1;
/// The wrapper (a binary of at most 3 MB) and a socket.
const RUN_MIB: u64 = 4;
/// Sidecar and `wait` (4 MiB resident each), the largest answer (4 MiB) while it is read, and the kernel's own pages.
const PROCESS_MIB: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_equal_by_value_not_by_spelling() {
        let nanos = |text: &str| quantity(&Value::String(text.to_owned()));
        assert_eq!(nanos("0.5"), nanos("500m"));
        assert_eq!(nanos("1"), quantity(&json!(1)));
        assert_eq!(nanos("1Gi"), nanos("1024Mi"));
        assert_eq!(nanos("1e3"), nanos("1k"));
        for bad in ["", "lots", "-1", "1Zi", "1e1000", "1.2.3", "."] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_pod_is_guaranteed_only_if_every_container_is() {
        let full =
            json!({"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}});
        let part = json!({"name": "b", "resources": {"limits": {"memory": "1Gi"}}});
        let class = |containers: Value, inits: Value| {
            Quality::of(json!({"containers": containers, "initContainers": inits}).as_object().unwrap())
        };
        assert_eq!(class(json!([full]), json!([])), Quality::Guaranteed);
        assert_eq!(class(json!([full]), json!([part])), Quality::Shared);
        assert_eq!(class(json!([]), json!([])), Quality::Shared);
        let pod_level = json!({"containers": [full], "resources": {"limits": {"cpu": "1"}}});
        assert_eq!(Quality::of(pod_level.as_object().unwrap()), Quality::PodLevel);
    }

    #[test]
    fn a_guaranteed_pod_stays_guaranteed_and_every_other_gets_a_cpu_request() {
        let guaranteed = resources(Quality::Guaranteed, 24, CpuShare::default());
        assert!(is_guaranteed(&json!({"resources": guaranteed})));
        let shared = resources(Quality::Shared, 24, CpuShare::default());
        assert_eq!(shared, json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "24Mi"}}));
    }
}
