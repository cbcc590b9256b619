use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vouchsafe_model::{Kind, Secret};

use super::*;
use crate::http::{HeaderValue, Method};
use crate::lifecycle::Lifecycle;
use crate::testing::{AMPLE, Authority, SHORT, answering, client, listen, raw_server, read_head, tls_server};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn get() -> Request {
    let mut request = Request::new(Method::GET, "/v1/secret/data/x?version=2");
    request.headers.insert("x-vault-token", HeaderValue::from_static("hvs.canary"));
    request
}

/// The error of one request to `server`; it must name the address and hide the token.
async fn failure(server: SocketAddr, authority: &Authority, deadline: Duration) -> HttpError {
    let error = client(server, &authority.roots()).send(get(), deadline).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("https://{server}")), "{text}");
    assert!(!text.contains("canary"), "{text}");
    error
}

/// A server that answers with `bytes` and closes.
async fn closing_after(lifecycle: &Lifecycle, authority: &Authority, bytes: &'static [u8]) -> SocketAddr {
    tls_server(lifecycle, &authority.pair().identity(), move |mut stream, _| async move {
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn sends_host_path_query_and_body_and_reads_the_answer() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = tls_server(&lifecycle, &authority.pair().identity(), |mut stream, head| async move {
        let mut body = [0; 4];
        let _ = stream.read_exact(&mut body).await;
        let echo = format!("{head}{}", String::from_utf8_lossy(&body));
        let answer = format!("HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: {}\r\n\r\n{echo}", echo.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let mut request = get();
    request.method = Method::from_bytes(b"LIST").unwrap();
    request.body = Secret::from("data".to_owned());
    request.headers.insert("connection", HeaderValue::from_static("upgrade"));
    request.headers.insert("host", HeaderValue::from_static("elsewhere"));
    let response = client(server, &authority.roots()).send(request, AMPLE).await.unwrap();
    let sent = response.body.expose_str().unwrap().to_ascii_lowercase();
    assert_eq!((response.status, response.header("x-a")), (201, Some("b")));
    assert!(sent.starts_with("list /v1/secret/data/x?version=2 http/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("\r\nhost: {server}\r\n")) && !sent.contains("elsewhere"), "{sent}");
    assert!(sent.contains("\r\nx-vault-token: hvs.canary\r\n") && !sent.contains("upgrade"), "{sent}");
    assert!(sent.ends_with("\r\n\r\ndata"), "{sent}");
}

#[tokio::test]
async fn a_kept_connection_carries_the_next_request_and_a_dead_one_is_replaced_unseen() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    // Each connection answers two requests and is then closed without a word.
    let server = tls_server(&lifecycle, &authority.pair().identity(), move |mut stream, _| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(OK.as_bytes()).await;
            if !read_head(&mut stream).await.is_empty() {
                let _ = stream.write_all(OK.as_bytes()).await;
            }
        }
    })
    .await;
    let client = client(server, &authority.roots());
    for _ in 0..6 {
        let mut request = get();
        request.method = Method::POST;
        request.body = Secret::from("{}".to_owned());
        // The body is never read by that server; an early answer is one all the same.
        assert_eq!(client.send(request, AMPLE).await.unwrap().status, 200);
        assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 200);
    }
    let opened = connections.load(Ordering::SeqCst);
    assert!((6..=12).contains(&opened), "{opened} connections for 12 requests");
}

#[tokio::test]
async fn many_requests_at_once_leave_a_few_idle_connections() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = answering(&lifecycle, &authority.pair().identity(), OK).await;
    let client = client(server, &authority.roots());
    let requests: Vec<_> = (0..10).map(|_| client.send(get(), AMPLE)).collect();
    for request in futures_in_order(requests).await {
        assert_eq!(request.unwrap().status, 200);
    }
    assert_eq!(client.shared.lock().idle.len(), IDLE_CONNECTIONS);
    client.replace_roots(&authority.roots());
    assert!(client.shared.lock().idle.is_empty());
}

/// Polls all futures together.
async fn futures_in_order<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    running.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_reached_the_server() {
    let (listener, server) = listen().await;
    drop(listener);
    let error = failure(server, &Authority::new(), AMPLE).await;
    assert!(matches!(error, HttpError::Connect { .. }), "{error:?}");
    assert!(error.before_sent() && error.kind() == Kind::Unavailable);
}

#[tokio::test]
async fn the_next_address_of_a_host_is_tried() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = answering(&lifecycle, &authority.pair().identity(), OK).await;
    let (listener, refusing) = listen().await;
    drop(listener);
    let stranger = answering(&lifecycle, &Authority::new().pair().identity(), OK).await;
    let (address, limits) = (format!("https://{server}").parse().unwrap(), Limits::default());
    let trust = client_config(&authority.roots());
    let dial = |peers| {
        dial::first_of(&address, None, peers, Arc::clone(&trust), &limits, Box::leak(Box::new(Progress::new())))
    };
    assert!(dial(vec![refusing, stranger, server]).await.is_ok());
    let error = dial(vec![stranger, refusing]).await.err().unwrap();
    assert!(matches!(error, HttpError::Connect { peer, .. } if peer == refusing), "{error:?}");
    assert!(matches!(dial(Vec::new()).await.err(), Some(HttpError::Resolve { .. })));
}

#[tokio::test]
async fn a_name_without_address_is_a_resolve_error() {
    let address = "https://no-such-host.invalid".parse().unwrap();
    let error = Client::new(address, &Authority::new().roots()).send(get(), AMPLE).await.unwrap_err();
    assert!(matches!(error, HttpError::Resolve { .. } | HttpError::Timeout { phase: Phase::Resolve, .. }), "{error:?}");
    assert!(error.before_sent());
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_ends_with_the_deadline() {
    let lifecycle = Lifecycle::new();
    let server = raw_server(&lifecycle, |stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = failure(server, &Authority::new(), SHORT).await;
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Handshake, .. }), "{error:?}");
    assert!(error.before_sent());
}

