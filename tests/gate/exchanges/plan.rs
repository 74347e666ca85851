//! What one exchange is to be like: the caller draws it and tells the upstream in a header.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The header in which the plan is.
pub const HEADER: &str = "x-plan";
/// The header by which an answer says whose it is.
pub const EXCHANGE: &str = "x-exchange";

/// One exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Its own number.
    pub number: u64,
    /// What the gate does with it.
    pub fate: Fate,
    /// The method.
    pub method: String,
    /// Whether the caller speaks HTTP/1.0.
    pub old: bool,
    /// How the end of the request's body is said.
    pub framing: Framing,
    /// Bytes of the request's body.
    pub length: usize,
    /// Whether the caller waits for `100 Continue` before it sends the body.
    pub expects: bool,
    /// Whether an upgrade is asked for.
    pub upgrades: bool,
    /// Whether and where the caller leaves.
    pub leaves: Leaves,
    /// The upstream's part.
    pub answer: Answer,
}

/// What the gate does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    Forwarded,
    Denied,
    NoRoute,
    Malformed,
}

/// How the end of a body is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    Nothing,
    Length,
    Chunked,
    Trailers,
    /// An answer's, by the end of the connection.
    Close,
}

/// Where a caller leaves, without having said that it would: by an end of its connection, or by a reset of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaves {
    Never,
    InTheRequest,
    InTheAnswer,
    /// At any moment, with all exchanges of its connection, by a reset.
    AtAnyMoment,
}

/// What the upstream answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Interim answers before it.
    pub interim: u64,
    /// Whether it comes before the request's body is read.
    pub early: bool,
    /// The status; 101 when the upgrade is taken.
    pub status: u16,
    /// How the end of its body is said.
    pub framing: Framing,
    /// Bytes of its body.
    pub length: usize,
    /// Whether the connection breaks off before the end of the body.
    pub breaks_off: bool,
    /// Whether it does so by a reset, at any byte of the answer.
    pub resets: bool,
    /// Whether another answer follows, which nobody asked for.
    pub says_more: bool,
    /// Whether its head is one that may not be passed on.
    pub unsound: bool,
}

/// What the two sides of an exchange can do.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// Nothing else is under way where the caller may leave: it can do so at any byte.
    pub leaves: bool,
    /// The caller's connection may end with this exchange.
    pub ends: bool,
    /// It will be reset while this exchange is under way.
    pub is_reset: bool,
    /// The caller speaks HTTP/1.1.
    pub http1: bool,
    /// So does the upstream.
    pub http1_upstream: bool,
}

