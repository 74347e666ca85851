//! Where each message of an HTTP/1.1 caller ends: a second reader, below pingora, that takes no liberties.
//!
//! Whoever stands before us, a load balancer or another proxy, decides by the same bytes where a request ends. If it is strict
//! where we are lenient, or the reverse, a caller's body is a request of its own to one of us. httparse takes a bare line feed
//! inside of a chunk's extension and an empty chunk size (httparse 1.10.1, class of CVE-2025-55315), and pingora does not bound a
//! header while it arrives. So each byte passes through here first. What this reader does not take for exactly one reading of
//! RFC 9112 is not read on: a head is refused, a body breaks off. And where it finds another head than pingora does, the request
//! is refused, too.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use super::stream::SharedFraming;

/// The most bytes of a head, its first line included, and of the trailers of a body.
const LONGEST_HEAD: usize = 80 * 1024;
/// The most bytes of a chunk's extensions, which nobody needs.
const LONGEST_EXTENSIONS: usize = 1024;
/// The most digits of a chunk's size, zeros before it included.
const LONGEST_SIZE: u8 = 16;

/// A head, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It has this many bytes, with the empty lines before it.
    Head(usize),
    /// It can be read in more than one way.
    Unsound(&'static str),
}

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// In a body of which so many bytes are missing.
    Body(u64),
    /// In a chunked body.
    Chunked(Chunked),
    /// In or behind a head that can be read in more than one way, which is refused once it is taken for whole. So many bytes ago.
    Unclear(usize),
    /// Behind a head that asks for an upgrade: what follows is no message, or nobody knows yet.
    Unread,
    /// Nothing more is read.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunked {
    Size { digits: u8, size: u64 },
    Extensions { length: usize, size: u64 },
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    Trailer(Trailer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trailer {
    Begin,
    Name,
    Value,
    ValueEnd,
    End,
}

/// What a head has said so far.
#[derive(Debug, Default)]
struct Head {
    length: usize,
    /// Whether the request line was read.
    begun: bool,
    /// A line that has not come whole yet.
    line: Vec<u8>,
    content_length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// Why reading stops, and how many of the bytes come before it.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The body is malformed.
    Body(usize),
    /// The head is too long, or whoever reads does not ask about each head.
    Head(usize),
}

/// How whoever reads hears of a head that can be read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingMode {
    /// It asks about each head that it finds.
    Asking,
    /// It does not ask, so it gets no such head: reading stops before it.
    Unaware,
}

/// The reader of one connection.
#[derive(Debug)]
pub struct Framing {
    reading: FramingMode,
    state: State,
    head: Head,
    trailers: usize,
    found: VecDeque<Found>,
    fault: Option<&'static str>,
}

impl Framing {
    /// A connection of which nothing was read.
    #[must_use]
    pub fn new(reading: FramingMode) -> Self {
        Self { reading, state: State::Head, head: Head::default(), trailers: 0, found: VecDeque::new(), fault: None }
    }

