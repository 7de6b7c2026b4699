"""The house: arrows go one way, no file is long, every module says what is public."""

import ast
import functools
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "genjax"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A room may import those before it; rooms on one floor know nothing of one another.
FLOORS = [
    ["errors", "described"],
    ["registry", "files", "memory", "pixels"],
    ["spec", "orders", "plain"],
    ["nn"],
    ["networks", "decoding"],
    ["diffusion", "interop"],
    ["models"],
    ["metrics", "experiment"],
    ["data", "runtime"],
    ["recipes", "engine"],
    ["runs"],
    ["evaluation"],
    ["training"],
    ["bench", "command_line"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
LONGEST = 300


def room(module: str) -> str:
    return module.split(".")[1]


def module_of(file: Path) -> str:
    return ".".join(("genjax", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@functools.cache
def imports(file: Path) -> set[str]:
    """Modules of genjax that a file imports, in functions too; not those for type checkers alone."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("genjax"):
            found.update(f"{node.module}.{name.name}" for name in node.names)
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names if name.name.startswith("genjax."))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text()))
    return {name for name in found if room(name) in FLOOR}


def test_no_room_imports_upwards_or_across():
    wrong = [
        f"{module_of(file)} imports {name}"
        for file in FILES
        if file.parent != PACKAGE or file.name != "__init__.py"
        for name in sorted(imports(file))
        if room(name) != room(module_of(file)) and FLOOR[room(name)] >= FLOOR[room(module_of(file))]
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_floor():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(FLOOR)


def test_no_file_is_long():
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in FILES}
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_public_names_are_listed(file):
    if "__main__" in file.name or not file.read_text():
        return
    module = importlib.import_module(module_of(file))
    if file.name == "__init__.py" and not hasattr(module, "__all__"):
        assert not [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        return
    missing = [name for name in module.__all__ if not name.startswith("_") and not _importable(module, name)]
    assert not missing
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    unlisted = [name for name in own if name not in module.__all__ and _used_elsewhere(name, file)]
    assert not unlisted


def _importable(module, name: str) -> bool:
    try:
        return hasattr(module, name) or importlib.import_module(f"{module.__name__}.{name}") is not None
    except ImportError:
        return False


def _used_elsewhere(name: str, file: Path) -> bool:
    return any(f"{module_of(file)}.{name}" in imports(other) for other in FILES if other != file)
