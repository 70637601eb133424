"""`constructs/` is a source root, and its name belongs to a library too."""

import importlib.util
from pathlib import Path

import constructs

ROOT = Path(__file__).parents[2]


def test_the_source_root_is_never_a_package() -> None:
    assert not (ROOT / "constructs" / "__init__.py").exists()
    assert [entry.name for entry in (ROOT / "constructs").iterdir() if entry.name != "__pycache__"] == ["render_farm"]


def test_constructs_is_the_library() -> None:
    assert not Path(constructs.__file__ or "").is_relative_to(ROOT / "constructs")
    assert constructs.Construct.__module__ == "constructs"


def test_render_farm_is_found_in_the_source_root() -> None:
    found = importlib.util.find_spec("render_farm")
    assert found is not None
    assert found.origin == str(ROOT / "constructs" / "render_farm" / "__init__.py")


def test_the_cdk_runs_the_app_without_its_folder_on_the_path() -> None:
    assert '"app": "python -P app.py"' in (ROOT / "cdk.json").read_text(encoding="utf-8")
