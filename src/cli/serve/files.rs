//! Open files: connections are some, and whoever opens too many must not keep the ledger from opening one.

use rustix::process::{Resource, getrlimit};

use crate::connections::ConnectionLimits;

/// Files that are not connections: segments, tiles, certificates, names that are looked up.
const OTHERS: u64 = 256;
/// The fewest connections of a door.
const FEWEST: usize = 16;

/// Lowers the connections of both doors until they fit into what the process may open: one through the gate has an upstream's, too, and
/// some more wait for a place.
pub fn fit(gate: Option<&mut ConnectionLimits>, hall: Option<&mut ConnectionLimits>) {
    fit_into(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), gate, hall);
}

fn fit_into(files: u64, gate: Option<&mut ConnectionLimits>, hall: Option<&mut ConnectionLimits>) {
    let of_gate = gate.as_ref().map_or(0, |most| most.in_all);
    let of_hall = hall.as_ref().map_or(0, |most| most.in_all);
    let waiting = gate.iter().chain(&hall).map(|most| most.waiting()).sum::<usize>();
    let wanted = u64::try_from(2 * of_gate + of_hall + waiting).unwrap_or(u64::MAX);
    let left = files.saturating_sub(OTHERS);
    if wanted <= left {
        return;
    }
    let share = |count: usize| {
        let share = u128::try_from(count).unwrap_or(u128::MAX) * u128::from(left) / u128::from(wanted.max(1));
        usize::try_from(share).unwrap_or(usize::MAX).max(FEWEST)
    };
    for most in gate.into_iter().chain(hall) {
        most.in_all = share(most.in_all);
        most.per_network = most.per_network.min(most.in_all.div_ceil(2));
        most.unknown = most.unknown.min(most.in_all.div_ceil(2));
    }
    tracing::warn!(
        files,
        wanted = wanted + OTHERS,
        "there are fewer connections than configured: raise the limit of open files (LimitNOFILE, ulimit -n)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_ledger() {
        let usual = |in_all| ConnectionLimits { in_all, per_network: in_all / 2, unknown: 512 };
        let (mut gate, mut hall) = (usual(8192), usual(4096));
        fit_into(1 << 20, Some(&mut gate), Some(&mut hall));
        assert_eq!((gate, hall), (usual(8192), usual(4096)));
        fit_into(1024, Some(&mut gate), Some(&mut hall));
        assert!(
            2 * gate.in_all + hall.in_all + gate.waiting() + hall.waiting() <= 768
                && gate.in_all > 180
                && hall.in_all > 90,
            "{gate:?} {hall:?}"
        );
        assert!(gate.per_network <= gate.in_all && gate.unknown < gate.in_all && hall.unknown < hall.in_all);
        let mut hall = usual(4096);
        fit_into(0, None, Some(&mut hall));
        assert_eq!(hall.in_all, FEWEST);
    }
}
