//! Risk as a decision sees it: a score with a level, and reasons that add up to it.

use std::fmt;

/// 0 none, 1 low, 2 medium, 3 high, 4 critical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    #[default]
    None,
    Low,
    Medium,
    High,
    Critical,
}

impl RiskLevel {
    /// The bands of the score: below 10 none, from 10 low, from 30 medium, from 60 high, from 85 critical.
    pub const fn of_score(score: u8) -> Self {
        match score {
            0..10 => Self::None,
            10..30 => Self::Low,
            30..60 => Self::Medium,
            60..85 => Self::High,
            _ => Self::Critical,
        }
    }

    pub const fn number(self) -> u8 {
        self as u8
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One signal's share of the score.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskReason {
    /// The kind of the signal, for example `new_network`.
    pub kind: String,
    /// By how much the score would fall without it.
    pub points: u8,
    /// A sentence for people: what was observed, by whom, since when.
    pub text: String,
}

/// Facts that are not a matter of degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskFlags {
    pub session_revoked: bool,
    pub token_revoked: bool,
    pub account_disabled: bool,
    pub device_lost: bool,
}

/// The risk of one request at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Risk {
    /// 0 to 100.
    pub score: u8,
    pub level: RiskLevel,
    /// 0 to 100: how much data stands behind the score; says nothing about its height.
    pub confidence: u8,
    /// The largest first.
    pub reasons: Vec<RiskReason>,
    /// The signals are older than `max_staleness`, so the level is at least medium.
    pub stale: bool,
    /// No baseline yet for this principal.
    pub learning: bool,
    pub flags: RiskFlags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_bands() {
        let at = |score| RiskLevel::of_score(score).number();
        assert_eq!([at(0), at(9), at(10), at(29), at(30), at(59)], [0, 0, 1, 1, 2, 2]);
        assert_eq!([at(60), at(84), at(85), at(100)], [3, 3, 4, 4]);
    }
}
