//! The roles and groups that a token gives: read, renamed, bounded, and cut down to what its issuer may assert.
//!
//! A list that is too long, or that is kept elsewhere, refuses the token. Taking the part that is there for the whole would
//! pass by every `forbid` that names a group from the missing part.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::claim_path::ClaimPath;
use super::claims::{names, wrong};
use super::config::{ClaimsConfig, Overage};
use super::grant::Grant;
use super::issuer::Issuer;
use super::refusal::{IdentityRefusal, excerpt};

type Claims = Map<String, Value>;

/// One kind of membership and its rules.
struct Kind<'a> {
    /// For sentences.
    what: &'static str,
    paths: &'a [ClaimPath],
    names: &'a BTreeMap<String, String>,
    grant: &'a Grant,
    max: usize,
}

/// The roles that the issuer may assert; the others are noted.
pub(super) fn roles(
    claims: &Claims,
    issuer: &Issuer,
    dropped: &mut Vec<String>,
) -> Result<BTreeSet<String>, IdentityRefusal> {
    let ClaimsConfig { roles, role_names, client_roles, max_roles, .. } = &issuer.claims;
    let grant = &issuer.may_assert.roles;
    let kind = Kind { what: "role", paths: roles, names: role_names, grant, max: *max_roles };
    let mut found = kind.find(claims, &issuer.claims, dropped)?;
    if let Some(path) = client_roles {
        found.extend(roles_by_client(claims, path)?);
    }
    kind.keep(found, dropped)
}

/// The groups that the issuer may assert; the others are noted.
pub(super) fn groups(
    claims: &Claims,
    issuer: &Issuer,
    dropped: &mut Vec<String>,
) -> Result<BTreeSet<String>, IdentityRefusal> {
    let ClaimsConfig { groups, group_names, max_groups, .. } = &issuer.claims;
    let grant = &issuer.may_assert.groups;
    let kind = Kind { what: "group", paths: groups, names: group_names, grant, max: *max_groups };
    let found = kind.find(claims, &issuer.claims, dropped)?;
    kind.keep(found, dropped)
}

impl Kind<'_> {
    fn find(
        &self,
        claims: &Claims,
        config: &ClaimsConfig,
        dropped: &mut Vec<String>,
    ) -> Result<BTreeSet<String>, IdentityRefusal> {
        if let Some(sign) = self.kept_elsewhere(claims) {
            let detail = format!("the token leaves out its {}s (`{sign}`)", self.what);
            match config.overage {
                // Nothing that the list could hold would count.
                _ if *self.grant == Grant::default() => {}
                Overage::Refuse => return Err(IdentityRefusal::malformed(detail)),
                Overage::Ignore => dropped.push(detail),
            }
        }
        let mut found = BTreeSet::new();
        for path in self.paths {
            found.extend(names(claims, path)?);
        }
        Ok(found)
    }

    /// The sign that a list did not fit into the token: a distributed or aggregated claim (OpenID Connect Core section
    /// 5.6.2), which is how Entra ID tells of too many groups, or its `hasgroups`. We fetch nothing that a token names.
    fn kept_elsewhere(&self, claims: &Claims) -> Option<&'static str> {
        let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
        let ours = |name: &String| self.paths.iter().any(|path| path.first() == name);
        if elsewhere.is_some_and(|names| names.keys().any(ours)) {
            return Some("_claim_names");
        }
        let flagged =
            self.what == "group" && claims.get("hasgroups").is_some_and(|flag| *flag != Value::Bool(false));
        flagged.then_some("hasgroups")
    }

    /// Renames, counts, and keeps what is granted. The grant is about the name that policies see.
    fn keep(
        &self,
        found: BTreeSet<String>,
        dropped: &mut Vec<String>,
    ) -> Result<BTreeSet<String>, IdentityRefusal> {
        if found.len() > self.max {
            let detail = format!("{} {}s; at most {} are read", found.len(), self.what, self.max);
            return Err(IdentityRefusal::malformed(detail));
        }
        let renamed = found.into_iter().map(|name| self.names.get(&name).cloned().unwrap_or(name));
        let (kept, beyond) = renamed.partition::<BTreeSet<_>, _>(|name| self.grant.covers(name));
        let note = |name| format!("{} {} is not granted to this issuer", self.what, excerpt(name));
        dropped.extend(beyond.iter().map(|name| note(name)));
        Ok(kept)
    }
}

/// `{ "<client>": { "roles": [..] } }`, as Keycloak writes it: each role as `<client>:<role>`, because the same word
/// means something else to each client.
fn roles_by_client(claims: &Claims, path: &ClaimPath) -> Result<BTreeSet<String>, IdentityRefusal> {
    let wanted = || wrong(path.as_str(), "an object with an object for each client");
    let Some(clients) = path.find(claims) else { return Ok(BTreeSet::new()) };
    let mut roles = BTreeSet::new();
    for (client, access) in clients.as_object().ok_or_else(wanted)? {
        let access = access.as_object().ok_or_else(wanted)?;
        for role in names(access, &ClaimPath::top_level("roles"))? {
            let joined = Value::from(format!("{client}:{role}"));
            // Read as a name once more, because it is longer than its parts.
            let joined = Map::from_iter([("role".to_owned(), joined)]);
            roles.extend(names(&joined, &ClaimPath::top_level("role"))?);
        }
    }
    Ok(roles)
}
