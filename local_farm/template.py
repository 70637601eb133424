"""What a CloudFormation template's resources need of each other.

This imports nothing of moto, for the local farm reads it while moto is still on its way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

_NAMES_IN_TEXT = re.compile(r"\$\{([A-Za-z0-9]+)")


def in_order(bodies: Mapping[str, Any]) -> Iterable[str]:
    """Give the logical ids, each after those that it refers to or depends on."""
    needs = {
        logical_id: [each for each in dict.fromkeys(_references(body)) if each in bodies and each != logical_id]
        for logical_id, body in bodies.items()
    }
    return TopologicalSorter(needs).static_order()


def _references(part: Any) -> Iterator[str]:
    """Give the logical ids and parameters that a part of a template refers to or depends on."""
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key == "DependsOn":
            yield from [value] if isinstance(value, str) else value
        elif key == "Ref":
            yield value
        elif key == "Fn::GetAtt":
            yield value.partition(".")[0] if isinstance(value, str) else value[0]
        else:
            if key == "Fn::Sub":
                yield from _NAMES_IN_TEXT.findall(value if isinstance(value, str) else value[0])
            yield from _references(value)


def without_uploads(template: dict[str, Any]) -> dict[str, Any]:
    """Leave out the functions whose code only `cdk deploy` uploads, and what refers to them.

    They empty the buckets when the stack is destroyed; the local farm's buckets end with its process.
    """
    resources = {
        logical_id: body
        for logical_id, body in template["Resources"].items()
        if "S3Key" not in body.get("Properties", {}).get("Code", {})
    }
    while missing := {
        logical_id
        for logical_id, body in resources.items()
        if any(each in template["Resources"] and each not in resources for each in _references(body))
    }:
        resources = {logical_id: body for logical_id, body in resources.items() if logical_id not in missing}
    return template | {"Resources": resources}
