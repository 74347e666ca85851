//! One word, one meaning: the name of a public type occurs once in the crate.

use std::collections::BTreeMap;

use crate::hold;
use crate::source::sources;

/// What each room or command has of its own, under the same name.
const OF_EACH_ROOM: &[&str] = &["Options", "Settings"];

#[test]
fn the_name_of_a_public_type_occurs_once() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in &sources("src") {
        for keyword in ["struct", "enum", "union", "trait", "type"] {
            for (line, before, after) in source.places(keyword) {
                let before = before.trim_end();
                // `pub`, or `pub(super)` and the like.
                let restricted = before.strip_suffix(')').and_then(|path| path.rsplit_once('('));
                let public = restricted.map_or(before, |(before, _)| before).ends_with("pub");
                // A macro's `$name` is nobody's yet.
                if public && !after.trim_start().starts_with('$') {
                    let name: String = after.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
                    types.entry(name).or_default().push(format!("{}:{line}", source.path));
                }
            }
        }
    }
    assert!(types.len() > 200, "public types are declared in another way: {types:?}");
    let mut breaches = Vec::new();
    for (name, places) in
        types.iter().filter(|(name, places)| places.len() > 1 && !OF_EACH_ROOM.contains(&name.as_str()))
    {
        breaches.push(format!("`{name}` is {}", places.join(" and ")));
    }
    hold("the name of a public type occurs once", &breaches);
}