    /// The head of the next request is this long to whoever asks.
    ///
    /// # Errors
    /// It can be read in more than one way; says how. Nothing that follows on the connection may be read as a request.
    pub fn agrees(&mut self, length: usize) -> Result<(), &'static str> {
        match self.found.pop_front() {
            Some(Found::Head(found)) if found == length => Ok(()),
            Some(Found::Unsound(why)) => Err(why),
            _ => Err("it is not clear where the request begins or ends"),
        }
    }

    /// What is wrong with the body of the request that was taken up last, if anything is. A body may have been read ahead of that.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        self.fault.filter(|_| !self.is_ahead())
    }

    /// Whether a request has come that is not taken up yet.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        !self.found.is_empty()
    }

    /// How many bytes there are of a head that is not whole.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        match self.state {
            State::Unclear(length) => length,
            _ => self.head.length,
        }
    }

    /// Whether nothing more is read.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// What comes behind some of them may not be read on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        // Where the head begins that is being read.
        let mut head = 0;
        while !rest.is_empty() {
            if self.state == State::Head && self.head.length == 0 {
                head = bytes.len() - rest.len();
            }
            let read = match self.state {
                State::Head => self.read_head(rest, head)?,
                State::Body(missing) => {
                    let read = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                    let missing = missing - read as u64;
                    self.state = if missing == 0 { State::Head } else { State::Body(missing) };
                    read
                }
                State::Chunked(Chunked::Data(missing)) => {
                    let read = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                    let missing = missing - read as u64;
                    self.state = State::Chunked(if missing == 0 { Chunked::DataCr } else { Chunked::Data(missing) });
                    read
                }
                State::Chunked(chunked) => match rest.first().map(|byte| self.read_chunked(chunked, *byte)) {
                    Some(Err(why)) => {
                        self.state = State::Stopped;
                        self.fault = Some(why);
                        return Err(Stop::Body(bytes.len() - rest.len()));
                    }
                    Some(Ok(next)) => {
                        self.state = next;
                        1
                    }
                    None => 0,
                },
                State::Unclear(length) if length + rest.len() > LONGEST_HEAD => {
                    self.state = State::Stopped;
                    return Err(Stop::Head(head));
                }
                State::Unclear(length) => {
                    self.state = State::Unclear(length + rest.len());
                    rest.len()
                }
                State::Unread => rest.len(),
                State::Stopped => return Err(Stop::Body(bytes.len() - rest.len())),
            };
            rest = rest.get(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads up to the end of a line of a head that began behind so many bytes.
    fn read_head(&mut self, bytes: &[u8], sound: usize) -> Result<usize, Stop> {
        let end = memchr::memchr(b'\n', bytes);
        let read = end.map_or(bytes.len(), |end| end + 1);
        self.head.length += read;
        if self.head.length > LONGEST_HEAD {
            self.state = State::Stopped;
            return Err(Stop::Head(sound));
        }
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if end.is_none() || !self.head.line.is_empty() {
            self.head.line.extend_from_slice(part);
        }
        if end.is_none() {
            return Ok(read);
        }
        let kept = std::mem::take(&mut self.head.line);
        let line = if kept.is_empty() { part } else { &kept };
        match self.head.read_line(line) {
            Ok(false) => {}
            Ok(true) => {
                let Head { length, content_length, chunked, upgrade, .. } = std::mem::take(&mut self.head);
                if self.reading == FramingMode::Asking {
                    self.found.push_back(Found::Head(length));
                }
                self.state = match (upgrade, chunked, content_length) {
                    (true, ..) => State::Unread,
                    (false, true, _) => State::Chunked(Chunked::SIZE),
                    (false, false, Some(1..)) => State::Body(content_length.unwrap_or_default()),
                    (false, false, None | Some(0)) => State::Head,
                };
            }
            Err(_) if self.reading == FramingMode::Unaware => {
                self.state = State::Stopped;
                return Err(Stop::Head(sound));
            }
            Err(why) => {
                self.found.push_back(Found::Unsound(why));
                self.state = State::Unclear(self.head.length);
            }
        }
        Ok(read)
    }

    fn read_chunked(&mut self, chunked: Chunked, byte: u8) -> Result<State, &'static str> {
        let next = match (chunked, byte) {
            (Chunked::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                if digits == LONGEST_SIZE || size >> 59 != 0 {
                    return Err("the size of a chunk is too long");
                }
                Chunked::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Chunked::Size { digits: 1.., size }, b';') => Chunked::Extensions { length: 0, size },
            (Chunked::Size { digits: 1.., size } | Chunked::Extensions { size, .. }, b'\r') => Chunked::SizeEnd(size),
            (Chunked::Size { .. }, _) => return Err("the size of a chunk is not a hexadecimal number"),
            (Chunked::Extensions { length, size }, _) if is_text(byte) && length < LONGEST_EXTENSIONS => {
                Chunked::Extensions { length: length + 1, size }
            }
            (Chunked::Extensions { .. }, _) => return Err("the extensions of a chunk are malformed or too long"),
            (Chunked::SizeEnd(0), b'\n') => {
                self.trailers = 0;
                Chunked::Trailer(Trailer::Begin)
            }
            (Chunked::SizeEnd(size), b'\n') => Chunked::Data(size),
            (Chunked::DataCr, b'\r') => Chunked::DataLf,
            (Chunked::DataLf, b'\n') => Chunked::SIZE,
            (Chunked::SizeEnd(_), _) => return Err("the line of a chunk's size does not end in CRLF"),
            (Chunked::DataCr | Chunked::DataLf, _) => return Err("a chunk is longer than its size says"),
            (Chunked::Trailer(Trailer::End), b'\n') => return Ok(State::Head),
            (Chunked::Trailer(trailer), _) => {
                self.trailers += 1;
                if self.trailers > LONGEST_HEAD {
                    return Err("the trailers are too long");
                }
                Chunked::Trailer(trailer.next(byte).ok_or("a trailer is malformed")?)
            }
            // Data is not read byte by byte.
            (Chunked::Data(_), _) => chunked,
        };
        Ok(State::Chunked(next))
    }
}

