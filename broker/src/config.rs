//! The command line of `vouchsafe-broker`, also reachable as a verb of the CLI, and what it becomes.
//!
//! Every flag has an environment variable. Files are read once at the start, except certificates (hot) and the trust bundle
//! (at each request).

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::net::TcpListener;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::lifecycle::{Lifecycle, termination};
use vouchsafe_net::tls::{Identity, TrustRoots};

use crate::audit::LogOptions;
use crate::server::{Broker, BrokerOptions, accessor_key};
use crate::store::{Clock, RootToken, Store, StoreOptions};
use crate::upstream::Upstream;
use crate::upstream::remote::Remote;

/// Serves the Vault API in front of Vault, OpenBao or an embedded store, and records who read what.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    #[arg(long, env = "VOUCHSAFE_BROKER_LISTEN", default_value = "0.0.0.0:8200")]
    pub listen: SocketAddr,
    /// Folder with tls.crt and tls.key; replaced files are taken up without a restart.
    #[arg(long, env = "VOUCHSAFE_BROKER_TLS_FOLDER", value_name = "FOLDER")]
    pub tls_folder: PathBuf,
    /// Folder of the audit log, on a disk of this broker alone.
    #[arg(long, env = "VOUCHSAFE_BROKER_AUDIT_FOLDER", value_name = "FOLDER")]
    pub audit_folder: PathBuf,
    /// Key of the accessor HMACs, the same for all replicas; made where it is missing. Default: accessor.key in the audit folder.
    #[arg(long, env = "VOUCHSAFE_BROKER_ACCESSOR_KEY", value_name = "FILE")]
    pub accessor_key: Option<PathBuf>,
    /// Vault or OpenBao: <https://HOST[:PORT]>.
    #[arg(
        long,
        env = "VOUCHSAFE_BROKER_UPSTREAM",
        value_name = "URL",
        conflicts_with = "store",
        requires = "upstream_ca"
    )]
    pub upstream: Option<ServerAddress>,
    /// PEM file of the roots that vouch for the upstream.
    #[arg(long, env = "VOUCHSAFE_BROKER_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<PathBuf>,
    /// Further servers of the same cluster, to which the upstream may redirect.
    #[arg(long, env = "VOUCHSAFE_BROKER_UPSTREAM_REDIRECT", value_name = "URL", value_delimiter = ',')]
    pub upstream_redirect: Vec<ServerAddress>,
    /// File of the embedded store, instead of an upstream.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE", value_name = "FILE", requires = "store_key")]
    pub store: Option<PathBuf>,
    /// Key file of the embedded store.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_KEY", value_name = "FILE")]
    pub store_key: Option<PathBuf>,
    /// Makes the embedded store and its key file where there is no store yet; the root token goes, this once, to this file.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_CREATE", value_name = "FILE", requires = "store")]
    pub store_create: Option<PathBuf>,
    /// A store that is made now also has auth/kubernetes, set up for the cluster that this pod runs in (KUBERNETES_SERVICE_HOST).
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_KUBERNETES", requires = "store_create")]
    pub store_kubernetes: bool,
    /// How long the evidence of a read counts, in seconds; 0 asks each time.
    #[arg(long, env = "VOUCHSAFE_BROKER_AUTH_TTL", value_name = "SECONDS", default_value_t = 5)]
    pub auth_ttl: u64,
    /// PEM file of the broker's own roots, handed out to sidecars.
    #[arg(long, env = "VOUCHSAFE_BROKER_TRUST_BUNDLE", value_name = "FILE")]
    pub trust_bundle: Option<PathBuf>,
}

/// Runs a broker until SIGTERM or SIGINT, and lets requests in flight end.
pub async fn run(config: Config) -> Result<()> {
    let lifecycle = Lifecycle::new();
    match (&config.upstream, &config.store) {
        (Some(address), None) => {
            let remote = remote(&config, address)?;
            serve(config, remote, None, &lifecycle).await
        }
        (None, Some(file)) => {
            let Some(key_file) = config.store_key.clone() else { bail!("--store needs --store-key FILE") };
            let options = StoreOptions { file: file.clone(), key_file, create: false };
            let token_file = config.store_create.clone();
            let api_server =
                if config.store_kubernetes { Some(api_server(&|name| std::env::var(name).ok())?) } else { None };
            let opened =
                tokio::task::spawn_blocking(move || open_store(options, token_file.as_deref(), api_server.as_deref()));
            let store = opened.await.context("opening the store")??;
            let changes = store.subscribe_changes();
            serve(config, store, Some(changes), &lifecycle).await
        }
        _ => bail!("say where secrets come from: --upstream https://HOST:PORT, or --store FILE with --store-key FILE"),
    }
}

/// Opens the store; where there is none and a file for its root token is named, makes it.
fn open_store(mut options: StoreOptions, token_file: Option<&Path>, api_server: Option<&str>) -> Result<Store> {
    let is_missing = std::fs::metadata(&options.file).map_or(true, |found| found.len() == 0);
    let mut token_out = match token_file.filter(|_| is_missing) {
        None => None,
        // Before the store: a store whose root token went nowhere is of no use.
        Some(path) => Some(
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(OWNER_ONLY)
                .open(path)
                .with_context(|| format!("--store-create {}: the root token goes to a new file", path.display()))?,
        ),
    };
    options.create = token_out.is_some();
    let (store, root) = match api_server {
        Some(address) => Store::open_in_cluster(&options, Clock::system(), address)?,
        None => Store::open(&options, Clock::system())?,
    };
    if let (Some(file), Some(RootToken(token))) = (&mut token_out, root) {
        // EXPOSE: the one time that the root token leaves, into a file that only the owner reads.
        file.write_all(token.expose()).context("write the root token")?;
        file.sync_all().context("write the root token")?;
    }
    Ok(store)
}

