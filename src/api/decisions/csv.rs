//! Decisions as CSV (RFC 4180), for spreadsheets, which calculate what looks like a formula: nothing that a caller wrote does.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, LINK};
use http::{HeaderValue, StatusCode};

use super::DecisionRow;
use crate::hall::is_formula;

/// From when on the answer is complete, where it is not from the beginning on.
const COMPLETE_SINCE: HeaderName = HeaderName::from_static("hallgate-complete-since");
const HEAD: &str = "decision_id,decided_at,outcome,deny_code,deny_message,capability_id,data_label,tenant_id,worker_id,worker_species_id,env,\
                    door,blast_score,dry_run\r\n";

/// The answer with these decisions; `next`: where there are more.
pub(super) fn answer(rows: &[DecisionRow], next: Option<String>, complete_since: Option<String>) -> Response {
    let mut lines = HEAD.to_owned();
    rows.iter().for_each(|row| push(&mut lines, row));
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    let file = HeaderValue::from_static("attachment; filename=\"decisions.csv\"");
    let mut answer = (StatusCode::OK, [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, file)], lines).into_response();
    let link = next.and_then(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")).ok());
    let since = complete_since.and_then(|since| HeaderValue::try_from(since).ok());
    answer.headers_mut().extend(link.map(|link| (LINK, link)));
    answer.headers_mut().extend(since.map(|since| (COMPLETE_SINCE, since)));
    answer
}

fn push(lines: &mut String, row: &DecisionRow) {
    let score = row.blast_score.map(|score| score.to_string());
    let cells = [
        Some(&*row.decision_id),
        Some(&*row.decided_at),
        Some(row.outcome),
        row.deny_code,
        row.deny_message.as_deref(),
        row.capability_id.as_deref(),
        row.data_label,
        row.tenant_id.as_deref(),
        row.worker_id.as_deref(),
        row.worker_species_id.as_deref(),
        row.env,
        row.door,
        score.as_deref(),
        Some(if row.dry_run { "true" } else { "false" }),
    ];
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            lines.push(',');
        }
        push_cell(lines, cell.unwrap_or_default());
    }
    lines.push_str("\r\n");
}

/// A cell within quotes, behind a `'` where a spreadsheet would take it for a formula.
fn push_cell(lines: &mut String, cell: &str) {
    lines.push('"');
    if is_formula(cell) {
        lines.push('\'');
    }
    lines.push_str(&cell.replace('"', "\"\""));
    lines.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> String {
        let mut lines = String::new();
        push_cell(&mut lines, text);
        lines
    }

    #[test]
    fn what_looks_like_a_formula_is_text_and_nothing_gets_out_of_its_cell() {
        for formula in [
            "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u{a0}=1", "\0=1", "＝1", "|calc",
            "\tplain",
        ] {
            assert_eq!(cell(formula), format!("\"'{formula}\""));
        }
        for plain in ["", "wrk_a", "cap.a-b", "a=1", "1-2", "'=1"] {
            assert_eq!(cell(plain), format!("\"{plain}\""));
        }
        assert_eq!(cell("a\",\"=1\r\n=2"), "\"a\"\",\"\"=1\r\n=2\"");
    }
}
