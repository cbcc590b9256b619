//! Stands in for RabbitMQ's management API: OpenBao makes and removes users here, and this is who knows which are good.
//!
//! The engine, its leases and their revocation are OpenBao's own; only the message broker behind them is missing. A process
//! of its own in the node's network. Each user made or removed is one line of a file: `+NAME` or `-NAME`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::smoke::outcome::Outcome;

/// First argument of the program that becomes this server: `dynamic --queue ADDRESS FILE`.
pub(crate) const VERB: &str = "--queue";

/// Serves until it is killed.
pub(crate) fn serve(address: &str, file: &Path) -> Outcome {
    let listener = TcpListener::bind(address)?;
    let log = File::options().create(true).append(true).open(file)?;
    for stream in listener.incoming().filter_map(Result::ok) {
        let log = log.try_clone()?;
        std::thread::spawn(move || converse(stream, log));
    }
    Ok(())
}

/// Users that are good now.
pub(crate) fn users(file: &Path) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        match line.split_at_checked(1) {
            Some(("+", name)) => drop(users.insert(name.to_owned())),
            Some(("-", name)) => drop(users.remove(name)),
            _ => {}
        }
    }
    users
}

/// How many were ever made.
pub(crate) fn made(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().filter(|line| line.starts_with('+')).count()
}

/// Answers the requests of one connection, one after the other.
fn converse(stream: TcpStream, mut log: File) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let header = header.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let sign = match method {
            "PUT" => "+",
            "DELETE" => "-",
            _ => "",
        };
        if let (Some(user), false) = (path.strip_prefix("/api/users/"), sign.is_empty()) {
            // One write: lines of other connections stand before or after it.
            log.write_all(format!("{sign}{user}\n").as_bytes())?;
        }
        writer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}

/// A client that keeps its connection is waited for so long.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_those_made_and_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        assert!(users(&file).is_empty());
        fs::write(&file, "+a\n+b\n-a\n").unwrap();
        assert_eq!(users(&file).into_iter().collect::<Vec<_>>(), ["b"]);
        assert_eq!(made(&file), 2);
    }
}
