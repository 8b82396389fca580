"""Which module of a crate uses which, read from its `use` declarations and its inline paths.

A name that a module only passes on (`pub use`) counts for the module that defines it.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

import rust_source

ITEM_KEYWORDS = {"struct", "enum", "union", "trait", "type", "fn", "const", "static"}


@dataclass
class Module:
    path: tuple
    file: Path
    children: set = field(default_factory=set)
    items: set = field(default_factory=set)
    # Name in this module to the paths that it stands for.
    imports: dict = field(default_factory=lambda: defaultdict(list))
    globs: list = field(default_factory=list)
    # Each path that is written in this module, with its line; `use` declarations with their full paths.
    uses: list = field(default_factory=list)
    inline_paths: list = field(default_factory=list)


class Crate:
    """The modules of one crate root, by path: `()` is the root, `("units", "create")` is `crate::units::create`."""

    def __init__(self, root):
        self.modules = {}
        self.globs = {}
        self.read_file(root, (), root.parent)

    def read_file(self, file, path, folder):
        self.read_module(rust_source.parse(file).tokens, Module(path, file), folder)

    def read_module(self, tokens, module, folder):
        self.modules[module.path] = module
        at = depth = 0
        while at < len(tokens):
            text = tokens[at].text
            following = tokens[at + 1] if at + 1 < len(tokens) else None
            if text == "mod" and following is not None and following.kind == "ident":
                at = self.read_child(tokens, at, module, folder)
                continue
            if text == "use" and following is not None and following.text not in ("<", "|"):
                at = read_use(tokens, at, module)
                continue
            if text == "macro_rules" and following is not None and following.text == "!":
                module.items.add(tokens[at + 2].text)
            elif depth == 0 and text in ITEM_KEYWORDS and following is not None and following.kind == "ident":
                module.items.add(following.text)
            elif begins_path(tokens, at):
                at = read_path(tokens, at, module)
                continue
            depth += (text in rust_source.OPEN) - (text in rust_source.CLOSE)
            at += 1

    def read_child(self, tokens, at, module, folder):
        name = tokens[at + 1].text
        path = (*module.path, name)
        module.children.add(name)
        after = at + 2
        if tokens[after].text == "{":
            end = rust_source.closing(tokens, after)
            self.read_module(tokens[after + 1 : end], Module(path, module.file), folder / name)
            return end + 1
        for file, inside in ((folder / f"{name}.rs", folder / name), (folder / name / "mod.rs", folder / name)):
            if file.exists():
                self.read_file(file, path, inside)
        return after + 1

    def edges(self):
        """(user, used) to the places where the one uses the other, for every two modules of the crate."""
        found = defaultdict(set)
        for module in self.modules.values():
            written = [(path, line) for path, line in module.uses + module.inline_paths]
            for path, line in written:
                for target, is_item in self.resolve(module.path, path):
                    # A module that is only brought into scope is not used yet: the paths through it say what is.
                    if target != module.path and (is_item or path[-1] == "*"):
                        found[module.path, target].add((module.file, line))
        return {edge: sorted(places) for edge, places in found.items()}

    def resolve(self, at, path, asked=frozenset(), through_globs=True):
        """The modules that define what `path` means in the module `at`, each with whether it is an item there."""
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            ends = {((), False)}
        elif first == "self":
            ends = {(at, False)}
        elif first == "super":
            ends = {(at[:-1], False)}
        else:
            ends = self.look_up(at, first, asked, through_globs)
        for name in rest:
            ends = {further for end in ends for further in self.step(end, name, asked, through_globs)}
        return ends

    def step(self, end, name, asked, through_globs):
        module, is_item = end
        if is_item or name == "*":
            return {end}
        if name == "super":
            return {(module[:-1], False)}
        # What no declaration explains comes from a macro of that module.
        return self.look_up(module, name, asked, through_globs) or {(module, True)}

    def look_up(self, at, name, asked, through_globs):
        """What `name` is in the module `at`; nothing if it is another crate or a local."""
        # A re-export can lead back to itself: `pub(crate) use my_macro;`.
        if (at, name) in asked:
            return set()
        asked = asked | {(at, name)}
        module = self.modules[at]
        if name in module.children and (*at, name) in self.modules:
            return {((*at, name), False)}
        if name in module.items:
            return {(at, True)}
        found = set()
        for path in module.imports.get(name, ()):
            found |= self.resolve(at, path, asked, through_globs)
        if not found and through_globs:
            for target in self.glob_targets(at):
                found |= self.look_up(target, name, asked, through_globs)
        return found

    def glob_targets(self, at):
        """The modules of this crate of which `at` has `use …::*`."""
        if at not in self.globs:
            ends = {end for path in self.modules[at].globs for end in self.resolve(at, path, through_globs=False)}
            self.globs[at] = {module for module, is_item in ends if not is_item and module != at}
        return self.globs[at]


def begins_path(tokens, at):
    """Whether a path of two segments or more begins here."""
    token = tokens[at]
    if token.kind != "ident" or at + 2 >= len(tokens) or tokens[at + 1].text != "::":
        return False
    return at == 0 or tokens[at - 1].text not in ("::", ".")


def read_path(tokens, at, module):
    line, path = tokens[at].line, [tokens[at].text]
    at += 1
    while at + 1 < len(tokens) and tokens[at].text == "::" and tokens[at + 1].kind == "ident":
        path.append(tokens[at + 1].text)
        at += 2
    if len(path) > 1:
        module.inline_paths.append((tuple(path), line))
    return at


def read_use(tokens, at, module):
    end = at
    while tokens[end].text != ";":
        end += 1
    for path, name, line in use_leaves(tokens, at + 1, end, ()):
        module.uses.append((path, line))
        if path[-1] == "*":
            module.globs.append(path)
        elif name != "_":
            module.imports[name].append(path)
    return end + 1


def use_leaves(tokens, at, end, prefix):
    """Each path of a `use` tree with the name that it gets."""
    path, name, line = prefix, None, None
    while at < end:
        token = tokens[at]
        line = token.line if line is None else line
        if token.text == "{":
            close = rust_source.closing(tokens, at)
            for first, last in split_at_commas(tokens, at + 1, close):
                yield from use_leaves(tokens, first, last, path)
            return
        if token.text == "as":
            name = tokens[at + 1].text
            break
        if token.text == "::" and not path:
            # `use ::other_crate::…`
            path = ("",)
        elif token.text != "::":
            path = (*path, token.text)
        at += 1
    if line is not None and path:
        if path[-1] == "self" and len(path) > 1:
            path = path[:-1]
        yield path, name or path[-1], line


def split_at_commas(tokens, at, end):
    start = depth = 0
    start = at
    for n in range(at, end):
        depth += (tokens[n].text in rust_source.OPEN) - (tokens[n].text in rust_source.CLOSE)
        if tokens[n].text == "," and depth == 0:
            yield start, n
            start = n + 1
    if start < end:
        yield start, end


def sibling_edges(edges):
    """The edges between modules of one parent, each of which stands for all that is inside it.

    An edge between a module and something inside it makes none.
    """
    found = defaultdict(list)
    for (user, used), places in edges.items():
        shared = 0
        while shared < min(len(user), len(used)) and user[shared] == used[shared]:
            shared += 1
        if shared < min(len(user), len(used)):
            found[user[: shared + 1], used[: shared + 1]] += places
    return found


def circles(edges):
    """For each edge that is part of a circle, the shortest circle through it; each circle once, as a list of nodes."""
    following = defaultdict(set)
    for user, used in edges:
        following[user].add(used)
    found = {}
    for user, used in sorted(edges):
        way = shortest_way(following, used, user)
        if way is not None:
            # Turned so that it begins with its first module by name.
            smallest = way.index(min(way))
            circle = tuple(way[smallest:] + way[:smallest])
            found[circle] = None
    return sorted(found, key=lambda circle: (len(circle), circle))


def shortest_way(following, start, goal):
    """The nodes from `start` to `goal`, both of them included, or None."""
    before, queue = {start: None}, deque([start])
    while queue:
        node = queue.popleft()
        if node == goal:
            way = []
            while node is not None:
                way.append(node)
                node = before[node]
            return way[::-1]
        for following_node in sorted(following[node]):
            if following_node not in before:
                before[following_node] = node
                queue.append(following_node)
    return None
