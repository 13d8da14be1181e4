//! SIGTERM with requests on the way: each gets its certificate, and the log is closed in order.

use ct_log::check::{Depth, StoredLog, check};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    certificate::Issued,
    client::{Answer, SIGNING_CERT, signing_request},
    installation::{EMAIL, Installation},
};

const CONNECTIONS: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_sigterm_is_answered() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    let mut connections = Vec::new();
    for at in 0..CONNECTIONS {
        let mut connection = Connection::open(&serving.address).await;
        // Of the connections, some idle after a request and some have had none.
        if at % 3 > 0 {
            connection.send(&installation).await;
            connection.answer().await.issued();
        }
        connections.push(connection);
    }
    let before = u64::try_from(CONNECTIONS - CONNECTIONS.div_ceil(3)).unwrap();
    for connection in &mut connections {
        connection.send(&installation).await;
    }
    serving.program.terminate();
    let mut issued: Vec<Issued> = Vec::new();
    for connection in &mut connections {
        issued.push(connection.answer().await.issued());
        assert_eq!(connection.rest().await, "", "the connection is closed");
    }
    assert_eq!(serving.program.exit().code(), Some(0));

    let log = StoredLog::read(&installation.path("log")).unwrap();
    let report = check(&log, (log.origin(), log.public_key()), Depth::Certificates).await;
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.size(), Some(before + u64::try_from(issued.len()).unwrap()));
}

/// One HTTP/1.1 connection that is kept alive.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// A whole request, with the kernel when this returns.
    async fn send(&mut self, installation: &Installation) {
        let body = signing_request(&installation.token(), EMAIL).to_string();
        let head = format!(
            "POST {SIGNING_CERT} HTTP/1.1\r\nHost: mayfly.test\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all((head + &body).as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer: {status:?}"));
        let mut length = 0;
        loop {
            let line = self.line().await.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Answer {
            status: status.parse().unwrap(),
            body: serde_json::from_slice::<Value>(&body).unwrap(),
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.unwrap();
        rest
    }
}
