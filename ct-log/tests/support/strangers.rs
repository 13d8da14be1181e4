//! Clients that send frames of HTTP/2 and read nothing but heads.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS with SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 section 6.5.2).
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
/// Nothing in these tests takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(60);
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The request before fields that nobody wants.
#[derive(Debug)]
pub(crate) enum TrailerBomb<'a> {
    Get(&'a str),
    /// With messages of gRPC, if any.
    Post(&'a str, &'a [u8]),
    Connect,
}

pub(crate) struct Stranger {
    stream: TcpStream,
    next: u32,
    pub(crate) sent: usize,
}

impl Stranger {
    /// Never gives a window for an answer.
    pub(crate) async fn connect(address: &str) -> Self {
        let mut stranger = Self {
            stream: TcpStream::connect(address).await.unwrap(),
            next: 1,
            sent: 0,
        };
        stranger.write(PREFACE).await;
        stranger.write(&frame((SETTINGS, 0), 0, NO_WINDOW)).await;
        stranger
    }

    pub(crate) async fn get(&mut self, path: &str) {
        // `:method: GET`, `:scheme: http` (RFC 7541 appendix A), `:path` and `:authority` as literals.
        let mut block = vec![0x82, 0x86, 0x04];
        block.push(u8::try_from(path.len()).unwrap());
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(&[0x01, 1, b'a']);
        self.request(END_STREAM, &block).await;
    }

    /// `fields` header fields of one byte each, and a body that never comes.
    pub(crate) async fn post_bomb(&mut self, path: &str, fields: usize) {
        let mut block = vec![0x83, 0x86, 0x04];
        block.push(u8::try_from(path.len()).unwrap());
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(&[0x01, 1, b'a']);
        // `a: b` into the dynamic table, then its index, 62, as often as need be.
        block.extend_from_slice(&[0x40, 1, b'a', 1, b'b']);
        block.resize(block.len() + fields - 1, 0x80 | 62);
        self.request(0, &block).await;
    }

    /// A request with a body, and after it `fields` fields, unless they are to come later.
    pub(crate) async fn trailer_bomb(&mut self, bomb: &TrailerBomb<'_>, fields: usize) {
        let (method, path, messages) = match *bomb {
            TrailerBomb::Get(path) => ([0x82, 0x86].as_slice(), path, [].as_slice()),
            TrailerBomb::Post(path, messages) => ([0x83, 0x86].as_slice(), path, messages),
            TrailerBomb::Connect => (b"\x02\x07CONNECT".as_slice(), "", [].as_slice()),
        };
        let mut block = method.to_vec();
        if !path.is_empty() {
            block.extend_from_slice(&[0x04, u8::try_from(path.len()).unwrap()]);
            block.extend_from_slice(path.as_bytes());
        }
        block.extend_from_slice(&[0x01, 1, b'a']);
        if !messages.is_empty() {
            // `content-type`, its name from the static table.
            block.extend_from_slice(b"\x0f\x10\x10application/grpc");
        }
        let stream = self.next;
        self.request(0, &block).await;
        if !messages.is_empty() {
            self.write(&frame((DATA, 0), stream, messages)).await;
        }
        if fields > 0 {
            self.trailers(stream, fields).await;
        }
    }

    /// Ends a stream with fields of one byte each (RFC 9113 section 8.1).
    pub(crate) async fn trailers(&mut self, stream: u32, fields: usize) {
        let mut trailers = vec![0x40, 1, b'a', 1, b'b'];
        trailers.resize(trailers.len() + fields - 1, 0x80 | 62);
        self.write(&frame((HEADERS, END_STREAM | END_HEADERS), stream, &trailers))
            .await;
    }

    async fn request(&mut self, flags: u8, block: &[u8]) {
        let frame = frame((HEADERS, flags | END_HEADERS), self.next, block);
        self.next += 2;
        self.write(&frame).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.sent += bytes.len();
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until there were so many heads of answers, also of those that have no body.
    pub(crate) async fn read_heads(&mut self, heads: usize) {
        let reading = self.read_all_heads(heads);
        assert!(
            timeout(HANG, reading).await.is_ok(),
            "requests that are refused wait"
        );
    }

    async fn read_all_heads(&mut self, heads: usize) {
        let mut seen = 0;
        while seen < heads {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.unwrap();
            assert!(head[3] != DATA || payload.is_empty(), "there is no window");
            seen += usize::from(head[3] == HEADERS);
        }
    }
}

fn frame((kind, flags): (u8, u8), stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Bytes of memory that a process has.
pub(crate) fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
