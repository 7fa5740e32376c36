"""What a PromQL expression, or a LogQL one, names: metrics, labels and label values.

Owns the reading of names; does not own syntax, which `promtool` and a real Prometheus check (`make e2e`).
A character that begins nothing known is an error, so that nothing is skipped unread.
"""

import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<range>\[[^\]]*\])
    |(?P<number>[0-9][0-9a-z.]*)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<operator>=~|!~|==|!=|>=|<=|[-+*/%^<>=|(){},])""",
    re.VERBOSE,
)
KEEPING = {"by", "on", "group_left", "group_right"}
DROPPING = {"without", "ignoring"}
WORDS = {"and", "or", "unless", "bool", "offset"}

Token = tuple[str, str]
"""Its kind, a group of `TOKEN`, and its text."""


class Matcher(NamedTuple):
    """`label operator "value"`; the value as it stands between the quotes."""

    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    """`metric{matchers}`; the metric is empty where none is named."""

    metric: str
    matchers: tuple[Matcher, ...]


class Query(NamedTuple):
    """All that an expression names; `kept` is what `by` and its like name, `dropped` what `ignoring` does."""

    selectors: tuple[Selector, ...]
    kept: frozenset[str]
    dropped: frozenset[str]


def read_query(text: str) -> Query:
    """The names in a PromQL expression; ValueError for what it cannot read."""
    tokens = _tokens(text)
    selectors: list[Selector] = []
    kept: set[str] = set()
    dropped: set[str] = set()
    while tokens:
        kind, token = tokens.pop(0)
        following = tokens[0][1] if tokens else ""
        if token in KEEPING | DROPPING:
            (kept if token in KEEPING else dropped).update(_names(tokens))
        elif token == "{":
            selectors.append(Selector("", _matchers(tokens)))
        elif kind == "name" and token not in WORDS and not _is_function(following, tokens):
            if following == "{":
                tokens.pop(0)
                selectors.append(Selector(token, _matchers(tokens)))
            else:
                selectors.append(Selector(token, ()))
    return Query(tuple(selectors), frozenset(kept), frozenset(dropped))


def read_log_query(text: str) -> tuple[tuple[Matcher, ...], tuple[Matcher, ...]]:
    """The matchers of a LogQL query's stream, and those of its filters; ValueError for anything else."""
    stream, *filters = text.split(" | ")
    tokens = _tokens(stream)
    if not tokens or tokens.pop(0)[1] != "{":
        raise ValueError(f"no stream in {text!r}")
    matchers = _matchers(tokens)
    conditions = [_tokens(condition) for condition in filters]
    if tokens or any(len(condition) != 3 for condition in conditions):
        raise ValueError(f"more than a stream and simple filters in {text!r}")
    return matchers, tuple(_matcher(*condition) for condition in conditions)


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ValueError(f"what is {text[at : at + 20]!r} in {text!r}?")
        if found.lastgroup != "space":
            tokens.append((found.lastgroup, found[0]))
        at = found.end()
    return tokens


def _is_function(following: str, tokens: list[Token]) -> bool:
    """Whether the name before these is a function's or an operator's: `sum(`, `sum by (`."""
    return following == "(" or (following in KEEPING | DROPPING and tokens[1][1] == "(")


def _names(tokens: list[Token]) -> set[str]:
    """The names in the parentheses that come next."""
    names = set()
    if _take(tokens)[1] != "(":
        raise ValueError("no labels in parentheses")
    while (token := _take(tokens))[1] != ")":
        if token[0] == "name":
            names.add(token[1])
        elif token[1] != ",":
            raise ValueError(f"{token[1]!r} is no label")
    return names


def _matchers(tokens: list[Token]) -> tuple[Matcher, ...]:
    """What stands up to the closing brace."""
    matchers = []
    while (token := _take(tokens))[1] != "}":
        if token[1] != ",":
            matchers.append(_matcher(token, _take(tokens), _take(tokens)))
    return tuple(matchers)


def _matcher(label: Token, operator: Token, value: Token) -> Matcher:
    if label[0] != "name" or operator[1] not in {"=", "!=", "=~", "!~"} or value[0] != "string":
        raise ValueError(f"{label[1]} {operator[1]} {value[1]} is no matcher")
    return Matcher(label[1], operator[1], value[1][1:-1])


def _take(tokens: list[Token]) -> Token:
    if not tokens:
        raise ValueError("it ends too early")
    return tokens.pop(0)
