//! The image: a static program alone in its root, what it is made of, and the Dockerfile that says so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use std::process::Command;

use serde_json::Value;

use crate::container::{Container, program, root};
use crate::fabric::{Fabric, GATE_UID, run};

#[test]
fn in_an_empty_root_with_only_its_configuration_it_serves_and_finds_upstreams_by_name() {
    let Some(mut fabric) = Fabric::lay() else { return };
    let container = Container::lay(&fabric);
    run(Command::new("cp").arg("-R").arg(root().join("conf/.")).arg(container.path("etc/hallgate")));
    fs::write(container.path("etc/hallgate/hallgate.yaml"), include_str!("hallgate.yaml")).unwrap();

    let inside = |fabric: &Fabric, arguments: &[&str]| {
        let mut command = container.command(fabric, arguments);
        command.env("LEDGER", "/var/lib/hallgate/ledger");
        command
    };
    let config = "/etc/hallgate/hallgate.yaml";
    run(&mut inside(&fabric, &["check", "--config", config]));
    let gate = inside(&fabric, &["serve", "--config", config]);
    let gate = fabric.serve(gate);
    let asked = ["-H", "Host: orders.test", "http://127.0.0.1:8080/orders/1"];
    assert_eq!(fabric.curl(&asked), (Some(0), "this is orders\n200".to_owned()));
    fabric.kill(gate);

    let key = "var/lib/hallgate/hallgate.key";
    assert_eq!(fs::metadata(container.path(key)).unwrap().mode() & 0o777, 0o600);
    run(&mut inside(&fabric, &["audit", "verify"]));
}

/// The instructions of the Dockerfile's stages, each with its name, continued lines joined.
fn stages() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let mut stages: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "FROM" {
            assert_eq!((words.len(), words[2]), (4, "AS"), "name the stage: {line}");
            stages.push((words[3].to_owned(), Vec::new()));
        }
        if let Some((_, lines)) = stages.last_mut() {
            lines.push(words.join(" "));
        }
    }
    stages
}

