//! What is read, what is refused, and what is said about it.

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    Json::parse(text.as_bytes()).expect_err(text).to_string()
}

fn read(text: &str) -> Json {
    Json::parse(text.as_bytes()).expect(text)
}

#[test]
fn numbers_are_kept_as_they_were_written() {
    assert_eq!(read("1"), Json::Int("1".into()));
    assert_eq!(read("-0"), Json::Int("0".into()));
    assert_eq!(read("1180591620717411303424"), Json::Int("1180591620717411303424".into()));
    assert_eq!(read("1.0"), Json::Float(1.0));
    assert_eq!(read("1E2"), Json::Float(100.0));
    assert_eq!(read(&"9".repeat(4300)), Json::Int("9".repeat(4300).into()));
    for bad in
        ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "-", &"9".repeat(4301)]
    {
        refused(bad);
    }
    assert_eq!(
        serde_json::to_string(&read("[1180591620717411303424,1.5,-0]")).unwrap(),
        "[1180591620717411303424,1.5,0]"
    );
}

#[test]
fn what_is_not_strict_json_is_refused() {
    for bad in [
        "",
        " ",
        "{",
        "{}{}",
        "[1,]",
        "{'a':1}",
        "\"\\ud800\"",
        "[\"\\udc00\\ud800\"]",
        "\"\u{1}\"",
        "nul",
        "{\"\\ud800\":1}",
    ] {
        refused(bad);
    }
    assert!(Json::parse(b"\"\xff\"").is_err());
    assert!(Json::parse(b"\xef\xbb\xbf{}").is_err(), "a byte order mark is no JSON");
    assert_eq!(read("\"\\ud83d\\ude00\""), Json::String("😀".into()));
}

#[test]
fn the_place_of_a_problem_is_said() {
    assert_eq!(refused("{\"request\":{\"a\":[1,2,3,1e999]}}"), "request.a[3]: is a number too large to be kept");
    assert_eq!(refused("{\"a\":{\"b\":1,\"b\":1}}"), "a.b: is given twice: send each key once");
    assert_eq!(refused("{\"a\":1,\"\\u0061\":1}"), "a: is given twice: send each key once");
    assert!(refused("{\"a\":1,}").starts_with("is not one JSON value: "));
    assert!(refused("[[\"\\ud800\"]]").starts_with("[0][0]: is not sound JSON: "));
}

#[test]
fn nesting_is_bounded_without_using_the_stack_up() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    read(&nested(MAX_DEPTH));
    assert!(refused(&nested(MAX_DEPTH + 1)).contains("nests deeper than 32"));
    refused(&nested(200_000));
    refused(&"{\"a\":".repeat(100_000));
}

#[test]
fn no_key_is_magic() {
    let text = "{\"$serde_json::private::RawValue\":\"1\",\"$serde_json::private::Number\":\"2\"}";
    assert_eq!(read(text).as_object().map(std::collections::BTreeMap::len), Some(2));
}

#[test]
fn truth_is_pythons() {
    for no in ["null", "false", "0", "-0", "0.0", "-0.0", "\"\"", "[]", "{}"] {
        assert!(!read(no).truthy(), "{no}");
    }
    for yes in ["true", "1", "0.1", "\"0\"", "\"false\"", "[0]", "{\"a\":0}"] {
        assert!(read(yes).truthy(), "{yes}");
    }
}

#[test]
fn places_are_lines_and_columns() {
    let text = "{\n  \"rules\": [\n    {\"é\": 1, \"b\": [true]}\n  ]\n}";
    let lines = LineIndex::of(text);
    let at = |steps: &[Step]| lines.place(steps);
    assert_eq!(at(&[]), (1, 1));
    assert_eq!(at(&["rules".into(), 0.into()]), (3, 5));
    assert_eq!(at(&["rules".into(), 0.into(), "b".into(), 0.into()]), (3, 20));
    assert_eq!(at(&["rules".into(), 0.into(), "missing".into()]), (3, 5));
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Json::parse(&bytes);
    }

    #[test]
    fn reading_what_looks_like_json_never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\ud8a\\x00 ntf]{0,80}") {
        let _ = Json::parse(text.as_bytes());
    }
}
