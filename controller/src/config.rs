//! What can be set, by flag or environment, and what it means.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use vouchsafe_model::name::Namespace;
use vouchsafe_model::text::quoted;

use crate::authority::leaf::Serving;
use crate::authority::{Terms, TermsError};

/// Make the certificates of webhook and broker, keep the webhook's caBundle, tell in each Grant's status whether it compiles.
///
/// Every object is named, exists already (the chart renders it empty) and is only read and changed: the controller needs no
/// right to create or list Secrets. Logs go to standard error (VOUCHSAFE_LOG: error to trace).
#[derive(Clone, Debug, Parser)]
#[command(name = "vouchsafe-controller", version)]
pub struct Arguments {
    /// Namespace of the Secrets, the ConfigMap and the Lease.
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_NAMESPACE", default_value = "vouchsafe")]
    pub namespace: Namespace,
    /// Name of this replica in the Lease, different for each one [default: the host's name, which is the pod's]
    #[arg(long, value_name = "TEXT", env = "VOUCHSAFE_IDENTITY")]
    pub identity: Option<String>,
    /// Lease by which replicas agree on who works.
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_LEASE", default_value = "vouchsafe-controller")]
    pub lease: String,
    /// MutatingWebhookConfigurations to look after.
    #[arg(
        long,
        value_name = "NAME",
        env = "VOUCHSAFE_WEBHOOK_CONFIGURATION",
        default_value = "vouchsafe,vouchsafe-warn",
        value_delimiter = ','
    )]
    pub webhook_configuration: Vec<String>,
    /// Where certificates come from.
    #[command(flatten)]
    pub certificates: CertificateArguments,
    /// Address and port to serve HTTP on: /healthz, /readyz, /metrics.
    #[arg(long, value_name = "ADDRESS:PORT", env = "VOUCHSAFE_LISTEN", default_value = "0.0.0.0:8081")]
    pub listen: SocketAddr,
}

/// Where certificates come from: made here, or elsewhere.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub struct CertificateArguments {
    /// Secret that the roots and their keys lie in; nobody else may read it.
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_CA_SECRET", default_value = "vouchsafe-ca")]
    pub ca_secret: String,
    /// ConfigMap whose key ca.crt is the trust bundle.
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_TRUST_CONFIGMAP", default_value = "vouchsafe-trust")]
    pub trust_configmap: String,
    /// A server's Secret (tls.crt, tls.key, ca.crt) and the names that clients call it by; may be given several times.
    #[arg(long, value_name = "SECRET=DNS[,DNS]", env = "VOUCHSAFE_SERVING", value_delimiter = ';')]
    pub serving: Vec<Serving>,
    /// Life of a root, half of it as successor: 87600h, 3650d.
    #[arg(long, value_name = "TIME", env = "VOUCHSAFE_CA_LIFETIME", default_value = "87600h", value_parser = duration)]
    pub ca_lifetime: Duration,
    /// How long a successor is known to clients, at the least, before it signs.
    #[arg(long, value_name = "TIME", env = "VOUCHSAFE_CA_OVERLAP", default_value = "720h", value_parser = duration)]
    pub ca_overlap: Duration,
    /// Life of a server's certificate; a new one is made after two thirds of it.
    #[arg(long, value_name = "TIME", env = "VOUCHSAFE_LEAF_LIFETIME", default_value = "2160h", value_parser = duration)]
    pub leaf_lifetime: Duration,
    /// PEM file with an authority of your own (cert-manager, for example), read again at each look. Then no certificate is
    /// made here: Secrets and the ConfigMap are not touched.
    #[arg(long, value_name = "FILE", env = "VOUCHSAFE_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Where certificates come from, checked.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made here.
    Made {
        /// Names and lifetimes.
        terms: Terms,
        /// Servers.
        serving: Vec<Serving>,
    },
    /// Made elsewhere; this file holds the authority.
    File(PathBuf),
}

impl CertificateArguments {
    /// Checks that names and lifetimes fit together.
    pub fn source(&self) -> Result<Source, TermsError> {
        if let Some(file) = &self.ca_file {
            return Ok(Source::File(file.clone()));
        }
        let names = self.serving.iter().flat_map(|serving| serving.names.iter().cloned()).collect();
        let terms = Terms::new(names, self.ca_lifetime, self.ca_overlap, self.leaf_lifetime)?;
        Ok(Source::Made { terms, serving: self.serving.clone() })
    }
}

