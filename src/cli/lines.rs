//! Lines of any number and of bounded length: what is too long is passed over, never kept.

use std::io::{self, BufRead};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum InputLine<'a> {
    /// Its bytes, without the line's end.
    Whole(&'a [u8]),
    /// It has more bytes than are read.
    TooLong,
}

/// Reads line after line.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    most: usize,
    line: Vec<u8>,
}

impl<R: BufRead> LineReader<R> {
    /// Lines of at most so many bytes.
    pub fn new(reader: R, most: usize) -> Self {
        Self { reader, most, line: Vec::new() }
    }

    /// The next line; `None` at the end. An unfinished last line is a line.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next(&mut self) -> io::Result<Option<InputLine<'_>>> {
        self.line.clear();
        let mut length = 0_usize;
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                if length == 0 {
                    return Ok(None);
                }
                break;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            length = length.saturating_add(part.len());
            if length <= self.most {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        if length > self.most {
            return Ok(Some(InputLine::TooLong));
        }
        Ok(Some(InputLine::Whole(self.line.strip_suffix(b"\r").unwrap_or(&self.line))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, buffer: usize, most: usize) -> Vec<Option<String>> {
        let mut lines = LineReader::new(io::BufReader::with_capacity(buffer, text.as_bytes()), most);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                InputLine::Whole(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                InputLine::TooLong => None,
            });
            assert!(lines.line.capacity() <= 4 * most.max(8), "a line that is too long is kept");
        }
        found
    }

    #[test]
    fn lines_are_whole_whatever_the_buffer_holds() {
        let long = "x".repeat(10_000);
        let text = format!("one\r\n\ntwelve chars\n{long}\nlast");
        let some = |text: &str| Some(text.to_owned());
        for buffer in [1, 2, 3, 7, 64, 100_000] {
            assert_eq!(
                lines(&text, buffer, 12),
                [some("one"), some(""), some("twelve chars"), None, some("last")],
                "{buffer}"
            );
        }
        assert!(lines("", 8, 8).is_empty());
        assert_eq!(lines("\n", 8, 8), [some("")]);
    }
}
