//! What SoftHSM never does, by a library between it and us: `shim.c`.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use mayfly::key::KeySettings;
use tokio::time::sleep;

use crate::token::{PIN, Token, alone, open, refused, sign};

/// CKF_USER_PIN_FINAL_TRY and CKF_USER_PIN_LOCKED.
const FINAL_TRY: &str = "0x20000";
const LOCKED: &str = "0x40000";
/// CKR_DEVICE_REMOVED and CKR_KEY_FUNCTION_NOT_PERMITTED.
const DEVICE_REMOVED: &str = "0x32";
const NOT_PERMITTED: &str = "0x68";

struct Faulty(Token);

impl Faulty {
    fn new(token: Token) -> Self {
        token.make_key("EC:prime256v1", "ca", "01");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(token.path("shim.so"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pkcs11/shim.c"))
            .status();
        assert!(compiled.unwrap().success());
        Self(token)
    }

    fn settings(&self) -> KeySettings {
        self.0.settings_by("token=ca;object=ca", &self.shim())
    }

    fn shim(&self) -> PathBuf {
        self.0.path("shim.so")
    }

    fn set(&self, name: &str, value: &str) {
        fs::write(self.0.path(name), value).unwrap();
    }

    fn unset(&self, name: &str) {
        fs::remove_file(self.0.path(name)).unwrap();
    }

    fn logins(&self) -> usize {
        fs::read_to_string(self.0.path("logins")).map_or(0, |lines| lines.lines().count())
    }
}

#[test]
#[ignore = "needs SoftHSM2"]
fn few_sessions_serve_many() {
    alone("faults::few_sessions_serve_many", async |token| {
        let faulty = Faulty::new(token);
        faulty.set("sessions", "2");
        let key = open(&faulty.settings()).await.unwrap();
        let signed = join_all((0..200).map(|_| sign(&*key))).await;
        assert!(signed.iter().all(Result::is_ok), "{signed:?}");
        // Another application has them all.
        faulty.set("sessions", "0");
        let error = refused(&faulty.settings()).await;
        assert!(error.contains("session"), "{error}");
        sign(&*key).await.unwrap();
    });
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_wrong_pin_reaches_the_token_once() {
    alone("faults::a_wrong_pin_reaches_the_token_once", async |token| {
        let faulty = Faulty::new(token);
        faulty.0.write_pin("4321");
        for _ in 0..3 {
            refused(&faulty.settings()).await;
        }
        assert_eq!(faulty.logins(), 1);
        faulty.0.write_pin(PIN);
        let key = open(&faulty.settings()).await.unwrap();
        sign(&*key).await.unwrap();
        assert_eq!(faulty.logins(), 2);
        // The token wants the PIN again, and its file holds a wrong one meanwhile.
        faulty.0.write_pin("1111");
        faulty.set("logout", "");
        for _ in 0..20 {
            sign(&*key).await.unwrap_err();
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(faulty.logins(), 3);
        faulty.0.write_pin(PIN);
        let began = Instant::now();
        while let Err(error) = sign(&*key).await {
            assert!(began.elapsed() < Duration::from_secs(40), "{error}");
            sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(faulty.logins(), 4);
    });
}

#[test]
#[ignore = "needs SoftHSM2"]
fn the_last_try_is_left_to_people() {
    alone("faults::the_last_try_is_left_to_people", async |token| {
        let faulty = Faulty::new(token);
        for (flags, said) in [(FINAL_TRY, "one more wrong PIN"), (LOCKED, "PIN is locked")] {
            faulty.set("flags", flags);
            let error = refused(&faulty.settings()).await;
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(faulty.logins(), 0);
    });
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_session_that_was_logged_out_is_logged_in_again() {
    alone(
        "faults::a_session_that_was_logged_out_is_logged_in_again",
        async |token| {
            let faulty = Faulty::new(token);
            let key = open(&faulty.settings()).await.unwrap();
            for _ in 0..5 {
                faulty.set("logout", "");
                sign(&*key).await.unwrap();
            }
            assert_eq!(faulty.logins(), 6);
        },
    );
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_device_that_fails_is_asked_again_and_one_that_refuses_is_not() {
    alone(
        "faults::a_device_that_fails_is_asked_again_and_one_that_refuses_is_not",
        async |token| {
            let faulty = Faulty::new(token);
            let key = open(&faulty.settings()).await.unwrap();
            for (code, said) in [
                (DEVICE_REMOVED, "service failed"),
                (NOT_PERMITTED, "refused to sign"),
            ] {
                faulty.set("fault", code);
                let error = sign(&*key).await.unwrap_err();
                assert!(error.contains(said), "{error}");
                faulty.unset("fault");
                sign(&*key).await.unwrap();
            }
        },
    );
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_token_that_hangs_holds_up_nobody_for_long() {
    alone(
        "faults::a_token_that_hangs_holds_up_nobody_for_long",
        async |token| {
            let faulty = Faulty::new(token);
            let key = open(&faulty.settings()).await.unwrap();
            faulty.set("hang", "");
            let began = Instant::now();
            let signed = join_all((0..100).map(|_| sign(&*key))).await;
            assert!(signed.iter().all(Result::is_err));
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            let threads = fs::read_dir("/proc/self/task").unwrap().count();
            assert!(threads < 64, "{threads} threads");
            faulty.unset("hang");
            let began = Instant::now();
            while let Err(error) = sign(&*key).await {
                assert!(began.elapsed() < Duration::from_secs(40), "{error}");
                sleep(Duration::from_millis(200)).await;
            }
        },
    );
}
