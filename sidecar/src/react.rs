//! Telling the app that its files are new: a signal through its wrapper, or one HTTP request to the pod itself, bounded.
//!
//! Plain HTTP/1.1 over loopback by hand: a request line, a status line, nothing else is of interest.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vouchsafe_model::plan::{Action as Reactive, HttpCall, HttpMethod, Reaction};

use crate::cause::{Cause, NOT_CALLED, NOT_RESTARTED, NOT_SIGNALLED, NOT_STARTED};
use crate::control::{APP, Control};

/// Tells the app; the cause where it did not take it.
pub(crate) async fn tell(reaction: &Reaction, control: Option<Control>) -> Option<Cause> {
    let container = &reaction.container;
    match &reaction.action {
        Reactive::Signal(signal) => {
            let told = match control {
                Some(control) => control.signal(*signal).await,
                None => Err("there is no wrapper in the container".to_owned()),
            };
            told.err().map(|problem| {
                let remedy = "its files are new all the same; look at the container's log, or restart the pod";
                Cause::new(NOT_SIGNALLED, format!("send {} to {container}", signal.as_str()), problem, remedy)
            })
        }
        Reactive::Restart(restart) => {
            let told = match control {
                Some(control) => control.restart(Duration::from_secs(restart.grace_seconds.into())).await,
                None => Err("there is no wrapper in the container".to_owned()),
            };
            told.err().map(|problem| {
                // What the app itself did is not tried again: each try would be an outage.
                let code = if problem.starts_with(APP) { NOT_STARTED } else { NOT_RESTARTED };
                let remedy = "look at the container's log; put a value that it starts with, or restart the pod";
                Cause::new(code, format!("start {container} again"), problem, remedy)
            })
        }
        Reactive::Http(wanted) => call(wanted).await.err().map(|problem| {
            let remedy = "its files are new all the same; check port and path of onChange in the Grant";
            Cause::new(NOT_CALLED, format!("call {container} at port {}", wanted.port), problem, remedy)
        }),
    }
}

/// Sends the call; the problem in words where the app did not take it.
async fn call(call: &HttpCall) -> Result<(), String> {
    let path = &call.path;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the path of the call is no absolute path of printable characters".to_owned());
    }
    let method = match call.method {
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Get => "GET",
    };
    let port = call.port;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    match tokio::time::timeout(CALL, exchange(port, &request)).await {
        Err(_) => Err(format!("no answer within {} s", CALL.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(Some(status))) if (200..300).contains(&status) => Ok(()),
        Ok(Ok(Some(status))) => Err(format!("status {status}")),
        Ok(Ok(None)) => Err("no HTTP answer".to_owned()),
    }
}

async fn exchange(port: u16, request: &str) -> std::io::Result<Option<u16>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(STATUS_LINE_BYTES);
    let mut piece = [0; STATUS_LINE_BYTES];
    while head.len() < STATUS_LINE_BYTES {
        match stream.read(&mut piece).await? {
            0 => break,
            read => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(status(&head))
}

/// `HTTP/1.1 204 …` is 204.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..))?.strip_prefix(b" ")?;
    let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Longest call: the app reloads after it, not in it.
const CALL: Duration = Duration::from_secs(5);
/// `HTTP/1.1 NNN` is all that is read.
const STATUS_LINE_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_is_a_status() {
        assert_eq!(status(b"HTTP/1.1 204 "), Some(204));
        assert_eq!(status(b"HTTP/1.0 500\r"), Some(500));
        for bad in [b"HTTP/2 200 ".as_slice(), b"", b"HTTP/1.1", b"HTTP/1.1 2x4", b"<html>"] {
            assert_eq!(status(bad), None);
        }
    }
}
