//! The `alerts` section: the webhook that is told of alerts, and of what waits for a human.

use super::kinds;
use super::reader::Map;
use crate::hall::webhook::{Settings, WebhookForm};

/// Reads the section: `Some(None)` where nobody is told.
pub fn read(mut map: Map<'_>) -> Option<Option<Settings>> {
    const FORMS: &[(&str, WebhookForm)] =
        &[("json", WebhookForm::Json), ("slack", WebhookForm::Slack), ("teams", WebhookForm::Teams)];
    // Some services know who posts by the address alone.
    let url = map.get("webhook").map_or(Some(None), |value| value.read_secret(kinds::webhook).map(Some));
    let secret = map.get("webhook_secret");
    let file = map.get("webhook_secret_file");
    let form = map.read("webhook_form", "json", kinds::word(FORMS));
    let bearer = match (secret, file) {
        (None, None) => Some(None),
        (Some(secret), None) => secret.read_secret(kinds::bearer).map(Some),
        (None, Some(file)) => file.read_file(kinds::bearer).map(Some),
        (Some(_), Some(file)) => {
            file.wrong("stands beside `webhook_secret`", "keep one of them");
            None
        }
    };
    if matches!((&url, &bearer), (Some(None), Some(Some(_)))) {
        map.wrong("webhook", "is missing, but there is a secret for it", "write `webhook`, or remove the secret");
    }
    map.done(&[]);
    let (url, bearer, form) = (url?, bearer?, form?);
    // Where people find the Hall is written in the section `hall`.
    Some(url.map(|url| Settings { url, bearer, form, public_url: None }))
}