impl Chunked {
    const SIZE: Self = Self::Size { digits: 0, size: 0 };
}

impl Trailer {
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Begin, b'\r') => Some(Self::End),
            (Self::Begin | Self::Name, _) if is_token(byte) => Some(Self::Name),
            (Self::Name, b':') => Some(Self::Value),
            (Self::Value, b'\r') => Some(Self::ValueEnd),
            (Self::Value, _) if is_text(byte) => Some(Self::Value),
            (Self::ValueEnd, b'\n') => Some(Self::Begin),
            _ => None,
        }
    }
}

impl Head {
    /// Reads a line without its line feed. Whether it ends the head.
    fn read_line(&mut self, line: &[u8]) -> Result<bool, &'static str> {
        let line = line.strip_suffix(b"\r").ok_or("a header line does not end in CRLF")?;
        if line.contains(&b'\r') {
            return Err("a header line has a carriage return in it");
        }
        if line.is_empty() {
            // Empty lines before a request are passed over (RFC 9112 2.2).
            return if self.begun { self.end().map(|()| true) } else { Ok(false) };
        }
        if !self.begun {
            self.begun = true;
            let words = line.split(|byte| *byte == b' ').filter(|word| word.iter().all(|byte| is_text(*byte))).count();
            // pingora would encode a space in the target, others take it for its end.
            let sound = words == 3 && !line.windows(2).any(|pair| pair == b"  ") && line.last() != Some(&b' ');
            return if sound { Ok(false) } else { Err("the request line is not a method, a target and a version") };
        }
        let colon = memchr::memchr(b':', line).ok_or("a header line has no colon")?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("the name of a header is malformed, or its line continues the one before it");
        }
        let value = trimmed(value.get(1..).unwrap_or_default());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse().ok());
            if self.content_length.is_some() || length.is_none() {
                return Err("content-length is repeated or not a number");
            }
            self.content_length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("transfer-encoding may only be `chunked`, and said once");
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade |= !is_never_taken(value);
        }
        Ok(false)
    }

    fn end(&self) -> Result<(), &'static str> {
        match (self.content_length, self.chunked, self.upgrade) {
            (Some(_), true, _) => Err("the request has both content-length and transfer-encoding"),
            (_, true, true) | (Some(1..), _, true) => Err("a request that asks for an upgrade may not have a body"),
            _ => Ok(()),
        }
    }
}

/// A value without the spaces and tabs around it, and no others (RFC 9110 5.6.3).
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether this is an offer to go on with HTTP/2 or TLS on the same connection (`Upgrade`). Some clients make it with each of
/// their requests; it is passed over, and the request is like any other (RFC 9110 7.8).
#[must_use]
pub fn is_never_taken(upgrade: &[u8]) -> bool {
    upgrade.eq_ignore_ascii_case(b"h2c") || upgrade.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"tls/"))
}

/// A byte of a token (RFC 9110 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A byte of a value: visible, a space or a tab.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
