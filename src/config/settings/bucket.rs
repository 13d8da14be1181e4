//! `log.s3`: a place in a bucket. Credentials never stand in a file: they come from the environment.

use ct_log::{S3Settings, S3SettingsError};

use crate::config::{
    fields::{Fields, Keys},
    problem::{Place, Problems},
    yaml::Node,
};

const S3: Keys = &[
    "bucket",
    "prefix",
    "region",
    "endpoint",
    "allow-http",
    "static-partials",
];

pub(super) fn place(place: Place, node: &Node, problems: &mut Problems) -> Option<S3Settings> {
    let fields = Fields::open(place, node, S3, problems)?;
    let bucket = fields.required_text("bucket", "Name a bucket that exists", problems)?;
    let mut settings = checked(S3Settings::new(bucket.value), &bucket.place, problems)?;
    if let Some(prefix) = fields.text("prefix", problems) {
        settings = checked(settings.prefix(prefix.value), &prefix.place, problems)?;
    }
    if let Some(region) = fields.text("region", problems) {
        settings = settings.region(region.value);
    }
    let allow_http = fields.flag("allow-http", problems);
    if let Some(endpoint) = fields.text("endpoint", problems) {
        let is_plain = allow_http && endpoint.value.starts_with("http://");
        let there = match is_plain {
            true => settings.plain_endpoint(endpoint.value),
            false => settings.endpoint(endpoint.value),
        };
        settings = checked(there, &endpoint.place, problems)?;
    }
    if fields.flag("static-partials", problems) {
        settings = settings.static_partials();
    }
    Some(settings)
}

fn checked(
    settings: Result<S3Settings, S3SettingsError>,
    place: &Place,
    problems: &mut Problems,
) -> Option<S3Settings> {
    settings
        .map_err(|error| problems.report(place, format!("cannot be used: {error}"), ""))
        .ok()
}
