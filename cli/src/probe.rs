//! `vouchsafe probe`: whether servers of ours answer over TLS that the given roots vouch for. `helm test` runs it in the cluster.
//!
//! Out of scope: what is wrong if it does not (the error names the step that failed), and servers of others.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vouchsafe_model::path::ServerAddress;
use vouchsafe_net::client::Client;
use vouchsafe_net::http::{Method, Request};
use vouchsafe_net::tls::TrustRoots;

use crate::arguments::Probe;
use crate::output::line;

/// Asks one server after the other.
pub(crate) async fn run(arguments: Probe) -> Result<ExitCode> {
    let mut pem = String::new();
    for file in &arguments.ca_file {
        pem += &std::fs::read_to_string(file).with_context(|| format!("read the CA file {}", file.display()))?;
        pem.push('\n');
    }
    let roots = TrustRoots::from_pem(&pem)?;
    for url in &arguments.urls {
        let (address, path) = split(url)?;
        well(&Client::new(address, &roots), url, path, Duration::from_secs(arguments.seconds)).await?;
        line(format!("{url} answers 200"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks until the answer is 200 or the time is up; a server that has only just been started may need a moment.
async fn well(client: &Client, url: &str, path: &str, limit: Duration) -> Result<()> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let Err(failure) = ask(client, path).await else { return Ok(()) };
        if tokio::time::Instant::now() + PAUSE >= deadline {
            return Err(failure.context(format!("{url} is not well after {} s", limit.as_secs())));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(client: &Client, path: &str) -> Result<()> {
    match client.send(Request::new(Method::GET, path), ANSWER_WAIT).await?.status {
        200 => Ok(()),
        status => bail!("answers {status}"),
    }
}

/// `https://HOST:PORT/PATH` as address and path.
fn split(url: &str) -> Result<(ServerAddress, &str)> {
    let rest = url.strip_prefix("https://").with_context(|| format!("{url}: write https://HOST:PORT/PATH"))?;
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    let authority = url.strip_suffix(path).unwrap_or(url);
    Ok((authority.parse()?, path))
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// For one answer: a broker asks its upstream before it says how it does, which takes up to 2 s.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_path_come_out_of_a_url() {
        let parts = |url: &str| split(url).map(|(address, path)| (address.to_string(), path.to_owned()));
        assert_eq!(parts("https://a:8443/readyz").unwrap(), ("https://a:8443".to_owned(), "/readyz".to_owned()));
        assert_eq!(parts("https://a").unwrap(), ("https://a:8200".to_owned(), "/".to_owned()));
        assert!(split("http://a/readyz").is_err());
        assert!(split("https://a:b/readyz").is_err());
    }
}
