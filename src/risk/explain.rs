//! A score with its arithmetic: every signal about a call's subjects, and what each does to the score.

use std::sync::Arc;

use super::signal::Family;
use crate::model::{Risk, Signal};

/// A risk, and everything it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    pub risk: Risk,
    /// How far the signals lift the log-odds above those of an unknown caller.
    pub above_base: f64,
    /// Every signal held about the subjects, the largest share first; those that do not count as well.
    pub contributions: Vec<Contribution>,
}

/// What one signal does to the score.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    pub signal: Arc<Signal>,
    pub family: Family,
    /// Its weight now, in log-odds, before its family is fused and halved for what others share.
    pub weight: f64,
    /// By how much the score would fall without its kind.
    pub points: u8,
    pub standing: Standing,
}

/// Whether a signal counts, and if not, why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Counts,
    /// Another signal of the same kind is stronger.
    Weaker,
    /// The reporter has said something newer on the same topic.
    Superseded,
    Faded,
    /// A hard fact: a flag without points.
    Fact,
}

impl Standing {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Weaker => "weaker",
            Self::Superseded => "superseded",
            Self::Faded => "faded",
            Self::Fact => "fact",
        }
    }
}
