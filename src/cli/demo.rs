//! `hallgate demo`: the whole journey on embedded defaults, walked through with its own requests.

mod call;
mod folder;
mod page;
pub mod upstream;
mod walk;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use call::{APPROVER_VARIABLE, Call, TOKEN_VARIABLE, client};
use folder::{DemoAddresses, DemoFolder};
use page::Page;
use serde_json::Value;
use upstream::SampleUpstream;
use walk::{Doors, Expected, walk};

use crate::cli::cannot;
use crate::cli::serve::{self, Running};
use crate::ledger::verify::{self, Report};

/// The variable in which an auditor's token is.
const READ_TOKEN_VARIABLE: &str = "HALL_READ_TOKEN";
/// What the ledger's last entries and their checkpoint may take to be on the disk.
const SETTLED: Duration = Duration::from_secs(10);

/// Walk through the whole journey on embedded defaults: a Hall, a gate and a sample upstream in one process
#[derive(Debug, clap::Args)]
pub struct Options {
    /// End after the walk: exit code 0 when everything went as it must, else 1
    #[arg(long)]
    once: bool,
    /// The gate's port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    gate_port: u16,
    /// The Hall's port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8765)]
    hall_port: u16,
    /// The sample upstream's port on 127.0.0.1; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    upstream_port: u16,
}

/// Runs the demo. 0: everything went as it must; 1: something did not; 2: it could not start.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let ran = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(demo(options)),
        Err(error) => Err(format!("there are no threads to run on: {error}")),
    };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => cannot(error),
    }
}

/// Whether everything went as it must; an error when it could not start.
async fn demo(options: &Options) -> Result<bool, String> {
    let page = Page::stdout();
    let (at, ports) = ports(options)?;
    let folder = DemoFolder::make().map_err(|error| format!("the demo's folder cannot be made: {error}"))?;
    // Free again for those who shall listen there.
    drop(ports);
    let upstream = SampleUpstream::start(at.upstream, folder.upstream_credential()).await;
    let upstream = upstream.map_err(|error| taken(at.upstream.port(), "--upstream-port", &error))?;
    let config = folder.configuration(at).map_err(|problems| problems.to_string())?;
    let mut running = serve::start(config).map_err(|error| error.to_string())?;
    running.open_ops().map_err(|error| error.to_string())?;

    introduce(&page, at, &folder, running.vkey());
    let gate = format!("http://{}", at.gate);
    let hall = format!("http://{}", at.hall);
    let (token, approver) = (folder.token(), folder.approver_token());
    let doors = Doors { gate: &gate, hall: &hall, token, approver, upstream: &upstream };
    let mut held = match walk(&doors, &page).await {
        Ok(expected) => prove(&page, &folder, &running, &expected).await,
        Err(wrong) => {
            page.line(format_args!("\n{} {wrong} steps went another way than they must", page.no("FAILED:")));
            false
        }
    };
    if held && !options.once {
        show_console(&page, &hall, &folder).await;
        page.line("\nAll of it stays up for you: copy the lines above, or point an app at the gate. Ctrl-C ends it.");
        told_to_end().await;
    }
    let vkey = running.vkey().to_owned();
    running.shutdown();
    if held {
        held = match verify::verify(&folder.ledger(), &vkey) {
            Ok(Report { entries, .. }) => {
                page.line(format_args!(
                    "\nEnded. All {entries} entries of the ledger were verified once more; the folder is removed."
                ));
                true
            }
            Err(error) => broken(&page, &error.to_string()),
        };
    }
    if !held {
        page.line(format_args!("The demo's folder is kept for you to look at: {}", folder.keep().display()));
    }
    Ok(held)
}

/// Finds out that all ports are free. They are, once the listeners are dropped.
fn ports(options: &Options) -> Result<(DemoAddresses, [TcpListener; 3]), String> {
    let bind = |port: u16, flag: &str| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| taken(port, flag, &error))?;
        let address = listener.local_addr().map_err(|error| taken(port, flag, &error))?;
        Ok::<(SocketAddr, TcpListener), String>((address, listener))
    };
    let (gate, on_gate) = bind(options.gate_port, "--gate-port")?;
    let (hall, on_hall) = bind(options.hall_port, "--hall-port")?;
    let (upstream, on_upstream) = bind(options.upstream_port, "--upstream-port")?;
    Ok((DemoAddresses { gate, hall, upstream }, [on_gate, on_hall, on_upstream]))
}

