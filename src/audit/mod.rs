//! Every decision leaves a record.
