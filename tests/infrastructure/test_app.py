"""`app.py` as a process, as the CDK's command line and the local farm run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_cdk.assertions import Template

APP = Path(__file__).parents[2] / "app.py"


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CDK_", "JSII_NODE"))}
    return subprocess.run(
        [sys.executable, "-P", str(APP)],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def template(assembly: Path, stack_name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((assembly / f"{stack_name}.template.json").read_text(encoding="utf-8"))
    return read


def test_alone_it_passes_the_cdks_validation_and_needs_no_node_on_path(tmp_path: Path, farm: Template) -> None:
    done = run(tmp_path, PATH="")
    assert done.returncode == 0, done.stderr
    assert "Node" not in done.stderr
    assert template(tmp_path / "cdk.out", "RenderFarm") == farm.to_json()


def test_under_the_command_line_it_gives_the_same_template(
    tmp_path: Path, farm: Template, cdk_context: dict[str, Any]
) -> None:
    # What the command line adds to the context of cdk.json.
    context = cdk_context | {"aws:cdk:bundling-stacks": ["**"]}
    out = tmp_path / "assembly"
    done = run(tmp_path, CDK_CONTEXT_JSON=json.dumps(context), CDK_OUTDIR=str(out), CDK_VALIDATION="false")
    assert done.returncode == 0, done.stderr
    assert template(out, "RenderFarm") == farm.to_json()


def test_a_part_of_the_context_overrides_cdk_json(tmp_path: Path, cpu_farm: Template) -> None:
    context = {"stack_name": "LocalRenderFarm", "gpu": False, "max_vcpus": 2, "job_vcpus": 1, "guard": "off"}
    done = run(tmp_path, CDK_CONTEXT_JSON=json.dumps(context), CDK_VALIDATION="false")
    assert done.returncode == 0, done.stderr
    local = template(tmp_path / "cdk.out", "LocalRenderFarm")
    assert json.loads(json.dumps(local).replace("LocalRenderFarm", "RenderFarm")) == cpu_farm.to_json()


def test_a_wrong_setting_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    done = run(tmp_path, CDK_CONTEXT_JSON='{"attempts": 11}')
    assert done.returncode == 1
    assert done.stderr == "The setting attempts is 11, but must be a whole number from 1 to 10.\n"
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())
