//! `${VAR}` and `${VAR:-default}` inside of values, looked up in what the caller passes as the environment.

/// How a name is looked up: the process's environment, or a map in tests.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a value cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub enum Unexpanded {
    /// The variable is not set, or empty, and there is no default.
    Unset(String),
    /// `${` without an end or with something else than a name in it.
    Malformed,
}

/// The value with its variables replaced. `$${` stands for a literal `${`.
///
/// A variable that is set to nothing counts as not set: half a credential is worse than a refusal to start.
pub fn expand(written: &str, environment: &Environment<'_>) -> Result<String, Unexpanded> {
    let mut expanded = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(escaped) = before.strip_suffix('$') {
            expanded.push_str(escaped);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (inside, behind) = after.split_once('}').ok_or(Unexpanded::Malformed)?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Unexpanded::Malformed);
        }
        match (environment(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(Unexpanded::Unset(name.to_owned())),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && text.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_nothing_else() {
        let environment = |name: &str| match name {
            "KEY" => Some("k-1".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${KEY}".to_owned()),
            _ => None,
        };
        for (written, expected) in [
            ("plain", "plain"),
            ("Bearer ${KEY}", "Bearer k-1"),
            ("${KEY}${KEY:-other}", "k-1k-1"),
            ("${NONE:-}", ""),
            ("${EMPTY:-x}y", "xy"),
            ("$KEY $ {KEY} $", "$KEY $ {KEY} $"),
            ("$${KEY}", "${KEY}"),
            ("${TRICK}", "${KEY}"),
        ] {
            assert_eq!(expand(written, &environment).as_deref(), Ok(expected), "{written}");
        }
        assert_eq!(expand("a${NONE}", &environment), Err(Unexpanded::Unset("NONE".to_owned())));
        assert_eq!(expand("a${EMPTY}", &environment), Err(Unexpanded::Unset("EMPTY".to_owned())));
        for malformed in ["${", "${KEY", "${}", "${1A}", "${A B}", "${A-b}", "${:-x}"] {
            assert_eq!(expand(malformed, &environment), Err(Unexpanded::Malformed), "{malformed}");
        }
    }
}
