//! `hallgate audit export`: entries as JSON lines, each exactly the bytes whose SHA-256 is its receipt hash; as rows for a spreadsheet;
//! or as a bundle that proves itself.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};

use super::{LedgerFolder, PublicKey, complain, flushed};
use crate::cli::cannot;
use crate::clock::now_micros;
use crate::engine::{Binding, DenyCode};
use crate::ids::{DataLabel, meant};
use crate::ledger::{ExportForm, ExportReader, Exported, Filter, LogReader};

/// Print entries as JSON lines, oldest first; a line's SHA-256 is its receipt hash
///
/// Times are UTC: 2026-11-29, 2026-11-29T08:00:00Z, or how long ago, such as 24h or 7d.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    ledger: LedgerFolder,
    /// From this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only of this tenant's stream; `:hall` for what belongs to none
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only decisions of this worker
    #[arg(long, value_name = "WORKER")]
    worker: Option<String>,
    /// Only decisions on this capability
    #[arg(long, value_name = "CAPABILITY")]
    capability: Option<String>,
    /// Only decisions about data with this label
    #[arg(long, value_name = "LABEL", value_parser = label)]
    label: Option<DataLabel>,
    /// Only decisions with this verdict
    #[arg(long)]
    verdict: Option<Verdict>,
    /// Only denials with this code, such as DENY_NO_MATCHING_RULE
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<DenyCode>,
    /// Rows for a spreadsheet instead: the most used fields, and nothing in a cell that it would run
    #[arg(long, conflicts_with = "bundle")]
    csv: bool,
    /// A bundle instead: each entry with its proof, the checkpoint and its key, for `audit verify BUNDLE`
    #[arg(long)]
    bundle: bool,
    #[command(flatten)]
    key: PublicKey,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
    Hold,
}

impl Verdict {
    /// As entries say it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Hold => "REQUIRE_HUMAN",
        }
    }
}

/// A point in time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    // Midnight, and of a text that says more than a day nothing is passed over.
    let day = text.parse::<Date>().ok().filter(|_| text.len() == "2026-11-29".len());
    if let Some(midnight) = day.and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()) {
        return Ok(midnight);
    }
    let ago = text.parse::<Span>().ok().filter(|span| !span.is_negative());
    let ago = ago.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let now = Timestamp::from_microsecond(now_micros()).ok();
    now.zip(ago).and_then(|(now, ago)| now.checked_sub(ago).ok()).ok_or_else(|| {
        "write a day or a time in UTC, such as 2026-11-29 or 2026-11-29T08:00:00Z, or how long ago: 24h, 7d".to_owned()
    })
}

/// A word of a closed set.
fn one_of<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.ok_or_else(|| {
        meant(text, all.iter().map(|one| name(*one)), || {
            format!("there is none of this name; one is `{}`", all.first().map_or("", |one| name(*one)))
        })
    })
}

fn label(text: &str) -> Result<DataLabel, String> {
    text.parse().or_else(|_| one_of(text, DataLabel::ALL, DataLabel::as_str))
}

fn code(text: &str) -> Result<DenyCode, String> {
    one_of(text, DenyCode::ALL, DenyCode::as_str)
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let Options { ledger, since, until, tenant, worker, capability, label, verdict, code, .. } = options;
    let filter = Filter {
        since: since.map(Timestamp::as_microsecond),
        until: until.map(Timestamp::as_microsecond),
        tenant: tenant.clone(),
        worker: worker.clone(),
        capability: capability.clone(),
        data_label: label.map(DataLabel::as_str),
        policy_decision: verdict.map(Verdict::as_str),
        deny_code: code.map(DenyCode::as_str),
    };
    let form = if options.bundle {
        match options.key.one() {
            Ok(key) => ExportForm::Bundle(key),
            Err(why) => return cannot(why),
        }
    } else if options.csv {
        ExportForm::Rows
    } else {
        ExportForm::Lines
    };
    let reader = ExportReader { binding: &Binding::default(), waits: &|| true };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match LogReader::new(&ledger.path).export(&filter, &form, &mut out, &reader) {
        Ok(Exported { unsigned }) => {
            if unsigned > 0 {
                complain(format_args!(
                    "{unsigned} entries are newer than the checkpoint and not in the bundle: try again when the next one is signed"
                ));
            }
            flushed(&mut out)
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // What was sound is not kept back.
            let _ = flushed(&mut out);
            cannot(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_instants_or_how_long_ago() {
        let at = |text: &str| time(text).map(|time| time.to_string());
        assert_eq!(at("2026-11-29").unwrap(), "2026-11-29T00:00:00Z");
        assert_eq!(at("2026-11-29T08:30:00+02:00").unwrap(), "2026-11-29T06:30:00Z");
        let now = Timestamp::from_microsecond(now_micros()).unwrap();
        for (text, minutes) in [("24h", 1440), ("7d", 10_080), ("90m", 90), ("1w", 10_080)] {
            let ago = now.duration_since(time(text).unwrap()).as_secs();
            assert!((ago - 60 * minutes).abs() < 60, "{text}: {ago} s");
        }
        for text in ["yesterday", "2026-11-29T08:30", "2026-13-01", "-24h", "24", "", "1 month", "9999999999h"] {
            assert!(time(text).unwrap_err().contains("24h"), "{text}");
        }
    }

    #[test]
    fn a_word_of_a_closed_set_is_told_by_its_nearest() {
        assert_eq!(code("DENY_NO_ROUTE"), Ok(DenyCode::NoRoute));
        assert_eq!(code("DENY_NO_ROUT").unwrap_err(), "did you mean `DENY_NO_ROUTE`?");
        assert_eq!(label("SECRET"), Ok(DataLabel::Restricted));
        assert_eq!(label("INTERNL").unwrap_err(), "did you mean `INTERNAL`?");
        assert!(label("x").unwrap_err().contains("PUBLIC"));
    }
}
