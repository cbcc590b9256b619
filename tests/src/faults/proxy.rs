//! The fault proxy: stands between broker and OpenBao, and does to connections what networks and servers do on bad days.
//!
//! A process of its own (`smoke --fault-proxy LISTEN FOLDER SEED UPSTREAM…`), told what to do by the file `mode` in its
//! folder; every connection that it accepts becomes a line of the file `calls`. It passes bytes on without looking at
//! them; only where it answers by itself it ends TLS, with `tls.crt` and `tls.key` of its folder. The first upstream that
//! accepts gets the connection, as behind a Service. A change of the mode ends all open connections.
//! Out of scope: HTTP beyond the length of one request.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, Stream};
use vouchsafe_net::tls::{Identity, server_config};

use super::dice::Dice;
use super::mode::Mode;
use crate::smoke::outcome::{Failure, Outcome, because};
use crate::smoke::process::uptime;

/// First argument of the program that becomes the proxy.
pub(crate) const VERB: &str = "--fault-proxy";
/// File that says what to do.
pub(crate) const MODE: &str = "mode";
/// File with a line for each accepted connection: seconds of uptime and what was done to it.
pub(crate) const CALLS: &str = "calls";

/// Runs until it is killed.
pub(crate) fn serve(arguments: &[String]) -> Outcome {
    let [listen, folder, seed, upstreams @ ..] = arguments else {
        return because(format!("{VERB} LISTEN FOLDER SEED UPSTREAM…"));
    };
    let folder = PathBuf::from(folder);
    let address = |text: &String| text.parse().map_err(|_| Failure(format!("'{text}' is no address")));
    let identity = Identity::from_folder(&folder).map_err(|error| Failure(error.to_string()))?;
    let proxy = Arc::new(Proxy {
        upstreams: upstreams.iter().map(address).collect::<Outcome<_>>()?,
        tls: server_config(&identity),
        open: Mutex::default(),
        calls: Mutex::new(File::options().create(true).append(true).open(folder.join(CALLS))?),
        dice: Mutex::new(Dice::new(seed.parse().unwrap_or_default())),
    });
    proxy.accept(address(listen)?, &folder)
}

struct Proxy {
    upstreams: Vec<SocketAddr>,
    tls: Arc<ServerConfig>,
    /// Both ends of every open connection.
    open: Mutex<Vec<TcpStream>>,
    calls: Mutex<File>,
    dice: Mutex<Dice>,
}

impl Proxy {
    fn accept(self: Arc<Self>, listen: SocketAddr, folder: &Path) -> Outcome {
        let mut mode = Mode::Pass;
        let mut listener = None;
        loop {
            let wanted = read_mode(folder).unwrap_or(mode);
            if wanted != mode {
                mode = wanted;
                listener = None;
                self.end_all();
            }
            if listener.is_none() && mode != Mode::Refuse {
                let socket = TcpListener::bind(listen)?;
                socket.set_nonblocking(true)?;
                listener = Some(socket);
            }
            match listener.as_ref().map(TcpListener::accept) {
                Some(Ok((stream, _))) => {
                    let proxy = Arc::clone(&self);
                    let drawn = mode.drawn(&mut locked(&self.dice));
                    writeln!(locked(&self.calls), "{:.2} {drawn}", uptime())?;
                    thread::spawn(move || drop(proxy.treat(&stream, drawn)));
                }
                _ => thread::sleep(LOOK),
            }
        }
    }

    /// What becomes of one connection.
    fn treat(&self, client: &TcpStream, mode: Mode) -> io::Result<()> {
        client.set_nonblocking(false)?;
        self.keep(client)?;
        match mode {
            Mode::Pass | Mode::Mixed => self.relay(client, 0, None),
            Mode::Delay(milliseconds) => self.relay(client, milliseconds, None),
            Mode::Drip(bytes) => self.relay(client, 0, Some(bytes)),
            // A black hole ends with its mode: what is kept keeps it open. Nobody who is refused comes here.
            Mode::Refuse | Mode::Blackhole => Ok(()),
            Mode::Reset => {
                // A socket that is closed with unread bytes answers with a reset; the kept copy must go, too.
                client.peek(&mut [0])?;
                let peer = client.peer_addr()?;
                locked(&self.open).retain(|kept| kept.peer_addr().is_ok_and(|address| address != peer));
                Ok(())
            }
            Mode::Answer(TOO_MANY) => self.answer(client, TOO_MANY, "rate limit quota exceeded"),
            Mode::Answer(status) => self.answer(client, status, "internal error"),
            Mode::Sealed => self.answer(client, 503, "Vault is sealed"),
        }
    }

