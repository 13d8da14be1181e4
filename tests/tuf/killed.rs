//! The program, killed in the middle.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use mayfly::key::file as key_file;

use super::*;

#[tokio::test]
async fn killed_at_any_moment_it_leaves_a_state_that_clients_accept() {
    let mut fixture = Fixture::new().await;
    let (old, path) = (fixture.signers(), fixture.folder.path().join("online.pem"));
    let pkcs8 = generate_key(KeyKind::EcdsaP256).unwrap();
    key_file::write_new(&path, &pkcs8, None).unwrap();
    fixture.online = Signer::new(Arc::new(SoftwareKey::from_pkcs8_der(&pkcs8).unwrap())).unwrap();
    fixture.open().propose_roles(&fixture.roles(), now()).unwrap();
    let all = [old, fixture.signers()].concat();
    sign(&fixture.open(), &all).await;
    fixture.open().publish(&all, now()).await.unwrap();

    let client = Client::new(&fixture.root());
    let version = || fixture.open().published().unwrap().standing()[3].version;
    let refresh = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.args(["trust", "tuf", "refresh", "--key"]).arg(&path);
        command
            .arg(fixture.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let at_once = Instant::now();
    assert!(refresh().wait().unwrap().success());
    let whole = at_once.elapsed();
    for round in 0..60 {
        let mut child = refresh();
        // From before it has begun to after it has ended.
        tokio::time::sleep(whole * round / 50).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            client.reads(&fixture.public()).await.unwrap(),
            "",
            "round {round}"
        );
    }
    let before = version();
    assert!(refresh().wait().unwrap().success());
    assert_eq!(version(), before + 1, "the next one goes on where they ended");
    let names = fs::read_dir(fixture.folder.path()).unwrap().count();
    assert_eq!(names, 2, "nothing but `public` and the key is left");
}
