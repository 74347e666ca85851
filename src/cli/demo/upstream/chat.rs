//! The sample model API: chat completions in the form of OpenAI's, whole or token by token.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const MODEL: &str = "sample-1";
/// A fixed moment, so that equal questions have equal answers.
const CREATED: u64 = 1_767_225_600;

/// A chat request, as far as the sample looks at it.
#[derive(Debug, Deserialize)]
pub(super) struct Chat {
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

/// `POST /v1/chat/completions`
pub(super) async fn complete(Json(chat): Json<Chat>) -> Response {
    let tokens = answer(&chat);
    let model = chat.model.clone().unwrap_or_else(|| MODEL.to_owned());
    let prompt_tokens = chat.messages.iter().map(|message| text(message).split_whitespace().count()).sum();
    let completion_tokens = tokens.len();
    let usage = Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
    if chat.stream {
        let include_usage = chat.stream_options.is_some_and(|options| options.include_usage);
        return streamed(&model, &tokens, include_usage.then_some(usage));
    }
    let message = json!({ "role": "assistant", "content": tokens.concat(), "refusal": null });
    let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" });
    Json(json!({
        "id": "chatcmpl-sample", "object": "chat.completion", "created": CREATED, "model": model,
        "choices": [choice], "usage": usage,
    }))
    .into_response()
}

/// `GET /v1/models`
pub(super) async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [
        { "id": MODEL, "object": "model", "created": CREATED, "owned_by": "hallgate-demo" },
    ]}))
}

/// The sample's whole wit: it says what it was asked, a token a word.
fn answer(chat: &Chat) -> Vec<String> {
    let asked = chat.messages.last().map(text).unwrap_or_default();
    format!("You asked: {asked} A real model would answer here, and nobody but the gate could call it.")
        .split_inclusive(' ')
        .map(str::to_owned)
        .collect()
}

/// A message's text; other content parts are left out.
fn text(message: &Message) -> String {
    match &message.content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

/// Server-sent events as OpenAI sends them: role, a token each, the end, usage if asked for, and `[DONE]`.
fn streamed(model: &str, tokens: &[String], usage: Option<Usage>) -> Response {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-sample", "object": "chat.completion.chunk", "created": CREATED, "model": model,
            "choices": choices, "usage": usage,
        })
        .to_string()
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]), Value::Null)
    };
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend(tokens.iter().map(|token| delta(json!({ "content": token }), Value::Null)));
    events.push(delta(json!({}), json!("stop")));
    if let Some(usage) = usage {
        events.push(chunk(json!([]), json!(usage)));
    }
    events.push("[DONE]".to_owned());
    let paced = stream::unfold(events.into_iter().enumerate(), |mut events| async {
        let (n, data) = events.next()?;
        tokio::time::sleep(pause(n)).await;
        Some((Ok::<_, Infallible>(Event::default().data(data)), events))
    });
    Sse::new(paced).into_response()
}

/// How long a model thinks before its n-th event: none before the first, then 30 to 80 ms.
fn pause(n: usize) -> Duration {
    if n == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(30 + u64::try_from(n * 37 % 51).unwrap_or(0))
}
