//! How often, and after which pauses, a statement is sent again that a lock stopped.

use std::time::Duration;

/// How often a statement is sent in all when locks are in its way.
const ATTEMPTS: u32 = 5;
/// The pause after the first attempt; it doubles, and a random part is added.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Pauses between attempts: bounded, doubling, with a random part so that two readers do not keep step.
#[derive(Debug)]
pub(in crate::source::sqlserver) struct Pauses {
    taken: u32,
    first: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { taken: 0, first: FIRST_PAUSE }
    }
}

impl Pauses {
    /// Waits and says `true`, or says `false` at once when the attempts are used up.
    pub(in crate::source::sqlserver) async fn wait(&mut self) -> bool {
        self.taken += 1;
        if self.taken >= ATTEMPTS {
            return false;
        }
        let pause = self.first * 2_u32.pow(self.taken - 1);
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_bounded() {
        let mut pauses = Pauses { taken: 0, first: Duration::from_millis(1) };
        let mut waited = 0;
        while pauses.wait().await {
            waited += 1;
        }
        assert_eq!(waited, 4);
    }
}