#[tokio::test]
async fn a_server_that_takes_the_request_and_hangs_may_have_done_it() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = tls_server(&lifecycle, &authority.pair().identity(), |stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = failure(server, &authority, SHORT).await;
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Answer, .. }), "{error:?}");
    assert!(!error.before_sent());
}

#[tokio::test]
async fn a_dripping_answer_ends_with_the_deadline() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = tls_server(&lifecycle, &authority.pair().identity(), |mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let error = failure(server, &authority, SHORT).await;
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Body, .. }), "{error:?}");
}

#[tokio::test]
async fn a_truncated_answer_is_an_error_not_a_short_body() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
    ] {
        let server = closing_after(&lifecycle, &authority, bytes).await;
        let error = failure(server, &authority, AMPLE).await;
        assert!(matches!(error, HttpError::Closed { .. }), "{error:?}");
        assert!(!error.before_sent());
    }
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let announced =
        closing_after(&lifecycle, &authority, b"HTTP/1.1 200 OK\r\ncontent-length: 107374182400\r\n\r\nx").await;
    let endless = tls_server(&lifecycle, &authority.pair().identity(), |mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while stream.write_all(format!("400\r\n{}\r\n", "x".repeat(0x400)).as_bytes()).await.is_ok() {}
    })
    .await;
    for server in [announced, endless] {
        let error = failure(server, &authority, AMPLE).await;
        assert!(matches!(error, HttpError::TooLarge { limit: 10_000, .. }), "{error:?}");
        assert_eq!(error.kind(), Kind::Limit);
    }
}

#[tokio::test]
async fn an_answer_of_exactly_the_limit_is_read() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{}", "x".repeat(10_000));
    let server = answering(&lifecycle, &authority.pair().identity(), answer).await;
    let response = client(server, &authority.roots()).send(get(), AMPLE).await.unwrap();
    assert_eq!(response.body.len(), 10_000);
}

#[tokio::test]
async fn garbage_large_heads_and_unasked_compression_are_protocol_errors() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let large: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_boxed_str());
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.0\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"[..],
        large.as_bytes(),
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi",
    ] {
        let server = closing_after(&lifecycle, &authority, bytes).await;
        let error = failure(server, &authority, AMPLE).await;
        assert!(matches!(error, HttpError::Protocol { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_the_token_reaches_no_other_host() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let thief = raw_server(&lifecycle, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: https://{thief}/\r\ncontent-length: 0\r\n\r\n");
    let server = answering(&lifecycle, &authority.pair().identity(), answer).await;
    let client = client(server, &authority.roots());
    assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 307);
    assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 307);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_reset_after_the_request_may_have_been_carried_out() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let server = tls_server(&lifecycle, &authority.pair().identity(), |stream, _| async move {
        let (tcp, _) = stream.into_inner();
        let _ = tcp.set_zero_linger();
        drop(tcp);
    })
    .await;
    let error = failure(server, &authority, AMPLE).await;
    assert!(matches!(error, HttpError::Closed { phase: Phase::Answer, .. }), "{error:?}");
    assert!(!error.before_sent());
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_with_the_reason() {
    let (lifecycle, authority) = (Lifecycle::new(), Authority::new());
    let loopback = ["127.0.0.1"];
    for (pair, reason) in [
        (authority.pair_with(&loopback, (2019, 2020)), "has expired"),
        (authority.pair_with(&loopback, (2059, 2060)), "not valid yet"),
        (authority.pair_with(&["vault.vault.svc"], (2020, 2060)), "is for vault.vault.svc, not for 127.0.0.1"),
        (Authority::named("another root").pair(), "check the trust bundle"),
        (Authority::new().pair(), "of the same name but with another key"),
    ] {
        let server = answering(&lifecycle, &pair.identity(), OK).await;
        let error = failure(server, &authority, AMPLE).await;
        assert!(matches!(error, HttpError::Tls { .. }) && error.before_sent(), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let plain = raw_server(&lifecycle, |mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let error = failure(plain, &authority, AMPLE).await;
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn replaced_roots_hold_from_the_next_request_on() {
    let (lifecycle, old, new) = (Lifecycle::new(), Authority::new(), Authority::new());
    let identity = old.pair().identity();
    let server = answering(&lifecycle, &identity, OK).await;
    let client = client(server, &old.roots());
    assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 200);
    let pair = new.pair();
    identity.replace(&pair.chain, &pair.secret_key()).unwrap();
    client.replace_roots(&new.roots());
    assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 200);
    client.replace_roots(&old.roots());
    assert!(matches!(client.send(get(), AMPLE).await, Err(HttpError::Tls { .. })));
    let both = TrustRoots::from_pem(&format!("{}{}", old.pem, new.pem)).unwrap();
    client.replace_roots(&both);
    assert_eq!(client.send(get(), AMPLE).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_says_why() {
    let client = client("127.0.0.1:1".parse().unwrap(), &Authority::new().roots());
    for bad in ["v1/x", "", "/v1/a b", "/v1/\u{7f}"] {
        let error = client.send(Request::new(Method::GET, bad), AMPLE).await.unwrap_err();
        assert!(matches!(error, HttpError::Request { .. }), "{bad}: {error:?}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
}
