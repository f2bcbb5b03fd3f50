//! HTTP/2 without TLS: transfers, limits, and clients that mean no good or are gone.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use wharfinger_registry::server::Limits;

use crate::fixture::{Call, PASSWORD, Registry, digest};
use crate::wire::{Connection, Server};

type Client = SendRequest<Bytes>;

async fn connect(address: SocketAddr) -> (Client, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

fn request(call: Call) -> Request<()> {
    let (mut head, _) = call.0.into_parts();
    let uri = format!("http://{}{}", "registry.test:5000", head.uri);
    head.uri = uri.parse().unwrap();
    head.headers.remove("host");
    Request::from_parts(head, ())
}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        content.extend_from_slice(&data);
    }
    content
}

async fn ask(client: &mut Client, call: Call, body: &[u8]) -> (Response<()>, Vec<u8>) {
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut send) = ready.send_request(request(call), body.is_empty()).unwrap();
    if !body.is_empty() {
        send.send_data(Bytes::copy_from_slice(body), true).unwrap();
    }
    let (head, body) = response.await.unwrap().into_parts();
    (Response::from_parts(head, ()), read(body).await)
}

fn admin(method: Method, uri: &str) -> Call {
    Call::new(method, uri).basic("admin", PASSWORD)
}

/// Pushes a blob of `size` bytes and returns its address.
async fn push(client: &mut Client, size: usize) -> (String, Vec<u8>) {
    let content: Vec<u8> = (0..251).cycle().take(size).collect();
    let digest = digest(&content);
    let call = admin(Method::POST, &format!("/v2/a/blobs/uploads/?digest={digest}"));
    let (response, _) = ask(client, call, &content).await;
    assert_eq!(response.status(), 201);
    (format!("/v2/a/blobs/{digest}"), content)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_pulled_by_many_streams_at_once() {
    let server = Server::start().await;
    let (mut client, _connection) = connect(server.address).await;
    let (response, _) = ask(&mut client, Call::get("/v2/"), b"").await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains("realm=\"http://registry.test:5000/token\""),
        "`:authority` is the Host: {challenge}"
    );
    let (uri, content) = push(&mut client, 5_000_000).await;
    let pulls = (0..8).map(|_| {
        let (mut client, call) = (client.clone(), admin(Method::GET, &uri));
        tokio::spawn(async move { ask(&mut client, call, b"").await })
    });
    for pull in futures::future::join_all(pulls).await {
        let (response, body) = pull.unwrap();
        assert_eq!(response.headers()["content-length"], content.len().to_string().as_str());
        assert!(response.status() == 200 && body == content);
    }
    let (response, body) = ask(&mut client, admin(Method::HEAD, &uri), b"").await;
    assert_eq!((response.status().as_u16(), body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_larger_than_the_limit_is_refused_and_the_connection_goes_on() {
    let server = Server::start().await;
    let (mut client, _connection) = connect(server.address).await;
    let (response, _) = ask(&mut client, Call::get("/v2/").header("x-a", &"x".repeat(60_000)), b"").await;
    assert_eq!(response.status(), 401);
    let mut large = HeaderMap::new();
    for _ in 0..10 {
        large.append("x-a", "x".repeat(10_000).parse().unwrap());
    }
    let mut call = Call::get("/v2/");
    call.0.headers_mut().extend(large);
    let (response, _) = ask(&mut client, call, b"").await;
    assert_eq!(response.status(), 431);
    let (response, _) = ask(&mut client, Call::get("/v2/"), b"").await;
    assert_eq!(response.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_cancelling_without_end_ends_the_connection() {
    let server = Server::start().await;
    let (client, connection) = connect(server.address).await;
    let mut sent = 0;
    let ended = loop {
        let Ok(mut ready) = client.clone().ready().await else {
            break true;
        };
        let Ok((_response, mut stream)) = ready.send_request(request(Call::get("/v2/")), false) else {
            break true;
        };
        stream.send_reset(Reason::CANCEL);
        sent += 1;
        if sent == 200_000 {
            break false;
        }
    };
    let ended_with = tokio::time::timeout(Duration::from_secs(10), connection).await;
    assert!(ended, "{sent} were cancelled");
    // The reason is lost where the connection's end overtakes it: what the client still sends to a
    // closed socket is answered with a reset.
    let ended_with = ended_with.unwrap().unwrap().unwrap_err();
    assert!(
        ended_with.is_io() || ended_with.reason() == Some(Reason::ENHANCE_YOUR_CALM),
        "{ended_with}"
    );
    let (mut other, _connection) = connect(server.address).await;
    assert_eq!(ask(&mut other, Call::get("/v2/"), b"").await.0.status(), 401);
}

fn short() -> Limits {
    Limits {
        handshake: Duration::from_millis(400),
        idle: Duration::from_millis(600),
        stall: Duration::from_millis(800),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_body_stands_still_ends_alone() {
    let server = Server::start_with(Registry::new(), None, short()).await;
    let (mut client, _connection) = connect(server.address).await;
    let (uri, content) = push(&mut client, 3_000_000).await;

    // An upload that stops.
    let mut ready = client.clone().ready().await.unwrap();
    let call = admin(
        Method::POST,
        &format!("/v2/a/blobs/uploads/?digest={}", digest(b"never")),
    );
    let (stopped, mut send) = ready.send_request(request(call), false).unwrap();
    send.send_data(Bytes::from_static(b"ne"), false).unwrap();
    // A download that nobody reads.
    let mut ready = client.clone().ready().await.unwrap();
    let (unread, _) = ready.send_request(request(admin(Method::GET, &uri)), true).unwrap();
    let mut unread = unread.await.unwrap().into_body();

    let started = Instant::now();
    let stopped = tokio::time::timeout(Duration::from_secs(10), stopped).await.unwrap();
    assert!(stopped.is_err() || stopped.unwrap().status() == 400);
    let reset = loop {
        match tokio::time::timeout(Duration::from_secs(10), unread.data())
            .await
            .unwrap()
        {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it came to its end"),
        }
    };
    assert_eq!(reset.reason(), Some(Reason::CANCEL), "{reset}");
    assert!(
        started.elapsed() >= Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
    // What was not read of it holds up no other stream any more.
    drop(unread);
    assert!(
        ask(&mut client, admin(Method::GET, &uri), b"").await.1 == content,
        "the connection goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_transfer_is_no_silent_one() {
    let server = Server::start_with(Registry::new(), None, short()).await;
    let (client, _connection) = connect(server.address).await;
    let content = vec![7; 10];
    let call = admin(
        Method::POST,
        &format!("/v2/a/blobs/uploads/?digest={}", digest(&content)),
    );
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut send) = ready.send_request(request(call), false).unwrap();
    for (index, byte) in content.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        send.send_data(Bytes::copy_from_slice(&[*byte]), index + 1 == content.len())
            .unwrap();
    }
    assert_eq!(response.await.unwrap().status(), 201, "3 s, with a time-out of 0.8 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_idle_connections_are_closed_in_each_version() {
    let server = Server::start_with(Registry::new(), None, short()).await;
    let address = server.address;
    let slow = spawn_blocking(move || {
        for (beginning, least) in [
            ("", 400),
            ("P", 400),
            ("PR", 400),
            ("PRI * HTTP/2.0\r\n", 600),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 600),
            ("GET /v2/ HTTP/1.1\r\nHost:", 600),
            ("PUT /v2/ HTTP/1.1\r\n", 600),
        ] {
            let mut connection = Connection::open(address);
            let started = Instant::now();
            connection.stream.get_mut().write_all(beginning.as_bytes()).unwrap();
            let _ = connection.stream.read_to_end(&mut Vec::new());
            let elapsed = started.elapsed().as_millis();
            assert!(elapsed + 50 > least && elapsed < 10_000, "{beginning:?} {elapsed} ms");
        }
    });
    let (mut client, connection) = connect(address).await;
    assert_eq!(ask(&mut client, Call::get("/v2/"), b"").await.0.status(), 401);
    let ended = tokio::time::timeout(Duration::from_secs(10), connection)
        .await
        .unwrap()
        .unwrap();
    assert!(ended.is_ok(), "an idle client is told, not cut off: {ended:?}");
    slow.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_streams_end_and_closes_idle_connections() {
    let mut server = Server::start().await;
    let (mut client, connection) = connect(server.address).await;
    let (_idle, idle_connection) = connect(server.address).await;
    assert_eq!(ask(&mut client, Call::get("/v2/"), b"").await.0.status(), 401);
    let call = admin(
        Method::POST,
        &format!("/v2/a/blobs/uploads/?digest={}", digest(b"abcd")),
    );
    let mut ready = client.clone().ready().await.unwrap();
    let (response, mut send) = ready.send_request(request(call), false).unwrap();
    send.send_data(Bytes::from_static(b"ab"), false).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), idle_connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    send.send_data(Bytes::from_static(b"cd"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 201);
    tokio::time::timeout(Duration::from_secs(5), connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task)
        .await
        .unwrap()
        .unwrap();
}