#[test]
fn the_dockerfile_builds_what_was_tested_and_runs_it_as_the_manifests_do() {
    let stages = stages();
    let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["build", "redirect", "hallgate"], "the last stage is what `docker build .` makes");
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let linking = "rustc --locked --bin hallgate -- -C target-feature=+crt-static";
    assert!(makefile.contains(linking));
    let build = stages[0].1.join("\n");
    assert!(build.contains(&linking.replace("--locked", "--locked --release")), "{build}");
    assert!(
        build.contains("33554432"),
        "the stage `build` refuses a program of 32 MiB, of 35 with its papers: {build}"
    );
    // What the stage copies from here is here.
    for line in stages.iter().flat_map(|(_, lines)| lines).filter(|line| line.starts_with("COPY ")) {
        let words: Vec<&str> = line.split(' ').skip(1).filter(|word| !word.starts_with("--chown")).collect();
        if !words[0].starts_with("--from=") {
            let (_, sources) = words.split_last().unwrap();
            for source in sources {
                assert!(root().join(source).exists(), "{line}: no `{source}`");
            }
        }
    }

    // What the program is made of is given to the engine, and is copied by the stage.
    let given = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let included = Command::new("grep")
        .args(["-rhoE", r#"include_str!\("(\.\./)+k8s/[^"]+"#, "src"])
        .current_dir(root())
        .output()
        .unwrap();
    let included = String::from_utf8(included.stdout).unwrap();
    let included: Vec<&str> = included.lines().map(|line| &line[line.find("k8s/").unwrap()..]).collect();
    assert!(included.len() >= 3, "{included:?}");
    for path in included {
        assert!(given.lines().any(|line| line.strip_prefix('!') == Some(path)), ".dockerignore does not give {path}");
    }
    assert!(build.contains("COPY k8s k8s"), "{build}");

    let image = &stages[2].1;
    assert_eq!(image[0], "FROM scratch AS hallgate");
    assert!(!image.iter().any(|line| line.starts_with("RUN")), "nothing can run in an empty root");
    let one = |instruction: &str| {
        let found: Vec<&str> = image.iter().filter_map(|line| line.strip_prefix(instruction)).collect();
        assert_eq!(found.len(), 1, "{instruction}: {found:?}");
        found[0].to_owned()
    };
    assert_eq!(one("USER "), format!("{GATE_UID}:{GATE_UID}"));
    assert_eq!(one("WORKDIR "), "/var/lib/hallgate");
    assert_eq!(one("EXPOSE "), "8080 8765 8766");
    assert_eq!(one("ENTRYPOINT "), "[\"/hallgate\"]");
    assert_eq!(one("CMD "), "[\"serve\", \"--config\", \"/etc/hallgate/hallgate.yaml\"]");
    for label in ["title", "description", "licenses", "version"] {
        let label = format!("org.opencontainers.image.{label}=");
        assert!(image.iter().any(|line| line.starts_with("LABEL ") && line.contains(&label)), "no {label}");
    }
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(image.iter().any(|line| line.contains(&version)), "the label says another version than Cargo.toml");
}

#[test]
fn the_bill_of_materials_lists_what_is_built_with_hashes_and_licences() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("python3").arg(root().join(".ci/sbom")).arg(folder.path()).current_dir(root()));
    let bill = fs::read_to_string(folder.path().join("hallgate.cdx.json")).unwrap();
    let bill: Value = serde_json::from_str(&bill).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&Value::from("CycloneDX"), &Value::from("1.6")));
    let components = bill["components"].as_array().unwrap();

    let listed: BTreeSet<String> = components
        .iter()
        .map(|component| format!("{}-{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap()))
        .collect();
    // The program itself says from which packages' files it was made.
    let program = fs::read(program()).unwrap();
    let text = String::from_utf8_lossy(&program);
    let linked = text.split("/registry/src/").skip(1).filter_map(|path| path.split(['/', '\0']).nth(1));
    let linked: BTreeSet<String> = linked.map(str::to_owned).collect();
    assert!(linked.len() > 100, "{linked:?}");
    let missing: Vec<&String> = linked.difference(&listed).collect();
    assert!(missing.is_empty(), "the bill lacks {missing:?}");

    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let texts = fs::read_to_string(folder.path().join("THIRD-PARTY.txt")).unwrap();
    for component in components {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        let hash = component["hashes"][0]["content"].as_str().unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let locked = lock.split("[[package]]\n").find(|package| package.starts_with(&entry)).unwrap();
        assert!(locked.contains(&format!("checksum = \"{hash}\"")), "{name} {version}");
        let licence = component["licenses"][0]["expression"].as_str().unwrap();
        assert!(texts.contains(&format!("\n{name} {version}: {licence}\n")), "{name} {version}");
    }
    let sqlite = components.iter().find(|component| component["name"] == "libsqlite3-sys").unwrap();
    let sqlite = &sqlite["components"][0];
    assert_eq!((&sqlite["name"], &sqlite["licenses"][0]["expression"]), (&"SQLite".into(), &"blessing".into()));
    let version = sqlite["version"].as_str().unwrap();
    assert!(texts.contains(&format!("\nSQLite {version}, in libsqlite3-sys: blessing\n")), "{version}");
    assert!(texts.contains("The author disclaims copyright"));
    let mode = fs::metadata(root().join(".ci/sbom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, ".ci/sbom is run by name");
}

#[test]
fn an_image_is_made_without_an_engine_and_runs() {
    let Some(fabric) = Fabric::lay() else { return };
    let at = |name: &str| fabric.path(name).display().to_string();
    // Without its symbols it is half as large.
    run(Command::new("strip").args(["--strip-all", "-o", &at("program")]).arg(program()));
    fs::create_dir(at("papers")).unwrap();
    fs::write(at("papers/hallgate.cdx.json"), "{}").unwrap();
    let (amd, arm) = (format!("amd64={}", at("program")), format!("arm64={}", at("papers/hallgate.cdx.json")));
    run(Command::new(root().join(".ci/image")).args([&at("image.tar"), &at("papers"), &amd, &arm]));

    let image = format!("oci-archive:{}", at("image.tar"));
    let skopeo = |architecture: &str, arguments: &[&str]| {
        let choice = format!("--override-arch={architecture}");
        run(Command::new("skopeo").args(["--insecure-policy", &choice]).args(arguments))
    };
    let inspected = |architecture: &str| -> Value {
        serde_json::from_str(&skopeo(architecture, &["inspect", "--config", &image])).unwrap()
    };
    let config = inspected("amd64");
    assert_eq!((&config["architecture"], &inspected("arm64")["architecture"]), (&"amd64".into(), &"arm64".into()));
    // As the Dockerfile says, which another test holds against the manifests.
    let config = &config["config"];
    assert_eq!(config["User"], format!("{GATE_UID}:{GATE_UID}"));
    assert_eq!(
        (&config["WorkingDir"], &config["Entrypoint"]),
        (&"/var/lib/hallgate".into(), &serde_json::json!(["/hallgate"]))
    );
    assert_eq!(config["Cmd"], serde_json::json!(["serve", "--config", "/etc/hallgate/hallgate.yaml"]));
    assert_eq!(config["ExposedPorts"], serde_json::json!({ "8080/tcp": {}, "8765/tcp": {}, "8766/tcp": {} }));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));

    let copied = at("copied");
    skopeo("amd64", &["copy", "--quiet", &image, &format!("dir:{copied}")]);
    let manifest: Value = serde_json::from_slice(&fs::read(format!("{copied}/manifest.json")).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{manifest:#}");
    let layer = layers[0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let inside = at("inside");
    fs::create_dir(&inside).unwrap();
    run(Command::new("tar").args([
        "--extract",
        "--gzip",
        "--file",
        &format!("{copied}/{layer}"),
        "--directory",
        &inside,
    ]));
    let ledger = fs::metadata(format!("{inside}/var/lib/hallgate")).unwrap();
    assert_eq!((ledger.uid().to_string(), ledger.gid().to_string()), (GATE_UID.to_owned(), GATE_UID.to_owned()));
    for there in [
        "etc/ssl/certs/ca-certificates.crt",
        "usr/share/doc/hallgate/LICENSE",
        "usr/share/doc/hallgate/hallgate.cdx.json",
    ] {
        assert!(fs::metadata(format!("{inside}/{there}")).unwrap().len() > 0, "{there}");
    }
    // What every container runtime brings.
    fs::create_dir(format!("{inside}/dev")).unwrap();
    for (device, minor) in [("random", "8"), ("urandom", "9")] {
        run(Command::new("mknod").args(["-m", "666", &format!("{inside}/dev/{device}"), "c", "1", minor]));
    }
    let user = ["--setgid", GATE_UID, "--setuid", GATE_UID, "--wd", "/var/lib/hallgate", "/hallgate"];
    let container =
        |arguments: &[&str]| run(Command::new("unshare").args(["--root", &inside]).args(user).args(arguments));
    assert!(container(&["--version"]).starts_with(&format!("hallgate {} ", env!("CARGO_PKG_VERSION"))));
    // The folder of the ledger is its own to write.
    container(&["key", "new", "hallgate.key"]);
}

#[test]
fn every_place_that_names_a_version_names_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    let git = Command::new("git")
        .args(["ls-files", "k8s", "docs", "tests/pod/shop", "Dockerfile"])
        .current_dir(root())
        .output()
        .unwrap();
    let files = String::from_utf8(git.stdout).unwrap();
    let marks = [
        "hallgate:",
        "hallgate-redirect:",
        "hallgate, tag: ",
        "hallgate-redirect, tag: ",
        "appVersion: ",
        "image.version=\"",
        "name: hallgate, version: ",
        "hallgate-chart-",
        "hallgate-",
    ];
    let (mut found, mut wrong) = (0, Vec::new());
    let is_text = |file: &&str| !file.ends_with(".json") && !file.ends_with(".png") && root().join(file).is_file();
    for file in files.lines().filter(is_text) {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for mark in marks {
            for (at, _) in text.match_indices(mark) {
                let named: String =
                    text[at + mark.len()..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
                if named.matches('.').count() >= 2 {
                    found += 1;
                    if named.trim_end_matches('.') != version {
                        wrong.push(format!("{file}: {mark}{named}"));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty() && found >= 12,
        "{found} places, of which these name another than {version}:\n  {}",
        wrong.join("\n  ")
    );
    let chart = fs::read_to_string(root().join("k8s/chart/Chart.yaml")).unwrap();
    assert!(chart.contains(&format!("\nversion: {version}\n")), "{chart}");
    let changes = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let upgrade = fs::read_to_string(root().join("docs/operate/upgrade.md")).unwrap();
    assert!(changes.contains(&format!("\n## [{version}] - ")), "CHANGELOG.md has no section of {version}");
    assert!(upgrade.contains("\n## From "), "docs/operate/upgrade.md says of no version what to look at");
}
