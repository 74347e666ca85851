//! What is kept of a caller's object is what was read of it, whole or not at all.

use proptest::prelude::*;

use super::*;

/// Reads `a.b`, and `a.b?` for whether it is there.
fn reads(attributes: &str) -> Vec<ReadAttribute> {
    let attribute = |text: &str| ReadAttribute {
        path: text.trim_end_matches('?').split('.').map(Arc::from).collect(),
        value: !text.ends_with('?'),
    };
    attributes.split_whitespace().map(attribute).collect()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn of(request: &str, attributes: &str) -> KeptRequest {
    KeptRequest::of(&json(request), &reads(attributes))
}

fn in_words(paths: &[AttributePath]) -> String {
    paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(" ")
}

/// The most that an entry has to hold: many attributes with these values.
pub(crate) fn largest(texts: &[String]) -> KeptRequest {
    let text = |n: usize| texts.get(n % texts.len()).map_or("", String::as_str);
    let name = |n: usize| Arc::<str>::from(format!("{n}{}", text(n + 1).chars().take(20).collect::<String>()));
    let members =
        (0..200).step_by(2).map(|n| (name(n), Json::String(text(n).chars().take(n).collect::<String>().into())));
    let attributes = (0..200).map(|n| ReadAttribute { path: [name(n)].into(), value: n % 3 > 0 });
    KeptRequest::of(&Json::Object(members.collect()), &attributes.collect::<Vec<_>>())
}

#[test]
fn each_attribute_is_kept_as_it_was_sent_or_is_known_not_to_be() {
    let cases = [
        // The request, what is read, what is kept, what was not there, and what was and is not kept.
        (r#"{"a":1,"b":"x","secret":"s"}"#, "a b", r#"{"a":1,"b":"x"}"#, "", ""),
        (r#"{"a":{"b":true,"c":2}}"#, "a.b a.d", r#"{"a":{"b":true}}"#, "a.d", ""),
        (r#"{}"#, "a.b a.c", "{}", "a", ""),
        // Only whether it is there is read: no more is kept.
        (r#"{"card":"4111","x":{"card":[1]}}"#, "card? x.card? none?", r#"{"x":{}}"#, "none", "card x.card"),
        // What a policy denies for its kind is kept, too, as far as its kind.
        (r#"{"a":null,"b":null}"#, "a b?", r#"{"a":null,"b":null}"#, "", ""),
        (r#"{"a":1.5,"b":99999999999999999999}"#, "a b", r#"{"a":1.5,"b":99999999999999999999}"#, "", ""),
        (r#"{"a":"text"}"#, "a.b.c", r#"{"a":"text"}"#, "", ""),
        (r#"{"a":{"private":1},"l":[1,{"private":1},["private"]]}"#, "a l", r#"{"a":{},"l":[1,{},[]]}"#, "", ""),
    ];
    for (request, attributes, values, absent, unkept) in cases {
        let kept = of(request, attributes);
        let found = (&kept.values, &*in_words(&kept.absent), &*in_words(&kept.unkept));
        assert_eq!(found, (&json(values), absent, unkept), "{request} {attributes}");
        for attribute in reads(attributes) {
            assert!(!kept.lacks(&attribute), "{attribute} of {request}");
        }
    }
}

#[test]
fn for_other_policies_it_is_told_what_is_not_known() {
    let kept = of(
        r#"{"a":{"b":1,"c":2},"card":"4111","text":"t","object":{"x":1},"list":[{"x":1}]}"#,
        "a.b a.none card? text object list",
    );
    for known in ["a.b", "a.b?", "a.none", "a.none.deeper", "card?", "text.deeper", "a.b.deeper", "list.x", "object?"] {
        assert!(!kept.lacks(&reads(known)[0]), "{known}");
    }
    for unknown in ["a.c", "a.c?", "card", "card.number", "other", "other?", "object.x", "object.x?"] {
        assert!(kept.lacks(&reads(unknown)[0]), "{unknown}");
    }
}

#[test]
fn a_value_is_whole_or_not_there_and_all_of_it_stays_small() {
    let sized = |n: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(n));
    assert_eq!(of(&sized(VALUE - 2), "a").values, json(&sized(VALUE - 2)));
    for long in [sized(VALUE - 1), sized(200_000), format!(r#"{{"a":[{}1]}}"#, "1,".repeat(100_000))] {
        let kept = of(&long, "a");
        assert_eq!((kept.values, in_words(&kept.unkept)), (json("{}"), "a".to_owned()));
    }
    // As many values as there is room for; of the rest it is still known that it is there.
    let names: Vec<String> = (0..40).map(|n| format!("n{n:02}")).collect();
    let all: BTreeMap<Arc<str>, Json> =
        names.iter().map(|name| (Arc::from(&**name), Json::String("y".repeat(400).into()))).collect();
    let kept = KeptRequest::of(&Json::Object(all), &reads(&names.join(" ")));
    let values = kept.values.as_object().unwrap().len();
    assert!(values >= 9 && values + kept.unkept.len() == 40, "{values}");
    assert!(json_text(&kept.values).len() <= ALL.values + ALL.paths);
    // Policies that read so much that even its absence has no room.
    let many: Vec<String> = (0..2000).map(|n| format!("n{n}")).collect();
    let kept = of("{}", &many.join(" "));
    assert_eq!((kept.absent.len(), kept.unkept), (0, vec![Box::default()]));
    assert!(of("{}", &many.join(" ")).lacks(&reads("n1")[0]));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|n| Json::Int(n.to_string().into())),
        "[a-c\"\\\\\\x00-\\x1f]{0,6}".prop_map(|text| Json::String(text.into())),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|members| Json::Object(
                members.into_iter().map(|(name, value)| (Arc::from(name), value)).collect()
            )),
        ]
    })
}

proptest! {
    /// Where nothing is lacking, policies read the same in what was kept; and nothing is kept that is not on the way to what is read.
    #[test]
    fn what_is_known_reads_as_it_was(
        members in prop::collection::btree_map("[abc]", any_json(), 0..4),
        then in prop::collection::vec("[abc](\\.[abc]){0,2}\\??", 0..5),
        now in "[abc](\\.[abc]){0,2}\\??",
    ) {
        let request = Json::Object(members.into_iter().map(|(name, value)| (Arc::from(name), value)).collect());
        let mut read: Vec<ReadAttribute> = Vec::new();
        for attribute in reads(&then.join(" ")) {
            // Policies that read one value as two kinds do not load.
            let along = |other: &ReadAttribute| {
                other.path.iter().zip(&attribute.path).all(|(one, other)| one == other)
            };
            if !read.iter().any(along) {
                read.push(attribute);
            }
        }
        let kept = KeptRequest::of(&request, &read);
        let attribute = &reads(&now)[0];
        prop_assert!(!read.contains(attribute) || !kept.lacks(attribute));
        if !kept.lacks(attribute) {
            prop_assert_eq!(seen(&kept.request(), attribute), seen(&request, attribute), "{:?}", kept);
        }
    }
}

/// What policies can tell of an attribute.
fn seen(request: &Json, ReadAttribute { path, value }: &ReadAttribute) -> Result<Option<Json>, &'static str> {
    let mut found = request;
    for name in path {
        let Json::Object(members) = found else { return Err(found.kind()) };
        match members.get(name) {
            Some(inner) => found = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(match found {
        Json::Null => Json::Null,
        _ if !value => Json::Bool(true),
        other => flat(other).unwrap_or_else(|| other.clone()),
    }))
}
