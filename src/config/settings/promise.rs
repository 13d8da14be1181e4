//! `log.sct-after` and `log.witnesses`.

use ct_log::{
    SctAfter,
    witness::{Witness, WitnessKey},
};
use url::Url;

use crate::{
    config::{
        fields::{Fields, Keys, Text},
        path::Folder,
        problem::{Place, Problems},
        yaml::Node,
    },
    log::embedded::{PromiseSettings, WitnessSettings},
};

const WITNESSES: Keys = &["note-key", "quorum", "list"];
const WITNESS: Keys = &["url", "key"];

/// From the fields of `log`.
pub(super) fn promise(
    fields: &Fields<'_>,
    folder: &Folder,
    problems: &mut Problems,
) -> Option<PromiseSettings> {
    let witnesses = match fields.get("witnesses") {
        None => Some(None),
        Some((place, node)) => witnesses(place, node, folder, problems).map(Some),
    };
    let sct_after = match fields.text("sct-after", problems) {
        None => Some(SctAfter::Durable),
        Some(text) => sct_after(&text, problems),
    };
    if let Some((place, _)) = fields.get("sct-after")
        && sct_after == Some(SctAfter::Witnessed)
        && fields.get("witnesses").is_none()
    {
        problems.report(
            &place,
            "is `witnessed`, but there are no `witnesses`",
            "Name them",
        );
    }
    Some(PromiseSettings {
        sct_after: sct_after?,
        witnesses: witnesses?,
        given_out: Vec::new(),
    })
}

fn sct_after(text: &Text<'_>, problems: &mut Problems) -> Option<SctAfter> {
    let all = [
        SctAfter::Durable,
        SctAfter::Published,
        SctAfter::Replicated,
        SctAfter::Witnessed,
    ];
    let found = all.into_iter().find(|after| after.to_string() == text.value);
    if found.is_none() {
        let what = format!(
            "`{}` is not one of durable, published, replicated, witnessed",
            text.value
        );
        problems.report(&text.place, what, "Leave it out for `durable`");
    }
    found
}

fn witnesses(place: Place, node: &Node, folder: &Folder, problems: &mut Problems) -> Option<WitnessSettings> {
    let fields = Fields::open(place, node, WITNESSES, problems)?;
    let suggestion =
        "Name a PEM file for an Ed25519 key, such as log-note-key.pem; it is made if it is not there";
    let note_key = fields.required_text("note-key", suggestion, problems);
    let note_key = note_key.and_then(|text| folder.new_key_file(&text, problems));
    let suggestion = "Write how many witnesses must cosign a checkpoint";
    let quorum = fields.required_text("quorum", suggestion, problems);
    let quorum = quorum.and_then(|text| {
        let number = text.value.parse().ok();
        if number.is_none() {
            problems.report(&text.place, "is not a number", suggestion);
        }
        number
    });
    let (list, node) = fields.required("list", "Write at least one `- url: ...` with its `key`", problems)?;
    let read: Vec<_> = node
        .items(&list, problems)
        .iter()
        .map(|item| witness(item.place(&list), item, problems))
        .collect();
    let settings = WitnessSettings {
        note_key: note_key?,
        quorum: quorum?,
        witnesses: read.into_iter().collect::<Option<_>>()?,
    };
    if let Err(error) = settings.check() {
        problems.report(fields.place(), error.to_string(), "");
        return None;
    }
    Some(settings)
}

fn witness(place: Place, node: &Node, problems: &mut Problems) -> Option<Witness> {
    let fields = Fields::open(place, node, WITNESS, problems)?;
    let suggestion = "Write the witness's submission prefix, without /add-checkpoint";
    let url = fields.required_text("url", suggestion, problems);
    let url = url.and_then(|text| {
        let url = Url::parse(text.value).ok();
        let url = url.filter(|url| matches!(url.scheme(), "https" | "http"));
        if url.is_none() {
            problems.report(
                &text.place,
                format!("`{}` is not an http or https URL", text.value),
                suggestion,
            );
        }
        url
    });
    let suggestion = "Copy the witness's verifier key, NAME+KEY ID+BASE64, as it publishes it";
    let key = fields.required_text("key", suggestion, problems);
    let key = key.and_then(|text| match text.value.parse::<WitnessKey>() {
        Ok(key) => Some(key),
        Err(error) => {
            problems.report(&text.place, error.to_string(), "");
            None
        }
    });
    Some(Witness {
        url: url?.into(),
        key: key?,
    })
}
