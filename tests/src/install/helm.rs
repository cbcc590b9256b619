//! The real helm, in the node's network as administrator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::world::Installation;
use crate::smoke::cluster::Cluster;
use crate::smoke::outcome::{Outcome, ensure};
use crate::smoke::process::{Finished, QUICK, run};

/// The program and whose cluster it acts on.
pub(crate) struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    chart: PathBuf,
    /// Where it keeps what it caches.
    home: PathBuf,
}

impl Helm {
    /// The helm that `tests/real/build.sh` has built.
    pub(crate) fn find(repository: &Path, cluster: &Cluster, home: &Path) -> Outcome<Self> {
        let mut build = Command::new(repository.join("tests/real/build.sh"));
        let folder = run(build.args(["--path", "helm"]), "", QUICK)?.good("build.sh --path helm")?;
        let program = PathBuf::from(folder.trim()).join("helm");
        ensure(program.is_file(), || {
            format!("{} is not built: start this suite by tests/install/run.sh", program.display())
        })?;
        Ok(Self {
            program,
            kubeconfig: cluster.work.join("pki/admin.kubeconfig"),
            chart: repository.join("deploy/helm/vouchsafe"),
            home: home.to_path_buf(),
        })
    }

    /// One verb, whatever comes of it. `CHART` among the arguments stands for our chart.
    pub(crate) fn attempt(&self, cluster: &Cluster, arguments: &[&str]) -> Outcome<Finished> {
        let mut command = cluster.place.command(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home);
        for argument in arguments {
            if *argument == CHART {
                command.arg(&self.chart);
            } else {
                command.arg(argument);
            }
        }
        run(&mut command, "", HELM)
    }

    /// One verb that must end well.
    pub(crate) fn run(&self, cluster: &Cluster, arguments: &[&str]) -> Outcome<String> {
        self.attempt(cluster, arguments)?.good(&format!("helm {}", arguments.join(" ")))
    }
}

/// Certificates and everything random are made at run time, so git, Argo CD and a second look all see the same manifests.
pub(crate) fn renders_alike(installation: &mut Installation) -> Outcome<String> {
    let mut sizes = Vec::new();
    for mode in ["upstream", "direct", "store"] {
        let mut arguments = vec!["template", "vouchsafe", CHART, "-n", "vouchsafe", "--kube-version", "1.36.0"];
        let values = installation.values(mode)?;
        let values = values.display().to_string();
        arguments.extend(["-f", &values]);
        let first = installation.helm.run(&installation.cluster, &arguments)?;
        let second = installation.helm.run(&installation.cluster, &arguments)?;
        ensure(first == second, || format!("mode {mode} renders differently the second time"))?;
        let secrets = first.matches("\ndata:").count() + first.matches("BEGIN ").count();
        ensure(secrets == 0, || format!("mode {mode} renders data that only the controller should fill in"))?;
        sizes.push(format!("{mode} {} objects", first.matches("\nkind: ").count()));
    }
    Ok(sizes.join(", "))
}

/// Stands for the chart's folder among arguments.
pub(crate) const CHART: &str = "CHART";
/// An installation with its waiting on a busy machine.
const HELM: Duration = Duration::from_secs(240);
