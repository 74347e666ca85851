//! Requests in JSON of any layout: one a line, over many lines, one behind the other, or in a list. What is too long is never kept.
//!
//! A request that is not whole costs itself and no other: it ends where no JSON could go on, at the latest where the next request
//! begins on a line of its own.

use std::io::{self, BufRead, BufReader, Read};

/// What stands where a request should.
#[derive(Debug, PartialEq, Eq)]
pub enum InputValue {
    /// Its bytes.
    Whole(Vec<u8>),
    /// It has more bytes than are read.
    TooLong,
    /// Nothing: the list around it is not written as a list is.
    NoList(&'static str),
}

/// What a list waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListState {
    Beginning,
    Value,
    CommaOrEnd,
}

/// Reads request after request.
pub struct ValueReader<R> {
    reader: BufReader<R>,
    most: usize,
    /// Where the next byte is.
    line: u64,
    list: Option<ListState>,
}

/// A value while it is read: which objects (`{`) and lists (`[`) are open, and what stood before.
struct Nesting {
    open: Vec<u8>,
    in_text: bool,
    escaped: bool,
    /// The last byte outside of texts that is no blank.
    before: u8,
    /// No JSON goes on like this.
    broken: bool,
}

impl Nesting {
    fn new() -> Self {
        Self { open: Vec::new(), in_text: false, escaped: false, before: b':', broken: false }
    }

    /// Whether an object or a list may begin here.
    fn may_begin(&self) -> bool {
        match self.before {
            b':' | b'[' => true,
            b',' => self.open.last() == Some(&b'['),
            _ => false,
        }
    }

    /// Takes the next byte.
    fn take(&mut self, byte: u8) {
        if self.in_text {
            // A line ends in no text.
            self.broken |= byte == b'\n';
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return,
            b'"' => self.in_text = true,
            b'{' | b'[' => {
                self.broken |= !self.may_begin();
                self.open.push(byte);
            }
            b'}' => self.broken |= self.open.pop() != Some(b'{'),
            b']' => self.broken |= self.open.pop() != Some(b'['),
            _ => {}
        }
        self.before = byte;
    }
}