fn taken(port: u16, flag: &str, error: &io::Error) -> String {
    format!("port {port} cannot be used ({error}): end what listens there, or name another port with {flag}")
}

fn introduce(page: &Page, at: DemoAddresses, folder: &DemoFolder, vkey: &str) {
    page.title("hallgate demo: every request is decided and recorded before it is forwarded");
    page.line("");
    page.line(format_args!("  gate      http://{}   the proxy: an app needs nothing but this base URL", at.gate));
    page.line(format_args!(
        "  hall      http://{}   the Hall API: for Make and everyone who asks before acting",
        at.hall
    ));
    page.line(format_args!("  upstream  http://{}   a sample model API and orders API", at.upstream));
    page.line(format_args!("  folder    {}", folder.path().display()));
    page.line("\nFor the lines below, in another terminal:\n");
    page.line(format_args!("  export {TOKEN_VARIABLE}={}", folder.token()));
    page.line(format_args!("  export {READ_TOKEN_VARIABLE}={}", folder.read_token()));
    page.line(format_args!("  export {APPROVER_VARIABLE}={}", folder.approver_token()));
    page.line(format_args!("  export HALLGATE_LEDGER={}", folder.ledger().display()));
    page.line(format_args!("  export HALLGATE_KEY={vkey}"));
}

/// Prints a link that leads into the console, as the approver.
async fn show_console(page: &Page, hall: &str, folder: &DemoFolder) {
    let call = Call::post(format!("{hall}/api/console/link"), "{}").with_token(folder.approver_token());
    let answer = match client(hall) {
        Ok(client) => call.request(&client).send().await.ok(),
        Err(_) => None,
    };
    let link = match answer {
        Some(answer) => answer.json::<Value>().await.ok(),
        None => None,
    };
    let path = link.as_ref().and_then(|link| link.get("path")?.as_str());
    // Without one it is opened with the token, which is shown above.
    let (path, how) = match path {
        Some(path) => (path, "signs you in once, within five minutes, as bea, who reads and approves"),
        None => ("/console/", "asks for a token: the third one above"),
    };
    page.title("Look at it in a browser");
    page.line(format_args!("   console   {hall}{path}"));
    page.line(format_args!("             {how}"));
}

/// Verifies the ledger while it is written, and says what was proved. Waits until all that the walk caused is on the disk.
async fn prove(page: &Page, folder: &DemoFolder, running: &Running, expected: &Expected) -> bool {
    let ledger = folder.ledger();
    page.title("The ledger, verified from its files alone");
    page.line(format_args!(
        "   {}",
        page.faint("$ hallgate audit verify --ledger $HALLGATE_LEDGER --key $HALLGATE_KEY")
    ));
    let began = Instant::now();
    let found = loop {
        let found = verify::verify(&ledger, running.vkey()).map_err(|error| error.to_string());
        let settled = found.as_ref().is_ok_and(|report| {
            report.signed == report.entries
                && report.decisions + report.outcomes == expected.decisions + expected.outcomes
        });
        if settled || began.elapsed() > SETTLED {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let Report { entries, decisions, outcomes, signed, root, .. } = match found {
        Ok(report) => report,
        Err(error) => return broken(page, &error),
    };
    if (decisions, outcomes, signed) != (expected.decisions, expected.outcomes, entries) {
        let Expected { decisions: must, outcomes: ends } = expected;
        return broken(
            page,
            &format!(
                "it holds {decisions} decisions and {outcomes} ends, {signed} of {entries} entries signed; the walk made {must} and {ends}"
            ),
        );
    }
    page.line(format_args!("   {}  {entries} entries, every one of them sound", page.yes("it holds")));
    for line in [
        format!(
            "each of the {decisions} decisions above is there, and each of the {outcomes} forwarded requests has its end"
        ),
        "each entry names the hash of the one before it, and its bytes hash to its receipt".to_owned(),
        format!("one signature covers all of them: root {root}"),
    ] {
        page.line(format_args!("        {line}"));
    }
    true
}

fn broken(page: &Page, error: &str) -> bool {
    page.line(format_args!("   {} {error}", page.no("THE LEDGER DOES NOT HOLD:")));
    false
}

/// Ctrl-C, or SIGTERM.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process by themselves.
        Err(_) => drop(interrupt.await),
    }
}
