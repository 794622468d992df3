//! Events and signals -> score.
