//! A node in one file: runs the injected containers of a patched pod as processes, in a kubelet's order.
//!
//! Every container gets a folder as its root; memory volumes are folders beside it, mounts are symbolic links to them.
//! The sidecar program resolves each absolute path below the folder it is started in, so argv and environment are those
//! of the patched spec. A native sidecar's `postStart` hook holds the app back, as on a kubelet.
//! Out of scope: images, users, read-only mounts, and containers that are not ours (a stand-in takes their place).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};
use vouchsafe_model::Workload;
use vouchsafe_model::plan::{Plan, PlanFile};
use vouchsafe_net::lifecycle::Lifecycle;

use super::container::{self, PodIdentity, list, text};
use super::issuer::{Issuer, TOKEN_LIFE};

/// A pod whose injected containers run.
pub(crate) struct RunningPod {
    /// Who it is.
    pub(crate) identity: PodIdentity,
    /// How long the app was held back.
    pub(crate) held: Duration,
    /// Mounted secret folders by container, as folders of this machine: (container, mount path, folder).
    pub(crate) volumes: Vec<(String, String, PathBuf)>,
    /// Variables that reached the app's place: (container, name).
    pub(crate) variables: Vec<(String, String)>,
    /// What could not be run here, in words.
    pub(crate) notes: Vec<String>,
    children: Vec<(String, Child)>,
}

/// Folder layout of one pod.
struct Layout {
    folder: PathBuf,
    volumes: BTreeMap<String, PathBuf>,
}

/// Starts the injected containers of `pod` below `root` and waits until the app may start.
pub(crate) async fn start(
    pod: &Value,
    workload: &Workload,
    identity: PodIdentity,
    root: &Path,
    issuer: &Issuer,
) -> Result<RunningPod> {
    let layout = Layout::prepare(pod, workload, &identity, root, issuer)?;
    let plan = super::change::plan_of(pod)?;
    let mut running = RunningPod {
        identity,
        held: Duration::ZERO,
        volumes: Vec::new(),
        variables: Vec::new(),
        notes: Vec::new(),
        children: Vec::new(),
    };
    let begun = Instant::now();
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    for container in list(spec, "initContainers") {
        let name = text(container, "name");
        if !OURS.contains(&name.as_str()) {
            running.notes.push(format!("init container {name} is not run here"));
        } else if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            let child = start_native_sidecar(container, &layout, &running.identity).await?;
            running.children.push((name, child));
        } else {
            let status = spawn(container, &[], &layout, &running.identity)?.wait().await?;
            if !status.success() {
                bail!("{name} ended with {status}: {}", layout.last_words(&name));
            }
        }
    }
    running.held = begun.elapsed();
    for container in list(spec, "containers") {
        start_app(container, &plan, &layout, &mut running).await?;
    }
    Ok(running)
}

impl RunningPod {
    /// Ends the pod as a kubelet does: SIGTERM in reverse order, SIGKILL after `grace`.
    pub(crate) async fn stop(mut self, grace: Duration) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        while let Some((name, mut child)) = self.children.pop() {
            terminate(&child);
            let status = if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
                status
            } else {
                let _ = child.start_kill();
                child.wait().await
            };
            ended.extend(status.map(|status| (name, status)));
        }
        ended
    }
}

/// Starts a native sidecar and runs its postStart hook; a failed hook restarts the container, as a kubelet does.
async fn start_native_sidecar(container: &Value, layout: &Layout, identity: &PodIdentity) -> Result<Child> {
    let name = text(container, "name");
    let hook: Vec<String> = container
        .pointer("/lifecycle/postStart/exec/command")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect();
    for attempt in 1..=HOOK_ATTEMPTS {
        let mut child = spawn(container, &[], layout, identity)?;
        if hook.is_empty() {
            return Ok(child);
        }
        let mut waiting = spawn(container, &hook, layout, identity)?;
        if waiting.wait().await?.success() {
            return Ok(child);
        }
        terminate(&child);
        let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
        if attempt == HOOK_ATTEMPTS {
            break;
        }
        tokio::time::sleep(RESTART_WAIT).await;
    }
    bail!("the app of {}/{} was held back: {}", identity.namespace, identity.name, layout.last_words(&name))
}

/// Runs one of our containers, or its hook, with exactly the spec's argv and environment.
fn spawn(container: &Value, hook: &[String], layout: &Layout, identity: &PodIdentity) -> Result<Child> {
    let name = text(container, "name");
    let process = container::process(container, identity);
    let argv = if hook.is_empty() { &process.argv } else { hook };
    let (program, arguments) = argv.split_first().with_context(|| format!("container {name} has no command"))?;
    let log = fs::File::options().create(true).append(true).open(layout.folder.join(format!("{name}.log")))?;
    Command::new(std::env::current_exe().context("find this program")?)
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(process.environment)
        .current_dir(layout.root(&name))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start container {name}"))
}

