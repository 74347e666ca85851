//! The standard environment variables of OpenTelemetry, as far as traces go. Each that cannot be read is named with what to change.

mod kinds;

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;

use super::sampling::Sampler;
use crate::documents::{InvalidValue, number};
use crate::outbound::Url;
use kinds::{authorities, headers, pairs, protocol, ratio, url, word};

/// What the environment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where spans are posted.
    pub(super) endpoint: Url,
    /// With which headers; marked sensitive.
    pub(super) headers: HeaderMap,
    /// The longest that one batch is tried for.
    pub(super) timeout: Duration,
    /// Whether bodies are compressed.
    pub(super) gzip: bool,
    /// The authorities by which the collector is verified, as PEM; `None`: the system's.
    pub(super) authorities: Option<Vec<u8>>,
    /// Which requests are recorded.
    pub(super) sampler: Sampler,
    /// What is said of this process.
    pub(super) resource: Vec<(Cow<'static, str>, String)>,
    /// How many spans may wait.
    pub(super) queue: usize,
    /// How many are posted at once.
    pub(super) batch: usize,
    /// How long the first of a batch waits for others.
    pub(super) delay: Duration,
}

/// A variable that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misset {
    /// Its name.
    pub variable: &'static str,
    /// What is wrong. Names the value, unless it may be a secret.
    pub message: String,
    /// What to change.
    pub help: String,
}

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";

/// Variables of one signal come before those of all: the first that is set counts.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const COMPRESSION: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const CERTIFICATE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CLIENT: [&str; 4] = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];

impl Settings {
    /// What these variables ask for; `None`: traces are off, and then nothing else is looked at.
    ///
    /// # Errors
    /// Every variable that cannot be used.
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<Misset>> {
        let mut environment = Variables { variable, misset: Vec::new() };
        let on = environment.switched_on();
        let settings = if on == Some(true) { environment.settings().map(Some) } else { on.map(|_| None) };
        match settings {
            Some(settings) if environment.misset.is_empty() => Ok(settings),
            _ => Err(environment.misset),
        }
    }
}

struct Variables<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    misset: Vec<Misset>,
}

