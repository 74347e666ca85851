//! What the sample upstream answers, and to whom.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SampleUpstream;
use crate::cli::demo::call::client;
use crate::outbound::{HttpClient, RequestBuilder};

async fn upstream() -> (SampleUpstream, HttpClient, String) {
    let upstream = SampleUpstream::start("127.0.0.1:0".parse().unwrap(), "held by the gate").await.unwrap();
    let base = format!("http://{}", upstream.addr());
    (upstream, client(&base).unwrap(), base)
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let answer = request.bearer_auth("held by the gate").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn chat(stream: bool) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "What is new?" }], "stream": stream })
}

#[tokio::test]
async fn nobody_without_the_credential_gets_an_answer() {
    let (_upstream, client, base) = upstream().await;
    for path in ["/orders", "/orders/1", "/v1/models", "/v1/chat/completions", "/orders/ws"] {
        for credential in [None, Some("another")] {
            let mut request = client.get(format!("{base}{path}"));
            if let Some(credential) = credential {
                request = request.bearer_auth(credential);
            }
            assert_eq!(request.send().await.unwrap().status(), 401, "{path} with {credential:?}");
        }
    }
}

#[tokio::test]
async fn a_chat_is_answered_whole() {
    let (_upstream, client, base) = upstream().await;
    let (status, answer) = json_of(client.post(format!("{base}/v1/chat/completions")).json(&chat(false))).await;
    assert_eq!(status, 200);
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("What is new?"));
    let (_, models) = json_of(client.get(format!("{base}/v1/models"))).await;
    assert_eq!(models["data"][0]["object"], "model");
}

#[tokio::test]
async fn a_streamed_chat_comes_token_by_token_and_says_when_it_is_done() {
    let (_upstream, client, base) = upstream().await;
    let began = Instant::now();
    let request = client.post(format!("{base}/v1/chat/completions")).bearer_auth("held by the gate").json(&chat(true));
    let mut answer = request.send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    let first_at = began.elapsed();
    let mut text = String::from_utf8(first.to_vec()).unwrap();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let events: Vec<&str> = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let said: String = chunks
        .iter()
        .map(|chunk| serde_json::from_str::<Value>(chunk).unwrap())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    let (_, whole) = json_of(client.post(format!("{base}/v1/chat/completions")).json(&chat(false))).await;
    assert_eq!(said, whole["choices"][0]["message"]["content"]);
    // Each event but the first waits 30 ms at least, so the whole takes far longer than the first.
    let least = Duration::from_millis(30) * u32::try_from(events.len() - 1).unwrap();
    assert!(began.elapsed() >= least + first_at, "{:?} for {} events", began.elapsed(), events.len());
}

#[tokio::test]
async fn orders_are_listed_read_and_placed() {
    let (_upstream, client, base) = upstream().await;
    let request = client.get(format!("{base}/orders")).bearer_auth("held by the gate");
    assert!(request.send().await.unwrap().bytes().await.unwrap().len() >= 65_536);
    assert_eq!(json_of(client.get(format!("{base}/orders/7"))).await.1["item"], "part-0007");
    assert_eq!(json_of(client.get(format!("{base}/orders/999999"))).await.0, 404);
    let new = client.post(format!("{base}/orders")).header("wcp-decision-id", "d-1");
    let (status, placed) = json_of(new.json(&json!({ "item": "bolt", "quantity": 3 }))).await;
    assert_eq!((status, &placed["decision_id"]), (201, &json!("d-1")));
    let (_, read) = json_of(client.get(format!("{base}/orders/{}", placed["id"]))).await;
    assert_eq!(read, placed);
}