/// Puts a stand-in in the app's place. Where the webhook made our program its parent, that parent really runs.
async fn start_app(container: &Value, plan: &Plan, layout: &Layout, running: &mut RunningPod) -> Result<()> {
    let name = text(container, "name");
    for mount in list(container, "volumeMounts") {
        let volume = text(mount, "name");
        if let (true, Some(folder)) = (volume.starts_with(FILES_VOLUME), layout.volumes.get(&volume)) {
            running.volumes.push((name.clone(), text(mount, "mountPath"), folder.clone()));
        }
    }
    let argv = container::process(container, &running.identity).argv;
    let supervised = argv.first().is_some_and(|program| program.starts_with(vouchsafe_model::plan::RUN_FOLDER));
    if supervised {
        let app =
            argv.iter().skip_while(|word| *word != "--").nth(1).context("the supervised container has no command")?;
        let variables = variables_of(plan, &name);
        layout.place_stand_in(&name, app, &variables)?;
        let child = spawn(container, &[], layout, &running.identity)?;
        if !layout.until_stand_in_runs(&name).await {
            running
                .notes
                .push(format!("the stand-in for {name} has not started yet; its first reload signal may be refused"));
        }
        for variable in variables {
            if layout.log_of(&name).lines().any(|line| line == stand_in_has(&variable)) {
                running.variables.push((name.clone(), variable));
            } else {
                running.notes.push(format!("variable {variable} did not reach container {name}"));
            }
        }
        running.children.push((name, child));
    }
    Ok(())
}

/// Names of the variables that a container is to get.
fn variables_of(plan: &Plan, container: &str) -> Vec<String> {
    let is_its = |file: &&PlanFile| {
        plan.environment_of(file)
            .and_then(|index| plan.environments.get(index))
            .is_some_and(|environment| environment.container.as_str() == container)
    };
    plan.files.iter().filter(is_its).map(|file| file.name.to_string()).collect()
}

impl Layout {
    fn prepare(pod: &Value, workload: &Workload, identity: &PodIdentity, root: &Path, issuer: &Issuer) -> Result<Self> {
        let folder = root.join(&identity.namespace).join(&identity.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
        }
        let mut layout = Self { folder, volumes: BTreeMap::new() };
        let spec = pod.get("spec").unwrap_or(&Value::Null);
        for volume in list(spec, "volumes") {
            layout.make_volume(volume, workload, issuer)?;
        }
        for container in list(spec, "initContainers").chain(list(spec, "containers")) {
            layout.make_root(container)?;
        }
        Ok(layout)
    }

    fn root(&self, container: &str) -> PathBuf {
        self.folder.join("containers").join(container)
    }

    fn make_volume(&mut self, volume: &Value, workload: &Workload, issuer: &Issuer) -> Result<()> {
        let name = text(volume, "name");
        let folder = self.folder.join("volumes").join(&name);
        let token = volume
            .pointer("/projected/sources")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find_map(|source| source.get("serviceAccountToken"));
        if volume.get("emptyDir").is_none() && token.is_none() {
            return Ok(());
        }
        private_folder(&folder)?;
        if let Some(source) = token {
            let audience = source.get("audience").and_then(Value::as_str).unwrap_or(super::issuer::ISSUER);
            write_token(&folder.join(text(source, "path")), workload, audience, issuer)?;
        }
        self.volumes.insert(name, folder);
        Ok(())
    }

    fn make_root(&self, container: &Value) -> Result<()> {
        let root = self.root(&text(container, "name"));
        private_folder(&root.join("dev"))?;
        for mount in list(container, "volumeMounts") {
            let path = text(mount, "mountPath");
            let (Some(folder), Some(relative)) = (self.volumes.get(&text(mount, "name")), path.strip_prefix('/'))
            else {
                continue;
            };
            let link = root.join(relative);
            if let Some(parent) = link.parent() {
                private_folder(parent)?;
            }
            symlink(folder, &link).with_context(|| format!("mount {path} in {}", root.display()))?;
        }
        Ok(())
    }

