//! A trouble that may come a thousand times a second, and is said once a minute.
//!
//! What an outsider can cause must not fill the log: the first time is said at once, later ones are counted and said
//! together. What is said, and how, is left to whoever is in trouble.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is said after something was.
const SILENCE: Duration = Duration::from_secs(60);

/// One kind of trouble.
#[derive(Debug, Default)]
pub struct Complaint {
    said_at: Option<Instant>,
    times: u64,
}

impl Complaint {
    /// Counts one more. When it is time to say so: how often it happened since it was said last.
    pub fn note(&mut self) -> Option<u64> {
        self.times = self.times.saturating_add(1);
        let now = Instant::now();
        if self.said_at.is_some_and(|said_at| now.duration_since(said_at) < SILENCE) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_said_once_a_minute_with_its_count() {
        let mut complaint = Complaint::default();
        assert_eq!(complaint.note(), Some(1));
        assert_eq!([complaint.note(), complaint.note()], [None, None]);
        tokio::time::advance(SILENCE).await;
        assert_eq!(complaint.note(), Some(3));
        assert_eq!(complaint.note(), None);
    }
}
