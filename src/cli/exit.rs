//! How a command ended, as the shell sees it.

use std::process::ExitCode;

/// The exit codes. A command line that cannot be parsed ends with 2, by clap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `check`: the effect is allow.
    Success,
    /// An error, or something that was examined and found wrong.
    Failure,
    /// For `check`: the effect is deny, enforced or not.
    Denied,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Denied => 3,
        }
    }

    /// For commands that examine something.
    pub const fn success_if(fine: bool) -> Self {
        if fine { Self::Success } else { Self::Failure }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_the_help_promises() {
        assert_eq!([Exit::Success, Exit::Failure, Exit::Denied].map(Exit::code), [0, 1, 3]);
        assert_eq!(Exit::success_if(false), Exit::Failure);
    }
}
