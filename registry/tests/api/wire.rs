//! The registry on a socket: connections that stay open, bodies of unknown length, clients that go away.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wharfinger_registry::server::{self, Limits};
use wharfinger_registry::tls::Tls;

use crate::fixture::{Answer, PASSWORD, Registry, content, digest};

/// A connection that stays open between requests.
pub(crate) struct Connection {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Sends a request without a body, with `headers` as they stand on the wire.
    pub(crate) fn ask(&mut self, line: &str, headers: &str) -> Answer {
        self.ask_with(line, headers, "")
    }

    /// Sends a request with a body, whose length is among the headers.
    pub(crate) fn ask_with(&mut self, line: &str, headers: &str, body: &str) -> Answer {
        self.write(&format!(
            "{line} HTTP/1.1\r\nHost: registry.test:5000\r\n{headers}\r\n{body}"
        ));
        receive(&mut self.stream, line.starts_with("HEAD ")).unwrap().unwrap()
    }

    /// Reads an answer; `None` where the connection was closed instead.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        receive(&mut self.stream, false).unwrap()
    }
}

/// Reads an answer; `None` where the connection was closed before the end of its head. The answer to HEAD is a bare one: it
/// has the length of a body that does not come.
pub(crate) fn receive(stream: &mut impl BufRead, is_bare: bool) -> std::io::Result<Option<Answer>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|status| status.get(..3));
    let status = StatusCode::from_bytes(status.unwrap().as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let mut answer = Answer {
        status,
        headers,
        body: Bytes::new(),
    };
    if !is_bare {
        assert!(answer.header("transfer-encoding").is_none(), "{answer:?}");
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        answer.body = body.into();
    }
    Ok(Some(answer))
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        STANDARD.encode(format!("{user}:{password}"))
    )
}

