//! One page of a list (AIP-158).

/// What a lister asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at most; already coerced into 1..=1000 at the edge.
    pub size: u32,
    /// Where the last page ended: the store's own cursor, opaque to everyone else.
    pub after: Option<String>,
}

impl PageRequest {
    pub const DEFAULT_SIZE: u32 = 50;
    pub const MAX_SIZE: u32 = 1_000;

    /// The first page of the given size: zero means the default, anything above the maximum is coerced down.
    pub fn first(size: u32) -> Self {
        let size = if size == 0 { Self::DEFAULT_SIZE } else { size.min(Self::MAX_SIZE) };
        Self { size, after: None }
    }
}

/// Some items, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page only.
    pub next: Option<String>,
}
