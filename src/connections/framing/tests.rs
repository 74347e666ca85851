//! What the reader takes for the end of a message, and what it does not take at all.

use proptest::prelude::*;

use super::{Found, Framing, FramingMode, State, Stop};

/// What is found in these bytes, however they arrive: heads, and where reading stops.
fn found(bytes: &[u8]) -> (Vec<Found>, Option<Stop>, State) {
    let mut framing = Framing::new(FramingMode::Asking);
    let stop = framing.read(bytes).err().map(|stop| if let Stop::Head(_) = stop { Stop::Head(0) } else { stop });
    for (size, mut read) in [(1, Framing::new(FramingMode::Asking)), (3, Framing::new(FramingMode::Asking))] {
        let mut at = 0;
        let again = bytes.chunks(size).find_map(|piece| {
            let stop = read.read(piece).err();
            let stop = stop.map(|stop| if let Stop::Body(sound) = stop { Stop::Body(at + sound) } else { stop });
            at += piece.len();
            stop
        });
        assert_eq!((&again, &read.found, read.state), (&stop, &framing.found, framing.state), "{size} bytes at a time");
    }
    (framing.found.into(), stop, framing.state)
}

fn heads(lengths: &[usize]) -> (Vec<Found>, Option<Stop>, State) {
    (lengths.iter().copied().map(Found::Head).collect(), None, State::Head)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn sound_messages_end_where_they_say() {
    assert_eq!(found(GET.repeat(3).as_bytes()), heads(&[GET.len(); 3]));
    // With the empty lines before it, as pingora counts.
    assert_eq!(found(format!("\r\n\r\n{GET}").as_bytes()), heads(&[GET.len() + 4]));
    for body in ["Content-Length: 0\r\n\r\n", "content-length:5\r\n\r\n0\r\n\r\n", "CONTENT-LENGTH: \t 3 \r\n\r\nGET"] {
        let head = format!("POST / HTTP/1.1\r\n{}", body.split_once("\r\n\r\n").unwrap().0).len() + 4;
        assert_eq!(found(format!("POST / HTTP/1.1\r\n{body}{GET}").as_bytes()), heads(&[head, GET.len()]), "{body}");
    }
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "1\r\na\r\n0\r\n\r\n",
        "A;a=b;c=\"d\\\"\t\u{e9}\"\r\n0\r\n\r\nGET /\r\n00f\r\n123456789012345\r\n0;last\r\n\r\n",
        "0\r\nX-Sum: 1\r\nx:\r\n\r\n",
    ] {
        assert_eq!(found(format!("{CHUNKED}{body}{GET}").as_bytes()), heads(&[CHUNKED.len(), GET.len()]), "{body}");
    }
}

#[test]
fn whoever_does_not_ask_gets_no_head_that_can_be_read_in_two_ways() {
    for bad in [
        "GET / HTTP/1.1\r\nHost: h\nx: y\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let mut framing = Framing::new(FramingMode::Unaware);
        assert_eq!(framing.read(format!("{GET}{GET}{bad}{GET}").as_bytes()), Err(Stop::Head(2 * GET.len())), "{bad:?}");
        assert!(framing.has_stopped() && !framing.is_ahead());
        let mut framing = Framing::new(FramingMode::Unaware);
        let stops = bad.bytes().filter_map(|byte| framing.read(&[byte]).err()).next();
        assert_eq!(stops, Some(Stop::Head(0)), "{bad:?}");
    }
}