/// A registry that listens.
pub(crate) struct Server {
    pub(crate) registry: Arc<Registry>,
    pub(crate) address: SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Registry::new(), None, Limits::default()).await
    }

    pub(crate) async fn start_with(registry: impl Into<Arc<Registry>>, tls: Option<Tls>, limits: Limits) -> Self {
        Self::start_on("127.0.0.1:0", registry.into(), tls, limits).await
    }

    pub(crate) async fn start_on(address: &str, registry: Arc<Registry>, tls: Option<Tls>, limits: Limits) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = server::Server {
            service: registry.service.clone(),
            tls,
            limits,
            drain: Duration::from_secs(10),
        };
        let task = tokio::spawn(server.serve(listener, async move { drop(stopped.await) }));
        Self {
            registry,
            address,
            stop: Some(stop),
            task,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_document_holds_on_connections_that_are_open() {
    let server = Server::start().await;
    let (address, registry) = (server.address, server.registry.clone());
    spawn_blocking(move || {
        let mut connection = Connection::open(address);
        let admin = basic("admin", PASSWORD);
        let token = connection.ask("GET /token", &admin).text();
        let token = serde_json::from_str::<serde_json::Value>(&token).unwrap()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let bearer = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(connection.ask("GET /v2/", &admin).status, 200);
        assert_eq!(connection.ask("GET /v2/", &bearer).status, 200);
        let mut deleted = content();
        deleted["identities"].as_array_mut().unwrap().remove(3);
        registry.publish(2, deleted);
        assert_eq!(connection.ask("GET /v2/", &admin).status, 401);
        assert_eq!(connection.ask("GET /v2/", &bearer).status, 401);
        registry.publish(3, content());
        assert_eq!(connection.ask("GET /v2/", &admin).status, 200);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_streamed_and_an_unfinished_one_can_go_on() {
    let server = Server::start().await;
    let address = server.address;
    spawn_blocking(move || {
        let user = basic("pusher", PASSWORD);
        let mut connection = Connection::open(address);
        let location = connection.ask("POST /v2/team/app/blobs/uploads/", &user).header("location").unwrap().to_owned();
        connection.write(&format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{user}Transfer-Encoding: chunked\r\n\r\n"));
        for piece in ["5\r\nhello\r\n", "1\r\n \r\n", "0\r\n\r\n"] {
            connection.write(piece);
        }
        let reply = connection.read().unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("range")), (202, Some("0-5")), "{reply:?}");

        // A client dies in the middle of a chunk.
        let mut dying = Connection::open(address);
        dying.write(&format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{user}Content-Length: 100\r\n\r\nwor"));
        drop(dying);
        let mut received = String::new();
        for _ in 0..6000 {
            let status = connection.ask(&format!("GET {location}"), &user);
            assert_eq!(status.status, 204);
            received = status.header("range").unwrap().to_owned();
            if received == "0-8" {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(received, "0-8", "what arrived is kept");

        let digest = digest(b"hello world");
        connection.write(&format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: x\r\n{user}Content-Range: 9-10\r\nContent-Length: 2\r\n\r\nld"));
        let reply = connection.read().unwrap();
        assert_eq!(reply.status, 201, "{reply:?}");
        let blob = connection.ask(&format!("GET /v2/team/app/blobs/{digest}"), &user);
        assert_eq!(blob.body, "hello world");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_tells_the_length_and_has_no_body() {
    let server = Server::start().await;
    let image = server.registry.seed("team/app", "v1").await;
    let address = server.address;
    spawn_blocking(move || {
        let user = basic("puller", PASSWORD);
        let mut connection = Connection::open(address);
        for path in [
            "manifests/v1".to_owned(),
            format!("manifests/{}", image.manifest),
            format!("blobs/{}", image.layer),
            format!("referrers/{}", image.manifest),
            "tags/list".to_owned(),
        ] {
            // A body would be taken for the next reply.
            let [head, get] =
                ["HEAD", "GET"].map(|method| connection.ask(&format!("{method} /v2/team/app/{path}"), &user));
            assert!(head.status == 200 && get.status == 200, "{path}: {head:?} {get:?}");
            for name in ["content-length", "content-type", "docker-content-digest"] {
                assert_eq!(head.header(name), get.header(name), "{path}");
            }
            assert!(!get.body.is_empty(), "{path}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_request_at_a_time_writes_to_a_session() {
    let server = Server::start().await;
    let address = server.address;
    spawn_blocking(move || {
        let user = basic("pusher", PASSWORD);
        let mut first = Connection::open(address);
        let location = first
            .ask("POST /v2/team/app/blobs/uploads/", &user)
            .header("location")
            .unwrap()
            .to_owned();
        first.write(&format!(
            "PATCH {location} HTTP/1.1\r\nHost: x\r\n{user}Content-Length: 4\r\n\r\nab"
        ));
        let mut second = Connection::open(address);
        // The first may not have arrived yet, but writes nothing before its end; once it has, it holds the session.
        let mut busy = None;
        for _ in 0..6000 {
            let reply = second.ask(
                &format!("DELETE {}", location.replace(&location[location.len() - 1..], "z")),
                &user,
            );
            assert_eq!(reply.status, 404);
            second.write(&format!(
                "PATCH {location} HTTP/1.1\r\nHost: x\r\n{user}Content-Range: 9-9\r\nContent-Length: 1\r\n\r\nx"
            ));
            let reply = second.read().unwrap();
            if reply.status == 409 {
                busy = Some(reply);
                break;
            }
            assert_eq!(reply.status, 416, "{reply:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(busy.unwrap().text().contains("BLOB_UPLOAD_INVALID"));
        assert_eq!(second.ask(&format!("DELETE {location}"), &user).status, 409);
        first.write("cd");
        let reply = first.read().unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("range")), (202, Some("0-3")));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_gets_its_answer_although_its_body_is_not_read() {
    let server = Server::start().await;
    let address = server.address;
    spawn_blocking(move || {
        for size in [10, 100_000, 20_000_000] {
            let mut connection = Connection::open(address);
            let head = format!(
                "POST /v2/team/app/blobs/uploads/?digest={} HTTP/1.1\r\nHost: x:1\r\nContent-Length: {size}\r\n\r\n",
                digest(b"")
            );
            connection.write(&head);
            let body = vec![b'x'; size];
            // The server may stop reading, but not before it has answered.
            let _ = connection.stream.get_mut().write_all(&body);
            let reply = connection.read().unwrap();
            assert_eq!(reply.status, 401, "{size}: {reply:?}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_and_broken_requests_are_refused() {
    let server = Server::start().await;
    let address = server.address;
    spawn_blocking(move || {
        let user = basic("pusher", PASSWORD);
        for request in [
            format!("POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{user}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            format!("POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{user}Content-Length: -1\r\n\r\n"),
            format!("POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{user}Transfer-Encoding: gzip\r\n\r\n"),
            "GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(),
            "GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            let mut connection = Connection::open(address);
            connection.write(&request);
            let reply = connection.read();
            assert!(reply.as_ref().is_none_or(|reply| reply.status.is_client_error()), "{request}: {reply:?}");
        }
        let mut connection = Connection::open(address);
        let large = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
        let _ = connection.stream.get_mut().write_all(large.as_bytes());
        assert_eq!(connection.read().unwrap().status, 431);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_requests_end_and_closes_idle_connections() {
    let mut server = Server::start().await;
    let (address, stop) = (server.address, server.stop.take().unwrap());
    let client = spawn_blocking(move || {
        let user = basic("pusher", PASSWORD);
        let mut idle = Connection::open(address);
        assert_eq!(idle.ask("GET /v2/", &user).status, 200);
        let mut busy = Connection::open(address);
        let location = busy
            .ask("POST /v2/team/app/blobs/uploads/", &user)
            .header("location")
            .unwrap()
            .to_owned();
        busy.write(&format!(
            "PATCH {location} HTTP/1.1\r\nHost: x\r\n{user}Content-Length: 4\r\n\r\nab"
        ));
        std::thread::sleep(Duration::from_millis(200));
        stop.send(()).unwrap();
        assert!(idle.read().is_none(), "an idle connection is closed");
        assert!(TcpStream::connect(address).is_err(), "no new connection is taken");
        busy.write("cd");
        let reply = busy.read().unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("range")), (202, Some("0-3")));
    });
    client.await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task)
        .await
        .unwrap()
        .unwrap();
}