impl Plan {
    /// Draws one.
    pub fn draw(number: u64, can: Abilities, random: &mut Random) -> Self {
        let fate = match random.below(16) {
            0 => Fate::Denied,
            1 => Fate::NoRoute,
            2 => Fate::Malformed,
            _ => Fate::Forwarded,
        };
        let forwarded = fate == Fate::Forwarded;
        let old = can.http1 && random.one_in(10);
        let upgrades = can.http1 && !old && can.http1_upstream && forwarded && random.one_in(10);
        let taken = upgrades && can.ends && random.one_in(2);
        let method = if upgrades {
            "GET"
        } else {
            pick(random, &["GET", "GET", "HEAD", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        };
        let framing = if upgrades {
            Framing::Nothing
        } else if old {
            pick(random, &[Framing::Nothing, Framing::Length])
        } else {
            pick(random, &[Framing::Nothing, Framing::Length, Framing::Chunked, Framing::Chunked, Framing::Trailers])
        };
        let length = if framing == Framing::Nothing { 0 } else { length(random) };
        let leaves = match random.below(16) {
            _ if can.is_reset => Leaves::AtAnyMoment,
            0 if can.leaves => Leaves::InTheRequest,
            1 if can.ends && forwarded => Leaves::InTheAnswer,
            _ => Leaves::Never,
        };
        let mut answer = Answer {
            interim: if random.one_in(6) { 1 + random.below(3) } else { 0 },
            early: length > 0 && random.one_in(6),
            status: pick(random, &[200, 200, 200, 200, 201, 204, 304, 403, 404, 500]),
            framing: pick(
                random,
                &[Framing::Length, Framing::Length, Framing::Chunked, Framing::Trailers, Framing::Close],
            ),
            length: self::length(random),
            breaks_off: forwarded && can.ends && random.one_in(12),
            resets: can.http1_upstream && random.one_in(2),
            says_more: can.http1_upstream && random.one_in(16),
            unsound: can.http1_upstream && can.ends && random.one_in(20),
        };
        if taken {
            answer.status = 101;
            answer.unsound = false;
        }
        if taken || answer.unsound {
            (answer.breaks_off, answer.says_more) = (false, false);
        }
        let mut plan = Self {
            number,
            fate,
            method: method.to_owned(),
            old,
            framing,
            length,
            expects: can.http1 && !old && can.leaves && length > 0 && random.one_in(6),
            upgrades,
            leaves,
            answer,
        };
        if !plan.answer_has_body() {
            plan.answer.breaks_off = false;
            if plan.answer.framing == Framing::Close {
                plan.answer.framing = Framing::Length;
            }
        }
        if plan.answer.breaks_off || plan.answer.framing == Framing::Close {
            plan.answer.says_more = false;
        }
        plan.answer.resets &= plan.answer.breaks_off;
        plan
    }

    /// Whether the answer's body is of any length.
    pub fn answer_has_body(&self) -> bool {
        self.method != "HEAD" && !matches!(self.answer.status, 101 | 204 | 304)
    }

    /// Whether the gate may send it again: an idempotent request whose connection, used before, was reset before it was answered.
    pub fn may_be_sent_again(&self) -> bool {
        self.answer.resets && matches!(&*self.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
    }

    /// The path that has this fate.
    pub fn path(&self) -> String {
        let folder = match self.fate {
            Fate::Forwarded | Fate::Malformed => "public",
            Fate::Denied => "secret",
            Fate::NoRoute => "nowhere",
        };
        format!("/{folder}/{}", self.number)
    }

    /// The headers of the request besides those that frame it.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers =
            vec![("wcp-correlation-id", correlation(self.number)), (HEADER, serde_json::to_string(self).unwrap())];
        if self.fate == Fate::Malformed {
            headers.push(("x-rewrite-url", "/public/smuggled".to_owned()));
        }
        headers
    }

    /// The body of the request.
    pub fn body(&self) -> Vec<u8> {
        text(self.number, self.length)
    }

    /// The body of the answer, as the caller must get it.
    pub fn answer_body(&self) -> Vec<u8> {
        text(self.number, if self.answer_has_body() { self.answer.length } else { 0 })
    }

    /// What is wrong with an answer's head, if anything is.
    pub fn wrong(&self, status: u16, exchange: Option<&str>) -> Option<String> {
        let (expected, whose) = match self.fate {
            Fate::Forwarded if self.answer.unsound => (502, None),
            Fate::Forwarded => (self.answer.status, Some(self.number.to_string())),
            Fate::Denied => (403, None),
            Fate::NoRoute => (404, None),
            Fate::Malformed => (400, None),
        };
        // An answer that broke off in its head is none.
        let undelivered = self.answer.breaks_off && status == 502;
        let right = (status, exchange) == (expected, whose.as_deref()) || undelivered;
        (!right).then(|| format!("the answer to {self:?} is {status} of exchange {exchange:?}"))
    }
}

/// What ties an exchange to its entry.
pub fn correlation(number: u64) -> String {
    format!("exchange-{number}")
}

/// A body: whatever is taken for the beginning of a message instead is a whole one, and says so.
pub fn text(number: u64, length: usize) -> Vec<u8> {
    let unit = format!(
        "\r\n0\r\n\r\nPOST /public/smuggled?{number} HTTP/1.1\r\nHost: gate.example\r\nContent-Length: 4\r\n\r\n0\r\n\r\n\
         HTTP/1.1 200 OK\r\n{EXCHANGE}: smuggled\r\nContent-Length: 2\r\n\r\nno"
    );
    unit.bytes().cycle().skip(usize::try_from(number % 7).unwrap()).take(length).collect()
}

fn length(random: &mut Random) -> usize {
    let most = pick(random, &[1, 12, 300, 300, 5_000, 70_000]);
    usize::try_from(random.below(most)).unwrap()
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.below(of.len() as u64)).unwrap()]
}
