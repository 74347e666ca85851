//! A page's gate, in front of test upstreams in the places of the real ones, and what runs behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Fixture, Process, TOKEN, node, root, run, venv};

use crate::page::{Block, agrees, blocks};
use crate::upstream::{CREDENTIAL, Upstream};

/// What the pages have an app send as its key. It never gets to an upstream.
const APPS_KEY: &str = "unused";
/// Seconds that a client has for everything.
const DEADLINE: &str = "120";

/// A page about apps.
pub struct Page {
    blocks: Vec<Block>,
}

impl Page {
    /// A page under `docs/use/`.
    pub fn open(name: &str) -> Self {
        Self { blocks: blocks(&root().join("docs/use").join(name)) }
    }

    fn of(&self, language: &str) -> Vec<&Block> {
        self.blocks.iter().filter(|block| block.language == language).collect()
    }

    /// Its `.proto` file.
    pub fn proto(&self) -> &str {
        &self.of("proto")[0].text
    }
}

/// A gate as a page configures it, with its upstreams' addresses in the places of those on the page.
pub struct Behind {
    page: Page,
    fixture: Fixture,
    process: Process,
    h2c: Option<SocketAddr>,
}

impl Behind {
    /// Starts it. `edits` say what is to be otherwise than on the page.
    pub fn gate(page: Page, places: &[(&str, &Upstream)], edits: &[(&str, &str)]) -> Self {
        let mut text = page.of("yaml")[0].text.clone();
        for name in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "POSTGREST_JWT", "STOCK_TOKEN"] {
            text = text.replace(&format!("${{{name}}}"), CREDENTIAL);
        }
        let fixture = Fixture::copy_of("conf");
        fixture.configure(&text);
        let (code, _, problems) = fixture.run(&["check", "--config", "hallgate.yaml"]);
        assert_eq!(code, Some(0), "the page's configuration:\n{problems}");

