"""Tests of the checks of this folder: `python3 -m unittest discover -s scripts -p '*_test.py'`."""

import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import module_graph  # noqa: E402
import rust_source  # noqa: E402


class TemporaryCrate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, **files):
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".rs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def circles(self):
        edges = module_graph.Crate(self.folder / "lib.rs").edges()
        return [" ".join(map("::".join, c)) for c in module_graph.circles(module_graph.sibling_edges(edges))]


class Modules(TemporaryCrate):
    def test_a_circle_of_use_declarations_is_found(self):
        self.write(
            lib="mod a; mod b; mod c;",
            a="use crate::b::B; pub struct A(B);",
            b="use crate::c::{self, C}; pub struct B(C);",
            c="pub struct C(super::a::A);",
        )
        self.assertEqual(self.circles(), ["a b c"])

    def test_a_name_that_the_root_passes_on_counts_for_its_module(self):
        self.write(
            lib="mod a; mod b; pub use self::{a::A, b::*};",
            a="use crate::B; pub struct A(B);",
            b="pub struct B; fn of(a: crate::A) {}",
        )
        self.assertEqual(self.circles(), ["a b"])

    def test_modules_use_each_other_through_what_is_inside_them(self):
        self.write(
            lib="mod auth; mod convert;",
            auth="mod token; pub struct Role;",
            auth__token="use crate::convert; fn read() { convert::policy::parse() }",
            convert="pub mod policy; use crate::auth::Role;",
            convert__policy="pub fn parse() {}",
        )
        self.assertEqual(self.circles(), ["auth convert"])

    def test_parent_and_child_may_use_each_other(self):
        self.write(
            lib="mod a; pub struct Root; use a::A;",
            a="mod inner; use inner::Inner; pub struct A(crate::Root); ",
            a__inner="use super::A; pub struct Inner(A);",
        )
        self.assertEqual(self.circles(), [])

    def test_bringing_a_module_into_scope_is_no_use_of_it(self):
        self.write(
            lib="mod a; mod b;",
            a="pub mod inner { pub fn f() {} } use crate::b::B;",
            b="use crate::a; pub struct B;",
        )
        self.assertEqual(self.circles(), [])

    def test_tests_do_not_count(self):
        self.write(
            lib="mod a; mod b;",
            a="pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
            b="use crate::a::A; pub struct B(A);",
        )
        self.assertEqual(self.circles(), [])

    def test_paths_in_strings_comments_and_other_crates_do_not_count(self):
        self.write(
            lib="mod a; mod metrics;",
            a='// crate::metrics::M\nfn f() { metrics::counter!(r#"crate::metrics::M"#); ::metrics::gauge!() }',
            metrics="use crate::a; fn g() { a::f() } pub struct M;",
        )
        self.assertEqual(self.circles(), [])

    def test_a_macro_that_is_passed_on_counts_for_its_module(self):
        self.write(
            lib="mod a; mod b;",
            a="macro_rules! mine { () => { $crate::b::f() } } pub(crate) use mine;",
            b="use crate::a::mine; pub fn f() { mine!() }",
        )
        self.assertEqual(self.circles(), ["a b"])


class Source(TemporaryCrate):
    def parse(self, text):
        self.write(lib=text)
        return rust_source.parse(self.folder / "lib.rs")

    def test_a_lifetime_is_no_character_and_a_quote_in_one_begins_no_string(self):
        tokens, _ = rust_source.tokenize("fn f<'a>(x: &'a str) { ('\"', b'\\'', r##\"a\"# b\"##) }")
        self.assertEqual([t.text for t in tokens if t.kind == "lifetime"], ["'a", "'a"])
        self.assertEqual([t.text for t in tokens if t.kind == "string"], ['r##"a"# b"##'])

    def test_block_comments_nest(self):
        tokens, comments = rust_source.tokenize("/* a /* b */ c */ fn")
        self.assertEqual([t.text for t in tokens], ["fn"])
        self.assertEqual(len(comments), 1)

    def test_only_plain_comments_on_lines_of_their_own_count(self):
        source = self.parse("//! doc\n/// doc\n// plain\nfn f() {} // behind\n//// a rule\n")
        self.assertEqual([c.line for c in source.plain_comment_lines], [3, 5])

    def test_what_is_for_tests_is_left_out_whatever_item_it_is(self):
        source = self.parse(
            """
            #[cfg(test)] use a::{b, c};
            #[cfg(test)] #[derive(Debug)] struct Gone { field: u8 }
            #[cfg(all(test, unix))] mod tests { struct Gone; }
            #[cfg(test)] mod elsewhere;
            #[cfg(not(test))] struct Kept { #[cfg(test)] gone: u8, kept: u8 }
            """
        )
        self.assertEqual([t.name for t in rust_source.types(source)], ["Kept"])
        self.assertEqual(source.test_modules, {"elsewhere"})
        self.assertNotIn("gone", [t.text for t in source.tokens])
        self.assertIn("kept", [t.text for t in source.tokens])

    def test_types_come_with_their_visibility_and_without_associated_ones(self):
        source = self.parse(
            """
            pub struct A; pub(crate) enum B {} pub(super) unsafe trait C { type Item; } type D = u8;
            impl Iterator for A { type Item = u8; fn f() { struct Local; } }
            fn g(kind: u8) -> impl Into<u8> { type E = u8; kind.union.type_of }
            """
        )
        found = [(t.name, t.visibility) for t in rust_source.types(source)]
        self.assertEqual(
            found, [("A", "pub"), ("B", "pub(crate)"), ("C", "pub(super)"), ("D", ""), ("Local", ""), ("E", "")]
        )

    def test_a_function_is_as_long_as_its_body(self):
        source = self.parse("pub fn f(\n    a: [u8; 2],\n) -> fn() {\n    g()\n}\ntrait T { fn none(); }\n")
        self.assertEqual([(f.name, f.lines) for f in rust_source.functions(source)], [("f", 5)])


if __name__ == "__main__":
    unittest.main()
