//! A wrong PIN is given once.

use mayfly::key::KeySettings;

use crate::token::{PIN, alone, open, refused, sign};

#[test]
#[ignore = "needs SoftHSM2"]
fn a_wrong_pin_is_given_once_and_a_changed_one_again() {
    alone(
        "pins::a_wrong_pin_is_given_once_and_a_changed_one_again",
        async |token| {
            token.make_key("EC:prime256v1", "ca", "01");
            let settings = token.settings("token=ca;object=ca");
            token.write_pin("4321");
            let error = refused(&settings).await;
            assert!(error.contains("refused the PIN"), "{error}");
            for _ in 0..2 {
                let error = refused(&settings).await;
                assert!(error.contains("refused this PIN before"), "{error}");
                assert!(!error.contains("4321"), "{error}");
            }
            token.write_pin(PIN);
            let key = open(&settings).await.unwrap();
            sign(&*key).await.unwrap();
        },
    );
}

#[test]
#[ignore = "needs SoftHSM2"]
fn without_a_pin_the_uri_names_its_place() {
    alone("pins::without_a_pin_the_uri_names_its_place", async |token| {
        token.make_key("EC:prime256v1", "ca", "01");
        let settings = token.settings("token=ca;object=ca");
        let bare = KeySettings {
            passphrase: None,
            ..settings.clone()
        };
        let error = refused(&bare).await;
        assert!(error.contains("wants a PIN"), "{error}");
        let uri = format!("{settings}&pin-source=file:{}", token.path("pin").display());
        let named = KeySettings {
            reference: uri.parse().unwrap(),
            passphrase: None,
        };
        sign(&*open(&named).await.unwrap()).await.unwrap();
    });
}
