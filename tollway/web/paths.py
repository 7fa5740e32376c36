"""Which operations are at a path, as the table of operations has it."""

import re
from collections.abc import Mapping

from starlette.routing import compile_path

from tollway.domain.operation import Operation

_WITH_SLASHES = re.compile(r"\{(model|model_id)\}")
"""Names of models are `vendor/model`."""


def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(_WITH_SLASHES.sub(r"{\1:path}", path))[0]


_PATTERNS = [(_pattern(each.value.path), each) for each in Operation]


def operations_at(path: str) -> Mapping[str, Operation]:
    """By method; where a path is written out, what its like with an id could do is not at it."""
    named = {each.value.method: each for each in Operation if each.value.path == path}
    return named or {each.value.method: each for pattern, each in _PATTERNS if pattern.match(path)}


def operation_at(method: str, path: str) -> tuple[Operation, str | None] | None:
    """The operation, and the last id in its path; None for what is no operation."""
    # A path that is written out may lack a method that its like with an id has.
    like = {each.value.method: each for pattern, each in _PATTERNS if pattern.match(path)}
    found = operations_at(path).get(method) or like.get(method)
    if found is None:
        return None
    match = _pattern(found.value.path).match(path)
    ids = list(match.groupdict().values()) if match else []
    return found, ids[-1] if ids else None