impl Variables<'_> {
    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn wrong(&mut self, variable: &'static str, value: &str, wrong: InvalidValue) {
        let message = if wrong.may_be_secret { wrong.is } else { format!("`{value}` {}", wrong.is) };
        self.misset.push(Misset { variable, message, help: wrong.help });
    }

    /// The first of these that is set, as its kind: `Some(None)` when none is, `None` when it is wrong.
    fn maybe<T>(
        &mut self,
        names: &[&'static str],
        kind: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Option<Option<T>> {
        let Some((name, value)) = names.iter().find_map(|name| Some((*name, self.get(name)?))) else {
            return Some(None);
        };
        kind(&value).map(Some).map_err(|wrong| self.wrong(name, &value, wrong)).ok()
    }

    fn read<T>(
        &mut self,
        names: &[&'static str],
        default: T,
        kind: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        self.maybe(names, kind).map(|value| value.unwrap_or(default))
    }

    fn switched_on(&mut self) -> Option<bool> {
        let disabled = self.read(&[DISABLED], false, |value| word(value, &[("true", true), ("false", false)]))?;
        if disabled {
            return Some(false);
        }
        let exporter = self.maybe(&[EXPORTER], |value| word(value, &[("otlp", true), ("none", false)]))?;
        Some(exporter.unwrap_or_else(|| self.get(ENDPOINT).or_else(|| self.get(TRACES_ENDPOINT)).is_some()))
    }

    /// Every variable is read, whatever is wrong with another.
    fn settings(&mut self) -> Option<Settings> {
        let endpoint = self.endpoint();
        let headers = self.read(&HEADERS, HeaderMap::new(), headers);
        let protocol = self.read(&PROTOCOL, (), protocol);
        let milliseconds = |value: &str| number(1, 3_600_000)(value).map(Duration::from_millis);
        let timeout = self.read(&TIMEOUT, Duration::from_secs(10), milliseconds);
        let batch_timeout = self.read(&["OTEL_BSP_EXPORT_TIMEOUT"], Duration::from_secs(30), milliseconds);
        let gzip = self.read(&COMPRESSION, false, |value| word(value, &[("gzip", true), ("none", false)]));
        let authorities = self.maybe(&CERTIFICATE, authorities);
        let no_client = self.maybe(&CLIENT, |_| {
            Err::<(), _>(InvalidValue::new(
                "cannot be used: no client certificate is sent",
                "unset it, or authenticate by a header",
            ))
        });
        let sampler = self.sampler();
        let resource = self.resource();
        let delay = self.read(&["OTEL_BSP_SCHEDULE_DELAY"], Duration::from_secs(5), milliseconds);
        let queue = self.read(&[QUEUE], 2048, number(1, 1_000_000));
        let batch = self.maybe(&[BATCH], number(1, 100_000))?;
        let queue = queue?;
        if let Some(batch) = batch
            && batch > queue
        {
            let help = format!("write at most {queue}, or a larger {QUEUE}");
            self.wrong(
                BATCH,
                &batch.to_string(),
                InvalidValue::new(format!("is more than the {queue} spans that may wait"), help),
            );
        }
        protocol?;
        no_client?;
        Some(Settings {
            endpoint: endpoint?,
            headers: headers?,
            timeout: timeout?.min(batch_timeout?),
            gzip: gzip?,
            authorities: authorities?,
            sampler: sampler?,
            resource: resource?,
            queue,
            batch: batch.unwrap_or_else(|| queue.min(512)),
            delay: delay?,
        })
    }

    /// The address for traces as it is written, or the address for all signals with the path for traces.
    fn endpoint(&mut self) -> Option<Url> {
        if let Some(endpoint) = self.maybe(&[TRACES_ENDPOINT], url)? {
            return Some(endpoint);
        }
        let mut endpoint = match self.maybe(&[ENDPOINT], url)? {
            Some(endpoint) => endpoint,
            None => Url::parse("http://localhost:4318").ok()?,
        };
        let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        Some(endpoint)
    }

    fn sampler(&mut self) -> Option<Sampler> {
        #[derive(Clone, Copy)]
        enum Kind {
            All(f64),
            Ratio,
        }
        const KINDS: &[(&str, (Kind, bool))] = &[
            ("always_on", (Kind::All(1.0), false)),
            ("always_off", (Kind::All(0.0), false)),
            ("traceidratio", (Kind::Ratio, false)),
            ("parentbased_always_on", (Kind::All(1.0), true)),
            ("parentbased_always_off", (Kind::All(0.0), true)),
            ("parentbased_traceidratio", (Kind::Ratio, true)),
        ];
        let (kind, by_parent) = self.read(&[SAMPLER], (Kind::All(1.0), true), |value| word(value, KINDS))?;
        let ratio = match kind {
            Kind::All(ratio) => ratio,
            Kind::Ratio => self.read(&[SAMPLER_ARG], 1.0, ratio)?,
        };
        let sampler = Sampler::of_ratio(ratio);
        Some(if by_parent { sampler.by_parent() } else { sampler })
    }

    /// The operator's attributes, and ours where there is none of that name.
    fn resource(&mut self) -> Option<Vec<(Cow<'static, str>, String)>> {
        let pairs = self.read(&[RESOURCE], Vec::new(), |value| pairs(value, InvalidValue::new));
        let mut resource: Vec<(Cow<'static, str>, String)> =
            pairs?.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push((Cow::Borrowed("service.name"), name));
        }
        let version = env!("CARGO_PKG_VERSION");
        for (name, value) in [
            ("service.name", "hallgate".to_owned()),
            ("service.version", version.to_owned()),
            ("telemetry.sdk.name", "hallgate".to_owned()),
            ("telemetry.sdk.language", "rust".to_owned()),
            ("telemetry.sdk.version", version.to_owned()),
        ] {
            if !resource.iter().any(|(key, _)| key == name) {
                resource.push((Cow::Borrowed(name), value));
            }
        }
        Some(resource)
    }
}

#[cfg(test)]
mod tests;
