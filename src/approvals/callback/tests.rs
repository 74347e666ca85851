//! Which URLs may be called: what an operator's prefix covers, and each form in which somebody tries to get elsewhere.

use super::*;

fn settings(prefixes: &[(&str, Reach)]) -> CallbackSettings {
    let prefixes = prefixes.iter().map(|(text, reach)| CallbackPrefix::new(text, *reach).unwrap()).collect();
    CallbackSettings { prefixes, key: CallbackKey::new("a key of this test") }
}

fn site() -> Reach {
    Reach::into_network("10.1.0.0/16".parse().unwrap()).unwrap()
}

#[test]
fn what_a_prefix_covers_is_called_and_nothing_beside_it() {
    let allowed = settings(&[
        ("https://hooks.example.org/flows/", Reach::Public),
        ("https://hooks.example.org/one", Reach::Public),
        ("https://hooks.example.org:8443/", Reach::Public),
        ("http://10.1.0.7:5678/webhook/", site()),
    ]);
    for (url, prefix) in [
        ("https://hooks.example.org/flows/", 0),
        ("https://hooks.example.org/flows/a/b?token=c%2Fd&e=..%2f", 0),
        ("https://hooks.example.org/one", 1),
        ("https://hooks.example.org/one?x", 1),
        ("https://hooks.example.org/one/two", 1),
        ("https://hooks.example.org:8443/", 2),
        ("http://10.1.0.7:5678/webhook/3/wait", 3),
    ] {
        assert_eq!(allowed.prefix_of(url), Ok(prefix), "{url}");
    }
    for url in [
        "https://hooks.example.org/flows",
        "https://hooks.example.org/",
        "https://hooks.example.org/oned",
        "https://hooks.example.org/Flows/a",
        "https://hooks.example.org:8444/",
        "https://hooks.example.org:80/flows/a",
        "http://hooks.example.org/flows/a",
        "https://hooks.example.org.evil.test/flows/a",
        "https://evil.test/hooks.example.org/flows/",
        "https://xhooks.example.org/flows/a",
        "http://10.1.0.8:5678/webhook/a",
        "http://10.1.0.7/webhook/a",
        "https://10.1.0.7:5678/webhook/a",
        "https://127.0.0.1/flows/a",
        "https://[::1]/flows/a",
        "https://169.254.169.254/flows/a",
        "https://xn--hks-2na.example.org/flows/a",
    ] {
        let why = allowed.prefix_of(url).unwrap_err();
        assert!(why.is.contains("is not allowed here"), "{url}: {why:?}");
    }
}

#[test]
fn a_url_is_written_as_it_is_read() {
    // Of everything at all it would be covered.
    let allowed = settings(&[("https://hooks.example.org/a/", Reach::Public), ("http://10.1.0.7/", site())]);
    for url in [
        "",
        "hooks.example.org/a/",
        "//hooks.example.org/a/",
        "https:hooks.example.org/a/",
        "https:///hooks.example.org/a/",
        " https://hooks.example.org/a/",
        "https://hooks.example.org/a/\n",
        "https://hooks.exa\tmple.org/a/",
        "HTTPS://hooks.example.org/a/",
        "https://HOOKS.example.org/a/",
        "https://hooks.example.org./a/",
        "https://hooks。example.org/a/",
        "https://hööks.example.org/a/",
        "https://hooks%2eexample.org/a/",
        "https://hooks.example.org:443/a/",
        "https://hooks.example.org:/a/",
        "https://hooks.example.org:65536/a/",
        "https://user@hooks.example.org/a/",
        "https://user:word@hooks.example.org/a/",
        "https://@hooks.example.org/a/",
        "https://:@hooks.example.org/a/",
        "https://hooks.example.org\\@evil.test/a/",
        "https://evil.test#@hooks.example.org/a/",
        "https://hooks.example.org/a/#b",
        "https://hooks.example.org/a/../b",
        "https://hooks.example.org/a/..",
        "https://hooks.example.org/a/./b",
        "https://hooks.example.org/a/%2e%2e/b",
        "https://hooks.example.org/a/.%2E/b",
        "https://hooks.example.org/a/..%2fb",
        "https://hooks.example.org/a/%2fb",
        "https://hooks.example.org/a/%5cb",
        "https://hooks.example.org/a\\b",
        "https://hooks.example.org/a/..;/b",
        "https://hooks.example.org/a/%252e%252e/b",
        "https://hooks.example.org/a//b",
        "https://hooks.example.org/a/ä",
        "http://10.1.7/",
        "http://10.1.0.07/",
        "http://167837703/",
        "http://0x0a010007/",
        "http://0xa.1.0.7/",
        "http://012.1.0.7/",
        "http://10.1.0.7./",
        "ftp://hooks.example.org/a/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "unix:/run/x.sock",
    ] {
        let why = allowed.prefix_of(url).unwrap_err();
        assert!(!why.is.contains("is not allowed here"), "{url}: {why:?}");
    }
    assert!(allowed.prefix_of(&format!("https://hooks.example.org/a/{}", "x".repeat(LONGEST_URL))).is_err());
}

