//! What else waits that is like an approval, and how what would run differs: an approver is shown what is new.

use super::NotDecided;
use crate::approvals::{Approval, Contents, ContentsDifference};
use crate::hall::Hall;

/// The most others that one is compared with, the newest first.
const OTHERS: usize = 5;

/// What else waits of the same worker and capability.
#[derive(Debug, Default)]
pub struct SimilarApprovals {
    /// How many.
    pub count: usize,
    /// The newest of which somebody may see what would run, with how that differs.
    pub compared: Vec<(Approval, ContentsDifference)>,
}

impl Hall {
    /// What is like an approval whose contents are these, among what whoever looks may know of; it is compared with those of which they see
    /// what would run, too.
    ///
    /// # Errors
    /// What would run of them cannot be read now.
    pub async fn similar_approvals(
        &self,
        approval: &Approval,
        contents: &Contents,
        knows: impl Fn(&Approval) -> bool,
        sees: impl Fn(&Approval) -> bool,
    ) -> Result<SimilarApprovals, NotDecided> {
        let approvals = self.approvals.get().ok_or(NotDecided::Nobody)?;
        let mut others = approvals.book.open();
        others.retain(|other| approval.is_like(other) && knows(other));
        let mut similar = SimilarApprovals { count: others.len(), compared: Vec::new() };
        others.retain(sees);
        for other in others.into_iter().rev().take(OTHERS) {
            let there = approvals.store.show(other.id).await.map_err(|_| NotDecided::StoreDown)?;
            let difference = there.and_then(|there| ContentsDifference::between(contents, &there));
            similar.compared.extend(difference.map(|difference| (other, difference)));
        }
        Ok(similar)
    }
}
