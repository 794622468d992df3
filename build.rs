//! Compiles `proto/` to Rust with protox, so that nobody has to install `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const PROTOS: [&str; 8] = [
    "deodar/decision/v1/decision.proto",
    "deodar/manage/v1/clients.proto",
    "deodar/manage/v1/decisions.proto",
    "deodar/manage/v1/principals.proto",
    "deodar/manage/v1/revocations.proto",
    "deodar/manage/v1/risk.proto",
    "deodar/manage/v1/signals.proto",
    "deodar/manage/v1/system.proto",
];

#[expect(clippy::disallowed_methods, reason = "a build script is told where to write by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("deodar.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