#[test]
fn a_prefix_is_encrypted_or_in_a_network_that_is_named() {
    for (text, reach) in [
        ("http://hooks.example.org/", Reach::Public),
        ("https://10.1.0.7/", Reach::Public),
        ("https://127.0.0.1/", Reach::Public),
        ("https://[::1]/", Reach::Public),
        ("https://[::ffff:10.1.0.7]/", site()),
        ("http://10.2.0.7/", site()),
        ("https://hooks.example.org", Reach::Public),
        ("https://hooks.example.org/?a=b", Reach::Public),
        ("https://hooks.example.org/../a", Reach::Public),
        ("https://key@hooks.example.org/", Reach::Public),
    ] {
        assert!(CallbackPrefix::new(text, reach).is_err(), "{text}");
    }
    let inside = CallbackPrefix::new("http://n8n.internal:5678/webhook-waiting/", site()).unwrap();
    assert_eq!((inside.origin(), inside.is_tls()), ("http://n8n.internal:5678", false));
}

#[test]
fn what_is_wrong_is_said_without_what_may_be_secret() {
    let allowed = settings(&[("https://hooks.example.org/a/", Reach::Public)]);
    for url in [
        "https://user:s3cret@evil.test/s3cret?s3cret",
        "https://evil.test/s3cret?s3cret",
        "https://evil.test/s3cret#s3cret",
        "https://EVIL.test/s3cret",
    ] {
        let why = allowed.prefix_of(url).unwrap_err();
        assert!(!format!("{why:?}").contains("s3cret"), "{why:?}");
    }
    let callback = Callback::new("https://hooks.example.org/a/s3cret".to_owned(), "c".to_owned(), true);
    assert!(!format!("{callback:?} {allowed:?}").contains("s3cret"));
    assert!(!format!("{allowed:?}").contains("a key of this test"));
}

#[test]
fn equal_ones_are_one_unless_their_askers_tell_them_apart() {
    let callback = |id: &str, is_chosen| Callback::new("https://a.test/".to_owned(), id.to_owned(), is_chosen);
    assert!(callback("1", true).is_same(&callback("1", true)) && callback("1", false).is_same(&callback("2", false)));
    assert!(!callback("1", true).is_same(&callback("2", true)) && !callback("1", true).is_same(&callback("2", false)));
}

#[test]
fn the_signature_is_hmac_sha256_as_others_compute_it() {
    // openssl: printf '1796058000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    let key = CallbackKey::new("0123456789abcdef");
    let said = key.signature("1796058000", br#"{"a":1}"#);
    assert_eq!(said, "v1=8b326e840a3d41a48287d9eacdf0782b212f1e9d0413c93dab5df8e82163b651");
    assert!(key == CallbackKey::new("0123456789abcdef") && key != CallbackKey::new("0123456789abcdeg"));
}
