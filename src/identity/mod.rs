//! Credential -> principal.
