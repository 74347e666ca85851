//! Requests that somebody reads in more than one way, as bytes. `@` is the path of the case, `{smuggled}` a request that is part of a
//! body to some readers and a request of its own to others.

/// What follows each case on the same connection.
pub const END: &str = "GET @/end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
/// The request that nobody may be made to take for one, unless everybody does.
pub const SMUGGLED: &str = "GET @/smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// The cases: a head behind the request line's path, and a body.
pub const CASES: [(&str, &str, &str); 90] = [
    ("GET", "", ""),
    ("POST", "Content-Length: 0\r\n", ""),
    ("POST", "Content-Length: {length}\r\n", "{smuggled}"),
    ("GET", "Content-Length: {length}\r\n", "{smuggled}"),
    ("HEAD", "Content-Length: {length}\r\n", "{smuggled}"),
    ("DELETE", "Transfer-Encoding: chunked\r\n", "{chunk}0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "{chunk}0\r\n\r\n"),
    ("POST", "Transfer-Encoding: CHUNKED\r\n", "{chunk}0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "{chunk}0\r\n\r\n"),
    ("POST", "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
    // Chunk extensions, and what is none.
    ("POST", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5;a=\"b;\\\"\"\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "2;\nxx\r\n{more}\r\n0\r\n\r\n{smuggled}\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "{hex};\n{smuggled}\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0;\nx\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5;\0\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5\t;a\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0;\r\n\r\n{smuggled}"),
    // Sizes.
    ("POST", "Transfer-Encoding: chunked\r\n", "\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", ";\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", " \r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", " 5\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0005\r\nhello\r\n000\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5_0\r\nhello\r\n0\r\n\r\n"),
    // Line ends.
    ("POST", "Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\n0\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n{smuggled}"),
    // Trailers.
    ("POST", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: {length}\r\n\r\n"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nX: y\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nno colon\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nX: y\r\n folded: z\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nX : y\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\n", "0\r\nTransfer-Encoding: chunked\r\nwcp-worker-id: x\r\n\r\n{smuggled}"),
    // Lengths.
    ("POST", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
    ("POST", "Content-Length: 5, 5\r\n", "hello"),
    ("POST", "Content-Length: 0\r\nContent-Length: {length}\r\n", "{smuggled}"),
    ("POST", "Content-Length: {length}\r\nContent-Length: 0\r\n", "{smuggled}"),
    ("POST", "Content-Length: +5\r\n", "hello"),
    ("POST", "Content-Length: 0x5\r\n", "hello"),
    ("POST", "Content-Length: 5 5\r\n", "hello"),
    ("POST", "Content-Length : {length}\r\n", "{smuggled}"),
    ("POST", "Content-Length:\r\n {length}\r\n", "{smuggled}"),
    ("POST", "Content-Length: -5\r\n", "hello"),
    ("POST", "Content-Length: 005\r\n", "hello"),
    ("POST", "Content-Length: 18446744073709551621\r\n", "hello"),
    ("POST", "Content-Length: 5,\r\n", "hello"),
    ("POST", "Content-Length:\t5 \t\r\n", "hello"),
    ("POST", "Content_Length: {length}\r\n", "{smuggled}"),
    ("POST", "X: y\r\n Content-Length: {length}\r\n", "{smuggled}"),
    ("POST", " X: y\r\nContent-Length: 5\r\n", "hello"),
    ("POST", ": y\r\nContent-Length: 5\r\n", "hello"),
    ("POST", "Host: other\r\nContent-Length: 5\r\n", "hello"),
    ("POST ", "Content-Length: 5\r\n", "hello"),
    ("POST", "X: y\nContent-Length: {length}\r\n", "{smuggled}"),
    ("POST", "X: y\rContent-Length: {length}\r\n", "{smuggled}"),
    // Codings.
    ("POST", "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"),
    ("POST", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "{old}Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding:\tchunked\r\n", "{chunk}0\r\n\r\n"),
    ("POST", "Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding:\u{b}chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    // Upgrades.
    ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "{smuggled}"),
    ("GET", "Upgrade: websocket\r\n", "{smuggled}"),
    ("POST", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {length}\r\n", "{smuggled}"),
    ("POST", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n{smuggled}"),
    ("POST", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\nTransfer-Encoding: chunked\r\n", "{chunk}0\r\n\r\n"),
    (
        "POST",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 5\r\n",
        "hello",
    ),
];

/// The bytes of a case at this path.
pub fn bytes((method, head, body): (&str, &str, &str), path: &str) -> Vec<u8> {
    let smuggled = SMUGGLED.replace('@', path);
    let (version, head) = head.strip_prefix("{old}").map_or(("1.1", head), |head| ("1.0", head));
    let whole = format!("{method} @ HTTP/{version}\r\nHost: h\r\n{head}\r\n{body}{END}");
    let whole = whole.replace("{chunk}", "{hex}\r\n{smuggled}\r\n").replace("{smuggled}", &smuggled);
    let (length, hex) = (smuggled.len().to_string(), format!("{:x}", smuggled.len()));
    // With the last chunk before it.
    let more = format!("{:x}", smuggled.len() + 5);
    let whole = whole.replace("{length}", &length).replace("{hex}", &hex).replace("{more}", &more);
    whole.replace('@', path).into_bytes()
}
