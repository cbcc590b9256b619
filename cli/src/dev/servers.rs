//! The servers of `dev`: embedded store, broker and webhook, each the code that a cluster runs, over TLS on loopback.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use tokio::net::TcpListener;
use vouchsafe_broker::audit::LogOptions;
use vouchsafe_broker::server::accessor_key;
use vouchsafe_broker::store::{Clock, Store, StoreOptions};
use vouchsafe_broker::{Broker, BrokerOptions};
use vouchsafe_model::Secret;
use vouchsafe_model::plan::{Gate, Server, ServerKind};
use vouchsafe_net::client::Client;
use vouchsafe_net::http::Request;
use vouchsafe_net::lifecycle::Lifecycle;
use vouchsafe_net::tls::{Identity, TrustRoots};
use vouchsafe_net::vault::Vault;
use vouchsafe_policies::manifest::Manifest;
use vouchsafe_policies::{GrantSet, Installation};
use vouchsafe_webhook::Config;
use vouchsafe_webhook::grants::Source;
use vouchsafe_webhook::server::DecisionLog;

use super::pki::Authority;
use super::state::{Running, State};
use crate::arguments::Dev;
use crate::preflight;

/// The running servers and how to reach them.
pub(crate) struct Servers {
    /// `https://127.0.0.1:PORT` of the broker.
    pub(crate) address: String,
    /// `https://127.0.0.1:PORT` of the webhook.
    pub(crate) webhook_address: String,
    /// A client of the broker.
    pub(crate) vault: Vault,
    /// The store's first token.
    pub(crate) root_token: Secret,
    /// Where the audit log lies.
    pub(crate) audit_folder: PathBuf,
    /// Whether the store was made now.
    pub(crate) store_is_new: bool,
    webhook: Client,
    grants: GrantSet,
    config: Config,
}

/// What the webhook said about a pod.
pub(crate) enum Admission {
    Patched { pod: Value, warnings: Vec<String> },
    Untouched,
    Refused { message: String },
}

impl Servers {
    /// Starts all three and waits until each answers.
    pub(crate) async fn start(
        state: &State,
        arguments: &Dev,
        grants: &GrantSet,
        lifecycle: &Lifecycle,
    ) -> Result<Self> {
        let authority = Authority::open(state)?;
        let roots = TrustRoots::from_pem(&authority.certificate)?;
        let (store, root_token, store_is_new) = open_store(state)?;
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("listen on {}; choose another with --listen", arguments.listen))?;
        let audit_folder = state.path("audit");
        let mut options = BrokerOptions::new(
            listener,
            identity(&authority, "vouchsafe-broker")?,
            LogOptions::new(&audit_folder),
            accessor_key(&state.path("accessor.key"))?,
            store,
        );
        options.changes = Some(options.upstream.subscribe_changes());
        options.trust_bundle = Some(state.path("ca.crt"));
        let broker = Broker::start(options, lifecycle)?;
        let address = format!("https://{}", broker.address);

