//! What a webhook's receiver takes: our JSON, Slack's text or Teams' card. What a caller wrote is no markup in any of them.

use serde_json::{Value, json};

use super::Notice;
use crate::approvals::visible;
use crate::hall::alerts::Told;

/// A receiver's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookForm {
    /// An object of ours.
    Json,
    /// `{"text": …}`, as Slack's incoming webhooks take it, and Mattermost's.
    Slack,
    /// A message with an adaptive card, as Teams' workflows take it.
    Teams,
}

/// A message as a person reads it.
struct Spoken<'a> {
    /// In our words.
    title: &'a str,
    /// What others may have written, each under a name of ours.
    facts: Vec<(&'static str, String)>,
    /// In our words.
    end: Option<End>,
}

/// Where a person goes from there.
enum End {
    Link(String),
    Command(String),
}

const LINK: &str = "Look at it and decide";

impl WebhookForm {
    /// An alert.
    pub(super) fn alert(self, told: &Told) -> Value {
        if self == Self::Json {
            return json!(told);
        }
        let mut facts = vec![("what", told.message.clone())];
        facts.extend(told.worker_id.as_deref().map(|worker| ("worker_id", worker.to_owned())));
        facts.extend(told.tenant_id.as_deref().map(|tenant| ("tenant_id", tenant.to_owned())));
        facts.extend((told.count > 1).then(|| ("count", told.count.to_string())));
        self.say(&Spoken { title: told.title, facts, end: None })
    }

    /// What waits for a human.
    pub(super) fn notice(self, notice: &Notice, public_url: Option<&str>) -> Value {
        let id = notice.id();
        let url = public_url.map(|url| format!("{url}/approvals/{id}"));
        let title = if notice.is_escalated() {
            "A request was escalated and waits for a human"
        } else {
            "A request waits for a human"
        };
        let command = format!("hallgate approvals show {id}");
        let mut facts = notice.facts();
        if self == Self::Json {
            let kind = if notice.is_escalated() { "APPROVAL_ESCALATED" } else { "APPROVAL_PENDING" };
            let mut told =
                json!({"kind": kind, "title": title, "pending_approval_id": id, "url": url, "command": command});
            if let Some(told) = told.as_object_mut() {
                told.extend(facts.into_iter().map(|(name, fact)| (name.to_owned(), fact.into())));
            }
            return told;
        }
        facts.push(("pending_approval_id", id.to_string()));
        let end = url.map_or(End::Command(command), End::Link);
        self.say(&Spoken { title, facts, end: Some(end) })
    }

    fn say(self, spoken: &Spoken<'_>) -> Value {
        match self {
            Self::Teams => card(spoken),
            Self::Slack | Self::Json => text(spoken),
        }
    }
}

/// Slack reads `&`, `<` and `>` as the beginnings of links and mentions wherever they stand, and nothing else inside of code.
fn text(spoken: &Spoken<'_>) -> Value {
    let mut lines = vec![format!("*{}*", spoken.title)];
    let code = |fact: &str| {
        let fact = visible(fact).replace('`', "\\u{60}");
        format!("`{}`", fact.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
    };
    lines.extend(spoken.facts.iter().map(|(name, fact)| format!("{name}: {}", code(fact))));
    lines.extend(spoken.end.iter().map(|end| match end {
        End::Link(url) => format!("<{url}|{LINK}>"),
        End::Command(command) => format!("Look at it with {}", code(command)),
    }));
    json!({"text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false})
}

/// The text of a run has no markup: what a `TextBlock` reads of Markdown is never said here.
fn card(spoken: &Spoken<'_>) -> Value {
    let line = |runs: Value| json!({"type": "RichTextBlock", "inlines": runs});
    let run = |text: &str| json!({"type": "TextRun", "text": text});
    let code = |text: &str| json!({"type": "TextRun", "text": visible(text), "fontType": "Monospace"});
    let mut body = vec![line(json!([{"type": "TextRun", "text": spoken.title, "weight": "Bolder"}]))];
    body.extend(spoken.facts.iter().map(|(name, fact)| line(json!([run(&format!("{name}: ")), code(fact)]))));
    let mut actions = Vec::new();
    match &spoken.end {
        Some(End::Link(url)) => actions.push(json!({"type": "Action.OpenUrl", "title": LINK, "url": url})),
        Some(End::Command(command)) => body.push(line(json!([run("Look at it with "), code(command)]))),
        None => {}
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": body, "actions": actions,
    });
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    json!({"type": "message", "attachments": [attachment]})
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<!channel> <https://evil.example|ok> `*b*` _i_ & [x](https://evil.example)\n\u{202e}**b**";

    fn spoken(end: End) -> Spoken<'static> {
        Spoken { title: "A request waits", facts: vec![("worker_id", HOSTILE.to_owned())], end: Some(end) }
    }

    #[test]
    fn slack_reads_no_mention_no_link_and_no_markup_in_what_a_caller_wrote() {
        let said = text(&spoken(End::Link("https://hall.example/approvals/1".to_owned())));
        let said = said["text"].as_str().unwrap();
        let (title, rest) = said.split_once("\nworker_id: ").unwrap();
        assert_eq!(title, "*A request waits*");
        let (fact, link) = rest.split_once('\n').unwrap();
        assert_eq!(link, "<https://hall.example/approvals/1|Look at it and decide>");
        let inside = fact.strip_prefix('`').unwrap().strip_suffix('`').unwrap();
        assert!(!inside.contains(['<', '>', '`', '\u{202e}']), "{inside}");
        assert!(inside.starts_with("&lt;!channel&gt; ") && inside.contains(" &amp; "), "{inside}");
    }

    #[test]
    fn teams_reads_no_markdown_in_what_a_caller_wrote() {
        let said = card(&spoken(End::Command("hallgate approvals show 1".to_owned())));
        let card = &said["attachments"][0]["content"];
        for block in card["body"].as_array().unwrap() {
            assert_eq!(block["type"], "RichTextBlock");
            assert!(block["inlines"].as_array().unwrap().iter().all(|run| run["type"] == "TextRun"), "{block}");
        }
        assert_eq!(card["body"][1]["inlines"][1]["text"], visible(HOSTILE));
        assert_eq!(card["body"][2]["inlines"][1]["text"], "hallgate approvals show 1");
        assert_eq!(card["actions"], json!([]));
    }
}
