"""The rules of the house: imports only go down, the light side is light, files and functions stay small.

The order is that of ARCHITECTURE.md. An import inside a function or under TYPE_CHECKING counts too.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from card_cases import CASES

import hubkit
from hubkit import errors

PACKAGE = Path(hubkit.__file__).parent
ORDER = [  # top first; a line's modules may import each other
    ["__main__"],
    ["cli"],
    ["pipeline"],
    ["sweeping"],
    ["verifying", "merging"],
    ["stages"],
    ["to_measure"],
    ["runs"],
    ["recorded"],
    ["publishing"],
    ["verify"],
    ["audit"],
    ["card"],
    ["compared_rows"],
    ["compare", "grouping"],
    ["training"],
    ["measures"],
    ["models"],
    ["counting"],
    ["tasks", "methods"],
    ["from_hub"],
    ["found"],
    ["base_model"],
    ["zeros"],
    ["adapter"],
    ["tensor_names", "tensor_file"],
    ["settings"],
    ["settings_data"],
    ["yaml_source", "yaml_reading"],
    ["yaml_faults"],
    ["freshness"],
    ["record"],
    ["compared"],
    ["trained"],
    ["class_scores"],
    ["measured"],
    ["measured_speed"],
    ["measured_part"],
    ["processes"],
    ["extras"],
    [
        "hub",
        "hub_answers",
        "hub_client",
        "hub_collections",
        "hub_commit",
        "hub_failures",
        "hub_refs",
        "hub_sending",
        "hub_upload",
    ],
    ["hub_names"],
    ["hub_rules"],
    ["secrets", "paths"],
    ["files", "bounded_yaml", "bounded_json", "interrupts"],
    ["errors"],
    ["__init__"],  # holds the version
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
# The local Hub stands beside the rest: handed on as a function, and built on the Hub's rules alone.
LOCALHUB_MAY_IMPORT = {"localhub", "hub_rules", "errors", "__init__"}
MAY_IMPORT_LOCALHUB = {"cli", "localhub"}
HEAVY = {"torch", "transformers", "peft", "datasets", "accelerate", "bitsandbytes", "matplotlib"}
HEAVY_SIDE = {"training", "measures", "models"}  # loaded by commands that need torch
LINES_OF_A_BODY = 50
LINES_OF_A_FILE = 360

SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def name_of(path: Path) -> str:
    """`hubkit/card/facts.py` -> `card.facts`; the package itself is `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module of hubkit that a tree imports, wherever it does, and the line."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in found:
            if name.split(".")[0] == "hubkit":
                inside = name.removeprefix("hubkit").removeprefix(".")
                while inside and inside not in MODULES:
                    inside = inside.rpartition(".")[0]
                yield inside or "__init__", node.lineno


def layer(module: str) -> str:
    return module.split(".")[0]


IMPORTS = [(name, target, line) for name, path in MODULES.items() for target, line in imports(SOURCES[path])]


def test_every_module_has_its_place() -> None:
    assert {layer(name) for name in MODULES} - {"localhub"} == set(RANK)


def test_imports_only_go_down() -> None:
    up = [
        f"hubkit/{name} imports {target} (line {line})"
        for name, target, line in IMPORTS
        if "localhub" not in (layer(name), layer(target)) and RANK[layer(name)] > RANK[layer(target)]
    ]
    assert up == []


def test_the_local_hub_stands_beside() -> None:
    wrong = [
        f"{name} imports {target} (line {line})"
        for name, target, line in IMPORTS
        if (layer(name) == "localhub" and layer(target) not in LOCALHUB_MAY_IMPORT)
        or (layer(target) == "localhub" and layer(name) not in MAY_IMPORT_LOCALHUB)
    ]
    assert wrong == []


def test_no_two_modules_import_each_other() -> None:
    needs: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, target, _ in IMPORTS:
        if name != target:
            needs[name].add(target)
    while free := {name for name, targets in needs.items() if not targets & needs.keys()}:
        needs = {name: targets for name, targets in needs.items() if name not in free}
    assert needs == {}, "these go round in a circle"


def at_module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_module_level(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from at_module_level(node.body)
            yield from at_module_level([*getattr(node, "orelse", []), *getattr(node, "finalbody", [])])
        else:
            yield node


def test_the_light_side_imports_nothing_heavy_at_module_level() -> None:
    heavy = []
    for name, path in MODULES.items():
        for node in at_module_level(SOURCES[path].body):
            roots = set()
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots = {str(node.module).split(".")[0]}
            if layer(name) not in HEAVY_SIDE and roots & HEAVY:
                heavy.append(f"{name} line {node.lineno}")
    assert heavy == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_says_what_it_is_and_is_no_longer_than_it_should_be(name: str) -> None:
    tree = SOURCES[MODULES[name]]
    said = ast.get_docstring(tree)
    assert said, "no docstring"
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
            assert lines <= LINES_OF_A_BODY, f"{node.name} has a body of {lines} lines"


def loaded_by(code: str, *arguments: str) -> set[str]:
    """The top-level packages that a fresh Python has loaded after some code."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_no_command_and_nothing_heavy() -> None:
    loaded = loaded_by("from hubkit.cli.main import run\nassert run(['--help']) == 0")
    assert not loaded & (HEAVY | {"huggingface_hub", "jinja2", "yaml", "msgspec", "starlette"})


def test_help_of_the_commands_loads_nothing_heavy() -> None:
    code = "from hubkit.cli.main import COMMANDS, run\nassert not any(run([name, '-h']) for name in COMMANDS)"
    assert not loaded_by(code) & (HEAVY | {"starlette", "uvicorn"})


WRITES_CARD = "assert run(['card', '--adapter', sys.argv[1], '-q', '--no-figures']) == 0"


def test_a_card_loads_neither_torch_nor_the_hubs_client(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    code = f"from hubkit.cli.main import run\n{WRITES_CARD}"
    loaded = loaded_by(code, str(directory))
    assert not loaded & (HEAVY | {"huggingface_hub", "httpx", "starlette"})
    assert (directory / "README.md").is_file()


def test_publishing_loads_no_torch(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    code = (
        f"from hubkit.cli.main import run\n{WRITES_CARD}\n"
        "assert run(['publish', '--adapter', sys.argv[1], '--local-hub', sys.argv[2], '-q']) == 0"
    )
    assert not loaded_by(code, str(directory), str(tmp_path / "hub")) & HEAVY


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if found := re.match(r"^([│ ]*(?:[├└]── )?)(\w+) {2,}\S", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    classes = {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception)
    }
    assert drawn == classes
    for name in classes:
        assert getattr(errors, name).__doc__, name


def test_exit_codes_are_those_that_the_docstring_names() -> None:
    said = dict(re.findall(r"(\w+) +exit code (\d+):", str(errors.__doc__)))
    assert said == {"HubkitError": "2", "Interrupted": "130", "CheckFailed": "1"}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        assert str(kind.exit_code) == said.get(name, "2")


def test_what_publishing_offers() -> None:
    from hubkit import publishing

    assert sorted(publishing.__all__) == [
        "Plan", "PlannedFile", "Published", "PushOptions", "Reversal", "Reverted", "Target", "open_target",
        "publish", "publish_to", "resolve_repo_id", "take_back",
    ]  # fmt: skip
    assert all(hasattr(publishing, name) for name in publishing.__all__)
