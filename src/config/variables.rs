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

/// The name behind a `$` without braces, where it stands like a shell's variable: by itself, in capitals.
pub fn unbraced(written: &str) -> Option<&str> {
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    written.match_indices('$').find_map(|(at, _)| {
        let (before, behind) = (written.get(..at)?, written.get(at + 1..)?);
        let name = behind.get(..behind.find(|c: char| !part(c)).unwrap_or(behind.len()))?;
        let alone = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '$' | '_' | '{'));
        let by_itself = alone(before.chars().next_back()) && alone(behind.get(name.len()..)?.chars().next());
        (by_itself && name.len() > 1 && is_name(name)).then_some(name)
    })
}

/// Whether a variable may be called so.
pub fn is_name(text: &str) -> bool {
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

    #[test]
    fn a_shells_variable_is_told_from_a_dollar() {
        for (written, name) in [
            ("$OPENAI_API_KEY", "OPENAI_API_KEY"),
            ("Bearer $KEY", "KEY"),
            ("https://$HOST_1/v1", "HOST_1"),
            ("${SCHEME}://$HOST:80", "HOST"),
        ] {
            assert_eq!(unbraced(written), Some(name), "{written}");
        }
        for other in
            ["", "$", "$5", "a$KEY", "$key", "$K", "$KEYring", "${KEY}", "$${KEY}", "$$KEY", "p4$$w0rd$X", "$1AB"]
        {
            assert_eq!(unbraced(other), None, "{other}");
        }
    }
}
