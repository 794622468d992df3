//! Lists come in pages: one page, or all of them.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::output;
use crate::api::client::ClientError;

/// Flags of every list.
#[derive(Clone, Debug, Default, Args)]
pub struct Paging {
    /// Items on a page, at most 1,000 [default: 50, with --all 1,000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    page_size: Option<i32>,
    /// Where to go on: `next_page_token` of the page before, with the same filters.
    #[arg(long, value_name = "TOKEN")]
    page_token: Option<String>,
    /// Every page, not only one.
    #[arg(long)]
    all: bool,
}

/// A list as it is printed.
#[derive(Debug, Serialize)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Empty: this is the end.
    pub next_page_token: String,
}

impl Paging {
    /// Fetches what was asked for. `fetch` takes a page size and a page token.
    pub async fn fetch<T>(
        &self,
        fetch: impl AsyncFn(i32, String) -> Result<(Vec<T>, String), ClientError>,
    ) -> anyhow::Result<Listed<T>> {
        let size = self.page_size.unwrap_or(if self.all { 1_000 } else { 0 });
        let mut token = self.page_token.clone().unwrap_or_default();
        let mut items = Vec::new();
        loop {
            let (page, next) = fetch(size, token.clone()).await?;
            items.extend(page);
            if next.is_empty() || !self.all {
                return Ok(Listed { items, next_page_token: next });
            }
            if next == token {
                bail!("the server returned the same page token twice; the list would never end");
            }
            token = next;
        }
    }
}

impl<T> Listed<T> {
    /// The same list with each item as it is shown.
    pub fn map<U>(self, view: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(view).collect(), next_page_token: self.next_page_token }
    }

    /// The rows as a table; beside it, how to go on.
    pub fn table<const N: usize>(&self, heading: [&str; N], row: impl Fn(&T) -> [String; N]) -> String {
        if !self.next_page_token.is_empty() {
            output::note(&format!("there is more: add --page-token {} or --all", self.next_page_token));
        }
        output::table(heading, self.items.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn three_pages(_size: i32, token: String) -> Result<(Vec<u8>, String), ClientError> {
        Ok(match token.as_str() {
            "" => (vec![1], "a".to_owned()),
            "a" => (vec![2], "b".to_owned()),
            _ => (vec![3], String::new()),
        })
    }

    #[tokio::test]
    async fn one_page_or_all_of_them() {
        let one = Paging::default().fetch(three_pages).await.unwrap();
        assert_eq!((one.items, one.next_page_token.as_str()), (vec![1], "a"));
        let all = Paging { all: true, ..Paging::default() }.fetch(three_pages).await.unwrap();
        assert_eq!((all.items, all.next_page_token.as_str()), (vec![1, 2, 3], ""));
    }

    #[tokio::test]
    async fn a_list_that_never_ends_is_an_error() {
        let same = async |_: i32, _: String| Ok((vec![1], "again".to_owned()));
        let all = Paging { all: true, ..Paging::default() };
        assert!(all.fetch(same).await.unwrap_err().to_string().contains("never end"));
    }
}
