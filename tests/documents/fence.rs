//! The code blocks of a document, and what their info strings ask for.

use std::fs;

use crate::harness::root;

/// A block between two fences.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    /// Where it begins: `docs/tutorial.md:12`.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `sh`, or `sh exits=1` for one that ends with this code.
    Run { code: i32 },
    /// `sh stays`: its last command goes on, in a terminal of its own.
    Stay,
    /// `sh not-run: WHY`.
    NotRun,
    /// `text output`: what the block before printed. `…` is for what differs from
    /// one time to the next.
    Output,
    /// Something to read.
    Shown { language: String },
}

/// The blocks of a document of the repository, in order.
pub(crate) fn fences(document: &str) -> Vec<Fence> {
    let text = fs::read_to_string(root().join(document)).expect(document);
    parse(document, &text)
}

/// The blocks of a text.
pub(crate) fn parse(document: &str, text: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{document}:{}", index + 1);
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let kind = kind(info.trim(), &place);
                let text = String::new();
                open = Some(Fence { place, kind, text });
            }
            (Some(_), Some(_)) => fences.extend(open.take()),
            (None, Some(fence)) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block has no end");
    fences
}

/// What an info string asks for. One that nobody knows is refused, so that no
/// command gets by unseen.
fn kind(info: &str, place: &str) -> Kind {
    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
    match (language, rest) {
        ("sh", "") => Kind::Run { code: 0 },
        ("sh", "stays") => Kind::Stay,
        ("text", "output") => Kind::Output,
        ("sh", rest) => {
            if let Some(why) = rest.strip_prefix("not-run: ") {
                assert!(!why.trim().is_empty(), "{place}: why is it not run?");
                return Kind::NotRun;
            }
            let code = rest.strip_prefix("exits=").map(str::parse);
            let Some(Ok(code)) = code else {
                panic!("{place}: what is `{info}`?")
            };
            Kind::Run { code }
        }
        (language, "") if SHOWN.contains(&language) => Kind::Shown {
            language: language.to_owned(),
        },
        _ => panic!("{place}: what is `{info}`?"),
    }
}

/// Languages that hold no commands.
const SHOWN: [&str; 8] = [
    "text", "toml", "yaml", "json", "mermaid", "sql", "ini", "proto",
];

#[test]
fn a_block_is_what_its_info_string_says() {
    let text = "a\n```sh\nls\n```\n```sh exits=73\nno\n```\n```sh stays\nserve\n```\n\
                ```sh not-run: needs docker\nup\n```\n```text output\na … b\n```\n";
    let kinds: Vec<_> = parse("a.md", text).into_iter().map(|it| it.kind).collect();
    let expected = [
        Kind::Run { code: 0 },
        Kind::Run { code: 73 },
        Kind::Stay,
        Kind::NotRun,
        Kind::Output,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_could_hide_a_command_is_refused() {
    for info in [
        "bash",
        "",
        "console",
        "sh not-run:",
        "sh once",
        "sh exits=no",
    ] {
        let text = format!("```{info}\nrm -rf /\n```\n");
        let refused = std::panic::catch_unwind(|| parse("a.md", &text));
        refused.expect_err(info);
    }
}
