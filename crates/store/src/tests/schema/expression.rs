//! The conditions of CHECK constraints and partial indices, in one form for both
//! engines: PostgreSQL does not keep them as they were written.

use std::iter::Peekable;

/// The one form of a condition: `a IN ('y', 'x')`, `a = 'y' OR a = 'x'` and
/// `(a = ANY (ARRAY['x'::text, 'y'::text]))` have the same.
pub(super) fn canonical(text: &str) -> String {
    let tokens = tokens(text);
    let mut parser = Parser(tokens.iter().map(String::as_str).peekable());
    let condition = parser.either();
    assert_eq!(parser.0.next(), None, "behind {condition} in {text}");
    condition
}

/// Words in small letters, strings as they are, numbers and signs.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => rest[1..].find('\'').expect("a string ends") + 2,
            it if it.is_ascii_alphanumeric() || it == '_' => rest
                .find(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == '.'))
                .unwrap_or(rest.len()),
            _ if ["::", "<>", "<=", ">=", "!="]
                .iter()
                .any(|it| rest.starts_with(it)) =>
            {
                2
            }
            _ => 1,
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(match first {
            '\'' => token.to_owned(),
            it if it.is_ascii_digit() => token.parse::<f64>().expect("a number").to_string(),
            _ => token.to_ascii_lowercase(),
        });
        rest = behind.trim_start();
    }
    tokens
}

struct Parser<'a, I: Iterator<Item = &'a str>>(Peekable<I>);

impl<'a, I: Iterator<Item = &'a str>> Parser<'a, I> {
    fn either(&mut self) -> String {
        let mut parts = vec![self.both()];
        while self.take("or") {
            parts.push(self.both());
        }
        joined(parts, " or ")
    }

    fn both(&mut self) -> String {
        let mut parts = vec![self.negated()];
        while self.take("and") {
            parts.push(self.negated());
        }
        joined(parts, " and ")
    }

    fn negated(&mut self) -> String {
        if self.take("not") {
            not(self.negated())
        } else {
            self.comparison()
        }
    }

    fn comparison(&mut self) -> String {
        let left = self.value();
        if self.take("is") {
            let negative = self.take("not");
            self.expect("null");
            return negate_if(negative, format!("({left} is null)"));
        }
        let negative = self.take("not");
        if self.take("between") {
            let (low, high) = (self.value(), {
                self.expect("and");
                self.value()
            });
            let within = vec![format!("({left} >= {low})"), format!("({left} <= {high})")];
            return negate_if(negative, joined(within, " and "));
        }
        if self.take("in") {
            self.expect("(");
            return negate_if(negative, self.member(&left, ")"));
        }
        assert!(!negative, "NOT stands before BETWEEN or IN");
        let Some(sign) = self.0.next_if(|it| SIGNS.contains(it)) else {
            return left;
        };
        let negative = matches!(sign, "<>" | "!=");
        let sign = if negative { "=" } else { sign };
        if self.take("any") || self.take("all") {
            assert_eq!(sign, "=");
            return negate_if(negative, self.array(&left));
        }
        let right = self.value();
        negate_if(negative, format!("({left} {sign} {right})"))
    }

    /// `(ARRAY[…])`, in any number of parentheses.
    fn array(&mut self, left: &str) -> String {
        let condition = if self.take("(") {
            let condition = self.array(left);
            self.expect(")");
            condition
        } else {
            self.expect("array");
            self.expect("[");
            self.member(left, "]")
        };
        self.skip_cast();
        condition
    }

    /// The rest of a list of values, of which it is one.
    fn member(&mut self, left: &str, end: &str) -> String {
        let is = |value: String| format!("({left} = {value})");
        let mut parts = vec![is(self.value())];
        while self.take(",") {
            parts.push(is(self.value()));
        }
        self.expect(end);
        joined(parts, " or ")
    }

    fn value(&mut self) -> String {
        let value = if self.take("(") {
            let value = self.either();
            self.expect(")");
            value
        } else {
            self.0.next().expect("a value").to_owned()
        };
        self.skip_cast();
        value
    }

    /// The types are those of the columns, which are compared by themselves.
    fn skip_cast(&mut self) {
        while self.take("::") {
            self.0.next();
            self.take("precision");
            if self.take("[") {
                self.expect("]");
            }
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.0.next_if_eq(&token).is_some()
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.0.next(), Some(token));
    }
}

fn joined(mut parts: Vec<String>, word: &str) -> String {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    parts.sort();
    format!("({})", parts.join(word))
}

fn negate_if(negative: bool, condition: String) -> String {
    if negative { not(condition) } else { condition }
}

fn not(condition: String) -> String {
    format!("(not {condition})")
}

const SIGNS: [&str; 7] = ["=", "<>", "!=", "<", ">", "<=", ">="];

#[test]
fn what_means_the_same_has_one_form() {
    for (written, kept) in [
        (
            "lifecycle IN ('B', 'A')",
            "(lifecycle = ANY (ARRAY['A'::text, 'B'::text]))",
        ),
        (
            "lifecycle NOT IN ('A', 'B')",
            "(lifecycle <> ALL ((ARRAY['A'::text, 'B'::text])::text[]))",
        ),
        (
            "ratio BETWEEN 0.0 AND 1.0",
            "((ratio >= (0.0)::double precision) AND (ratio <= (1)::double precision))",
        ),
        (
            "(lifecycle = 'A') = (step IS NOT NULL)",
            "((lifecycle = 'A'::text) = (step IS NOT NULL))",
        ),
        ("a = 1 OR b <> 2", "((b <> 2) OR (a = 1))"),
        (
            "a = 'X' OR a = 'Y'",
            "(a = ANY (ARRAY['Y'::text, 'X'::text]))",
        ),
    ] {
        assert_eq!(canonical(written), canonical(kept));
    }
}

#[test]
fn what_means_something_else_has_another() {
    let of_all: std::collections::BTreeSet<_> = [
        "a IN (1, 2)",
        "a NOT IN (1, 2)",
        "a IN (1, 3)",
        "b IN (1, 2)",
        "a BETWEEN 1 AND 2",
        "a BETWEEN 1 AND 3",
        "a > 1 AND a < 2",
        "a > 1 OR a < 2",
        "a IS NULL",
        "a IS NOT NULL",
        "a = 'x'",
        "a = 'X'",
    ]
    .map(canonical)
    .into();
    assert_eq!(of_all.len(), 12);
}
