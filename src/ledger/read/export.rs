//! Exports: chosen entries as JSON lines, each exactly the bytes whose SHA-256 is its receipt hash; as rows for a spreadsheet; or as a bundle
//! that proves itself.

use std::io::{self, Write};

use crate::engine::Binding;
use crate::ledger::read::bundle::BundleWriter;
use crate::ledger::read::filter::{Filter, Filtered};
use crate::ledger::read::reader::LogReader;
use crate::ledger::read::rows;
use crate::ledger::read::search::is_visible;

/// In which form entries are written.
#[derive(Debug, Clone)]
pub enum ExportForm {
    /// An entry a line.
    Lines,
    /// A row each, for spreadsheets.
    Rows,
    /// A bundle under the newest checkpoint, which this verifier key must have signed.
    Bundle(String),
}

/// Who gets an export, and whether it is wanted still.
pub struct ExportReader<'a> {
    /// What they are bound to: they get no entry that is another's.
    pub binding: &'a Binding,
    /// Whether they still wait for it.
    pub waits: &'a dyn Fn() -> bool,
}

/// What was left out of a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Entries that are newer than the checkpoint.
    pub unsigned: u64,
}

enum Form<'a, W: Write> {
    Lines(W),
    Rows(W),
    Bundle(Box<BundleWriter<'a, W>>),
}

impl LogReader {
    /// Writes the entries that a filter keeps and this reader may see, oldest first.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, the key did not sign the checkpoint, nothing can be written, or nobody waits any more.
    pub fn export(
        &self,
        filter: &Filter,
        form: &ExportForm,
        out: impl Write,
        reader: &ExportReader<'_>,
    ) -> io::Result<Exported> {
        let mut entries = self.filtered(filter)?;
        let mut form = match form {
            ExportForm::Lines => Form::Lines(out),
            ExportForm::Rows => Form::Rows(out),
            ExportForm::Bundle(vkey) => Form::Bundle(Box::new(self.bundle_to(out, vkey)?)),
        };
        let mut exported = Exported::default();
        if let Form::Rows(out) = &mut form {
            rows::write_names(out)?;
        }
        while let Some((number, json)) = entries.next()? {
            if !(reader.waits)() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match filter.apply(json)? {
                Filtered::Skipped => continue,
                Filtered::Done => break,
                Filtered::Kept if reader.binding.is_bound() && !is_visible(json, reader.binding)? => continue,
                Filtered::Kept => {}
            }
            match &mut form {
                Form::Lines(out) => {
                    out.write_all(json)?;
                    out.write_all(b"\n")?;
                }
                Form::Rows(out) => rows::write_row(out, json)?,
                Form::Bundle(bundle) if bundle.covers(number) => bundle.entry(number, json)?,
                Form::Bundle(_) => exported.unsigned += 1,
            }
        }
        match form {
            Form::Lines(mut out) | Form::Rows(mut out) => out.flush()?,
            Form::Bundle(bundle) => drop(bundle.end()?),
        }
        Ok(exported)
    }
}
