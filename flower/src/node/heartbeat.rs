//! Heartbeats, in the background, so that a training that takes an hour does not look like a node that
//! died.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::messages::{HeartbeatReply, HeartbeatRequest, Node};
use crate::transport::{Failure, SMALL, Transport};

/// Sends heartbeats until it is dropped.
pub(super) struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// For the node of that `number`; sets `forgotten` once the SuperLink does not know it.
    pub(super) fn start(
        transport: &Transport,
        interval: Duration,
        number: Arc<AtomicU64>,
        forgotten: Arc<AtomicBool>,
    ) -> Self {
        let (stop, stopped) = channel();
        let transport = transport.clone();
        // Early enough that one which is late still counts.
        let pause = interval.mul_f64(0.8);
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let node = Some(Node { node_id: number.load(Ordering::Relaxed) });
                let beat = HeartbeatRequest { node, heartbeat_interval: interval.as_secs_f64() };
                match transport.call::<_, HeartbeatReply>("send-node-heartbeat", &beat, SMALL) {
                    Ok(HeartbeatReply { success: false }) | Err(Failure::Unknown) => {
                        forgotten.store(true, Ordering::Relaxed);
                    }
                    // The main loop meets the same, and tells.
                    Ok(_) | Err(_) => {}
                }
            }
        });
        Heartbeat { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked if that fails, and there is nobody to tell any more.
            let _ = thread.join();
        }
    }
}
