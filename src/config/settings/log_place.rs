//! Where a log is and what it is called: `directory` and what stands beside it, `high-water`, `origin`.

use std::path::PathBuf;

use url::Url;

use super::{bucket, database};
use crate::{
    config::{
        fields::{Fields, Text},
        path::Folder,
        problem::Problems,
    },
    log::embedded::Storage,
};

/// Places that several servers may share; both together are a log in a database with its files in a bucket.
pub(super) const SHARED: [&str; 2] = ["s3", "postgres"];
/// A directory, beside a bucket or a database or both, or alone.
pub(super) fn storage(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<Storage> {
    let directory = directory(fields, folder, problems);
    report_beside_shared(fields, problems);
    let bucket = fields
        .get("s3")
        .map(|(place, node)| bucket::place(place, node, problems));
    let database = fields
        .get("postgres")
        .map(|(place, node)| database::read(place, node, folder, problems));
    let directory = directory?;
    match (database, bucket) {
        (Some(database), files) => Some(Storage::Postgres {
            directory,
            database: database?,
            files: match files {
                Some(files) => Some(files?),
                None => None,
            },
        }),
        (None, Some(place)) => Some(Storage::S3 {
            directory,
            place: place?,
        }),
        (None, None) => match fields.text("mirror", problems) {
            None => Some(Storage::Directory(directory)),
            Some(text) => mirrored(directory, &text, folder, problems),
        },
    }
}

/// Keys that make no sense beside a place that several servers share.
fn report_beside_shared(fields: &Fields<'_>, problems: &mut Problems) {
    let Some(shared) = SHARED.iter().find(|key| fields.get(key).is_some()) else {
        return;
    };
    for (key, suggestion) in [
        (
            "mirror",
            "Leave it out: replicate the bucket or the database itself",
        ),
        ("high-water", "Leave it out: `directory` holds this server's mark"),
    ] {
        if let Some((place, _)) = fields.get(key) {
            problems.report(&place, format!("stands beside `{shared}`"), suggestion);
        }
    }
}

/// A file outside the directory, on a device that is not restored together with it.
pub(super) fn high_water(
    fields: &Fields<'_>,
    storage: Option<&Storage>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Option<PathBuf>> {
    let Some(text) = fields.text("high-water", problems) else {
        return Some(None);
    };
    let path = folder.new_file(&text, problems)?;
    if storage.is_some_and(|storage| path.starts_with(storage.directory())) {
        let suggestion = "Name a file on another device: it must not go back together with the log";
        problems.report(&text.place, "is in the folder of the log", suggestion);
        return None;
    }
    Some(Some(path))
}

fn mirrored(
    directory: PathBuf,
    text: &Text<'_>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<Storage> {
    let mirror = folder.new_folder(text, problems)?;
    if mirror.starts_with(&directory) || directory.starts_with(&mirror) {
        let what = "is in the folder of the log";
        problems.report(&text.place, what, "Name one on another device");
        return None;
    }
    Some(Storage::Mirrored { directory, mirror })
}

fn directory(fields: &Fields<'_>, folder: &Folder, problems: &mut Problems) -> Option<PathBuf> {
    let text = fields.required_text("directory", "Name a folder for the log", problems)?;
    folder.new_folder(&text, problems)
}

pub(super) fn origin(fields: &Fields<'_>, problems: &mut Problems) -> Option<String> {
    let text = fields.required_text(
        "origin",
        "Name the log for ever, such as ca.example.com/log",
        problems,
    )?;
    origin_text(&text, problems)
}

/// An origin is a schema-less URL without a slash at its end; it stands alone on a line of every checkpoint, and as a
/// key name in its signature, which can hold neither spaces nor `+` (c2sp.org/signed-note). Its path is where the log
/// is served.
fn origin_text(text: &Text<'_>, problems: &mut Problems) -> Option<String> {
    if !is_origin(text.value) {
        let what =
            "must be a URL without its scheme, in normal form, its path made of letters, digits and `-._~`";
        problems.report(&text.place, what, "Write it as ca.example.com/log");
        return None;
    }
    Some(text.value.to_owned())
}

fn is_origin(text: &str) -> bool {
    let address = format!("https://{text}");
    let (host, path) = text
        .split_once('/')
        .map_or((text, None), |(host, path)| (host, Some(path)));
    let is_plain = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !name.is_empty() && name.bytes().all(allowed)
    };
    // The parser changes what is not in normal form: capital letters in the host, dots in the path.
    let is_normal = Url::parse(&address).is_ok_and(|url| url.as_str().trim_end_matches('/') == address);
    !host.contains(['@', '?', '#', '+']) && path.is_none_or(|path| path.split('/').all(is_plain)) && is_normal
}
