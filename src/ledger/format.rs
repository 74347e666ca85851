//! What is stored: canonical entries, the chains and the tree over them, signed notes, and the files that hold them.

pub(crate) mod approval;
pub(crate) mod asked;
pub(crate) mod canonical;
pub(crate) mod chain;
pub(crate) mod checkpoint;
pub(crate) mod entry;
pub(crate) mod frame;
pub(crate) mod ids;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod pruned;
pub(crate) mod record;
pub(crate) mod recovered;
pub(crate) mod segment;
pub(crate) mod stamp;
pub(crate) mod status;
pub(crate) mod tree;
