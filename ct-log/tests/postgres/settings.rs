//! The settings: secrets stay secret, and clear text stays on the machine.

use std::time::Duration;

use ct_log::{Log, LogKey, LogSettings, PostgresSettings, PostgresSettingsError};

use super::replica::origin;

#[test]
fn no_password_is_shown() {
    let secret = "s3cr3t";
    let address = format!("postgresql://ct:{secret}@localhost/ct");
    let settings = PostgresSettings::new(&address).unwrap();
    assert!(settings.has_password());
    let settings = [
        settings,
        PostgresSettings::new("postgresql://ct@localhost/ct")
            .unwrap()
            .password(secret.as_bytes()),
    ];
    for settings in settings {
        assert!(!format!("{settings:?}").contains(secret));
        let log = LogSettings::new("/nowhere", origin()).in_postgres(settings);
        assert!(!format!("{log:?}").contains(secret));
    }
    for broken in [
        format!("postgresql://ct:{secret}@localhost:port/ct"),
        format!("password={secret} host"),
        format!("postgresql://{secret}"),
        format!("host=x {secret}=1"),
    ] {
        if let Err(error) = PostgresSettings::new(&broken) {
            assert!(!format!("{error} {error:?}").contains(secret), "{broken}");
        }
    }
}

#[test]
fn clear_text_to_another_machine_is_refused_unless_asked_for() {
    for address in [
        "postgresql://ct@db.example.com/ct",
        "host=localhost hostaddr=10.0.0.7",
        "postgresql://ct@[2001:db8::1]/ct",
    ] {
        let settings = PostgresSettings::new(address).unwrap();
        let refused = settings.check_encryption().unwrap_err();
        assert!(
            matches!(refused, PostgresSettingsError::Unencrypted { .. }),
            "{address}"
        );
    }
    for address in [
        "postgresql://ct@db.example.com/ct?sslmode=disable",
        "postgresql://ct@localhost/ct",
        "postgresql://ct@127.0.0.1/ct",
        "host=/run/postgresql",
    ] {
        PostgresSettings::new(address)
            .unwrap()
            .check_encryption()
            .unwrap();
    }
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let settings = PostgresSettings::new("postgresql://ct@localhost/ct").unwrap();
        settings.certificate_authorities(pem.as_bytes()).unwrap_err();
    }
}

/// A database that is not there is an error that names no secret, in bounded time, and makes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = format!("host={} user=ct password=s3cr3t", directory.path().display());
    let settings = LogSettings::new(directory.path().join("log"), origin());
    let settings = settings.in_postgres(PostgresSettings::new(&nowhere).unwrap());
    let created = tokio::task::spawn_blocking(|| Log::create(settings, LogKey::generate().unwrap()));
    let created = tokio::time::timeout(Duration::from_secs(30), created)
        .await
        .unwrap();
    let error = created.unwrap().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}
