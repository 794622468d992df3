//! What the demo needs on disk: the shipped policies, the sample API, a configuration that ties them together.

use std::fs;
use std::path::{Path, PathBuf};

use crate::app::unpack_policies;

const CONFIGURATION: &str = r#"# The configuration of the demo. Start a server on it with: deodar serve --config <this file>
development = true # issues tokens itself, listens on loopback only
data_dir = "."

[policy.domains.default]
directories = ["policies/zero-trust", "policies/demo"] # edit a file: the server follows

[[inventory.apis]]
id = "orders"
openapi = "policies/demo/orders.openapi.yaml"
hosts = ["orders.example.com"]

[[inventory.apis]]
id = "accounts"
openapi = "policies/demo/accounts.openapi.yaml"
hosts = ["accounts.example.com"]
"#;

/// Writes what is missing and returns the configuration file. What is there already may have been edited, and stays.
pub fn unpack(folder: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    // Keys and records will lie here.
    restrict(folder)?;
    for set in ["zero-trust", "demo"] {
        unpack_policies(set, &folder.join("policies").join(set))?;
    }
    let file = folder.join("deodar.toml");
    if !file.exists() {
        fs::write(&file, CONFIGURATION)?;
    }
    file.canonicalize()
}

fn restrict(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
