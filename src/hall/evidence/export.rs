//! Exports of a running hall: entries of the ledger as a stream of bytes, a few at a time, and none longer than somebody reads them.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::engine::Binding;
use crate::hall::Hall;
use crate::ledger::{ExportForm, ExportReader, Filter, ReadError};
use crate::telemetry::threads;

/// How many exports are written at once.
pub(in crate::hall) const EXPORTS: usize = 2;
/// Bytes of a piece, and how many of them wait for who reads.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;
/// How long who reads may leave a piece waiting.
const READER_TIME: Duration = Duration::from_secs(30);
/// How long an export may take: who reads ever so slowly does not keep its place for ever.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum NotExported {
    /// As many as may be are being written.
    #[error("as many exports as may be are being written")]
    Busy,
    /// It cannot be begun.
    #[error(transparent)]
    Unread(#[from] ReadError),
}

/// An export as it is written.
#[derive(Debug)]
pub struct ExportStream {
    /// `None`: that was all.
    pieces: Receiver<Option<Bytes>>,
    ended: bool,
}

impl ExportStream {
    /// The next piece; `None`: that was all.
    ///
    /// # Errors
    /// It broke off: what there was is not whole. After that there is nothing more.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        match self.pieces.recv().await {
            Some(Some(piece)) => Some(Ok(piece)),
            Some(None) => None,
            // Whatever became of who writes it: only what it says itself is an end.
            None => {
                self.ended = true;
                Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the export broke off")))
            }
        }
    }
}

impl Hall {
    /// The entries that a filter keeps and this reader may see, as they are read.
    ///
    /// # Errors
    /// [`NotExported`] says which.
    pub fn export(&self, filter: Filter, form: ExportForm, reader: &Binding) -> Result<ExportStream, NotExported> {
        let place = Arc::clone(&self.exporting).try_acquire_owned().map_err(|_| NotExported::Busy)?;
        let (pieces, read) = channel(PIECES);
        let (ledger, binding, runtime) = (self.ledger.clone(), reader.clone(), Handle::current());
        let write = move || {
            let began = Instant::now();
            let waits = || !pieces.is_closed() && began.elapsed() < LONGEST;
            let out = BufWriter::with_capacity(PIECE, Pieces { pieces: pieces.clone(), runtime: runtime.clone() });
            let reader = ExportReader { binding: &binding, waits: &waits };
            let exported = ledger.reader().export(&filter, &form, out, &reader);
            match exported {
                Ok(_) => drop(send(&pieces, &runtime, None)),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => tracing::error!(%error, "an export of the ledger ended before its end"),
            }
            drop(place);
        };
        // A thread of its own, which no end of the process waits for.
        threads::start_once("ledger-export", write).map_err(ReadError::from)?;
        Ok(ExportStream { pieces: read, ended: false })
    }
}

/// Where an export is written: to who reads it, if they read on.
struct Pieces {
    pieces: Sender<Option<Bytes>>,
    runtime: Handle,
}

fn send(pieces: &Sender<Option<Bytes>>, runtime: &Handle, piece: Option<Bytes>) -> io::Result<()> {
    match runtime.block_on(async { tokio::time::timeout(READER_TIME, pieces.send(piece)).await }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        send(&self.pieces, &self.runtime, Some(Bytes::copy_from_slice(piece)))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DenyCode;
    use crate::hall::tests::hall;
    use crate::hall::{Door, Refusal};

    /// A hall with more in its ledger than waits for who reads.
    async fn full() -> (Arc<Hall>, tempfile::TempDir) {
        let (hall, folder) = hall();
        let refusal = |message: String| Refusal {
            door: Door::Api,
            code: DenyCode::InvalidInput,
            message,
            tenant: None,
            worker: None,
            token: None,
            correlation_id: None,
            raw_body: None,
        };
        for _ in 0..900 {
            hall.refuse(refusal("x".repeat(600))).await.unwrap();
        }
        (hall, folder)
    }

    async fn read(stream: &mut ExportStream) -> io::Result<usize> {
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            bytes += piece?.len();
        }
        Ok(bytes)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn so_many_are_written_at_once_and_who_leaves_makes_room() {
        let (hall, _folder) = full().await;
        let export = || hall.export(Filter::default(), ExportForm::Lines, &Binding::default());
        let mut open: Vec<ExportStream> = (0..EXPORTS).map(|_| export().unwrap()).collect();
        assert!(matches!(export(), Err(NotExported::Busy)));
        open.pop();
        let mut other = loop {
            match export() {
                Ok(other) => break other,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let whole = read(&mut other).await.unwrap();
        assert!(whole > PIECE * (PIECES + 1), "{whole}: more than waits");
        assert_eq!(read(&mut open.pop().unwrap()).await.unwrap(), whole);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_breaks_off_is_not_taken_for_whole() {
        let (pieces, read_end) = channel(PIECES);
        let mut stream = ExportStream { pieces: read_end, ended: false };
        pieces.send(Some(Bytes::from_static(b"a"))).await.unwrap();
        drop(pieces);
        assert_eq!(stream.next().await.unwrap().unwrap(), "a");
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(stream.next().await.is_none());
        // A ledger with a file that cannot be read.
        let (hall, folder) = full().await;
        let segments = folder.path().join("ledger/segments");
        let segment = std::fs::read_dir(&segments).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&segment).unwrap();
        let middle = bytes.len() / 2;
        bytes.get_mut(middle..middle + 64).unwrap().fill(0);
        std::fs::write(&segment, bytes).unwrap();
        let mut stream = hall.export(Filter::default(), ExportForm::Rows, &Binding::default()).unwrap();
        assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
