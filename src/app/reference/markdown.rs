//! The reference as a page of the documentation.

use super::{Default, Knob, ReferenceError, Section, Shape, sections};

const HEAD: &str = "\
# Configuration

<!-- Made from the types of the configuration by `deodar config docs`; a test keeps it true. -->

A server reads one TOML file (`deodar serve --config deodar.toml`), then the environment, then its flags; what none of
them sets has the default given here. `deodar config print` writes a commented file to start from,
`deodar config check FILE` tells what is wrong with one before a server does.

Unknown keys are errors. Durations are written as one whole number and one unit: `250ms`, `30s`, `15m`, `24h`, `7d`.
Relative paths start at the configuration file. The variable of a setting is `DEODAR__` and its path with `__`
between the parts; settings inside lists and named tables have none.
";

/// The page.
pub fn markdown() -> Result<String, ReferenceError> {
    let mut out = HEAD.to_owned();
    for section in sections()? {
        write_section(&mut out, &section)?;
    }
    Ok(out)
}

fn write_section(out: &mut String, section: &Section) -> Result<(), ReferenceError> {
    let path = section.path.join(".");
    let heading = match section.shape {
        _ if path.is_empty() => "Top level".to_owned(),
        Shape::List => format!("`[[{path}]]`"),
        Shape::Table | Shape::Map | Shape::Inner => format!("`[{path}]`"),
    };
    out.push_str(&format!("\n## {heading}\n"));
    // The text of the whole is above already.
    if !path.is_empty() && !section.text.is_empty() {
        out.push_str(&format!("\n{}\n", section.text));
    }
    if section.knobs.is_empty() {
        return Ok(());
    }
    out.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for knob in &section.knobs {
        out.push_str(&row(knob)?);
    }
    Ok(())
}

fn row(knob: &Knob) -> Result<String, ReferenceError> {
    let default = match &knob.default {
        Default::Value(value) => format!("`{}`", super::toml::as_toml(&knob.key, value)?),
        Default::Unset => "not set".to_owned(),
        Default::Required => "must be set".to_owned(),
        Default::Described(what) => (*what).to_owned(),
    };
    let variable = knob.environment.as_ref();
    let variable = variable.map(|name| format!(" Variable: `{name}`.")).unwrap_or_default();
    let meaning = format!("{}{variable}", knob.text.replace("\n\n", " "));
    let cells = [format!("`{}`", knob.key), knob.kind.clone(), default, meaning];
    // A bar inside a cell would end it.
    Ok(format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_cannot_break_the_table() {
        let knob = Knob {
            key: "key".to_owned(),
            kind: "string".to_owned(),
            default: Default::Value("a|b".into()),
            text: "One.\n\nTwo.".to_owned(),
            environment: None,
        };
        assert_eq!(row(&knob).unwrap(), "| `key` | string | `\"a\\|b\"` | One. Two. |\n");
    }
}