    fn relay(&self, client: &TcpStream, delay: u64, rate: Option<u64>) -> io::Result<()> {
        let server = self.upstreams.iter().find_map(|address| TcpStream::connect_timeout(address, CONNECT).ok());
        let Some(server) = server else { return client.shutdown(Shutdown::Both) };
        self.keep(&server)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                let pause = || {
                    let half = delay / 2;
                    thread::sleep(Duration::from_millis(half + locked(&self.dice).below(delay)));
                };
                let _ = copy(client, &server, PIECE_BYTES, pause);
                let _ = server.shutdown(Shutdown::Both);
            });
            let (piece, pause) = match rate {
                Some(rate) => (usize::try_from(rate / DRIPS_PER_SECOND).unwrap_or(1).max(1), DRIP),
                None => (PIECE_BYTES, Duration::ZERO),
            };
            let _ = copy(&server, client, piece, || thread::sleep(pause));
            client.shutdown(Shutdown::Both)
        })
    }

    /// Answers every request of a connection by itself; the first is the last.
    fn answer(&self, client: &TcpStream, status: u16, text: &str) -> io::Result<()> {
        let said = self.say(client, status, text);
        client.shutdown(Shutdown::Both)?;
        said
    }

    fn say(&self, mut client: &TcpStream, status: u16, text: &str) -> io::Result<()> {
        client.set_read_timeout(Some(CONNECT))?;
        let mut session = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = Stream::new(&mut session, &mut client);
        read_request(&mut stream)?;
        let body = format!("{{\"errors\":[\"{text}\"]}}\n");
        let more = if status == TOO_MANY { "Retry-After: 2\r\n" } else { "" };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )?;
        stream.flush()?;
        session.send_close_notify();
        session.write_tls(&mut client).map(drop)
    }

    fn keep(&self, stream: &TcpStream) -> io::Result<()> {
        let mut open = locked(&self.open);
        // Those that ended are forgotten now and then, so that a long run does not use up file handles.
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(stream.try_clone()?);
        Ok(())
    }

    fn end_all(&self) {
        for stream in locked(&self.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Copies until one side ends, at most `piece` bytes at a time, each after `pause`.
fn copy(mut from: &TcpStream, mut to: &TcpStream, piece: usize, pause: impl Fn()) -> io::Result<()> {
    let mut buffer = vec![0; piece];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        pause();
        to.write_all(bytes)?;
    }
}

/// Reads one request to its end: head, and as much as `Content-Length` says.
fn read_request(stream: &mut impl Read) -> io::Result<()> {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while seen.len() < REQUEST_BYTES {
        let length = stream.read(&mut piece)?;
        seen.extend_from_slice(piece.get(..length).unwrap_or_default());
        if length == 0 || is_whole(&seen) {
            break;
        }
    }
    Ok(())
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap_or_default())
    });
    body.len() >= length.unwrap_or_default()
}

fn read_mode(folder: &Path) -> Option<Mode> {
    fs::read_to_string(folder.join(MODE)).ok()?.parse().ok()
}

/// No thread panics while it holds a lock; and if one did, its data would still do.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 6585.
const TOO_MANY: u16 = 429;
/// How often the listener and the file are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// For a connection to a process of the same machine.
const CONNECT: Duration = Duration::from_secs(2);
/// What is passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// How often a dripping answer moves.
const DRIPS_PER_SECOND: u64 = 10;
/// The same as a pause.
const DRIP: Duration = Duration::from_millis(100);
/// A login is the largest request: two kilobytes.
const REQUEST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(upstreams: Vec<SocketAddr>) -> Proxy {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let secret = key.signing_key.serialize_pem().into();
        let identity = Identity::from_pem(&key.cert.pem(), &secret).unwrap();
        Proxy {
            upstreams,
            tls: server_config(&identity),
            open: Mutex::default(),
            calls: Mutex::new(tempfile::tempfile().unwrap()),
            dice: Mutex::new(Dice::new(1)),
        }
    }

    /// A connection through a proxy in `mode` to a server that echoes one line.
    fn line_through(mode: Mode, line: &str) -> io::Result<String> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let front = TcpListener::bind("127.0.0.1:0")?;
        let proxy = proxy(vec![server.local_addr()?]);
        let address = front.local_addr()?;
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut piece = [0; 64];
            let length = stream.read(&mut piece).unwrap();
            stream.write_all(&piece[..length]).unwrap();
        });
        thread::spawn(move || proxy.treat(&front.accept().unwrap().0, mode));
        let mut client = TcpStream::connect(address)?;
        client.write_all(line.as_bytes())?;
        let mut text = String::new();
        client.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn bytes_pass_also_late_and_in_drips() {
        for mode in [Mode::Pass, Mode::Delay(50), Mode::Drip(200)] {
            assert_eq!(line_through(mode, "hello over there").unwrap(), "hello over there", "{mode}");
        }
    }

    #[test]
    fn a_reset_is_a_reset() {
        assert_eq!(line_through(Mode::Reset, "hello").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_request_is_whole_when_its_body_is() {
        for (text, whole) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n", false),
            ("PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", false),
            ("PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", true),
        ] {
            assert_eq!(is_whole(text.as_bytes()), whole, "{text}");
        }
    }
}
