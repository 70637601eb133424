"""Ways to look into a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_cdk.assertions import Template

TAG = {"Key": "render-farm", "Value": "RenderFarm"}


def properties(template: Template, resource_type: str) -> list[dict[str, Any]]:
    return [dict(resource["Properties"]) for resource in template.find_resources(resource_type).values()]


def only(template: Template, resource_type: str) -> dict[str, Any]:
    (found,) = properties(template, resource_type)
    return found


def logical_id(template: Template, resource_type: str, start: str) -> str:
    (found,) = [name for name in template.find_resources(resource_type) if name.startswith(start)]
    return found


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    """Every statement of the policies of the one role whose logical id starts so."""
    role_id = logical_id(template, "AWS::IAM::Role", role)
    return [
        statement
        for policy in properties(template, "AWS::IAM::Policy")
        if {"Ref": role_id} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(found: list[dict[str, Any]]) -> set[str]:
    """Every action of the statements."""
    return {
        action
        for statement in found
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
