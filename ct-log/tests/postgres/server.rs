//! A PostgreSQL server in a temporary directory, on a Unix socket. Ends with the test.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ct_log::PostgresSettings;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// `nobody`: the server does not run as root.
const UNPRIVILEGED: u32 = 65_534;

pub(crate) struct Server {
    directory: TempDir,
    bin: PathBuf,
    running: Option<Child>,
}

impl Server {
    /// With durable settings, as a server has them by default.
    pub(crate) async fn start() -> Server {
        Server::start_with(&[]).await
    }

    pub(crate) async fn start_with(options: &[&str]) -> Server {
        let mut server = Server::new();
        server.run(options).await;
        server
    }

    fn new() -> Server {
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let bin = bin();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        let mut initdb = unprivileged(&bin.join("initdb"));
        initdb.arg("-D").arg(directory.path().join("data"));
        initdb.args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        assert!(initdb.stdout(Stdio::null()).status().unwrap().success());
        Server {
            directory,
            bin,
            running: None,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) async fn run(&mut self, options: &[&str]) {
        let mut postgres = unprivileged(&self.bin.join("postgres"));
        postgres.arg("-D").arg(self.data());
        postgres.arg("-k").arg(self.directory.path());
        postgres.args(["-c", "listen_addresses=", "-c", "log_min_messages=fatal"]);
        for option in options {
            postgres.args(["-c", option]);
        }
        let log = std::fs::File::create(self.directory.path().join("server.log")).unwrap();
        self.running = Some(postgres.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        for _ in 0..600 {
            if self.try_connect().await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.directory.path().join("server.log"));
        panic!("the server does not start: {log:?}");
    }

    /// A fast shutdown ends the sessions in order (`INT`), an immediate one is a crash (`QUIT`).
    pub(crate) fn stop(&mut self, signal: &str) {
        let Some(mut server) = self.running.take() else {
            return;
        };
        let pid = server.id().to_string();
        let mut kill = Command::new("kill");
        assert!(kill.args(["-s", signal, &pid]).status().unwrap().success());
        server.wait().unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join(".s.PGSQL.5432")
    }

    pub(crate) fn settings(&self) -> PostgresSettings {
        let host = self.directory.path().display();
        PostgresSettings::new(&format!("host={host} user=postgres dbname=postgres")).unwrap()
    }

    /// As superuser.
    pub(crate) async fn client(&self) -> Client {
        self.try_connect().await.expect("the server runs")
    }

    async fn try_connect(&self) -> Option<Client> {
        let host = self.directory.path().display();
        let address = format!("host={host} user=postgres dbname=postgres");
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// Changes what the triggers forbid, as a superuser can.
    pub(crate) async fn tamper(&self, sql: &str) {
        let sql = format!("SET session_replication_role = replica; {sql}");
        self.execute(&sql).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("QUIT");
    }
}

fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/tmp");
    if rustix::process::geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

/// Where Debian puts the newest version's programs, or where `PG_BIN` says.
fn bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("PG_BIN") {
        return bin.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let versions = versions.map(|version| version.unwrap().file_name().into_string().unwrap());
    let newest = versions
        .filter_map(|version| version.parse::<u32>().ok())
        .max()
        .unwrap();
    format!("/usr/lib/postgresql/{newest}/bin").into()
}
