//! The fuzz targets without a fuzzer: every seed is judged by the code that fuzzing judges with, and so are some thousand
//! mutations of them, the same each time.

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use fuzz::Verdict;
use fuzz::mutation::mutate;
use fuzz::random::Random;
use fuzz::seeds::{TARGETS, Target};

const MUTATIONS: u32 = 1_500;
const LONGEST: usize = 8_192;

fn folder(target: &Target) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "seeds", target.name].iter().collect()
}

/// What is kept, by name.
fn kept(target: &Target) -> BTreeMap<String, String> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    };
    fs::read_dir(folder(target)).unwrap().map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn every_seed_is_judged_as_its_name_says() {
    for target in &TARGETS {
        for (name, text) in kept(target) {
            let wanted = if name.starts_with("good-") { Verdict::Accepted } else { Verdict::Refused };
            assert_eq!((target.judge)(text.as_bytes()), wanted, "{}/{name}", target.name);
        }
    }
}

#[test]
fn the_seeds_are_those_that_the_generator_makes() {
    for target in &TARGETS {
        let made = BTreeMap::from_iter((target.seeds)());
        assert_eq!(
            kept(target),
            made,
            "write them anew: cargo test --test it fuzzing::write_the_seeds -- --ignored"
        );
    }
}

#[test]
#[ignore = "writes into the repository"]
fn write_the_seeds() {
    for target in &TARGETS {
        let folder = folder(target);
        fs::remove_dir_all(&folder).or_else(|_| fs::create_dir_all(&folder)).unwrap();
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in (target.seeds)() {
            fs::write(folder.join(name), text).unwrap();
        }
    }
}

/// What libFuzzer does to bytes, in small: one of them becomes another, or they end there.
fn bytewise(data: &mut [u8], size: usize, random: &mut Random) -> usize {
    let Some(at) = size.checked_sub(1).map(|last| random.below(last + 1)) else { return 0 };
    data[at] = random.next().to_le_bytes()[0];
    if random.below(8) == 0 { at } else { size }
}

/// Enough of the mutations are accepted, and enough refused, that both ways are walked.
#[test]
fn mutations_of_the_seeds_are_judged_right() {
    for target in &TARGETS {
        let (mut random, mut bytes) = (Random::new(7), Random::new(8));
        let mut inputs: Vec<Vec<u8>> = (target.seeds)().into_iter().map(|(_, text)| text.into()).collect();
        let (mut accepted, mut refused) = (0, 0);
        for turn in 0..MUTATIONS {
            let mut data = random.one_of(&inputs).clone();
            let size = data.len();
            data.resize(LONGEST, 0);
            let size =
                mutate(&mut data, size, LONGEST, turn, |data, size, _| bytewise(data, size, &mut bytes));
            data.truncate(size);
            match (target.judge)(&data) {
                // What is still accepted is worth changing further.
                Verdict::Accepted => {
                    accepted += 1;
                    inputs.push(data);
                }
                Verdict::Refused => refused += 1,
            }
        }
        let few = MUTATIONS / 20;
        assert!(accepted > few && refused > few, "{}: {accepted} accepted, {refused} refused", target.name);
    }
}

/// A target that runs nowhere would not be missed.
#[test]
fn every_target_has_its_program_and_its_seeds() {
    let names = |folder: &str, end: &str| -> BTreeSet<String> {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", folder].iter().collect();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let all = fs::read_dir(path).unwrap().map(|entry| name(entry.unwrap()));
        all.map(|name| name.trim_end_matches(end).to_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("fuzz_targets", ".rs"), targets);
    assert_eq!(names("seeds", ""), targets);
}
