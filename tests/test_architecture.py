"""ARCHITECTURE.md as a test: who may import whom, and how large files and folders may be."""

import ast
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "smil_ray"
BELOW_RESULTS = (
    "config",
    "storage",
    "core",
    "body",
    "render",
    "data",
    "models",
    "losses",
    "training",
)

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "config": set(),
    "storage": {"config"},
    "core": set(),
    "body": {"core", "storage"},
    "render": {"core", "body"},
    "data": {"config", "storage", "core", "body", "render"},
    "models": {"config", "core", "body", "render"},
    "losses": {"config", "core", "body", "render"},
    "fitting": {"config", "core", "body", "render"},
    "export": {"config", "core", "body", "render"},
    "training": {"config", "storage", "core", "body", "data", "models", "losses"},
    "tracking": {"config", "storage", "core"},
    "results": {*BELOW_RESULTS, "fitting", "export", "tracking"},
    "orchestration": {*BELOW_RESULTS, "fitting", "tracking", "results"},
    "serve": {*BELOW_RESULTS, "fitting", "results"},
    "cli": {*BELOW_RESULTS, "fitting", "results", "tracking", "orchestration", "serve"},
}

RIM_PACKAGES: dict[str, tuple[str, ...]] = {
    "yaml": ("config/reading",),
    "pytorch3d": ("render/pytorch3d_backend",),
    "numba": ("render/",),
    "h5py": ("data/hdf5/",),
    "sleap_io": ("data/labels/_sleap_io",),
    "timm": ("models/",),
    "pygltflib": ("export/glb", "export/_glb_buffer"),
    "pxr": ("export/usd",),
    "mlflow": ("tracking/tracker", "tracking/models/", "serve/pyfunc"),
    "ray": ("orchestration/",),
    "pyarrow": ("storage/store", "results/prediction/output/", "results/refinement/"),
    "fastapi": ("serve/",),
    "starlette": ("serve/",),
    "uvicorn": ("serve/",),
}

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path
    for folder in ("smil_ray", "tests", "experiments", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


FOLDERS = sorted({path.parent for path in SOURCES})
ROOMS = [folder for folder in FOLDERS if PACKAGE in folder.parents]


def dotted(path: Path) -> str:
    """Return the name by which a module of the package is imported."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


NAMES = {dotted(path): path for path in MODULES}


def modules_of(folder: Path) -> list[str]:
    """Return the names of the modules that lie in a folder, less what every folder may have."""
    names = sorted(path.stem for path in folder.glob("*.py"))
    return [name for name in names if name not in ("__init__", "__main__", "conftest")]


def layer_of(path: Path) -> str:
    """Return the layer of a module of the package by its place."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if len(parts) > 1:
        return parts[0]
    return {"__init__": "public", "__main__": "public"}.get(parts[0], parts[0].split("_")[0])


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Return the dotted names that a module imports, at any depth of its code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def imported_layers(path: Path) -> set[str]:
    """Return the layers of the package that a module imports."""
    layers = set()
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] != "smil_ray" or len(parts) < 2:
            continue
        layers.add(parts[1])
    return layers & set(MAY_IMPORT)


IMPORTS = {
    name: {
        found
        for found in imported_modules(path)
        if found in NAMES and found not in (name, "smil_ray")
    }
    for name, path in NAMES.items()
}
"""Module -> modules of the package that it imports, those in functions and for types included."""


def import_cycles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return rings of modules that import one another, each sorted, until none is left."""
    left = {name: set(found) for name, found in imports.items()}
    cycles = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            ring = error.args[1][:-1]
            cycles.append(sorted(ring))
            left = {name: found - set(ring) for name, found in left.items() if name not in ring}
        else:
            return cycles


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_only_layers_below_it(path: Path) -> None:
    layer = layer_of(path)
    if layer == "public":
        return
    allowed = MAY_IMPORT[layer] | {"errors", layer}
    assert imported_layers(path) <= allowed


@pytest.mark.parametrize("package", RIM_PACKAGES)
def test_rim_package_is_imported_only_in_its_place(package: str) -> None:
    places = RIM_PACKAGES[package]
    for path in MODULES:
        if package in {name.split(".")[0] for name in imported_modules(path)}:
            place = str(path.relative_to(PACKAGE).with_suffix(""))
            assert place.startswith(places), f"{package} is imported in {place}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_source_file_has_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_folder_has_at_most_15_modules(folder: Path) -> None:
    assert len(modules_of(folder)) <= 15


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_room_says_in_a_sentence_what_lives_there(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_prefix_that_three_modules_share_is_a_folder(room: Path) -> None:
    names = [*modules_of(room), *(path.name for path in room.iterdir() if path in ROOMS)]
    prefixes = Counter(name.lstrip("_").split("_")[0] for name in names)
    assert [prefix for prefix, count in prefixes.items() if count > 2] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert import_cycles(IMPORTS) == []


def test_cycle_is_found_also_where_a_function_imports() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert import_cycles(imports) == [["a", "b", "c"]]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_underscore_module_is_imported_only_in_its_own_room(path: Path) -> None:
    place = list(path.relative_to(ROOT).parent.parts)
    if place[0] == "tests":
        place[0] = "smil_ray"
    for name in imported_modules(path) & set(NAMES):
        *room, module = name.split(".")
        if module.startswith("_"):
            assert place[: len(room)] == room, f"{name} belongs to {'.'.join(room)}"


def test_package_has_no_drawer_for_homeless_functions() -> None:
    forbidden = {"utils", "util", "helpers", "common", "misc", "manager", "handler"}
    assert not forbidden & {path.stem for path in MODULES}


UNSAFE = ("pickle.load", "pickle.Unpickler(", "cloudpickle", "weights_only=False", "yaml.load(")


@pytest.mark.parametrize("unsafe", [*UNSAFE, "allow_pickle=True", "joblib.load"])
def test_package_never_loads_code_from_files(unsafe: str) -> None:
    for path in MODULES:
        assert unsafe not in path.read_text(encoding="utf-8"), f"{path.name} has {unsafe}"


def test_every_layer_has_a_rule() -> None:
    layers = {layer_of(path) for path in MODULES} - {"public"}
    assert layers <= set(MAY_IMPORT)
