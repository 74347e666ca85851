//! Many callers at once, through both doors: nothing is lost and nothing is mixed up. Every answer belongs to its request,
//! every decision id is given once, and the ledger holds exactly one entry an answer and one more an exchange.
//!
//! Short by default. `HALLGATE_SOAK_CONNECTIONS=500 HALLGATE_SOAK_SECONDS=60` is the long run (`make soak`).
#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Response};
use serde_json::{Value, json};

use support::Demo;

/// How many ledger entries the answers of one caller must have made, and the decision ids it was given.
#[derive(Default)]
struct Tally {
    answers: u64,
    exchanges: u64,
    ids: Vec<String>,
}

struct Place {
    client: Client,
    gate: String,
    hall: String,
    token: String,
}

/// One request in turn from a round of every kind: forwarded, denied, without a route, asked, denied, malformed.
async fn one(place: &Place, nth: u64, correlation: &str, tally: &mut Tally) {
    let Place { client, gate, hall, token } = place;
    let order = json!({ "item": correlation, "quantity": 1 });
    let route = |label: &str| {
        let body = json!({
            "capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": label,
            "correlation_id": correlation,
        });
        client.post(format!("{hall}/api/route")).bearer_auth(token).json(&body)
    };
    let through = |label: &str| {
        let request = client.post(format!("{gate}/orders")).header("wcp-data-label", label);
        request.header("wcp-correlation-id", correlation).json(&order)
    };
    tally.answers += 1;
    match nth % 6 {
        0 => {
            let (status, header, body) = read(through("INTERNAL").send().await.unwrap()).await;
            assert_eq!((status, &body["item"]), (201, &json!(correlation)), "{body}");
            // The upstream wrote down which decision it was called under: it must be the one that this caller got back.
            assert_eq!(body["decision_id"], json!(header.unwrap()));
            tally.exchanges += 1;
            tally.ids.push(body["decision_id"].as_str().unwrap().to_owned());
        }
        1 => {
            let (status, _, body) = read(through("RESTRICTED").send().await.unwrap()).await;
            assert_eq!((status, &body["correlation_id"]), (403, &json!(correlation)), "{body}");
            tally.ids.push(body["decision_id"].as_str().unwrap().to_owned());
        }
        2 => {
            let request = client.get(format!("{gate}/nowhere")).header("wcp-correlation-id", correlation);
            let (status, _, body) = read(request.send().await.unwrap()).await;
            assert_eq!((status, &body["correlation_id"]), (404, &json!(correlation)), "{body}");
            tally.ids.push(body["decision_id"].as_str().unwrap().to_owned());
        }
        3 | 4 => {
            let label = if nth % 6 == 3 { "INTERNAL" } else { "RESTRICTED" };
            let (status, _, body) = read(route(label).send().await.unwrap()).await;
            let denied = json!(label == "RESTRICTED");
            assert_eq!(
                (status, &body["correlation_id"], &body["denied"]),
                (200, &json!(correlation), &denied),
                "{body}"
            );
            tally.ids.push(body["decision_id"].as_str().unwrap().to_owned());
        }
        _ => {
            let request = client.post(format!("{hall}/api/route")).bearer_auth(token).json(&json!({ "env": "prod" }));
            let (status, _, body) = read(request.send().await.unwrap()).await;
            assert_eq!((status, &body["denied"]), (400, &json!(true)), "{body}");
            tally.ids.push(body["decision_id"].as_str().unwrap().to_owned());
        }
    }
}

/// Status, decision id in the headers, and body.
async fn read(response: Response) -> (u16, Option<String>, Value) {
    let status = response.status().as_u16();
    let header = response.headers().get("wcp-decision-id").map(|id| id.to_str().unwrap().to_owned());
    let body = response.bytes().await.unwrap();
    let read = serde_json::from_slice(&body);
    (status, header, read.unwrap_or_else(|error| panic!("{status}: {error}: {}", String::from_utf8_lossy(&body))))
}

async fn entries(place: &Place) -> u64 {
    let answer = place.client.get(format!("{}/metrics", place.hall)).send().await.unwrap();
    let metrics = answer.text().await.unwrap();
    let entries = metrics.lines().find_map(|line| line.strip_prefix("hallgate_ledger_entries ")).unwrap();
    entries.parse().unwrap()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_mixed_up() {
    let connections = number("HALLGATE_SOAK_CONNECTIONS", 50);
    let spell = Duration::from_secs(number("HALLGATE_SOAK_SECONDS", 3));
    let demo = Demo::start();
    hallgate::cli::serve::one_provider();
    let place = Arc::new(Place {
        client: Client::builder().tls_certs_only([]).timeout(Duration::from_secs(60)).build().unwrap(),
        gate: demo.introduced("gate").to_owned(),
        hall: demo.introduced("hall").to_owned(),
        token: demo.exported("HALL_SESSION_TOKEN").to_owned(),
    });
    let before = entries(&place).await;

    let end = Instant::now() + spell;
    let callers: Vec<_> = (0..connections)
        .map(|caller| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let mut tally = Tally::default();
                // At least one of each kind, however slow the machine is.
                while tally.answers < 6 || Instant::now() < end {
                    let nth = tally.answers;
                    one(&place, nth + caller, &format!("soak-{caller}-{nth}"), &mut tally).await;
                }
                tally
            })
        })
        .collect();
    let (mut answers, mut exchanges, mut ids) = (0, 0, HashSet::new());
    for caller in callers {
        let tally = caller.await.unwrap();
        answers += tally.answers;
        exchanges += tally.exchanges;
        for id in tally.ids {
            assert!(ids.insert(id), "a decision id was given twice");
        }
    }
    assert_eq!(ids.len() as u64, answers);

    // An exchange's entry follows its last byte.
    let patience = Instant::now() + Duration::from_secs(60);
    while entries(&place).await < before + answers + exchanges && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(entries(&place).await, before + answers + exchanges, "{answers} answers, {exchanges} exchanges");

    let verify = "hallgate audit verify --ledger $HALLGATE_LEDGER --key $HALLGATE_KEY";
    let verified = demo.shell(verify, Path::new("/")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    println!("{connections} connections, {answers} answers, {exchanges} exchanges: all in the ledger");
}