    /// A small program in the app's place: names the files it sees, then waits.
    fn place_stand_in(&self, container: &str, app: &str, variables: &[String]) -> Result<()> {
        let path = self.root(container).join(app.trim_start_matches('/'));
        if let Some(parent) = path.parent() {
            private_folder(parent)?;
        }
        let told: Vec<String> = variables
            .iter()
            .map(|name| format!("[ -n \"${{{name}+set}}\" ] && echo '{}'\n", stand_in_has(name)))
            .collect();
        let told = told.concat();
        fs::write(&path, format!("{STAND_IN_HEAD}{told}{STAND_IN_TAIL}"))
            .with_context(|| format!("write the stand-in for {app}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Waits until the stand-in listens to signals: one that comes before is refused. Whether it does.
    async fn until_stand_in_runs(&self, container: &str) -> bool {
        for _ in 0..STAND_IN_LOOKS {
            if self.log_of(container).contains(STAND_IN_STARTED) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    fn log_of(&self, container: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{container}.log"))).unwrap_or_default()
    }

    /// What the container wrote to its termination message, else the end of its log.
    fn last_words(&self, container: &str) -> String {
        let message = fs::read_to_string(self.root(container).join("dev/termination-log")).unwrap_or_default();
        if !message.trim().is_empty() {
            return message.trim().to_owned();
        }
        let log = fs::read_to_string(self.folder.join(format!("{container}.log"))).unwrap_or_default();
        log.lines().last().unwrap_or("it left no message").to_owned()
    }
}

/// Keeps the projected tokens of `pods` fresh until the program stops.
pub(crate) async fn refresh_tokens(
    tokens: Vec<(PathBuf, Workload, String)>,
    issuer: std::sync::Arc<Issuer>,
    lifecycle: Lifecycle,
) {
    loop {
        tokio::select! {
            () = lifecycle.stopping() => return,
            () = tokio::time::sleep(TOKEN_LIFE.mul_f64(0.8)) => {}
        }
        for (path, workload, audience) in &tokens {
            if let Err(error) = write_token(path, workload, audience, &issuer) {
                tracing::warn!(path = %path.display(), error = %error, "refresh a projected token");
            }
        }
    }
}

/// Projected tokens below a pod's folder, for [`refresh_tokens`].
pub(crate) fn projected_tokens(
    pod: &Value,
    workload: &Workload,
    identity: &PodIdentity,
    root: &Path,
) -> Vec<(PathBuf, Workload, String)> {
    let folder = root.join(&identity.namespace).join(&identity.name).join("volumes");
    let mut found = Vec::new();
    for volume in list(pod.get("spec").unwrap_or(&Value::Null), "volumes") {
        for source in list(volume.get("projected").unwrap_or(&Value::Null), "sources") {
            if let Some(token) = source.get("serviceAccountToken") {
                let audience = token.get("audience").and_then(Value::as_str).unwrap_or(super::issuer::ISSUER);
                found.push((
                    folder.join(text(volume, "name")).join(text(token, "path")),
                    workload.clone(),
                    audience.to_owned(),
                ));
            }
        }
    }
    found
}

fn write_token(path: &Path, workload: &Workload, audience: &str, issuer: &Issuer) -> Result<()> {
    let token = issuer.token(workload, audience, SystemTime::now())?;
    let temporary = path.with_extension("new");
    // EXPOSE: a projected token is a file; the folder around it is private.
    fs::write(&temporary, token.expose())
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("write {}", path.display()))
}

fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| format!("create {}", path.display()))
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Names of the containers that the webhook adds.
const OURS: [&str; 2] = ["vouchsafe-sidecar", "vouchsafe-wait"];
/// Prefix of the volumes that hold delivered files.
const FILES_VOLUME: &str = "vouchsafe-files-";
/// How often a failed hook is tried before `dev` reports the reason; a kubelet goes on for ever.
const HOOK_ATTEMPTS: u32 = 2;
/// A kubelet's first restart wait is 10 s; on a laptop nobody wants to watch that.
const RESTART_WAIT: Duration = Duration::from_millis(500);
/// Looks for the stand-in's first line, 5 ms apart: half a minute, since two seconds were too few on a busy machine.
const STAND_IN_LOOKS: u32 = 6000;
/// What a stand-in says when it listens.
const STAND_IN_STARTED: &str = "stand-in: started";
/// Takes the place of an app that the wrapper starts; between head and tail it tells which variables it has.
const STAND_IN_HEAD: &str =
    "#!/bin/sh\ntrap 'echo \"stand-in: told to reload\"' HUP USR1 USR2\ntrap 'exit 0' TERM INT\n";
const STAND_IN_TAIL: &str = "echo 'stand-in: started'\nwhile :; do /bin/sleep 1 & wait $!; done\n";

/// What a stand-in says of a variable that it has: the name alone.
fn stand_in_has(name: &str) -> String {
    format!("stand-in: has {name}")
}
