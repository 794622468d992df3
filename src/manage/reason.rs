//! Why somebody did something: text that people read later.

use super::ManageError;

/// The longest reason, in bytes.
const MAX_REASON: usize = 500;

/// The reason goes into a row and to every replica, and people read it: it is short and plain. `wanted` says what is
/// missing when there is none.
pub(super) fn check(why: &str, wanted: &str) -> Result<(), ManageError> {
    if why.trim().is_empty() {
        return Err(ManageError::invalid("reason", wanted));
    }
    if why.len() > MAX_REASON || why.chars().any(char::is_control) {
        let rule = format!("use at most {MAX_REASON} bytes and no control characters");
        return Err(ManageError::invalid("reason", rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_plain_and_not_empty() {
        let check = |why: &str| check(why, "say why");
        assert!(check("the owner confirmed it").is_ok());
        assert!(check(&"x".repeat(MAX_REASON)).is_ok());
        for bad in ["", "  ", "one\ntwo", "\u{1b}[2J", &"x".repeat(MAX_REASON + 1), &"\u{e9}".repeat(251)] {
            let Err(ManageError::Invalid { field, why }) = check(bad) else { panic!("{bad:?} passed") };
            assert_eq!(field, "reason");
            assert!(!why.contains("xxx"), "a long reason is not sent back");
        }
    }
}
