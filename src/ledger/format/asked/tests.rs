//! What is kept of a caller's object is read back as it was, and what is no such thing is refused.

use super::*;

fn read(asked: &str) -> Result<Option<KeptRequest>, String> {
    kept(Json::parse(asked.as_bytes()).unwrap().as_object().unwrap())
}

#[test]
fn paths_are_json_pointers_whatever_their_names() {
    let path = |names: &[&str]| -> AttributePath { names.iter().map(|name| Arc::from(*name)).collect() };
    for (names, text) in
        [(&[][..], ""), (&["a", "b"], "/a/b"), (&["a/b", "~1", ""], "/a~1b/~01/"), (&["\u{e4}\"\n"], "/\u{e4}\"\n")]
    {
        assert_eq!(pointer(&path(names)), text);
        assert_eq!(way(text), Some(path(names)), "{text}");
    }
    assert_eq!(way("a"), None);
}

#[test]
fn what_is_no_such_thing_is_refused_by_its_name() {
    assert_eq!(read("{}"), Ok(None));
    assert_eq!(read(r#"{"request_absent":["/a"]}"#), Ok(None));
    let found = read(r#"{"request":"{\"n\":0.5}","request_absent":["/a/b"],"request_unkept":[""]}"#).unwrap().unwrap();
    assert_eq!(found.values, Json::parse(br#"{"n":0.5}"#).unwrap());
    assert_eq!((found.absent.len(), found.unkept), (1, vec![Box::default()]));
    for (asked, said) in [
        (r#"{"request":{}}"#, "`asked.request` is an object, not a string"),
        (r#"{"request":"[]"}"#, "`asked.request` holds an array, not an object"),
        (r#"{"request":"{"}"#, "`asked.request`: "),
        (r#"{"request":"{}","request_absent":"/a"}"#, "`asked.request_absent` is no list of JSON pointers"),
        (r#"{"request":"{}","request_unkept":["a"]}"#, "`asked.request_unkept` is no list of JSON pointers"),
    ] {
        assert!(read(asked).unwrap_err().starts_with(said), "{asked}");
    }
}
