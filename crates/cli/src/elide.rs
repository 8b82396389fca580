//! Texts cut to a width, with an ellipsis.

use console::measure_text_width;

/// Cuts the middle out of a name that is too long: names of one kind often differ only at
/// their end. The text has no colours.
pub(crate) fn middle(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let head = take(text.chars(), room / 2);
    // More of the end than of the beginning.
    let tail = take(text.chars().rev(), room - measure_text_width(&head));
    let tail: String = tail.chars().rev().collect();
    match width {
        0 => String::new(),
        _ => format!("{head}…{tail}"),
    }
}

/// Cuts the end off.
pub(crate) fn end(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

/// As many characters as fit.
fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = String::new();
    for letter in chars {
        taken.push(letter);
        if measure_text_width(&taken) > width {
            taken.pop();
            break;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::{end, middle};

    #[test]
    fn c7_a_name_keeps_its_beginning_and_its_end() {
        assert_eq!(middle("shop/cart", 9), "shop/cart");
        assert_eq!(middle("shop/a-long-name-1", 10), "shop…ame-1");
        assert_eq!(middle("shop/cart", 1), "…");
        assert_eq!(middle("shop/cart", 0), "");
        for width in 0..20 {
            let cut = middle("shop/日本語の名前", width);
            assert!(console::measure_text_width(&cut) <= width, "{width}: {cut}");
        }
    }

    #[test]
    fn a_sentence_keeps_its_beginning() {
        assert_eq!(end("2 of 3 are ready", 9), "2 of 3 a…");
        assert_eq!(end("2 of 3", 9), "2 of 3");
    }
}
