//! The development issuer: mints tokens for the demo, for trying things out and for tests.
//!
//! It is an ordinary issuer with a key of its own, so that a development set-up verifies tokens exactly as production
//! does. Its settings let it assert everything, which is why it belongs in development mode only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::identity::{Algorithm, ClaimPath, IssuerConfig, MayAssert, SigningError, SigningKey};
use crate::model::id::InvalidId;
use crate::model::{Secret, Timestamp, TokenKind};

/// Why there is no development issuer, or no token of it.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    #[error("cannot {action} the development issuer's key `{}`", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the development issuer's key `{}` can be read by others; run `chmod 600` on it", path.display())]
    Exposed { path: PathBuf },
    #[error("the development issuer's key `{}` is damaged; delete it to get a new one", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: SigningError,
    },
    #[error("the development issuer cannot sign")]
    Sign(#[from] SigningError),
    #[error("the development issuer has no valid name")]
    Name(#[from] InvalidId),
}

/// An issuer whose private key is at hand.
#[derive(Debug)]
pub struct DevIssuer {
    key: SigningKey,
}

/// What a token should say.
#[derive(Clone, Debug)]
pub struct MintRequest {
    pub subject: String,
    /// A client acting for itself gets its subject as `client_id` and becomes a workload.
    pub kind: TokenKind,
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    pub tenant: Option<String>,
    pub scopes: Vec<String>,
    pub audience: Vec<String>,
    pub issued_at: Timestamp,
    /// Whole seconds count.
    pub lifetime: Duration,
    /// `sid`.
    pub session: Option<String>,
    pub acr: Option<String>,
    pub auth_time: Option<Timestamp>,
    /// Set last, so that a test can replace any claim.
    pub extra: Map<String, Value>,
}

impl MintRequest {
    /// A token for 15 minutes, for [`DevIssuer::AUDIENCE`], that says who and nothing else.
    pub fn new(kind: TokenKind, subject: impl Into<String>, issued_at: Timestamp) -> Self {
        Self {
            subject: subject.into(),
            kind,
            roles: Vec::new(),
            groups: Vec::new(),
            tenant: None,
            scopes: Vec::new(),
            audience: vec![DevIssuer::AUDIENCE.to_owned()],
            issued_at,
            lifetime: Duration::from_secs(15 * 60),
            session: None,
            acr: None,
            auth_time: None,
            extra: Map::new(),
        }
    }

    /// The claims of RFC 9068, with a `jti` that no other token has.
    fn claims(&self) -> Map<String, Value> {
        let issued_at = self.issued_at.seconds();
        let client_id = match self.kind {
            TokenKind::User => DevIssuer::CLIENT.to_owned(),
            TokenKind::Client | TokenKind::Svid => self.subject.clone(),
        };
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(DevIssuer::ISSUER));
        set("sub", json!(self.subject));
        set("client_id", json!(client_id));
        set("aud", json!(self.audience));
        set("iat", json!(issued_at));
        set("exp", json!(Timestamp::from_seconds(issued_at).plus(self.lifetime).seconds()));
        set("jti", json!(Uuid::new_v4().to_string()));
        for (name, list) in [("roles", &self.roles), ("groups", &self.groups)] {
            if !list.is_empty() {
                set(name, json!(list));
            }
        }
        if !self.scopes.is_empty() {
            set("scope", json!(self.scopes.join(" ")));
        }
        for (name, text) in [("tenant", &self.tenant), ("sid", &self.session), ("acr", &self.acr)] {
            if let Some(text) = text {
                set(name, json!(text));
            }
        }
        if let Some(time) = self.auth_time {
            set("auth_time", json!(time.seconds()));
        }
        claims.extend(self.extra.clone());
        claims
    }
}

impl DevIssuer {
    pub const ALIAS: &str = "dev";
    pub const ISSUER: &str = "urn:deodar:dev";
    /// The audience of its tokens unless another is asked for.
    pub const AUDIENCE: &str = "urn:deodar:dev:api";
    /// The `client_id` of tokens for users.
    pub const CLIENT: &str = "urn:deodar:dev:client";
    const FILE: &str = "dev-issuer.pk8";

    /// With the key kept in this folder; makes both when they are not there. Only the owner may read the file.
    pub fn open(dir: &Path) -> Result<Self, DevIssuerError> {
        if let Some(kept) = Self::find(dir)? {
            return Ok(kept);
        }
        let key = SigningKey::generate(Algorithm::EdDsa)?;
        write_key(dir, &dir.join(Self::FILE), &key.to_pkcs8()?)?;
        Ok(Self { key })
    }

