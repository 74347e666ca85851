//! What holds of any configuration: it is read, or every problem of it is said, each at a place of the file.

use std::path::Path;

use super::reader::Map;
use super::{Needs, Parts, Problem, read_text};

/// The law of a configuration's text. Of the files that it names nothing is read but secrets and certificates.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    // Nothing is beside it, and its environment is empty.
    let file = Path::new("/nonexistent/hallgate.yaml");
    let read = |needs| {
        let parts = |top: Map<'_>| Parts::read(top, needs);
        let mut warnings = Vec::new();
        let (read, files) = read_text(None, file, text, &|_| None, parts, |parts, found| {
            let whole = parts.is_whole(needs);
            assert!(whole || !found.problems.is_empty(), "a section was passed over in silence");
            warnings.append(&mut found.warnings);
            whole.then_some(())
        });
        (read, files, warnings)
    };
    for needs in [Needs::All, Needs::NoDoor] {
        let (config, files, warnings) = read(needs);
        let problems = config.as_ref().err().map_or(&[][..], |problems| problems.list());
        assert!(config.is_ok() || !problems.is_empty(), "no configuration, and no word about it");
        assert!(files.contains(file));
        for problem in problems.iter().chain(warnings.iter().map(|warning| &warning.about)) {
            is_said(problem, file, text);
        }
        assert_eq!(read(needs).0, config, "it is read in two ways");
    }
}

/// It says where it is and what is wrong, in one line that does nothing to a terminal.
fn is_said(problem: &Problem, file: &Path, text: &str) {
    assert!(!problem.message.is_empty(), "{problem:?}");
    let said = [&problem.key, &problem.message, &problem.help];
    assert!(!said.iter().any(|text| text.contains(char::is_control)), "{problem:?}");
    if problem.file == file {
        let (line, column) = problem.place.unwrap_or_default();
        // Each of these ends a line of YAML.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let length = text.split('\n').nth(line.saturating_sub(1)).map(|line| line.chars().count());
        let inside = line > 0 && length.is_some_and(|length| (1..=length + 1).contains(&column));
        assert!(inside, "beyond the file: {problem:?}");
    }
}

impl Parts {
    fn is_whole(&self, needs: Needs) -> bool {
        let Self { gate, hall, policy, approvals, registry, cache, ledger, alerts, telemetry, ops, shutdown } = self;
        let rest = [gate.is_some(), policy.is_some(), registry.is_some(), cache.is_some(), ledger.is_some()];
        let rest = rest.into_iter().chain([
            approvals.is_some(),
            alerts.is_some(),
            telemetry.is_some(),
            ops.is_some(),
            shutdown.is_some(),
        ]);
        rest.chain([needs == Needs::NoDoor || hall.is_some()]).all(|there| there)
    }
}
