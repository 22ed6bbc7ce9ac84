//! A rhythm that ends when the server stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Runs something again and again, never twice at once.
pub struct Ticker {
    every: Duration,
    stopping: watch::Receiver<bool>,
}

impl Ticker {
    /// A rhythm that ends when `stopping` says so or its sender is gone.
    pub const fn new(every: Duration, stopping: watch::Receiver<bool>) -> Self {
        Self { every, stopping }
    }

    /// Runs `work` at once and then at every beat. A run that takes longer delays the next one. A stop waits for the run that
    /// has begun.
    pub async fn run(mut self, mut work: impl AsyncFnMut()) {
        let mut beats = interval(self.every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return,
                _ = beats.tick() => work().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn it_beats_until_it_is_stopped() {
        let (stop, stopping) = watch::channel(false);
        let beats = Cell::new(0);
        Ticker::new(Duration::from_millis(1), stopping)
            .run(async || {
                beats.set(beats.get() + 1);
                if beats.get() == 3 {
                    stop.send(true).unwrap();
                }
            })
            .await;
        assert_eq!(beats.get(), 3);
    }

    #[tokio::test]
    async fn a_stopped_server_starts_nothing() {
        let (_stop, stopping) = watch::channel(true);
        Ticker::new(Duration::from_millis(1), stopping)
            .run(async || unreachable!("it is stopped"))
            .await;
    }
}
