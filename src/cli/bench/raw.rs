//! Messages of any RPC from a folder: for servers that are not Deodar.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::body::{Body, Expected, Judgement, Message};
use crate::api::dial::Dialer;
use crate::api::load::{self, LoadConnection};
use crate::model::Secret;

/// Reads the folder, and asks each of its questions once: what is not answered as expected is not worth timing.
pub async fn read(
    dialer: &Dialer,
    rpc: &str,
    key: Option<&Secret>,
    folder: &Path,
    seed: u64,
) -> anyhow::Result<Vec<Body>> {
    let bodies = load_folder(folder)?;
    let mut connection = LoadConnection::open(dialer, rpc, key).await?;
    for (name, body) in &bodies {
        let Message::Unary(framed) = &body.message else { continue };
        let answer = connection.call(framed.clone()).await?;
        if body.expected.judge(&answer) != Judgement::Right {
            bail!("the answer to {name} is {}, which is not what was expected", hex::encode(&answer));
        }
    }
    let mut bodies: Vec<Body> = bodies.into_iter().map(|(_, body)| body).collect();
    bodies.shuffle(&mut StdRng::seed_from_u64(seed));
    Ok(bodies)
}

fn load_folder(folder: &Path) -> anyhow::Result<Vec<(String, Body)>> {
    let context = || format!("cannot read {}", folder.display());
    let mut bodies = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let message = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let expected = expected(&path.with_extension("expect"))?;
            let body = Body { message: Message::Unary(load::frame(&message)), expected };
            bodies.push((path.display().to_string(), body));
        }
    }
    if bodies.is_empty() {
        bail!("there is no message (*.bin) in {}", folder.display());
    }
    bodies.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(bodies)
}

fn expected(file: &Path) -> anyhow::Result<Expected> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bytes = hex::decode(text.trim());
    let bytes = bytes.with_context(|| format!("{} does not hold hexadecimal digits", file.display()))?;
    Ok(Expected::Containing(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_comes_with_what_its_answer_contains() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load_folder(folder.path()).is_err(), "an empty folder asks nothing");
        fs::write(folder.path().join("a.bin"), b"question").unwrap();
        assert!(load_folder(folder.path()).is_err(), "nothing is asked without an expectation");
        fs::write(folder.path().join("a.expect"), "1001\n").unwrap();
        let bodies = load_folder(folder.path()).unwrap();
        assert_eq!(bodies[0].1.expected.judge(&[0x10, 0x01]), Judgement::Right);
        fs::write(folder.path().join("a.expect"), "allow").unwrap();
        assert!(load_folder(folder.path()).is_err());
    }
}
