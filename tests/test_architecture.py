"""The shape of Tollway, held by a test.

Who may import whom, where SQL and the environment are touched, what files are called and how
long they are. Each rule is explained in docs/decisions/.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tollway"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)
MAX_LINES = 400

NOUNS = {"domain"}
ADAPTERS = {"providers", "store"}
# Arrows point down. What is not in a package's set it may not import.
MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "settings": NOUNS,
    "providers": NOUNS,
    "store": NOUNS,
    "metering": NOUNS | {"store"},
    "limits": NOUNS,
    # The hot path reaches no SQL and no control plane, directly or through what it imports.
    "gateway": NOUNS | {"limits", "metering", "providers"},
    "push": NOUNS | {"store"},
    "notices": NOUNS | {"store"},
    # Control asks push whether an address may be pushed to, and the catalogue for a price.
    "control": NOUNS | ADAPTERS | {"push"},
    "parts": NOUNS | ADAPTERS | {"settings", "gateway", "limits", "metering", "notices", "push"},
    "world": NOUNS | ADAPTERS | {"settings", "gateway", "limits", "metering", "notices", "push", "parts"},
    "demo": NOUNS | {"settings"},
    "web": NOUNS | ADAPTERS | {"settings", "gateway", "metering", "push", "control", "world"},
    "cli": NOUNS | ADAPTERS | {"settings", "gateway", "control", "parts", "world", "web", "demo"},
    "__main__": {"cli"},
    "__init__": set(),
}
HOT = ("gateway", "limits", "metering.journal", "metering.estimate")
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|services?|base)$|_v\d+$")
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+TABLE|PRAGMA)\b", re.DOTALL
)


def room(path: Path) -> str:
    """The package, or the top-level module, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def parametrised() -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in FILES]


@pytest.mark.parametrize("name", parametrised())
def test_arrows_point_down(name: str) -> None:
    own = room(PACKAGE / name)
    for imported in imports(PACKAGE / name):
        parts = imported.split(".")
        if parts[0] == "tollway" and len(parts) > 1 and (PACKAGE / parts[1]).exists():
            assert parts[1] == own or parts[1] in MAY_IMPORT[own], f"{name} imports {imported}"
        if parts[0] == "tollway" and len(parts) > 1 and (PACKAGE / f"{parts[1]}.py").exists():
            assert parts[1] in MAY_IMPORT[own], f"{name} imports {imported}"


def test_the_hot_path_reaches_no_sql_by_any_way() -> None:
    def module(name: str) -> Path | None:
        path = ROOT / Path(*name.split("."))
        file = path.with_suffix(".py")
        return file if file.exists() else (path / "__init__.py" if path.is_dir() else None)

    seen: set[str] = set()
    waiting = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in FILES
        if ".".join(path.relative_to(PACKAGE).with_suffix("").parts).startswith(HOT)
    ]
    while waiting:
        name = waiting.pop()
        path = module(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        waiting += [imported for imported in imports(path) if imported.startswith("tollway.")]
    reached = {name for name in seen if name.startswith(("tollway.store", "tollway.control", "tollway.push"))}
    assert not reached
    assert "tollway.gateway.chat" in seen


@pytest.mark.parametrize("name", parametrised())
def test_files_are_short_and_named_by_a_noun(name: str) -> None:
    path = PACKAGE / name
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES
    assert not any(BANNED_NAMES.search(part.removesuffix(".py")) for part in Path(name).parts)


@pytest.mark.parametrize("name", parametrised())
def test_sql_is_in_the_store_only(name: str) -> None:
    if room(PACKAGE / name) == "store":
        return
    tree = ast.parse((PACKAGE / name).read_text("utf-8"))
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            assert not SQL.search(node.value), f"{name}:{node.lineno}"
    # A control operation is handed its transaction, and may name its type; nothing more.
    allowed = {"sqlalchemy", "sqlalchemy.Connection"} if room(PACKAGE / name) in ("control", "cli") else set()
    used = {imported for imported in imports(PACKAGE / name) if imported.split(".")[0] == "sqlalchemy"}
    assert used <= allowed


@pytest.mark.parametrize("name", parametrised())
def test_the_environment_is_read_in_one_file_only(name: str) -> None:
    if name == "settings/sources.py":
        return
    text = (PACKAGE / name).read_text("utf-8")
    assert not re.search(r"\bos\.(environ|getenv)\b|\bgetenv\(", text)


def store_functions() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{path.name}:{node.name}", node)
        for path in FILES
        if room(path) == "store"
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def test_every_store_function_takes_the_organisation_first_unless_it_says_otherwise() -> None:
    checked = 0
    for name, function in store_functions():
        arguments = [argument.arg for argument in function.args.args]
        if not arguments or arguments[0] != "db":
            continue  # it does not reach the database
        checked += 1
        marked = any(isinstance(mark, ast.Name) and mark.id == "all_orgs" for mark in function.decorator_list)
        assert marked != (arguments[1:2] == ["org"]), f"{name}: take (db, org, …), or be marked @all_orgs"
    assert checked > 20


def test_every_file_says_what_it_is() -> None:
    for path in FILES:
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert docstring, path