#[test]
fn a_body_that_can_be_read_in_two_ways_breaks_off() {
    for (sound, rest) in [
        ("", ";\r\n"),
        ("", "\r\n0\r\n\r\n"),
        ("", " 1\r\na\r\n"),
        ("", "0x1\r\na\r\n".trim_start_matches('0')),
        ("1", " \r\na\r\n"),
        ("1", "\na\r\n"),
        ("1\r", "a"),
        ("1;x", "\na\r\n"),
        ("1;x\r", "y\na\r\n"),
        ("1;x=\"", "\0\"\r\na\r\n"),
        ("1\r\na", "b\r\n"),
        ("1\r\na", "\n0\r\n\r\n"),
        ("1\r\na\r", "0\r\n\r\n"),
        ("1\r\na\r\n", "\r\n0\r\n\r\n"),
        ("0\r\n", "\n"),
        ("0\r\n", " X: folded\r\n\r\n"),
        ("0\r\nX: y", "\n\r\n"),
        ("0\r\nX", " : y\r\n\r\n"),
        ("0\r\n\r", "x"),
        ("0000000000000000", "0\r\n\r\n"),
        ("fffffffffffffff", "f\r\n"),
    ] {
        let (heads, stop, _) = found(format!("{CHUNKED}{sound}{rest}{GET}").as_bytes());
        assert_eq!(heads, [Found::Head(CHUNKED.len())], "{sound}{rest}");
        assert_eq!(stop, Some(Stop::Body(CHUNKED.len() + sound.len())), "{sound}{rest}");
    }
    let long = format!("{CHUNKED}1;{}\r\na\r\n", "x".repeat(2000));
    assert!(matches!(found(long.as_bytes()).1, Some(Stop::Body(_))));
    let trailers = format!("{CHUNKED}0\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    assert!(matches!(found(trailers.as_bytes()).1, Some(Stop::Body(_))));
    // Nothing is read behind it. It is the fault of its own request, not of the one before it.
    let mut framing = Framing::new(FramingMode::Asking);
    framing.read(format!("{GET}{CHUNKED}x").as_bytes()).unwrap_err();
    framing.agrees(GET.len()).unwrap();
    assert!(framing.is_ahead() && framing.fault().is_none());
    framing.agrees(CHUNKED.len()).unwrap();
    assert!(!framing.is_ahead() && framing.fault().is_some());
    assert_eq!(framing.read(b"0\r\n\r\n"), Err(Stop::Body(0)));
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_unsound() {
    for header in [
        "X: y\n",
        "X: y\r\r\n",
        "X: a\rb\r\n",
        " X: folded\r\n",
        "\tX: folded\r\n",
        "X : y\r\n",
        "X\r\n",
        "X\0: y\r\n",
        ": y\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9999999999999999999\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: \u{c}chunked\r\n",
        "Content-Length: 1\u{c}\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let (heads, stop, state) = found(format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n{GET}").as_bytes());
        assert!(matches!(*heads, [Found::Unsound(_)]), "{header:?}: {heads:?}");
        assert!(stop.is_none() && matches!(state, State::Unclear(_)), "{header:?}: {stop:?}, {state:?}");
    }
}

#[test]
fn a_request_line_has_three_words() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /",
        "GET",
    ] {
        let (heads, ..) = found(format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
        assert!(matches!(*heads, [Found::Unsound(_)]), "{line}: {heads:?}");
    }
}

#[test]
fn behind_an_upgrade_nothing_is_read() {
    let upgrade = |protocol: &str| format!("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    let (asked, offered) = (upgrade("websocket"), upgrade("h2c"));
    let (heads, stop, state) = found(format!("{asked}\0\n{GET}").as_bytes());
    assert_eq!((heads, stop, state), (vec![Found::Head(asked.len())], None, State::Unread));
    assert_eq!(found(format!("{offered}{GET}").as_bytes()), self::heads(&[offered.len(), GET.len()]));
}

#[test]
fn a_head_without_an_end_is_not_read_on() {
    let mut framing = Framing::new(FramingMode::Asking);
    let line = format!("X: {}\r\n", "y".repeat(1000));
    framing.read(b"GET / HTTP/1.1\r\n").unwrap();
    let stop = (0..1000).find_map(|_| framing.read(line.as_bytes()).err());
    assert_eq!(stop, Some(Stop::Head(0)));
    // Nor is one that is refused once it is whole.
    framing = Framing::new(FramingMode::Asking);
    framing.read(b"GET / HTTP/1.1\n").unwrap();
    let stop = (0..1000).find_map(|_| framing.read(line.as_bytes()).err());
    assert_eq!(stop, Some(Stop::Head(0)));
    assert_eq!(Framing::new(FramingMode::Asking).read(&[b'x'; 100_000]), Err(Stop::Head(0)));
    assert_eq!(Framing::new(FramingMode::Asking).read(&b"\r\n".repeat(50_000)), Err(Stop::Head(0)));
}

#[test]
fn a_request_is_held_against_the_head_that_was_found() {
    let mut framing = Framing::new(FramingMode::Asking);
    framing.read(format!("{GET}{GET}").as_bytes()).unwrap();
    assert_eq!(framing.agrees(GET.len()), Ok(()));
    assert!(framing.agrees(GET.len() - 1).is_err());
    assert!(framing.agrees(GET.len()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_however_they_arrive(bytes in "[\\r\\n \t;:0-9a-fGETPOSHhost/.1\\x00ContentLegth:TrasfEcdihuk-]{0,80}") {
        found(bytes.as_bytes());
        found(format!("{CHUNKED}{bytes}").as_bytes());
    }
}
