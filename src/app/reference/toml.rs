//! The reference as a configuration file to start from.
//!
//! Settings are commented out without a space (`#key = value`), so that a file made from it keeps to the defaults of
//! the version that reads it; explanations and examples are commented with one.

use super::{Default, Knob, ReferenceError, Section, Shape, sections};

/// Columns of a comment.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Configuration of Deodar.
#
# Each setting is shown with its default: remove the `#` in front of it to change it. Durations are written like
# 250ms, 30s, 15m, 24h or 7d. Relative paths start at this file. A setting can also come from the environment,
# which wins over this file: the variable's name is given with it.
";

/// A configuration file with every setting commented out.
pub fn toml() -> Result<String, ReferenceError> {
    let mut out = HEAD.to_owned();
    for section in sections()? {
        write_section(&mut out, &section)?;
    }
    Ok(out)
}

fn write_section(out: &mut String, section: &Section) -> Result<(), ReferenceError> {
    // Inside what is repeated everything is an example, which nobody should have to cut out.
    let example = section.shape != Shape::Table;
    out.push('\n');
    if !section.path.is_empty() {
        comment(out, &section.text);
        out.push_str(&heading(section));
    }
    for knob in &section.knobs {
        write_knob(out, knob, example)?;
    }
    Ok(())
}

fn heading(section: &Section) -> String {
    let path = section.path.join(".");
    match section.shape {
        Shape::Table => format!("[{path}]\n"),
        Shape::List => format!("# [[{path}]]\n"),
        Shape::Map | Shape::Inner => format!("# [{path}]\n"),
    }
}

fn write_knob(out: &mut String, knob: &Knob, example: bool) -> Result<(), ReferenceError> {
    if !example {
        out.push('\n');
    }
    comment(out, &knob.text);
    let mut about = vec![knob.kind.clone()];
    about.extend(knob.environment.clone());
    comment(out, &format!("({})", about.join("; ")));
    let key = &knob.key;
    let line = match &knob.default {
        Default::Value(value) => {
            let mark = if example { "# " } else { "#" };
            format!("{mark}{key} = {}", as_toml(key, value)?)
        }
        Default::Unset => format!("# {key} = (not set)"),
        Default::Required => format!("# {key} = (must be set)"),
        Default::Described(what) => format!("# {key} = ({what})"),
    };
    out.push_str(&line);
    out.push('\n');
    Ok(())
}

pub(super) fn as_toml(key: &str, value: &serde_json::Value) -> Result<String, ReferenceError> {
    let value = ::toml::Value::try_from(value)
        .map_err(|source| ReferenceError::Toml { key: key.to_owned(), source })?;
    Ok(value.to_string())
}

/// Writes prose as comment lines of bounded width.
fn comment(out: &mut String, text: &str) {
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + word.len() >= WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Config;
    use super::*;

    /// The settings as a user would switch them on.
    fn uncommented() -> String {
        let text = toml().unwrap();
        let on = |line: &str| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting.to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(on).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn as_printed_it_is_the_default_configuration() {
        let read: Config = ::toml::from_str(&toml().unwrap()).unwrap();
        assert_eq!(read, Config::default());
    }

    #[test]
    fn with_every_setting_switched_on_it_still_is() {
        let text = uncommented();
        assert!(text.contains("\ndrain_timeout = \"10s\"\n"), "{text}");
        let read: Config = ::toml::from_str(&text).unwrap();
        assert_eq!(read, Config::default());
    }

    #[test]
    fn no_comment_is_wider_than_a_screen() {
        let text = toml().unwrap();
        let wide: Vec<_> = text.lines().filter(|line| line.starts_with("# ") && line.len() > 112).collect();
        assert!(wide.iter().all(|line| line.contains(" = ")), "{wide:?}");
    }
}
