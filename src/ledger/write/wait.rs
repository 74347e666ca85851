//! Waiting on a thread that no runtime runs, or that blocks one all the same.
//!
//! No thread is begun for it: where there can be none, an entry would be written and whoever brings about what it says would panic.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread for what a future gives. The future must need no runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(given) = future.as_mut().poll(&mut context) {
            return given;
        }
        thread::park();
    }
}