impl FromStr for Serving {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((secret, names)) = text.split_once('=') else {
            return Err(format!(
                "{} is not SECRET=DNS[,DNS], as in vouchsafe-webhook-tls=vouchsafe-webhook.vouchsafe.svc",
                quoted(text)
            ));
        };
        vouchsafe_model::name::dns_subdomain(secret)
            .map_err(|problem| format!("Secret {}: {problem}", quoted(secret)))?;
        let names = names
            .split(',')
            .map(|name| name.trim().parse().map_err(|error: crate::authority::ServerNameError| error.to_string()))
            .collect::<Result<_, _>>()?;
        Ok(Self { secret: secret.to_owned(), names })
    }
}

/// `90s`, `15m`, `720h`, `30d`.
fn duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("{} is no time; write a whole number and a unit, as in 90s, 15m, 720h or 30d", quoted(text));
    let unit = text.chars().next_back().ok_or_else(fail)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(fail()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| fail())?;
    let time = number.checked_mul(seconds).filter(|time| (1..=LONGEST_SECONDS).contains(time)).ok_or_else(fail)?;
    Ok(Duration::from_secs(time))
}

/// Time between two looks at the webhook configurations: with a watch that has died unnoticed, an overwritten caBundle is
/// still repaired within 5 s, the look included.
pub const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Time between two looks at everything: Secrets are not watched, since that takes rights to list them.
pub const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(15);
/// Certificates cannot say more than the year 9999; a century is plenty.
const LONGEST_SECONDS: u64 = 100 * 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("vouchsafe-controller").chain(flags.iter().copied()))
    }

    #[test]
    fn flags_become_servers_and_terms() {
        let arguments = parse(&[
            "--serving",
            "web-tls=web.ns.svc,web.ns.svc.cluster.local;broker-tls=*.broker.ns.svc",
            "--serving",
            "third=10.0.0.1",
            "--webhook-configuration",
            "a,b",
        ])
        .unwrap();
        assert_eq!(arguments.webhook_configuration, ["a", "b"]);
        let Ok(Source::Made { terms, serving }) = arguments.certificates.source() else { panic!("no source") };
        let secrets: Vec<&str> = serving.iter().map(|one| one.secret.as_str()).collect();
        assert_eq!(secrets, ["web-tls", "broker-tls", "third"]);
        assert_eq!(terms.names().len(), 4);
        assert_eq!(terms.leaf_lifetime(), Duration::from_secs(2160 * 3600));
    }

    #[test]
    fn an_authority_file_needs_no_servers() {
        let arguments = parse(&["--ca-file", "/ca.crt"]).unwrap();
        assert!(matches!(arguments.certificates.source(), Ok(Source::File(_))));
        assert_eq!(parse(&[]).unwrap().certificates.source().unwrap_err(), TermsError::NoNames);
    }

    #[test]
    fn wrong_flags_are_refused_with_what_would_be_right() {
        for (flags, hint) in [
            (["--serving", "web.ns.svc"], "SECRET=DNS"),
            (["--serving", "Web=web.ns.svc"], "Secret"),
            (["--serving", "web=web ns"], "neither a DNS name"),
            (["--ca-lifetime", "10y"], "720h"),
            (["--leaf-lifetime", "0s"], "720h"),
            (["--ca-overlap", "99999999999999999h"], "720h"),
            (["--namespace", "A"], "a-z"),
        ] {
            let error = parse(&flags).unwrap_err().to_string();
            assert!(error.contains(hint), "{flags:?}: {error}");
        }
    }

    #[test]
    fn lifetimes_that_do_not_fit_are_refused_with_the_least_that_would() {
        let flags = ["--serving", "a=a.svc", "--ca-lifetime", "100h", "--ca-overlap", "30h", "--leaf-lifetime", "20h"];
        let error = parse(&flags).unwrap().certificates.source().unwrap_err();
        assert_eq!(error, TermsError::TooShort { least: 110 * 3600 });
    }

    #[test]
    fn every_flag_has_a_help_text_and_an_environment_variable() {
        use clap::CommandFactory as _;
        for argument in
            Arguments::command().get_arguments().filter(|one| !matches!(one.get_id().as_str(), "help" | "version"))
        {
            assert!(argument.get_help().is_some_and(|help| help.to_string().len() > 20), "{argument:?}");
            let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(variable.starts_with("VOUCHSAFE_"), "{argument:?}");
        }
    }
}
