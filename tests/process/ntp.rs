//! The timestamp authority beside time servers: without one that confirms the clock, no time is signed.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    installation::Installation,
    program::{mayfly, until},
};

/// From 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// What a time server answers.
#[derive(Clone, Copy)]
struct Answer {
    /// So many seconds from the right time.
    off: i64,
    /// 3: it is not synchronised (RFC 5905 section 7.3).
    leap: u8,
}

const RIGHT: Answer = Answer { off: 0, leap: 0 };
const WRONG: Answer = Answer { off: 10, leap: 0 };
const UNSYNCHRONISED: Answer = Answer { off: 0, leap: 3 };

/// A server of its own kind, as long as the test runs.
fn time_server(answer: Answer) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut request = [0; 48];
        while let Ok((48, from)) = socket.recv_from(&mut request) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let seconds = (now.as_secs() + NTP_EPOCH)
                .checked_add_signed(answer.off)
                .unwrap();
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            let stamp = ((seconds << 32) | fraction).to_be_bytes();
            let mut reply = [0; 48];
            // Version 4, mode server, stratum 2.
            reply[0] = (answer.leap << 6) | (4 << 3) | 4;
            reply[1] = 2;
            reply[24..32].copy_from_slice(&request[40..48]);
            reply[32..40].copy_from_slice(&stamp);
            reply[40..48].copy_from_slice(&stamp);
            let _ = socket.send_to(&reply, from);
        }
    });
    address
}

/// Where nobody answers, as long as it is kept.
fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn with(servers: &[SocketAddr]) -> Installation {
    let installation = Installation::with_timestamps().await;
    let servers: Vec<_> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    installation.configure(
        "key: timestamp-key.pem}",
        &format!("key: timestamp-key.pem, ntp: [{}]}}", servers.join(", ")),
    );
    installation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_most_confirm_is_used() {
    let (_kept, silent) = nobody();
    let installation = with(&[silent, time_server(RIGHT), time_server(WRONG), time_server(RIGHT)]).await;
    let mut serving = installation.serve();
    until("a timestamp", async || {
        serving.client.timestamp().await.unwrap().0 == 200
    })
    .await;
    serving.program.wait_for(|said| {
        said.contains("the clock is wrong, by +")
            && said.contains("the clock of the timestamp authority is confirmed")
    });
    serving.request().await.issued();
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_nobody_confirms_is_not() {
    let (_kept, silent) = nobody();
    for (servers, said) in [
        (vec![silent], "no time from it"),
        (vec![time_server(UNSYNCHRONISED)], "it is not synchronised itself"),
        (vec![time_server(WRONG)], "the clock is wrong, by +"),
        (
            vec![time_server(WRONG), time_server(RIGHT)],
            "the clock is wrong, by +",
        ),
    ] {
        let installation = with(&servers).await;
        let mut serving = installation.serve();
        serving.program.wait_for(|log| {
            log.contains(said)
                && log.contains("the time servers do not confirm the clock of the timestamp authority")
        });
        let (status, body) = serving.client.timestamp().await.unwrap();
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("clock_unconfirmed"), "{body}");
        // Certificates take their time from the tokens' verification alone.
        serving.request().await.issued();
        serving.program.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_check_asks_them() {
    for (server, code, said) in [
        (time_server(RIGHT), 0, "the clock is right, by "),
        (time_server(WRONG), 1, "do not confirm this machine's clock"),
    ] {
        let installation = with(&[server]).await;
        installation.serve().program.stop();
        let mut command = mayfly();
        command.args(["config", "check", "--online", "--config"]);
        let output = command.arg(installation.path("mayfly.yaml")).output().unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{printed}");
        assert!(printed.contains(said), "{printed}");
    }
}
