//! SIGKILL at random moments under load, again and again over the same ledger: every answer and every forward has its entry, what is
//! there verifies, and the next start needs no hand. Now and then the power goes with it: pages that no checkpoint vouches for are lost,
//! and what was on no lost page is in the log, or named in it and kept.
//!
//! Short by default. `HALLGATE_KILLS=300` is the long run (`make kills`).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use serde_json::Value;

use crate::pages::{self, Lost};
use crate::random::Random;
use crate::stored::{build, entries};
use support::{Fixture, READ, TOKEN, Upstream};

/// Callers at a time, half of them at each door.
const CALLERS: usize = 12;
/// Kills of one ledger.
const LIVES: u64 = 25;

/// What one caller was answered, until there was no answer: decision ids with their receipt hashes.
async fn call(client: Client, gate: Option<String>, hall: String, end: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut answered = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let receipt = match &gate {
            Some(gate) => through(&client, gate).await,
            None => asked(&client, &hall).await,
        };
        let Ok(receipt) = receipt else { break };
        answered.push(receipt);
    }
    answered
}

async fn through(client: &Client, gate: &str) -> Result<(String, String), reqwest::Error> {
    let answer = client.get(format!("{gate}/orders")).send().await?;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    // The head is an answer already: whoever has it has been forwarded.
    Ok((header("wcp-decision-id"), header("wcp-receipt")))
}

async fn asked(client: &Client, hall: &str) -> Result<(String, String), reqwest::Error> {
    let request = client.post(format!("{hall}/api/route")).bearer_auth(TOKEN);
    let answer = request.header("content-type", "application/json").body(READ).send().await?;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await?;
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Ok((text("decision_id"), text("proof")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_and_every_forward_has_its_entry_whenever_it_is_killed() {
    let kills: u64 = std::env::var("HALLGATE_KILLS").map_or(LIVES, |text| text.parse().unwrap());
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let upstream = Upstream::start();
    let (mut answers, mut forwards, mut early, began) = (0, 0, 0, Instant::now());
    let (mut fixture, mut lost, mut cuts, mut hands) = (None, None::<Lost>, 0, 0);
    for kill in 0..kills {
        if kill % LIVES == 0 {
            (fixture, lost) = (None, None);
        }
        let durability = if (kill / LIVES).is_multiple_of(2) { "process" } else { "power" };
        // Small and busy: segments, checkpoints, tiles and pruning are all under way when the end comes.
        let fixture: &Fixture = fixture.get_or_insert_with(|| {
            build(
                &upstream,
                &format!(
                    "{{ durability: {durability}, segment_mib: 1, checkpoint_every: 10ms, max_size: 2MiB, export_dir: archive }}"
                ),
            )
        });
        if random.one_in(5) {
            // While it starts.
            let process = fixture.begin();
            tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
            process.kill();
            early += 1;
        }
        let process = match lost.take() {
            None => fixture.serve(),
            Some(lost) => {
                let (process, by_hand) = pages::comes_back(fixture, &lost);
                hands += u64::from(by_hand);
                process
            }
        };
        let (gate, hall) = (format!("http://{}", process.gate()), format!("http://{}", process.hall()));
        hallgate::cli::serve::one_provider();
        let end = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let gate = (n % 2 == 0).then(|| gate.clone());
                tokio::spawn(call(
                    Client::builder().tls_certs_only([]).build().unwrap(),
                    gate,
                    hall.clone(),
                    Arc::clone(&end),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        process.kill();
        end.store(true, Ordering::Relaxed);

        let mut given = Vec::new();
        for caller in callers {
            given.extend(caller.await.unwrap());
        }
        let called = upstream.called();
        let folders: [PathBuf; 2] = [fixture.path("ledger/segments"), fixture.path("archive")];
        let stored = entries(&[&folders[0], &folders[1]]);
        for (id, hash) in &given {
            assert_eq!(stored.get(id), Some(hash), "kill {kill}, seed {seed}: an answer without its entry");
        }
        for id in &called {
            assert!(stored.contains_key(id), "kill {kill}, seed {seed}: forwarded without an entry: {id}");
        }
        let ids: HashSet<_> = given.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), given.len(), "a decision id was given twice");
        answers += given.len();
        forwards += called.len();
        let (code, out, err) = fixture.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "kill {kill}, seed {seed}: {out}{err}");
        if durability == "process" && random.one_in(4) {
            lost = Some(pages::lose(fixture, &mut random));
            cuts += 1;
        }
    }
    assert!(answers > 0 && forwards > 0);
    println!(
        "{kills} kills under load, {cuts} of them with pages lost ({hands} recovered by hand), and {early} while starting in {:?}: \
         {answers} answers and {forwards} forwards, all in the ledger",
        began.elapsed()
    );
}