/// Address of the API server as kubelet tells it to every pod.
fn api_server(variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Some(host) = set("KUBERNETES_SERVICE_HOST") else {
        bail!("--store-kubernetes: KUBERNETES_SERVICE_HOST is not set, so this is no pod; leave the flag out here")
    };
    let port = set("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    Ok(if is_bare_v6 { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
}

fn remote(config: &Config, address: &ServerAddress) -> Result<Remote> {
    let Some(file) = &config.upstream_ca else { bail!("--upstream needs --upstream-ca FILE") };
    let pem = std::fs::read_to_string(file).with_context(|| format!("--upstream-ca {}", file.display()))?;
    let roots = TrustRoots::from_pem(&pem).with_context(|| format!("--upstream-ca {}", file.display()))?;
    Ok(Remote::new(address.clone(), &roots, config.upstream_redirect.clone()))
}

async fn serve<U: Upstream>(
    config: Config,
    upstream: U,
    changes: Option<tokio::sync::broadcast::Receiver<vouchsafe_model::wire::extension::Change>>,
    lifecycle: &Lifecycle,
) -> Result<()> {
    let identity = Identity::from_folder(&config.tls_folder)
        .with_context(|| format!("--tls-folder {}", config.tls_folder.display()))?;
    identity.follow(&config.tls_folder, lifecycle);
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("--listen {}", config.listen))?;
    std::fs::create_dir_all(&config.audit_folder)
        .with_context(|| format!("--audit-folder {}", config.audit_folder.display()))?;
    let key_file = config.accessor_key.clone().unwrap_or_else(|| config.audit_folder.join("accessor.key"));
    let mut options = BrokerOptions::new(
        listener,
        identity,
        LogOptions::new(&config.audit_folder),
        accessor_key(&key_file)?,
        upstream,
    );
    options.changes = changes;
    options.auth_ttl = Duration::from_secs(config.auth_ttl);
    options.trust_bundle = config.trust_bundle;
    let running = Broker::start(options, lifecycle)?;
    tracing::info!(address = %running.address, "listening");
    end(lifecycle, termination()).await
}

/// Waits for the end, then for everything in flight.
async fn end(lifecycle: &Lifecycle, signal: impl Future<Output = &'static str>) -> Result<()> {
    tokio::select! {
        signal = signal => lifecycle.stop(signal),
        () = lifecycle.stopping() => {}
    }
    tracing::info!(reason = lifecycle.reason(), "ending; requests in flight are finished");
    lifecycle.drain(DRAIN).await.context("requests in flight did not end in time")?;
    Ok(())
}

/// Longest time for requests in flight: below the 30 s that Kubernetes leaves between SIGTERM and SIGKILL.
pub const DRAIN: Duration = Duration::from_secs(20);
/// Mode of the file with the root token.
const OWNER_ONLY: u32 = 0o600;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        let line = ["broker", "--tls-folder", "/t", "--audit-folder", "/a"].iter().chain(more);
        Line::try_parse_from(line).map(|line| line.config)
    }

    #[test]
    fn an_upstream_comes_with_its_roots_and_a_store_with_its_key() {
        assert!(parse(&["--upstream", "https://vault:8200", "--upstream-ca", "/ca"]).is_ok());
        assert!(parse(&["--store", "/s", "--store-key", "/k"]).is_ok());
        assert!(parse(&["--upstream", "https://vault:8200"]).is_err());
        assert!(parse(&["--upstream", "http://vault:8200", "--upstream-ca", "/ca"]).is_err());
        assert!(parse(&["--store", "/s"]).is_err());
        let made = ["--store", "/s", "--store-key", "/k", "--store-kubernetes"];
        assert!(parse(&made).is_err() && parse(&[&made[..], &["--store-create", "/r"]].concat()).is_ok());
        let both = ["--upstream", "https://v", "--upstream-ca", "/ca", "--store", "/s", "--store-key", "/k"];
        assert!(parse(&both).is_err());
    }

    #[test]
    fn the_api_server_is_the_one_that_kubelet_names() {
        let in_pod = |host: &'static str, port: &'static str| {
            api_server(&move |name| Some(if name.ends_with("HOST") { host } else { port }.to_owned()))
        };
        assert_eq!(in_pod("10.96.0.1", "443").unwrap(), "https://10.96.0.1:443");
        assert_eq!(in_pod("fd00::1", "6443").unwrap(), "https://[fd00::1]:6443");
        assert_eq!(in_pod("[fd00::1]", "").unwrap(), "https://[fd00::1]:443");
        assert!(api_server(&|_| None).unwrap_err().to_string().contains("KUBERNETES_SERVICE_HOST"));
    }

    #[tokio::test]
    async fn a_broker_without_a_source_of_secrets_does_not_start() {
        let error = run(parse(&[]).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("--upstream"), "{error}");
    }
}