        let config = config(&address, &authority)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for the webhook")?;
        let webhook_address = format!("https://{}", listener.local_addr()?);
        let setup = vouchsafe_webhook::Setup {
            config: config.clone(),
            source: Source::Fixed(grants.clone()),
            identity: identity(&authority, "vouchsafe-webhook")?,
            trust_file: None,
            decisions: decisions_file(state)?,
        };
        lifecycle.spawn("webhook", vouchsafe_webhook::run(setup, listener, lifecycle.clone()));
        let webhook = Client::new(webhook_address.parse()?, &roots);
        let vault = Vault::new(Client::new(address.parse()?, &roots), None);
        let servers = Self {
            address,
            webhook_address,
            vault,
            root_token,
            audit_folder,
            store_is_new,
            webhook,
            grants: grants.clone(),
            config,
        };
        servers.until_ready().await?;
        Ok(servers)
    }

    /// Posts an AdmissionReview as an API server does and applies the patch it answers with.
    pub(crate) async fn admit(&self, review: &Value, pod: &Value) -> Result<Admission> {
        let mut request = Request::new(Method::POST, "/mutate");
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Secret::from(review.to_string());
        let answer = self.webhook.send(request, ANSWER_TIME).await?;
        if answer.status != 200 {
            bail!("the webhook answers {} to an AdmissionReview", answer.status);
        }
        // EXPOSE: an AdmissionReview holds no value of a secret.
        let body: Value = serde_json::from_slice(answer.body.expose()).context("the webhook's answer is no JSON")?;
        let response = body.get("response").context("the webhook's answer holds no response")?;
        if response.get("allowed") != Some(&Value::Bool(true)) {
            let message = response.pointer("/status/message").and_then(Value::as_str).unwrap_or("without a reason");
            return Ok(Admission::Refused { message: message.to_owned() });
        }
        let Some(patch) = response.get("patch").and_then(Value::as_str) else { return Ok(Admission::Untouched) };
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch)?)?;
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch).context("the webhook's patch does not fit the pod")?;
        let warnings = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
        let warnings = warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect();
        Ok(Admission::Patched { pod: patched, warnings })
    }

    /// What `explain` says about a workload.
    pub(crate) fn explain(&self, manifest: &Manifest) -> String {
        vouchsafe_webhook::explain(manifest, &self.grants, &self.config).to_string()
    }

    /// What other commands need to find these servers.
    pub(crate) fn announcement(&self, state: &State) -> Running {
        Running { address: self.address.clone(), ca_file: state.path("ca.crt"), token_file: state.path("root-token") }
    }

    async fn until_ready(&self) -> Result<()> {
        for client in [self.vault.client(), &self.webhook] {
            let mut last = String::new();
            for _ in 0..READY_TRIES {
                match client.send(Request::new(Method::GET, "/readyz"), ANSWER_TIME).await {
                    Ok(answer) if answer.status == 200 => {
                        last.clear();
                        break;
                    }
                    Ok(answer) => last = format!("status {}", answer.status),
                    Err(error) => last = error.to_string(),
                }
                tokio::time::sleep(READY_PAUSE).await;
            }
            if !last.is_empty() {
                bail!("{} does not become ready: {last}", client.address());
            }
        }
        Ok(())
    }
}

/// Opens the store, or makes it and keeps its root token.
fn open_store(state: &State) -> Result<(Store, Secret, bool)> {
    let options = StoreOptions { file: state.path("store.redb"), key_file: state.path("store.key"), create: true };
    let (store, made) = Store::open(&options, Clock::system())?;
    let is_new = made.is_some();
    if let Some(root) = &made {
        state.write_secret("root-token", &root.0)?;
    }
    let token = state.secret("root-token", || {
        bail!("root-token is gone from {}; remove store.redb and store.key to begin anew", state.path("").display())
    })?;
    Ok((store, token, is_new))
}

fn identity(authority: &Authority, name: &str) -> Result<Identity> {
    let leaf = authority.leaf(name)?;
    Ok(Identity::from_pem(&leaf.chain, &leaf.key)?)
}

fn config(address: &str, authority: &Authority) -> Result<Config> {
    let server = Server {
        kind: ServerKind::Broker,
        address: address.parse()?,
        namespace: None,
        trust: authority.certificate.clone(),
    };
    let installation = Installation {
        server,
        audience: vouchsafe_policies::DEFAULT_AUDIENCE.parse()?,
        gate: Gate::Hook,
        wait_seconds: crate::offline::WAIT_SECONDS,
    };
    let mut config = Config::new(installation, "vouchsafe-sidecar:dev");
    config.drop_in = Some(preflight::settings()?);
    Ok(config)
}

/// The webhook's decisions, one line each, as a cluster has them on standard output.
fn decisions_file(state: &State) -> Result<DecisionLog> {
    let path = state.path("decisions.log");
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    let file = Arc::new(Mutex::new(file));
    Ok(Box::new(move |line| {
        use std::io::Write as _;
        let _ = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }))
}

/// How long one answer of a server on this machine may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Looks at a server that starts, with a pause between them: 10 s in all.
const READY_TRIES: u32 = 200;
const READY_PAUSE: Duration = Duration::from_millis(50);