    /// With the key kept in this folder; `None` when there is none.
    pub fn find(dir: &Path) -> Result<Option<Self>, DevIssuerError> {
        match read_key(&dir.join(Self::FILE)) {
            Err(DevIssuerError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(|key| Some(Self { key })),
        }
    }

    /// With a key in memory only: its tokens end with the process.
    pub fn ephemeral() -> Result<Self, DevIssuerError> {
        Ok(Self { key: SigningKey::generate(Algorithm::EdDsa)? })
    }

    /// The settings under which [`Identity`] trusts it: everything may be asserted, the tenant is in `tenant`.
    ///
    /// [`Identity`]: crate::identity::Identity
    pub fn issuer_config(&self) -> Result<IssuerConfig, DevIssuerError> {
        let audiences = vec![Self::AUDIENCE.to_owned()];
        let mut config = IssuerConfig::new(Self::ALIAS.parse()?, Self::ISSUER, audiences);
        config.algorithms = vec![self.key.algorithm()];
        config.jwks = Some(self.key.public_jwks());
        config.claims.tenant = ClaimPath::try_from("tenant".to_owned()).ok();
        config.may_assert = MayAssert::everything();
        Ok(config)
    }

    /// Signs a token of type `at+jwt` (RFC 9068).
    pub fn mint(&self, request: &MintRequest) -> Result<Secret, DevIssuerError> {
        let header = Map::from_iter([("typ".to_owned(), Value::from("at+jwt"))]);
        Ok(Secret::new(self.key.sign(header, &request.claims())?))
    }
}

fn read_key(path: &Path) -> Result<SigningKey, DevIssuerError> {
    let failed = |source| DevIssuerError::File { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    if exposed(&file).map_err(failed)? {
        return Err(DevIssuerError::Exposed { path: path.to_owned() });
    }
    let mut der = Vec::new();
    io::Read::read_to_end(&mut file, &mut der).map_err(failed)?;
    SigningKey::from_pkcs8(Algorithm::EdDsa, &der)
        .map_err(|source| DevIssuerError::Damaged { path: path.to_owned(), source })
}

fn write_key(dir: &Path, path: &Path, der: &[u8]) -> Result<(), DevIssuerError> {
    let failed = |source| DevIssuerError::File { action: "write", path: path.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut file = private_file(path).map_err(failed)?;
    file.write_all(der).and_then(|()| file.sync_all()).map_err(failed)
}

/// Creates the file with its mode in one step, so that it is never readable by others, not even for a moment.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn exposed(file: &File) -> io::Result<bool> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions());
    Ok(mode & 0o077 != 0)
}

#[cfg(not(unix))]
fn exposed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Config, Identity};
    use crate::model::{Credential, PrincipalKind};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn identity(issuer: &DevIssuer) -> Identity {
        let config = Config { issuers: vec![issuer.issuer_config().unwrap()], ..Config::default() };
        Identity::new(&config, Path::new("/")).unwrap()
    }

    #[test]
    fn its_tokens_are_believed_with_everything_they_say() {
        let issuer = DevIssuer::ephemeral().unwrap();
        let mut request = MintRequest::new(TokenKind::User, "alice", NOW);
        request.roles = vec!["clerk".into()];
        request.groups = vec!["staff".into()];
        request.scopes = vec!["orders:read".into(), "orders:write".into()];
        request.tenant = Some("acme".into());
        request.session = Some("s-1".into());
        request.auth_time = Some(NOW);
        request.extra.insert("amr".into(), json!(["pwd"]));
        let token = issuer.mint(&request).unwrap();
        let known = identity(&issuer).examine(&Credential::Bearer(token), NOW).unwrap();
        let (principal, facts) = (&known.principal, known.principal.token.clone().unwrap());
        assert_eq!(principal.id.to_string(), "User::dev/alice");
        assert!(principal.roles.contains("clerk") && principal.groups.contains("staff"));
        assert_eq!((principal.tenant.as_deref(), known.dropped.len()), (Some("acme"), 0));
        assert_eq!((facts.scopes.len(), facts.session_id.as_deref()), (2, Some("s-1")));
        assert_eq!((facts.auth_time, facts.lifetime()), (Some(NOW), Duration::from_secs(900)));
    }

    #[test]
    fn a_client_for_itself_is_a_workload() {
        let issuer = DevIssuer::ephemeral().unwrap();
        let token = issuer.mint(&MintRequest::new(TokenKind::Client, "billing", NOW)).unwrap();
        let principal = identity(&issuer).authenticate(&Credential::Bearer(token), NOW).unwrap();
        assert_eq!(principal.id.kind, PrincipalKind::Workload);
    }

    #[test]
    fn the_key_is_kept_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        let first = DevIssuer::open(&folder).unwrap();
        let token = first.mint(&MintRequest::new(TokenKind::User, "alice", NOW)).unwrap();
        let again = DevIssuer::open(&folder).unwrap();
        assert!(identity(&again).authenticate(&Credential::Bearer(token), NOW).is_ok());
        let file = File::open(folder.join(DevIssuer::FILE)).unwrap();
        assert!(!exposed(&file).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_or_that_is_damaged_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(DevIssuer::FILE);
        fs::write(&path, b"nonsense").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(DevIssuer::open(dir.path()), Err(DevIssuerError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(DevIssuer::open(dir.path()), Err(DevIssuerError::Damaged { .. })));
    }

    #[test]
    fn a_token_of_another_development_issuer_is_not_believed() {
        let (mine, theirs) = (DevIssuer::ephemeral().unwrap(), DevIssuer::ephemeral().unwrap());
        let token = theirs.mint(&MintRequest::new(TokenKind::User, "alice", NOW)).unwrap();
        assert!(identity(&mine).authenticate(&Credential::Bearer(token), NOW).is_err());
    }
}
