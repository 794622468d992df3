//! What the listeners tell of themselves: where they are, whether they speak TLS, and with which certificate.

use std::net::SocketAddr;

use arc_swap::ArcSwap;

use crate::model::Timestamp;

/// How one listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    pub name: &'static str,
    pub address: SocketAddr,
    /// `None`: plaintext.
    pub tls: Option<TlsStatus>,
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// Whether clients show certificates: `none`, `wanted` or `required`.
    pub client_certificates: &'static str,
    /// Of the listener's own certificate, in hexadecimal digits.
    pub certificate_sha256: String,
    /// The names that the certificate is for.
    pub names: Vec<String>,
    pub expires_at: Timestamp,
    /// From when on its expiry is near.
    pub warn_at: Timestamp,
    pub loaded_at: Timestamp,
    /// Why the files, as they are now, are not in force.
    pub refused: Option<String>,
}

impl ListenerStatus {
    /// What is wrong. The old certificate goes on, but somebody has to do something.
    fn problem(&self, now: Timestamp) -> Option<String> {
        let (name, tls) = (self.name, self.tls.as_ref()?);
        if let Some(why) = &tls.refused {
            return Some(format!("listener `{name}`: serving the old certificate: {why}"));
        }
        (now > tls.expires_at)
            .then(|| format!("listener `{name}`: its certificate expired at {}", tls.expires_at))
    }

    /// What will be wrong.
    fn warning(&self, now: Timestamp) -> Option<String> {
        let (name, tls) = (self.name, self.tls.as_ref()?);
        let is_near = now >= tls.warn_at && now <= tls.expires_at;
        is_near.then(|| format!("listener `{name}`: its certificate expires at {}; renew it", tls.expires_at))
    }
}

/// Where listeners put it up, and the status and the health report read it.
#[derive(Default)]
pub struct ListenerBoard {
    listeners: ArcSwap<Vec<ListenerStatus>>,
}

impl ListenerBoard {
    /// Puts up a listener, in place of what it said before.
    pub fn report(&self, listener: &ListenerStatus) {
        self.listeners.rcu(|listeners| {
            let mut listeners = Vec::clone(listeners);
            listeners.retain(|known| known.name != listener.name);
            listeners.push(listener.clone());
            listeners
        });
    }

    /// Puts up the TLS of a listener that is there.
    pub fn report_tls(&self, name: &str, tls: TlsStatus) {
        let known = self.all().into_iter().find(|listener| listener.name == name);
        if let Some(listener) = known {
            self.report(&ListenerStatus { tls: Some(tls), ..listener });
        }
    }

    /// In the order of their names.
    pub fn all(&self) -> Vec<ListenerStatus> {
        let mut all = Vec::clone(&self.listeners.load());
        all.sort_by_key(|listener| listener.name);
        all
    }

    /// What is wrong with them, a sentence each.
    pub fn problems(&self, now: Timestamp) -> Vec<String> {
        self.listeners.load().iter().filter_map(|listener| listener.problem(now)).collect()
    }

    /// What will be wrong with them, a sentence each.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        self.listeners.load().iter().filter_map(|listener| listener.warning(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(refused: Option<&str>) -> ListenerStatus {
        let tls = TlsStatus {
            client_certificates: "none",
            certificate_sha256: String::new(),
            names: Vec::new(),
            expires_at: Timestamp::from_seconds(100),
            warn_at: Timestamp::from_seconds(50),
            loaded_at: Timestamp::from_seconds(1),
            refused: refused.map(str::to_owned),
        };
        ListenerStatus { name: "decisions", address: "127.0.0.1:1".parse().unwrap(), tls: Some(tls) }
    }

    #[test]
    fn expiry_is_a_warning_first_and_a_problem_when_it_is_there() {
        let board = ListenerBoard::default();
        board.report(&listener(None));
        let told = |seconds| {
            let now = Timestamp::from_seconds(seconds);
            (board.problems(now).len(), board.warnings(now).len())
        };
        assert_eq!([told(49), told(50), told(100), told(101)], [(0, 0), (0, 1), (0, 1), (1, 0)]);
    }

    #[test]
    fn a_refused_reading_is_a_problem_until_one_is_taken_up() {
        let board = ListenerBoard::default();
        board.report(&listener(Some("key.pem is empty")));
        let now = Timestamp::from_seconds(1);
        assert!(board.problems(now)[0].contains("serving the old certificate: key.pem is empty"));
        board.report_tls("decisions", listener(None).tls.unwrap());
        assert_eq!((board.problems(now), board.all().len()), (Vec::new(), 1));
        board.report_tls("nobody", listener(None).tls.unwrap());
        assert_eq!(board.all().len(), 1);
    }
}
