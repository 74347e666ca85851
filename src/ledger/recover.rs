//! Opening: from the files to the state in which the writer goes on.

pub(crate) mod boot;
pub(crate) mod gap;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod state;
