"""Reads Rust source as far as the checks of this folder need it: tokens, comments, where tests begin and end, functions
and type definitions. It does not expand macros, and it takes every file for valid Rust, since the compiler has seen it.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>//[^\n]*)
    | (?P<block>/\*)
    | (?P<string>[bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*")
    | (?P<char>b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^\\'\n])')
    | (?P<lifetime>'[A-Za-z_]\w*)
    | (?P<ident>(?:r\#)?[^\W\d]\w*)
    | (?P<number>\d\w*)
    | (?P<punct>::|->|=>|.)
    """,
    re.VERBOSE | re.DOTALL,
)
BLOCK_EDGE = re.compile(r"/\*|\*/")
OPEN, CLOSE = "([{", ")]}"
TYPE_KEYWORDS = {"struct", "enum", "union", "trait", "type"}
SCOPE_KEYWORDS = {"impl", "trait", "mod", "fn", "struct", "enum", "union", "match"}
# An item that begins with one of these ends at a semicolon; any other ends at its closing brace or at a semicolon.
SEMICOLON_KEYWORDS = {"use", "static", "const", "type", "let", "extern"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int


@dataclass(frozen=True)
class Comment:
    text: str
    line: int
    # Whether nothing but white space is before it on its line.
    alone: bool

    @property
    def is_doc(self):
        return re.match(r"//[/!](?!/)|/\*[*!](?![*/])", self.text) is not None


@dataclass(frozen=True)
class Function:
    name: str
    first_line: int
    lines: int


@dataclass(frozen=True)
class TypeDefinition:
    name: str
    # "", "pub", "pub(crate)", "pub(super)" or "pub(in …)".
    visibility: str
    line: int
    # The inline modules around it, outermost first.
    modules: tuple


@dataclass
class Source:
    """A file without its inline tests."""

    path: Path
    lines: list
    tokens: list
    comments: list
    # Numbers of the lines that belong to tests.
    test_lines: set = field(default_factory=set)
    # Names of the modules in other files that are declared for tests only.
    test_modules: set = field(default_factory=set)

    @property
    def kept_lines(self):
        return [(n, text) for n, text in enumerate(self.lines, 1) if n not in self.test_lines]

    @property
    def code_line_count(self):
        return len({n for token in self.tokens for n in range(token.line, token.line + token.text.count("\n") + 1)})

    @property
    def plain_comment_lines(self):
        return [c for c in self.comments if c.alone and not c.is_doc and c.text.startswith("//")]


def parse(path):
    text = path.read_text(encoding="utf-8")
    tokens, comments = tokenize(text)
    source = Source(path, text.splitlines(), tokens, comments)
    remove_tests(source)
    return source


def tokenize(text):
    starts = [0] + [m.end() for m in re.finditer("\n", text)]
    tokens, comments, at = [], [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        kind, end = match.lastgroup, match.end()
        kind = "string" if kind == "hashes" else kind
        line = bisect_right(starts, at)
        if kind == "block":
            end = block_comment_end(text, at)
        if kind in ("comment", "block"):
            alone = not text[starts[line - 1] : at].strip()
            comments.append(Comment(text[at:end], line, alone))
        elif kind != "space":
            tokens.append(Token(kind, text[at:end], line))
        at = end
    return tokens, comments


# Block comments nest in Rust.
def block_comment_end(text, at):
    depth = 0
    for edge in BLOCK_EDGE.finditer(text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def remove_tests(source):
    tokens, kept, at = source.tokens, [], 0
    while at < len(tokens):
        end = attribute_end(tokens, at)
        if end is None:
            kept.append(tokens[at])
            at += 1
        elif is_test_attribute(tokens[at:end]):
            item = at_item(tokens, end)
            end = item_end(tokens, item)
            if tokens[end - 1].text == ";" and "mod" in (names := [t.text for t in tokens[item:end]]):
                source.test_modules.add(names[names.index("mod") + 1])
            source.test_lines.update(range(tokens[at].line, tokens[end - 1].line + 1))
            at = end
        else:
            kept.extend(tokens[at:end])
            at = end
    source.tokens = kept
    source.comments = [c for c in source.comments if c.line not in source.test_lines]


def attribute_end(tokens, at):
    """Where the attribute that begins at `at` ends, or None if there is none."""
    if tokens[at].text != "#":
        return None
    bracket = at + 1
    if bracket < len(tokens) and tokens[bracket].text == "!":
        bracket += 1
    if bracket < len(tokens) and tokens[bracket].text == "[":
        return closing(tokens, bracket) + 1
    return None


def is_test_attribute(attribute):
    names = [t.text for t in attribute if t.text != "!"]
    if names[:4] == ["#", "[", "cfg", "("]:
        return "test" in names and "not" not in names
    return names[:3] in (["#", "[", "test"], ["#", "[", "rstest"])


def at_item(tokens, at):
    while at < len(tokens) and (end := attribute_end(tokens, at)) is not None:
        at = end
    return at


def item_end(tokens, at):
    """One past the end of the item, field, variant or match arm that begins at `at`."""
    words = {t.text for t in tokens[at : at + 6] if t.kind == "ident"}
    to_semicolon = bool(words & SEMICOLON_KEYWORDS) and "fn" not in words and "mod" not in words
    while at < len(tokens):
        text = tokens[at].text
        if text in (";", ","):
            return at + 1
        if text in OPEN:
            at = closing(tokens, at)
            if text == "{" and not to_semicolon:
                return at + 1
        elif text in CLOSE:
            return at
        at += 1
    return at


def closing(tokens, at):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for n in range(at, len(tokens)):
        text = tokens[n].text
        if text in OPEN:
            depth += 1
        elif text in CLOSE:
            depth -= 1
            if depth == 0:
                return n
    return len(tokens) - 1


def functions(source):
    """Every function that has a body, from `fn` to the closing brace."""
    tokens = source.tokens
    for n in range(len(tokens) - 1):
        if tokens[n].text == "fn" and tokens[n + 1].kind == "ident":
            at = n + 2
            while at < len(tokens) and tokens[at].text not in ("{", ";"):
                at = closing(tokens, at) + 1 if tokens[at].text in "([" else at + 1
            if at < len(tokens) and tokens[at].text == "{":
                last = tokens[closing(tokens, at)].line
                yield Function(tokens[n + 1].text, tokens[n].line, last - tokens[n].line + 1)


def types(source):
    """Every struct, enum, union, trait and type alias that is not an associated type."""
    tokens, scopes, header = source.tokens, [], None
    for n, token in enumerate(tokens[:-1]):
        following = tokens[n + 1]
        if token.kind == "ident" and token.text in TYPE_KEYWORDS and following.kind == "ident":
            associated = token.text == "type" and any(kind in ("impl", "trait") for kind, _ in scopes[-1:])
            contextual = token.text == "union" and tokens[n + 2].text not in ("{", "<")
            if not associated and not contextual:
                modules = tuple(name for kind, name in scopes if kind == "mod")
                yield TypeDefinition(following.text, visibility_before(tokens, n), token.line, modules)
        if token.kind == "ident" and token.text in SCOPE_KEYWORDS:
            # `-> impl Trait` is no scope of its own.
            if not (token.text == "impl" and header is not None and header[0] == "fn"):
                header = (token.text, following.text)
        elif token.text == "{":
            scopes.append(header or ("block", ""))
            header = None
        elif token.text == "}":
            if scopes:
                scopes.pop()
            header = None
        elif token.text == ";":
            header = None


def visibility_before(tokens, at):
    at -= 1
    while at >= 0 and tokens[at].text in ("unsafe", "auto"):
        at -= 1
    if at >= 0 and tokens[at].text == "pub":
        return "pub"
    if at >= 0 and tokens[at].text == ")":
        start = at
        while start > 0 and tokens[start].text != "(":
            start -= 1
        if start > 0 and tokens[start - 1].text == "pub":
            return "pub(" + " ".join(t.text for t in tokens[start + 1 : at]) + ")"
    return ""


def crates():
    """The name of each crate of the workspace with its source files, tests left out."""
    folders = sorted(manifest.parent for manifest in (ROOT / "crates").glob("*/Cargo.toml"))
    return {folder.name: without_test_files(sorted((folder / "src").rglob("*.rs"))) for folder in folders}


def without_test_files(paths):
    sources = {path: parse(path) for path in paths if not is_test_path(path)}
    for path, source in list(sources.items()):
        folder = path.parent if path.stem in ("lib", "main", "mod") else path.with_suffix("")
        for module in source.test_modules:
            for other in list(sources):
                if other == folder / f"{module}.rs" or (folder / module) in other.parents:
                    sources.pop(other)
    return list(sources.values())


def is_test_path(path):
    inside = path.relative_to(ROOT).parts[3:]
    return "tests" in inside or "tests.rs" in inside
