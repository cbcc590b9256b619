//! What can be set, by flag or environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Keep the webhook's caBundle equal to a certificate authority in a file.
#[derive(Clone, Debug, Parser)]
#[command(name = "vouchsafe-controller", version, about)]
pub struct Arguments {
    /// MutatingWebhookConfiguration to look after.
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_WEBHOOK_CONFIGURATION", default_value = "vouchsafe")]
    pub webhook_configuration: String,
    /// PEM file with the certificate authority of the webhook's certificate; read again at each look.
    #[arg(long, value_name = "FILE", env = "VOUCHSAFE_CA_FILE", default_value = "/etc/vouchsafe/tls/ca.crt")]
    pub ca_file: PathBuf,
}

/// Time between two looks: an overwritten caBundle is repaired within 5 s, a look included.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
