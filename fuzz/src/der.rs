//! DER, read and written with nothing of the product's: to make certificates, to change them inside, and to look at what was
//! accepted a second time.

use super::random::Random;

/// One value and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With its tag and length.
    pub whole: &'a [u8],
    pub rest: &'a [u8],
}

/// The first value; `None` where there is none, or not all of it.
pub fn split(bytes: &[u8]) -> Option<Split<'_>> {
    let [tag, first, after @ ..] = bytes else { return None };
    let (length, head) = match usize::from(*first) {
        short @ 0..=0x7f => (short, 2),
        // More than two bytes of length are more than an input has.
        long @ 0x81..=0x82 => {
            let bytes = after.get(..long & 0x7f)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + bytes.len())
        }
        _ => return None,
    };
    let content = bytes.get(head..)?.get(..length)?;
    let (whole, rest) = bytes.split_at(head + length);
    Some(Split { tag: *tag, content, whole, rest })
}

/// The values that follow one another, to the last byte.
pub fn each(mut bytes: &[u8]) -> Option<Vec<Split<'_>>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let next = split(bytes)?;
        bytes = next.rest;
        all.push(next);
    }
    Some(all)
}

pub fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    value(0x30, &parts.concat())
}

/// A value with those inside it, so that one of them can change and the lengths around it stay right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    tag: u8,
    inside: Inside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inside {
    Bytes(Vec<u8>),
    Values(Vec<Tree>),
}

impl Tree {
    /// Exactly one value.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let one = split(bytes).filter(|one| one.rest.is_empty())?;
        let within =
            || each(one.content)?.iter().map(|one| Self::read(one.whole)).collect::<Option<Vec<_>>>();
        // Extensions hold their value in an octet string.
        let values = if one.tag & 0x20 != 0 {
            within()
        } else {
            within().filter(|values| one.tag == 0x04 && values.len() == 1)
        };
        let inside = values.map_or_else(|| Inside::Bytes(one.content.to_vec()), Inside::Values);
        Some(Self { tag: one.tag, inside })
    }

    pub fn write(&self) -> Vec<u8> {
        match &self.inside {
            Inside::Bytes(bytes) => value(self.tag, bytes),
            Inside::Values(values) => {
                value(self.tag, &values.iter().flat_map(Self::write).collect::<Vec<u8>>())
            }
        }
    }

    fn count(&self) -> usize {
        match &self.inside {
            Inside::Bytes(_) => 1,
            Inside::Values(values) => 1 + values.iter().map(Self::count).sum::<usize>(),
        }
    }

    fn nth(&mut self, number: &mut usize) -> Option<&mut Self> {
        if *number == 0 {
            return Some(self);
        }
        *number -= 1;
        let Inside::Values(values) = &mut self.inside else { return None };
        values.iter_mut().find_map(|value| value.nth(number))
    }

    /// Changes one value somewhere inside; `contents` are those that mean something.
    pub fn change(&mut self, contents: &[Vec<u8>], random: &mut Random) {
        let mut number = random.below(self.count());
        let Some(here) = self.nth(&mut number) else { return };
        match &mut here.inside {
            Inside::Bytes(bytes) => change_bytes(&mut here.tag, bytes, contents, random),
            Inside::Values(values) if values.is_empty() => here.tag ^= 1,
            Inside::Values(values) => change_values(values, random),
        }
    }
}

fn change_bytes(tag: &mut u8, bytes: &mut Vec<u8>, contents: &[Vec<u8>], random: &mut Random) {
    match random.below(8) {
        0 => *tag = random.next().to_le_bytes()[0] & !0x20,
        1..=3 => bytes.clone_from(random.one_of(contents)),
        4 => drop(bytes.pop()),
        5 => bytes.push(random.next().to_le_bytes()[0]),
        _ if bytes.is_empty() => bytes.push(0),
        _ => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    }
}

fn change_values(values: &mut Vec<Tree>, random: &mut Random) {
    let (one, other) = (random.below(values.len()), random.below(values.len()));
    match random.below(4) {
        0 => drop(values.remove(one)),
        1 => values.swap(one, other),
        2 => values.insert(other, values[one].clone()),
        _ => values[other] = values[one].clone(),
    }
}
