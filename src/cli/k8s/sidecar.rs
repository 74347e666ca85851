//! What comes into a pod, as `k8s/` has it: the manifests there are the text that is put in.

use clap::ValueEnum;

/// The gate, and what it mounts.
const GATE: &str = include_str!("../../../k8s/base/sidecar.yaml");
/// What closes the pod's network, by mode.
const REFUSE: &str = include_str!("../../../k8s/overlays/outbound/redirect.yaml");
const REDIRECT: &str = include_str!("../../../k8s/overlays/outbound-redirect/redirect.yaml");

/// The containers that come in.
pub const CONTAINERS: [&str; 2] = ["hallgate", "hallgate-redirect"];
/// The user that the gate runs as.
pub const GATE_USER: u64 = 28765;
/// The ports that are the gate's in its pod.
pub const PORTS: [u64; 3] = [8080, 8765, 8766];

/// Which way the app's traffic goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GateMode {
    /// The app asks http://127.0.0.1:8080, its base URL; all else that it opens is refused
    Outbound,
    /// All TCP that the app opens is handed to the gate
    OutboundRedirect,
    /// What others send to the app comes through the gate
    Inbound,
}

/// The containers of a mode, as items in YAML. `None`: the manifest that they are from has another form.
pub fn containers(mode: GateMode, image: Option<&str>, redirect_image: Option<&str>) -> Option<String> {
    let gate = with_image(&below(GATE, "initContainers")?, image)?;
    let redirect = match mode {
        GateMode::Inbound => return Some(gate),
        GateMode::Outbound => REFUSE,
        GateMode::OutboundRedirect => REDIRECT,
    };
    Some(with_image(&below(redirect, "initContainers")?, redirect_image)? + &gate)
}

/// What the gate mounts, as items in YAML.
pub fn volumes() -> Option<String> {
    below(GATE, "volumes")
}

/// The items below a key of the pod, without their indentation, and without the comments between them: when items go, what stands
/// between them and the next one stays.
fn below(manifest: &str, key: &str) -> Option<String> {
    const DEPTH: &str = "        ";
    let (_, rest) = manifest.split_once(&format!("\n      {key}:\n"))?;
    let lines = rest.lines().map_while(|line| line.strip_prefix(DEPTH));
    Some(lines.filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect())
}

/// The items with another image in the place of the one that they have.
fn with_image(items: &str, image: Option<&str>) -> Option<String> {
    let Some(image) = image else { return Some(items.to_owned()) };
    let (before, rest) = items.split_once("  image: ")?;
    let (_, after) = rest.split_once('\n')?;
    Some(format!("{before}  image: {image}\n{after}"))
}

/// Whether this names an image: such as `registry.example.org/hallgate:0.2.0`.
pub fn image(text: &str) -> Result<String, String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(sound) {
        Ok(text.to_owned())
    } else {
        Err("this is no image: write one such as registry.example.org/hallgate:0.2.0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::items;
    use super::*;

    #[test]
    fn what_comes_in_is_found_in_the_manifests() {
        let names = |yaml: Option<String>| -> Vec<String> {
            let items = items(&yaml.expect("the manifest has it")).expect("it is a list");
            items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
        };
        assert_eq!(names(containers(GateMode::Inbound, None, None)), ["hallgate"]);
        for mode in [GateMode::Outbound, GateMode::OutboundRedirect] {
            assert_eq!(names(containers(mode, None, None)), ["hallgate-redirect", "hallgate"]);
        }
        assert_eq!(names(volumes()).len(), 5);
        assert!(names(volumes()).iter().all(|name| name.starts_with("hallgate-")));
        let other = containers(GateMode::Outbound, Some("a/b:1"), Some("c:2")).expect("the manifests have it");
        assert!(
            other.contains("  image: a/b:1\n")
                && other.contains("  image: c:2\n")
                && !other.contains("image: hallgate")
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for good in ["hallgate:0.2.0", "r.example.org:5000/a/b@sha256:00"] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a\nb", "-a", "a#b", "'a'"] {
            assert!(image(bad).is_err(), "{bad}");
        }
    }
}
