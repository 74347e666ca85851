//! The HTTP of it: one host, one key, no redirects, and no answer that is larger or slower than it may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::Settings;
use super::answer::{Account, BanList, Verified};
use super::failure::Failure;
use crate::ids::WorkerId;
use crate::outbound::{self, HttpClient, RequestBuilder, Response, Url};

/// The longest that one request takes, from the connection to the last byte; no longer than the time between two refreshes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer on one worker, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;
/// The largest page of the ban list, in bytes.
const LONGEST_PAGE: usize = 4 << 20;
/// The largest ban list, in bytes: it is kept, with its texts.
const LONGEST_LIST: usize = 32 << 20;
/// How many banned hashes are asked for at once: as many as the reference asks for.
const PAGE: usize = 500;

/// A client of one registry.
#[derive(Debug)]
pub struct Client {
    http: HttpClient,
    url: Arc<str>,
    authorization: HeaderValue,
    /// How long reading all of the ban list may take: workers are asked for behind it.
    refresh: Duration,
}

impl Client {
    /// A client of the registry of these settings. The process's TLS provider must have been chosen.
    ///
    /// # Errors
    /// There are no CA certificates by which it could be verified.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let url = Url::parse(&settings.url).map_err(|error| format!("`registry.url` is no URL: {error}"))?;
        let http = HttpClient::to(&url, PATIENCE.min(settings.refresh), None)
            .map_err(|error| format!("`registry`: no client can be made: {}", Failure::unreachable(error)))?;
        Ok(Self {
            http,
            url: Arc::clone(&settings.url),
            authorization: settings.authorization.clone(),
            refresh: settings.refresh,
        })
    }

    /// The registry's address.
    #[must_use]
    pub const fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// What it says of a worker. That it does not know it is an answer, too.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn verify(&self, worker: &WorkerId) -> Result<Verified, Failure> {
        // No URL can have these as a segment.
        if matches!(worker.as_str(), "." | "..") {
            return Ok(Verified::unknown(worker.as_str()));
        }
        // The one character of an id that a segment cannot hold.
        let segment = worker.as_str().replace('/', "%2F");
        let response = self.send(self.http.get(format!("{}/api/v1/verify/{segment}", self.url))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Verified::unknown(worker.as_str()));
        }
        let body = json(response, LONGEST_ANSWER).await?;
        Verified::read(&body, worker).map_err(Failure::Malformed)
    }

    /// The hashes of code that nobody may run, page by page. What cannot be read behind the first page is said in the list.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ban_list(&self) -> Result<BanList, Failure> {
        let (end, mut room) = (Instant::now() + self.refresh, LONGEST_LIST);
        let mut list = self.bans("", end, &mut room).await?;
        let (mut page, mut last) = (list.entries.len(), list.entries.last().map(|entry| entry.sha256));
        let mut read = page;
        // The public reference knows `limit` alone. Each further page begins with the last entry of the one before: where that is
        // missing, `offset` is not understood, or the list has changed in between.
        while page >= PAGE
            && let Some(joint) = last
        {
            let offset = read.saturating_sub(1);
            let next = match self.bans(&format!("&offset={offset}"), end, &mut room).await {
                Ok(next) => next,
                Err(why) => {
                    list.unread = Some(why);
                    break;
                }
            };
            (page, last) = (next.entries.len(), next.entries.last().map(|entry| entry.sha256));
            read = offset.saturating_add(page);
            if let Err(why) = list.go_on(joint, next, page < PAGE) {
                list.unread = Some(Failure::Malformed(why));
                break;
            }
        }
        Ok(list)
    }

    /// One page, in the time and the room that are left.
    async fn bans(&self, from: &str, end: Instant, room: &mut usize) -> Result<BanList, Failure> {
        let request = self.http.get(format!("{}/api/v1/ban-list?limit={PAGE}{from}", self.url));
        let patience = PATIENCE.min(end.saturating_duration_since(Instant::now()));
        let response = self.send(request.timeout(patience)).await?;
        let body = json(response, LONGEST_PAGE.min(*room)).await?;
        *room = room.saturating_sub(body.len());
        BanList::read(&body).map_err(Failure::Malformed)
    }

    /// The account's standing.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn account(&self) -> Result<Account, Failure> {
        let response = self.send(self.http.get(format!("{}/api/account/standing", self.url))).await?;
        let body = json(response, LONGEST_ANSWER).await?;
        Account::read(&body).map_err(Failure::Malformed)
    }

    /// Reports how often each worker was dispatched: ids and numbers, nothing else.
    ///
    /// # Errors
    /// The registry has not said that it took them.
    pub async fn report(&self, counts: &BTreeMap<Arc<str>, u64>) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Count<'a> {
            worker_id: &'a str,
            count: u64,
        }
        let decisions: Vec<_> = counts.iter().map(|(worker_id, count)| Count { worker_id, count: *count }).collect();
        let body = serde_json::json!({ "decisions": decisions });
        let request = self.http.post(format!("{}/api/v1/telemetry/decisions", self.url)).json(&body);
        let response = self.send(request).await?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::Status(response.status().as_u16())) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let request = request.header(AUTHORIZATION, self.authorization.clone()).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(Failure::unreachable)?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::RateLimited(retry_after(response.headers()))),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(Failure::Refused(status.as_u16())),
            _ => Ok(response),
        }
    }
}

/// The body of a 200 that is JSON, read no further than `most` bytes.
async fn json(response: Response, most: usize) -> Result<Vec<u8>, Failure> {
    if response.status() != StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    if !response.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(Failure::Malformed("its content type is not JSON".to_owned()));
    }
    let body = outbound::body(response, most).await.map_err(Failure::unreachable)?;
    body.ok_or_else(|| Failure::Malformed(format!("it is larger than {most} bytes")))
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// How long the registry asks not to be asked: seconds, or until a date (RFC 9110 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until.as_second().try_into().ok()?))?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_is_seconds_or_a_date() {
        let wait =
            |text: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(wait("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(86_400));
        for none in ["", "soon", "-1", "1.5"] {
            assert_eq!(wait(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn only_json_is_read() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/html", false),
            ("text/json", false),
            ("", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(kind)), json, "{kind}");
        }
    }
}