impl<R: Read> ValueReader<R> {
    /// Requests of at most so many bytes.
    pub fn new(input: R, most: usize) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, input), most, line: 1, list: None }
    }

    /// Whether the next request has to be waited for.
    pub fn waits(&self) -> bool {
        self.reader.buffer().iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']'))
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.reader.consume(1);
    }

    /// The next request and the line on which it begins, from 1; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next(&mut self) -> io::Result<Option<(u64, InputValue)>> {
        loop {
            let Some(byte) = self.peek()? else {
                let unfinished = self.list.take().map(|_| (self.line, InputValue::NoList("the list has no end")));
                return Ok(unfinished);
            };
            match (byte, self.list) {
                (b' ' | b'\t' | b'\r' | b'\n', _) => self.consume(byte),
                (b'[', None) => {
                    self.consume(byte);
                    self.list = Some(ListState::Beginning);
                }
                (b']', Some(ListState::Beginning | ListState::CommaOrEnd)) => {
                    self.consume(byte);
                    self.list = None;
                }
                (b',', Some(ListState::CommaOrEnd)) => {
                    self.consume(byte);
                    self.list = Some(ListState::Value);
                }
                (_, Some(ListState::CommaOrEnd)) => {
                    self.list = None;
                    return Ok(Some((self.line, InputValue::NoList("the list goes on without a comma"))));
                }
                (b']' | b',', Some(_)) => {
                    self.consume(byte);
                    self.list = None;
                    return Ok(Some((self.line, InputValue::NoList("the list lacks a value"))));
                }
                (_, list) => {
                    self.list = list.map(|_| ListState::CommaOrEnd);
                    let line = self.line;
                    let value = if byte == b'{' { self.object()? } else { self.other()? };
                    return Ok(Some((line, value)));
                }
            }
        }
    }

    /// Reads an object to its end, or to where it cannot go on.
    fn object(&mut self) -> io::Result<InputValue> {
        let (mut kept, mut length) = (Vec::new(), 0_usize);
        let mut nesting = Nesting::new();
        let mut line_is_blank = false;
        while let Some(byte) = self.peek()? {
            if nesting.broken && byte == b'\n' {
                break;
            }
            // Where no object can begin, one that begins a line is the next request.
            if byte == b'{' && line_is_blank && (nesting.broken || (!nesting.in_text && !nesting.may_begin())) {
                break;
            }
            line_is_blank = byte == b'\n' || (line_is_blank && matches!(byte, b' ' | b'\t' | b'\r'));
            nesting.take(byte);
            self.consume(byte);
            length += 1;
            if length <= self.most {
                kept.push(byte);
            }
            if nesting.broken && byte == b'\n' {
                break;
            }
            if nesting.open.is_empty() && !nesting.broken {
                break;
            }
        }
        Ok(if length > self.most { InputValue::TooLong } else { InputValue::Whole(kept) })
    }

    /// Reads what is no object: to the end of the line, or in a list to the next comma or its end.
    fn other(&mut self) -> io::Result<InputValue> {
        let (mut kept, mut length) = (Vec::new(), 0_usize);
        while let Some(byte) = self.peek()? {
            if byte == b'\n' || (self.list.is_some() && matches!(byte, b',' | b']')) {
                break;
            }
            self.consume(byte);
            length += 1;
            if length <= self.most {
                kept.push(byte);
            }
        }
        Ok(if length > self.most { InputValue::TooLong } else { InputValue::Whole(kept) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value with its line, read some bytes at a time.
    fn values(text: &str, most: usize) -> Vec<(u64, String)> {
        let mut reader = ValueReader::new(text.as_bytes(), most);
        let mut found = Vec::new();
        while let Some((line, value)) = reader.next().unwrap() {
            found.push((
                line,
                match value {
                    InputValue::Whole(bytes) => String::from_utf8(bytes).unwrap(),
                    InputValue::TooLong => "too long".to_owned(),
                    InputValue::NoList(why) => why.to_owned(),
                },
            ));
        }
        found
    }

    #[track_caller]
    fn are(text: &str, expected: &[(u64, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(values(text, 100), expected, "{text}");
    }

    #[test]
    fn the_layout_does_not_matter() {
        are("{\"a\":1}\n{\"b\":2}", &[(1, "{\"a\":1}"), (2, "{\"b\":2}")]);
        are("{\"a\":1} {\"b\":2}{\"c\":3}", &[(1, "{\"a\":1}"), (1, "{\"b\":2}"), (1, "{\"c\":3}")]);
        are(
            "\n\n{\n  \"a\": {\n    \"b\": [\n{\"}\": \"\\\"{\"},\n{}]\n  }\n}\r\n",
            &[(3, "{\n  \"a\": {\n    \"b\": [\n{\"}\": \"\\\"{\"},\n{}]\n  }\n}")],
        );
        are("{\"a\":\n{\"b\":1}\n}\n{}", &[(1, "{\"a\":\n{\"b\":1}\n}"), (4, "{}")]);
        are("[{\"a\":1},\n {\"b\":[2]}\n]\n[]\n{}", &[(1, "{\"a\":1}"), (2, "{\"b\":[2]}"), (5, "{}")]);
        are("", &[]);
    }

    #[test]
    fn what_is_not_whole_costs_itself_alone() {
        for broken in [
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a",
            "{\"a\":[1,2}",
            "{\"a\" {",
            "{]",
            "{\"a\":\"\\",
            "7",
            "not json",
            "]",
            ",",
        ] {
            let text = format!("{broken}\n{{\"b\":2}}\n{{}}\n");
            let found = values(&text, 100);
            let read: Vec<&str> = found.iter().map(|(_, value)| value.trim_end()).collect();
            assert_eq!(read, [broken, "{\"b\":2}", "{}"], "{found:?}");
        }
        are("{\"a\":1", &[(1, "{\"a\":1")]);
        are("[{},7,\n{}", &[(1, "{}"), (1, "7"), (2, "{}"), (2, "the list has no end")]);
        are("[{}{}]\n{}", &[(1, "{}"), (1, "the list goes on without a comma"), (1, "{}"), (1, "]"), (2, "{}")]);
        are("[{},]\n{}", &[(1, "{}"), (1, "the list lacks a value"), (2, "{}")]);
    }

    #[test]
    fn what_is_too_long_is_passed_over_to_its_end() {
        let long = format!("{{\"a\":\"{}\"}}\n{{}}\n{}\n{{}}", "x".repeat(200), "y".repeat(200));
        assert_eq!(
            values(&long, 100),
            [(1, "too long"), (2, "{}"), (3, "too long"), (4, "{}")].map(|(line, text)| (line, text.to_owned()))
        );
    }
}