        for (place, upstream) in places {
            assert!(text.contains(place), "the page's gate does not stand before {place}");
            text = text.replace(place, &format!("http://{}", upstream.address));
        }
        for (from, to) in edits {
            assert!(text.contains(from), "there is no {from} on the page");
            text = text.replace(from, to);
        }
        for (from, to) in [("one.crt", "tls.crt"), ("one.key", "tls.key")] {
            fs::copy(root().join("tests/config/tls").join(from), fixture.path(to)).unwrap();
        }
        for port in [8080, 8081, 8765] {
            text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
        }
        fixture.configure(&format!("{text}\nshutdown: {{ linger: 0s }}\ntelemetry: {{ log_allowed: all }}\n"));
        let process = fixture.serve();
        let h2c = text.contains("listen_h2c").then(|| process.door("h2c"));
        Self { page, fixture, process, h2c }
    }

    /// A text of the page with the addresses of now.
    fn here(&self, text: &str) -> String {
        let text = text.replace("127.0.0.1:8080", &self.process.gate().to_string());
        match self.h2c {
            Some(h2c) => text.replace("127.0.0.1:8081", &h2c.to_string()),
            None => text,
        }
    }

    /// What the page has a shell export.
    fn exported(&self) -> Vec<(String, String)> {
        let lines = self.page.of("sh").into_iter().flat_map(|block| block.text.lines());
        let exports = lines.filter_map(|line| line.strip_prefix("export ")).flat_map(str::split_whitespace);
        exports
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), self.here(value)))
            .collect()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after", "5", DEADLINE]).arg(program).current_dir(self.fixture.path(""));
        for name in
            ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"]
        {
            command.env_remove(name);
        }
        // Nothing is told to anyone about these runs.
        command
            .env("LANGSMITH_TRACING", "false")
            .env("HALL", self.process.hall().to_string())
            .env("TOKEN", TOKEN)
            .env("PYTHONPATH", self.fixture.path(""));
        command.envs(self.exported()).env("GATE", self.process.gate().to_string());
        command.envs(self.h2c.map(|h2c| ("H2C", h2c.to_string())));
        // Where there is no plaintext HTTP/2, there is TLS.
        if self.h2c.is_none() {
            command.env("CA", self.fixture.path("tls.crt")).env("SERVER_NAME", "one.example");
        }
        command
    }

    /// Runs the page's Python as one program, and each block of JavaScript as one; what each prints is what the page shows next.
    pub fn run_samples(&self) {
        if let Some(proto) = self.page.of("proto").first() {
            self.fixture.write("stock.proto", &proto.text);
        }
        let program: Vec<(&str, String)> =
            self.page.of("python app").into_iter().map(|block| (&*block.at, self.here(&block.text))).collect();
        let printed = self.fed(self.command(&venv("python")).arg(root().join("tests/apps/run.py")), &json!(program));
        let mut printed = serde_json::from_str::<Vec<String>>(&printed).unwrap().into_iter();
        let mut said: Option<String> = None;
        for block in &self.page.blocks {
            match &*block.language {
                "python app" => said = printed.next(),
                "js app" => {
                    said = Some(self.run_js(&block.at.replace(':', "-"), &self.here(&block.text)));
                }
                "text app" => {
                    let said = said.take().unwrap_or_else(|| panic!("{}: nothing was run before it", block.at));
                    assert!(
                        reads(&block.text, said.trim_end()),
                        "{} shows\n{}\nbut it is\n{said}",
                        block.at,
                        block.text
                    );
                }
                "json app" => {
                    let said = said.take().unwrap_or_else(|| panic!("{}: nothing was run before it", block.at));
                    let sample: Value = serde_json::from_str(&block.text).unwrap();
                    let answer = serde_json::from_str(&said).unwrap();
                    assert!(agrees(&sample, &answer), "{} shows {sample:#}\nbut it is {answer:#}", block.at);
                }
                _ => assert_eq!(said.take().unwrap_or_default(), "", "{}: what is printed is not shown", block.at),
            }
        }
        assert_eq!(said.unwrap_or_default(), "", "what the last block prints is not shown");
    }

    /// Runs JavaScript where its imports are found, and gives what it prints.
    fn run_js(&self, name: &str, text: &str) -> String {
        let file = root().join("target/node").join(format!("{name}.mjs"));
        fs::write(&file, text).unwrap();
        self.fed(self.command(&node()).arg(file), &Value::Null)
    }

    /// Runs `refusals` in both languages and gives the lines that they print.
    pub fn refusals(&self) -> Vec<Value> {
        let scripts = root().join("tests/apps");
        let mut said = self.fed(self.command(&venv("python")).arg(scripts.join("refusals.py")), &Value::Null);
        said += &self.run_js("refusals", &fs::read_to_string(scripts.join("refusals.mjs")).unwrap());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Opens a web site's page in a browser, and gives what the page has seen.
    pub fn browse(&self, site: &Upstream) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        // Whoever runs the tests as root has no sandbox of Chromium's.
        let mut browser = Command::new("chromium-headless-shell")
            .args(["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(format!("http://{}/?gate={}", site.address, self.process.gate()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("Chromium cannot be run: {error}; `make test` installs it"));
        let seen = site.wait_for("seen");
        browser.kill().unwrap();
        browser.wait().unwrap();
        seen.as_array().unwrap().clone()
    }

    /// That the texts are those of the refusals on record, one of each.
    pub fn recorded_as_shown(&self, shown: Vec<Value>) {
        let entries = self.fixture.entries();
        let refusals = entries.iter().filter(|entry| entry["deny_code"].is_string());
        let mut recorded: Vec<String> = refusals
            .map(|entry| {
                let text = |key: &str| entry[key].as_str().unwrap();
                format!("{}: {} (decision {})", text("deny_code"), text("deny_message"), text("decision_id"))
            })
            .collect();
        for line in shown {
            let text = line["text"].as_str().unwrap();
            let at = recorded.iter().position(|refusal| text.contains(refusal)).unwrap_or_else(|| panic!("{line:#}"));
            recorded.swap_remove(at);
        }
        assert_eq!(recorded, [""; 0], "what is on record was shown");
    }

    /// Runs a script beside this file, which says on its last line that it has seen all it should.
    pub fn run_script(&self, script: &str, arguments: &[&str]) {
        if let Some(proto) = self.page.of("proto").first() {
            self.fixture.write("stock.proto", &proto.text);
        }
        let mut command = self.command(&venv("python"));
        let said = self.fed(command.arg(root().join("tests/apps").join(script)).args(arguments), &Value::Null);
        assert_eq!(said.lines().last(), Some("all seen"), "{script}:\n{said}");
    }

    /// Runs a command on this input to its good end, and gives what it prints.
    fn fed(&self, command: &mut Command, input: &Value) -> String {
        let (code, said, complaint) = run(command, &input.to_string());
        assert_eq!(code, Some(0), "{command:?}\n{said}{complaint}");
        said
    }

    /// Ends the gate and looks back. Its ledger holds; each request that came to an upstream had a line in the access log, the
    /// upstream's credential, and never the app's. Gives the lines of the access log.
    pub fn finish(self, upstreams: &[&Upstream]) -> Vec<Value> {
        self.process.end();
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let access: Vec<Value> = lines.filter(|line| line["target"] == "hallgate::access").collect();
        let told: Vec<Value> = upstreams.iter().flat_map(|upstream| upstream.told()).collect();
        for request in told.iter().filter(|request| request["headers"].is_object()) {
            let headers = request["headers"].to_string();
            assert!(headers.contains(CREDENTIAL) && !headers.contains(APPS_KEY), "{request:#}");
            assert!(request["headers"]["wcp-decision-id"].is_string(), "{request:#}");
        }
        let forwarded = access.iter().filter(|line| line["upstream"].is_string()).count();
        let arrived = told.iter().filter(|request| request["headers"].is_object()).count();
        assert!(
            upstreams.is_empty() || (arrived > 0 && arrived == forwarded),
            "{arrived} requests arrived, {forwarded} were forwarded"
        );
        let (_, outcomes) = self.fixture.verify();
        assert_eq!(outcomes, u64::try_from(forwarded).unwrap(), "each forward has its outcome");
        access
    }
}

/// Whether a text is as a page shows it; `…` stands for any.
fn reads(sample: &str, text: &str) -> bool {
    let mut parts = sample.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    false
}
