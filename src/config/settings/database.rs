//! `log.postgres`: a database. Its password never stands in the file: it comes from a file of its own, or from `PGPASSWORD`.

use ct_log::{PostgresSettings, PostgresSettingsError};

use crate::{
    config::{
        fields::{Fields, Keys},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    log::embedded::Database,
};

const POSTGRES: Keys = &["url", "password-file", "ca-cert"];

const EXAMPLE: &str = "Write it as postgresql://mayfly@db.example.com/mayfly";

pub(super) fn read(place: Place, node: &Node, folder: &Folder, problems: &mut Problems) -> Option<Database> {
    let fields = Fields::open(place, node, POSTGRES, problems)?;
    let url = fields.required_text("url", EXAMPLE, problems);
    let password_file = match fields.text("password-file", problems) {
        None => Some(None),
        Some(text) => folder.secret_file(&text, "a password", problems).map(Some),
    };
    let ca_cert = match fields.text("ca-cert", problems) {
        None => Some(None),
        Some(text) => folder.file(&text, problems).map(Some),
    };
    let url = url?;
    let database = Database {
        url: url.value.to_owned(),
        password_file: password_file?,
        ca_cert: ca_cert?,
    };
    if let Err(error) = check(&database) {
        problems.report(&url.place, format!("cannot be used: {error}"), EXAMPLE);
        return None;
    }
    if PostgresSettings::new(&database.url).is_ok_and(|settings| settings.has_password()) {
        let suggestion = "Put it into a file of its own and name that as `password-file`";
        problems.report(&url.place, "has a password in it", suggestion);
        return None;
    }
    Some(database)
}

/// What can be found wrong without the password, which is read at the start only.
fn check(database: &Database) -> Result<(), PostgresSettingsError> {
    let settings = PostgresSettings::new(&database.url)?;
    match &database.ca_cert {
        Some(path) => {
            let pem = std::fs::read(path).unwrap_or_default();
            settings.certificate_authorities(&pem)?.check_encryption()
        }
        None => settings.check_encryption(),
    }
}
