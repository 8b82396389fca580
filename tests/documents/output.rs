//! Comparing what a document shows with what was printed.

/// The first line of a shown output that was not printed, in this order. Spaces
/// count as one, since columns are as wide as what is in them; `…` stands for
/// anything.
pub(crate) fn first_missing<'a>(shown: &'a str, printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines().map(squeeze);
    let mut shown = shown.lines();
    shown.find(|line| {
        let pattern = squeeze(line);
        !pattern.is_empty() && !printed.any(|line| matches(&pattern, &line))
    })
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn matches(pattern: &str, line: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('…') else {
        return pattern == line;
    };
    let Some(mut left) = line.strip_prefix(begin) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('…').unwrap_or(("", rest));
    for part in middle.split('…') {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

#[test]
fn spaces_and_what_differs_do_not_count() {
    let printed = "ROUTE   COLOUR\n01a2    blue   1s\n01a3    green  12s\n";
    assert_eq!(first_missing("ROUTE COLOUR\n… green …s\n", printed), None);
    assert_eq!(first_missing("… blue 1s\n…\n", printed), None);
    for wrong in ["… red …", "ROUTE", "… green …s\n… blue …s", "…2s green"] {
        assert!(first_missing(wrong, printed).is_some(), "{wrong}");
    }
}
