//! `store backup`, `store check`, `store restore`: the embedded store's data apart from the key that opens it.
//!
//! A backup is made of a running store over its API, with a token that may read `sys/storage/snapshot`, or of a stopped
//! store's files. Out of scope: schedules and retention, and copying the key file, which must go another way.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::client::{Client, Limits};
use vouchsafe_net::http::{HeaderName, HeaderValue, Method, Request};
use vouchsafe_net::tls::TrustRoots;

use crate::store::StoreOptions;
use crate::store::backup::{self, Contents, SNAPSHOT_BYTES, SNAPSHOT_PATH};

/// Longest wait for a running store's backup.
const DEADLINE: Duration = Duration::from_secs(60);
/// What a backup's file is open to: its owner. It is encrypted, but nobody else needs it.
const FILE_MODE: u32 = 0o600;
/// Stands for standard output.
const STDOUT: &str = "-";

/// Arguments of `store`.
#[derive(Args, Debug)]
pub struct StoreVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Write a backup of a running broker's store (--address) or of a stopped one's file (--store)
    Backup(Backup),
    /// Read a backup and decrypt every record, keeping nothing
    Check(Check),
    /// Make a store file of a backup; the broker must not run on it
    Restore(Restore),
}

#[derive(Args, Debug)]
struct Backup {
    /// New file for the backup; - is standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A running broker: <https://HOST[:PORT]>.
    #[arg(long, value_name = "URL", requires = "ca")]
    address: Option<ServerAddress>,
    /// PEM file of the roots that vouch for it.
    #[arg(long, env = "VAULT_CACERT", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with a token that may read sys/storage/snapshot (capabilities read and sudo). Default: VAULT_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File of a stopped broker's store.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE", value_name = "FILE")]
    store: Option<PathBuf>,
    /// Its key file.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_KEY", value_name = "FILE")]
    store_key: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Check {
    /// The backup.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Key file of the store that the backup is of.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_KEY", value_name = "FILE")]
    store_key: PathBuf,
}

#[derive(Args, Debug)]
struct Restore {
    /// The backup.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// File that the store becomes; it must not be there yet.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE", value_name = "FILE")]
    store: PathBuf,
    /// Key file of the store that the backup is of.
    #[arg(long, env = "VOUCHSAFE_BROKER_STORE_KEY", value_name = "FILE")]
    store_key: PathBuf,
}

impl StoreVerb {
    /// Does it; says on `note` what was done, and writes a backup for - on `out`.
    pub(crate) fn run(self, out: &mut dyn Write, note: &mut dyn Write) -> Result<()> {
        match self.what {
            What::Backup(verb) => verb.run(out, note),
            What::Check(verb) => {
                let contents = backup::check(&verb.input, &verb.store_key)?;
                said(note, &format!("{}: whole", verb.input.display()), contents)
            }
            What::Restore(verb) => {
                let options =
                    StoreOptions { file: verb.store.clone(), key_file: verb.store_key.clone(), create: false };
                let contents = backup::restore(&verb.input, &options)?;
                said(note, &format!("{}: restored", verb.store.display()), contents)
            }
        }
    }
}

impl Backup {
    fn run(&self, out: &mut dyn Write, note: &mut dyn Write) -> Result<()> {
        let is_stdout = self.out == Path::new(STDOUT);
        let mut file = if is_stdout { None } else { Some(self.create()?) };
        let target: &mut dyn Write = match &mut file {
            Some(file) => file,
            None => out,
        };
        let written = match (&self.address, &self.store, &self.store_key) {
            (Some(address), ..) => self.fetch(address, target).map(|()| None),
            (None, Some(store), Some(key)) => {
                let options = StoreOptions { file: store.clone(), key_file: key.clone(), create: false };
                backup::write(&options, target).map(Some).map_err(Into::into)
            }
            _ => Err(anyhow::anyhow!(
                "say what to back up: --address URL of a running broker, or --store FILE and --store-key FILE of a stopped one"
            )),
        };
        let synced = written.and_then(|contents| {
            file.as_ref().map_or(Ok(()), |file| file.sync_all().context("write the backup"))?;
            Ok(contents)
        });
        match synced {
            Ok(Some(contents)) => said(note, &format!("{}: written", self.out.display()), contents),
            Ok(None) => {
                writeln!(note, "{}: written; prove it with `vouchsafe-broker store check`", self.out.display())?;
                Ok(())
            }
            Err(error) => {
                if file.is_some() {
                    // Half a backup is worth nothing.
                    let _ = std::fs::remove_file(&self.out);
                }
                Err(error)
            }
        }
    }

    fn create(&self) -> Result<std::fs::File> {
        let mut how = OpenOptions::new();
        let opened = how.write(true).create_new(true).mode(FILE_MODE).open(&self.out);
        opened.with_context(|| format!("--out {}: the backup goes to a new file", self.out.display()))
    }

    /// Asks a running broker.
    fn fetch(&self, address: &ServerAddress, target: &mut dyn Write) -> Result<()> {
        let Some(ca) = &self.ca else { bail!("--address needs --ca FILE") };
        let pem = std::fs::read_to_string(ca).with_context(|| format!("--ca {}", ca.display()))?;
        let roots = TrustRoots::from_pem(&pem).with_context(|| format!("--ca {}", ca.display()))?;
        let limits = Limits { body_bytes: SNAPSHOT_BYTES + (1 << 20), ..Limits::default() };
        let client = Client::with_limits(address.clone(), &roots, limits);
        let mut request = Request::new(Method::GET, &format!("/v1/{SNAPSHOT_PATH}"));
        // EXPOSE: the person's own token, for the one server that was named.
        let mut token = HeaderValue::from_bytes(self.token()?.expose()).context("the token")?;
        token.set_sensitive(true);
        request.headers.insert(HeaderName::from_static("x-vault-token"), token);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let response = runtime.block_on(client.send(request, DEADLINE))?;
        match response.status {
            200 => {
                // EXPOSE: a backup is encrypted.
                target.write_all(response.body.expose()).and_then(|()| target.flush()).context("write the backup")
            }
            403 => bail!("{address} refuses it: the token needs the capabilities read and sudo on {SNAPSHOT_PATH}"),
            404 => bail!("{address} has no embedded store; back up the Vault or OpenBao behind it with its own tools"),
            status => bail!("{address} answered {status}"),
        }
    }

    fn token(&self) -> Result<Secret> {
        let bytes = match &self.token_file {
            Some(file) => std::fs::read(file).with_context(|| format!("--token-file {}", file.display()))?,
            None => match std::env::var_os("VAULT_TOKEN") {
                Some(token) => std::os::unix::ffi::OsStringExt::into_vec(token),
                None => bail!("--address needs a token: --token-file FILE, or VAULT_TOKEN"),
            },
        };
        Ok(Secret::new(bytes.trim_ascii().to_vec()))
    }
}

fn said(note: &mut dyn Write, what: &str, contents: Contents) -> Result<()> {
    writeln!(note, "{what}, {} records, {} names", contents.records, contents.names)?;
    Ok(())
}
