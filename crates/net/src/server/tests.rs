use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use vouchsafe_model::Secret;

use super::*;
use crate::http::{HeaderValue, Method};
use crate::testing::{AMPLE, Authority, client, listen};
use crate::tls::server_config;

/// Answers with method, target and body; `/slow` waits to be let go, `/never` waits for ever.
#[derive(Default)]
struct Echo {
    entered: Notify,
    go: Notify,
}

impl Handler for Echo {
    async fn handle(&self, request: Request, peer: Peer) -> Response {
        match request.path.as_str() {
            "/slow" => {
                self.entered.notify_one();
                self.go.notified().await;
            }
            "/never" => std::future::pending().await,
            _ => {}
        }
        let body = request.body.expose_str().unwrap_or_default();
        let query = request.query.as_deref().unwrap_or("-");
        assert!(peer.address.ip().is_loopback());
        Response::text(200, format!("{} {} {query} {body}", request.method, request.path))
    }
}

struct Running {
    lifecycle: Lifecycle,
    counters: Counters,
    handler: Arc<Echo>,
    address: SocketAddr,
}

fn limits() -> Limits {
    Limits {
        body_bytes: 1000,
        header_bytes: 8 << 10,
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(600),
        handler_timeout: Duration::from_millis(300),
        connections: 3,
    }
}

async fn start(limits: Limits, tls: Option<Arc<rustls::ServerConfig>>) -> Running {
    let (listener, address) = listen().await;
    let (lifecycle, counters, handler) = (Lifecycle::new(), Counters::default(), Arc::new(Echo::default()));
    let serving = serve_counted(listener, tls, limits, Arc::clone(&handler), lifecycle.clone(), counters.clone());
    lifecycle.spawn("server", serving);
    Running { lifecycle, counters, handler, address }
}

/// Sends bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(AMPLE, stream.read_to_end(&mut answer)).await.expect("the server never closed");
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn serves_our_own_client_over_tls() {
    let authority = Authority::new();
    let running = start(limits(), Some(server_config(&authority.pair().identity()))).await;
    let client = client(running.address, &authority.roots());
    let mut request = Request::new(Method::from_bytes(b"LIST").unwrap(), "/v1/a%2fb?list=true");
    request.body = Secret::from("{}".to_owned());
    let response = client.send(request, AMPLE).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.body.expose_str(), Some("LIST /v1/a%2fb list=true {}"));
    let again = client.send(Request::new(Method::GET, "/x"), AMPLE).await.unwrap();
    assert_eq!(again.body.expose_str(), Some("GET /x - "));
    assert_eq!((running.counters.accepted(), running.counters.open()), (1, 1));
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_announced_or_not() {
    let running = start(limits(), None).await;
    let announced = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000000\r\n\r\nxxxx";
    let mut chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("7d0\r\n{}\r\n", "x".repeat(2000)).as_bytes());
    for bytes in [&announced[..], &chunked] {
        let answer = talk(running.address, bytes).await;
        assert!(answer.starts_with("http/1.1 413 "), "{answer}");
        assert!(answer.contains("connection: close") && answer.contains("larger than 1000 bytes"), "{answer}");
    }
    let exact =
        format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
    assert!(talk(running.address, exact.as_bytes()).await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_sends_a_large_body_first_still_reads_the_refusal() {
    let authority = Authority::new();
    let running = start(limits(), Some(server_config(&authority.pair().identity()))).await;
    let client = client(running.address, &authority.roots());
    for _ in 0..5 {
        let mut request = Request::new(Method::POST, "/");
        request.body = Secret::new(vec![b'x'; 3 << 20]);
        assert_eq!(client.send(request, AMPLE).await.unwrap().status, 413);
    }
}

#[tokio::test]
async fn what_is_no_plain_http_1_1_request_is_refused() {
    let running = start(limits(), None).await;
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    for (bytes, status) in [
        ("\u{16}\u{3}\u{1}\0\0\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\n\r\n", "400"),
        ("GET http://elsewhere/ HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("CONNECT elsewhere:443 HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", "415"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nxx", "400"),
        (large.as_str(), "431"),
    ] {
        let answer = talk(running.address, bytes.as_bytes()).await;
        let status = format!(" {status} ");
        assert!(answer.lines().next().unwrap_or_default().contains(&status), "{bytes:.40?}: {answer}");
    }
}

#[tokio::test]
async fn garbage_behind_a_request_ends_the_connection_after_its_answer() {
    let running = start(limits(), None).await;
    let answer = talk(running.address, b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n\0\0garbage\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("get /a"), "{answer}");
    assert!(answer.contains("http/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_slow_head_is_answered_with_408_and_a_silent_connection_is_closed() {
    let running = start(limits(), None).await;
    let begun = Instant::now();
    let mut drip = TcpStream::connect(running.address).await.unwrap();
    for byte in b"GET / HTTP/1.1\r\nx: aaaaaaaaaaaaaaaaaaaaaa" {
        let _ = drip.write_all(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(rest(&mut drip).await.starts_with("http/1.1 408 "));
    assert!(begun.elapsed() < Duration::from_secs(3));

    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = rest(&mut idle).await;
    assert!(answer.starts_with("http/1.1 200 ") && !answer.contains(" 408 "), "{answer}");
}

#[tokio::test]
async fn a_slow_head_on_a_kept_connection_has_the_same_clock() {
    let running = start(limits(), None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(b"GET /second HT").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("http/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn slow_bodies_and_slow_handlers_are_cut_off() {
    let running = start(limits(), None).await;
    let answer = talk(running.address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx").await;
    assert!(answer.starts_with("http/1.1 408 ") && answer.contains("connection: close"), "{answer}");
    let answer = talk(running.address, b"GET /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 503 ") && answer.contains("too long"), "{answer}");
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_and_counted_and_others_go_on() {
    let running = start(Limits { idle_timeout: AMPLE, header_timeout: AMPLE, ..limits() }, None).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        held.push(stream);
    }
    assert_eq!(talk(running.address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    assert_eq!((running.counters.open(), running.counters.rejected()), (3, 1));
    held.pop();
    for _ in 0..100 {
        if running.counters.open() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = talk(running.address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_stop_finishes_the_request_in_flight_and_closes_idle_connections() {
    let running = start(Limits { handler_timeout: AMPLE, idle_timeout: AMPLE, ..limits() }, None).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    running.handler.entered.notified().await;
    running.lifecycle.stop("test");
    assert!(rest(&mut idle).await.starts_with("http/1.1 200 "));
    running.handler.go.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(running.lifecycle.drain(AMPLE).await, Ok(()));
    assert_eq!(running.counters.open(), 0);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_ended() {
    let authority = Authority::new();
    let running = start(limits(), Some(server_config(&authority.pair().identity()))).await;
    assert_eq!(talk(running.address, b"\x16\x03\x01").await, "");
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let running = start(limits(), None).await;
    let answer = talk(running.address, b"HEAD /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: 12\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn framing_of_the_answer_is_never_the_handlers() {
    let mut response = Response::text(200, "x");
    response.headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    response.headers.insert("content-length", HeaderValue::from_static("999"));
    let answer = exchange::outgoing(response, false);
    assert_eq!(answer.headers().len(), 1);
}
