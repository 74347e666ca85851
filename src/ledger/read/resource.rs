//! The names under which the log is served: `checkpoint`, `tile/<L>/<N>`, `tile/entries/<N>`, each tile also `.p/<W>`.

use crate::ledger::format::tree::{HEIGHT, WIDTH};

/// Something that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogResource {
    /// The newest signed head.
    Checkpoint,
    /// The hashes of a tile.
    Tile {
        /// The level, from 0.
        level: u8,
        /// The tile's number in its level.
        number: u64,
        /// How many of its hashes.
        width: usize,
    },
    /// The entries under a tile of level 0.
    Entries {
        /// The tile's number.
        number: u64,
        /// How many of its entries.
        width: usize,
    },
}

impl LogResource {
    /// Reads a path as C2SP tlog-tiles writes it, and no other way.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, usize::from(u8::try_from(decimal(width)?).ok().filter(|w| *w > 0)?)),
            None => (rest, WIDTH),
        };
        let number = tile_number(number)?;
        if level == "entries" {
            return Some(Self::Entries { number, width });
        }
        let level = u8::try_from(decimal(level)?).ok().filter(|level| *level <= 63)?;
        Some(Self::Tile { level, number, width })
    }
}

/// A decimal number without leading zeroes.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// A number in groups of three digits, all but the last behind an `x`, the first not zero if it is not the only one.
fn tile_number(text: &str) -> Option<u64> {
    let mut number = 0_u64;
    let groups = text.matches('/').count();
    for (n, group) in text.split('/').enumerate() {
        let digits = if n < groups { group.strip_prefix('x')? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) || (n == 0 && groups > 0 && digits == "000")
        {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // So that the number of its last hash is one, too.
    (number < 1 << (64 - HEIGHT)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        let tile = |level, number, width| Some(LogResource::Tile { level, number, width });
        assert_eq!(LogResource::parse("checkpoint"), Some(LogResource::Checkpoint));
        assert_eq!(LogResource::parse("tile/0/000"), tile(0, 0, 256));
        assert_eq!(LogResource::parse("tile/63/x001/x234/067"), tile(63, 1_234_067, 256));
        assert_eq!(LogResource::parse("tile/1/x001/234.p/17"), tile(1, 1234, 17));
        assert_eq!(LogResource::parse("tile/entries/007.p/255"), Some(LogResource::Entries { number: 7, width: 255 }));
        for other in [
            "",
            "Checkpoint",
            "checkpoint/",
            "/checkpoint",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/X001/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/2",
            "tile/0/000/",
            "tile/data/000",
            "tile/0/../checkpoint",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/0/00a",
        ] {
            assert_eq!(LogResource::parse(other), None, "{other}");
        }
    }
}
