//! How often somebody called lately: the numbers behind `context.rate`.
//!
//! They are one replica's view, the call under decision included, and they count refused calls like allowed ones:
//! who tries is calling. How they are counted, and how exact they are, is `risk`'s.

/// The calls of one subject in the three windows that end now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub last_second: u32,
    pub last_minute: u32,
    pub last_hour: u32,
}

/// The rates that belong to one call. What a call does not have (nobody proved who they are, no address is known)
/// has a rate of zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// All calls of the principal.
    pub principal: Rate,
    /// The principal's calls of this endpoint.
    pub principal_endpoint: Rate,
    /// All calls from the client's network, its /24 or /48.
    pub network: Rate,
}
