//! The only room that names Cedar.
