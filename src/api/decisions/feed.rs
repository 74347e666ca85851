//! `GET /api/decisions/feed`: decisions as they are recorded, as server-sent events.
//!
//! A viewer has a place in the log and no buffer: when it takes more, the ledger is asked what came since. So one that is slow, or wants all of very
//! many, is told how many it has missed, and costs nobody memory; and one that comes back goes on where it was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::DecisionRow;
use super::viewers::ViewerPlace;
use super::wanted::{self, DecisionWords, Words};
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsReader};
use crate::api::listener::Progress;
use crate::api::reader::ApiState;
use crate::hall::{DecisionFilter, DecisionQuery, DecisionRange, FoundRows, Hall, ReadError, Scope, Token};

/// Under which id an event source was told something last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often it is looked for what is new.
const EVERY: Duration = Duration::from_millis(500);
/// The most decisions of one look: nobody reads faster.
const MOST: usize = 20;
/// After so long without a decision a viewer is told that it is still there.
const QUIET: Duration = Duration::from_secs(15);
/// A feed is over after so long; who still looks comes back.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Decisions as they are recorded: needs the scope `read`
///
/// Server-sent events. `decision`: one as `/api/decisions` has it, under its id. `lagged`: `{"skipped": n}`, where so many came since the last event and are
/// not shown, as more than 20 in half a second (null: too many to be counted); `/api/decisions` has them. Whoever comes back with `last-event-id` goes on behind that decision. It is
/// over when the token is removed or changed, when the Hall ends, and after an hour.
#[utoipa::path(get, path = "/api/decisions/feed", tag = "hall", security(("token" = [])),
    params(DecisionWords, ("last-event-id" = Option<String>, Header, description = "the id of the last decision that was seen", format = "uuid")),
    responses((status = 200, description = "events, without an end", body = String, content_type = "text/event-stream"),
        (status = 400, description = "a parameter is unknown, there twice, or means nothing", body = ErrorEnvelope<'static>),
        (status = 503, description = "the ledger cannot be read now", body = ErrorEnvelope<'static>), NeedsReader))]
pub(in crate::api) async fn feed(
    State(ApiState { hall, viewers, .. }): State<ApiState>,
    credential: Credential,
    words: Words,
    request: Request,
) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    credential::require(&token, Scope::Read)?;
    let filter = wanted::filter(wanted::words(words, false)?, token.binding.clone())?;
    let seen = request.headers().get(LAST_EVENT_ID).map(|id| {
        let id = id.to_str().ok().and_then(|id| Uuid::try_parse(id).ok());
        id.ok_or_else(|| ApiError::bad_parameter("last-event-id", "is none", "the id of an event"))
    });
    let seen = seen.transpose()?;
    let place = viewers.take(&token.name).map_err(|why| ApiError::too_many_viewers(&why))?;
    let progress = request.extensions().get::<Progress>().cloned().unwrap_or_default();
    let mut viewer = Viewer::new(hall, token, filter, place, progress);
    viewer.begin(seen).await?;
    let events = stream::unfold(viewer, async |mut viewer| {
        let events = viewer.next().await?;
        Some((Ok::<_, Infallible>(events), viewer))
    });
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    Ok((StatusCode::OK, [(CONTENT_TYPE, kind)], Body::from_stream(events)).into_response())
}

/// Somebody who looks on.
struct Viewer {
    hall: Arc<Hall>,
    token: Arc<Token>,
    filter: DecisionFilter,
    /// The newest entry among which was looked.
    seen: Option<Uuid>,
    /// How many entries there were then.
    entries: u64,
    /// What is said at once.
    greeting: bool,
    told: Instant,
    began: Instant,
    progress: Progress,
    _place: ViewerPlace,
}

impl Viewer {
    fn new(hall: Arc<Hall>, token: Arc<Token>, filter: DecisionFilter, place: ViewerPlace, progress: Progress) -> Self {
        let now = Instant::now();
        Self {
            hall,
            token,
            filter,
            seen: None,
            entries: 0,
            greeting: true,
            told: now,
            began: now,
            progress,
            _place: place,
        }
    }

    /// Begins behind this decision, or behind all that there are.
    async fn begin(&mut self, seen: Option<Uuid>) -> Result<(), ApiError> {
        self.seen = seen;
        if seen.is_none() {
            self.entries = self.hall.entries();
            let found = self.hall.decisions(self.query(0, false)).await.map_err(|error| ApiError::unread(&error))?;
            // In an empty ledger everything is new.
            self.seen = Some(found.up_to.unwrap_or_default());
        }
        Ok(())
    }

    fn query(&self, most: usize, counts: bool) -> DecisionQuery {
        let range = DecisionRange { after: self.seen, before: None };
        DecisionQuery { filter: self.filter.clone(), range, most, counts }
    }

    /// What is to be said next; `None`: the feed is over.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.greeting) {
            // Proxies and browsers see that there is an answer, and come back soon when it breaks off.
            return Some(Bytes::from_static(b"retry: 2000\n\n"));
        }
        loop {
            self.progress.goes_on();
            tokio::select! {
                () = self.hall.drains() => return None,
                () = sleep(EVERY) => {}
            }
            if self.began.elapsed() >= LONGEST || !self.hall.tokens().has(&self.token) {
                return None;
            }
            if let Some(events) = self.look().await {
                self.told = Instant::now();
                return Some(events);
            }
            if self.told.elapsed() >= QUIET {
                self.told = Instant::now();
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    /// What came since the last look.
    async fn look(&mut self) -> Option<Bytes> {
        let entries = self.hall.entries();
        if entries == self.entries {
            return None;
        }
        let found = match self.hall.decisions(self.query(MOST, true)).await {
            // Too much came since to be counted: it goes on with what comes from now on.
            Err(ReadError::Late) => {
                self.begin(None).await.ok()?;
                return Some(Bytes::from_static(b"event: lagged\ndata: {\"skipped\":null}\n\n"));
            }
            found => found,
        };
        // What cannot be read now is looked for again.
        let FoundRows { rows, more, up_to, .. } = found.ok()?;
        self.entries = entries;
        self.seen = up_to.max(self.seen);
        let mut events = String::new();
        if more > 0 {
            events += &format!("event: lagged\ndata: {{\"skipped\":{more}}}\n\n");
        }
        for row in rows.into_iter().rev() {
            let row = DecisionRow::of(row);
            let data = serde_json::to_string(&row).ok()?;
            events += &format!("id: {}\nevent: decision\ndata: {data}\n\n", row.decision_id);
        }
        (!events.is_empty()).then(|| events.into())
    }
}
