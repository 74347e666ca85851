//! What the variables come to, and what is said of those that come to nothing.

use super::*;

fn read(set: &[(&str, &str)]) -> Result<Option<Settings>, Vec<Misset>> {
    let variable = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
    Settings::of_environment(&variable)
}

fn on(set: &[(&str, &str)]) -> Settings {
    read(&[&[(EXPORTER, "otlp")], set].concat()).unwrap().unwrap()
}

/// The variables that are wrong beside an endpoint, each with what is said of it.
fn wrong(set: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let misset = read(&[&[(ENDPOINT, "http://c:4318")], set].concat()).unwrap_err();
    misset.into_iter().map(|misset| (misset.variable, format!("{}: {}", misset.message, misset.help))).collect()
}

#[test]
fn traces_are_off_until_they_are_asked_for() {
    for off in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x"), (SAMPLER, "no such"), (QUEUE, "-1")],
        &[(ENDPOINT, " ")],
        &[(EXPORTER, "none"), (ENDPOINT, "http://c")],
        &[(DISABLED, "TRUE"), (ENDPOINT, "http://c"), (EXPORTER, "what")],
    ] {
        assert_eq!(read(off), Ok(None), "{off:?}");
    }
    for set in
        [&[(ENDPOINT, "http://c")][..], &[(TRACES_ENDPOINT, "http://c")], &[(EXPORTER, "otlp"), (DISABLED, "false")]]
    {
        assert!(read(set).unwrap().is_some(), "{set:?}");
    }
}

#[test]
fn spans_go_where_the_standard_says() {
    let to = |set: &[(&str, &str)]| on(set).endpoint.to_string();
    assert_eq!(to(&[]), "http://localhost:4318/v1/traces");
    assert_eq!(to(&[(ENDPOINT, "https://c:4318")]), "https://c:4318/v1/traces");
    assert_eq!(to(&[(ENDPOINT, "http://c/a/")]), "http://c/a/v1/traces");
    assert_eq!(to(&[(ENDPOINT, "http://c"), (TRACES_ENDPOINT, "http://d/x")]), "http://d/x");
    assert_eq!(to(&[(TRACES_ENDPOINT, "http://d")]), "http://d/");
}

#[test]
fn defaults_are_those_of_the_standard() {
    let settings = on(&[]);
    assert_eq!((settings.timeout, settings.delay), (Duration::from_secs(10), Duration::from_secs(5)));
    assert_eq!((settings.queue, settings.batch, settings.gzip), (2048, 512, false));
    assert_eq!(settings.sampler, Sampler::of_ratio(1.0).by_parent());
    let small = on(&[(QUEUE, "100"), ("OTEL_BSP_EXPORT_TIMEOUT", "250"), ("OTEL_BSP_SCHEDULE_DELAY", "20")]);
    assert_eq!((small.queue, small.batch), (100, 100));
    assert_eq!((small.timeout, small.delay), (Duration::from_millis(250), Duration::from_millis(20)));
}

#[test]
fn samplers_have_their_standard_names() {
    for (name, arg, sampler) in [
        ("always_on", "", Sampler::of_ratio(1.0)),
        ("ALWAYS_OFF", "", Sampler::of_ratio(0.0)),
        ("traceidratio", "0.25", Sampler::of_ratio(0.25)),
        ("traceidratio", "", Sampler::of_ratio(1.0)),
        ("parentbased_always_off", "", Sampler::of_ratio(0.0).by_parent()),
        ("parentbased_traceidratio", "0.5", Sampler::of_ratio(0.5).by_parent()),
    ] {
        assert_eq!(on(&[(SAMPLER, name), (SAMPLER_ARG, arg)]).sampler, sampler, "{name} {arg}");
    }
}

#[test]
fn the_process_is_described_by_the_operator_first() {
    let said = |set: &[(&str, &str)], name: &str| {
        let resource = on(set).resource;
        let found: Vec<_> = resource.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
        assert_eq!(found.len(), 1, "{resource:?}");
        found[0].clone()
    };
    assert_eq!(said(&[], "service.name"), "hallgate");
    let attributes = (RESOURCE, "service.name=a%20b, k8s.pod.name=p-1,");
    assert_eq!(said(&[attributes], "service.name"), "a b");
    assert_eq!(said(&[attributes], "k8s.pod.name"), "p-1");
    assert_eq!(said(&[attributes, ("OTEL_SERVICE_NAME", "gate")], "service.name"), "gate");
}

#[test]
fn headers_are_decoded_and_never_shown() {
    let settings = on(&[(HEADERS[1], "Authorization=Bearer%20s3cret,x=y")]);
    assert_eq!(settings.headers.get("authorization").unwrap(), "Bearer s3cret");
    assert_eq!(settings.headers.len(), 2);
    assert!(!format!("{settings:?}").contains("s3cret"));
    assert_eq!(on(&[(HEADERS[1], "a=b"), (HEADERS[0], "c=d")]).headers.get("a"), None);
}

#[test]
fn every_variable_that_cannot_be_used_is_named_with_what_to_change() {
    let all = wrong(&[
        (PROTOCOL[1], "grpc"),
        (TIMEOUT[1], "10s"),
        (COMPRESSION[1], "zstd"),
        (CERTIFICATE[1], "/no/such.pem"),
        (CLIENT[1], "/key.pem"),
        (SAMPLER, "xray"),
        (RESOURCE, "service"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        (QUEUE, "0"),
    ]);
    let named: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    for name in [PROTOCOL[1], TIMEOUT[1], COMPRESSION[1], CERTIFICATE[1], CLIENT[1], SAMPLER, RESOURCE, QUEUE] {
        assert!(named.contains(&name), "{name}: {all:?}");
    }
    let said = |name: &str| &all.iter().find(|(named, _)| *named == name).unwrap().1;
    assert!(said(PROTOCOL[1]).starts_with("`grpc` is not spoken here: write `http/protobuf`"), "{all:?}");
    assert!(said(SAMPLER).contains("`xray` is not known: write one of `always_on`"), "{all:?}");
    assert!(said(TIMEOUT[1]).starts_with("`10s` is not a whole number from 1 to 3600000"), "{all:?}");

    assert_eq!(wrong(&[(BATCH, "3000")])[0].0, BATCH);
    assert_eq!(wrong(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "10")])[0].0, SAMPLER_ARG);
    assert_eq!(wrong(&[(EXPORTER, "console")])[0].0, EXPORTER);
    assert_eq!(wrong(&[(DISABLED, "yes")])[0].0, DISABLED);
    for address in ["collector:4318", "ftp://c", "http://user:s3cret@c", "http://"] {
        let wrong = wrong(&[(TRACES_ENDPOINT, address)]);
        assert_eq!(wrong[0].0, TRACES_ENDPOINT);
        assert!(!wrong[0].1.contains("s3cret"), "{wrong:?}");
    }
    for header in ["s3cret", "=s3cret", "a b=s3cret", "a=s3cret%0A", "a=s3cret%FF"] {
        let wrong = wrong(&[(HEADERS[0], header)]);
        assert_eq!(wrong[0].0, HEADERS[0]);
        assert!(!wrong[0].1.contains("s3cret"), "{wrong:?}");
    }
}
