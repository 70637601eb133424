"""How CloudFormation makes, changes and removes the resources of a stack, in place of moto's own way.

moto 5.2.5 compares templates as text, so that what refers to a changed resource stays as it was; it forgets a changed
resource whose type it cannot update, makes what a change set adds without asking DependsOn, deletes in any order, and
answers 500 when one resource fails, whereupon the caller repeats the call into a half-made stack. Its change sets have
one name space for all stacks and name no property that changes, so that `cdk diff` shows none; a stack that was made
by one has no outputs.

Unlike AWS, a stack that fails is left as it is, as with `--on-failure DO_NOTHING`, and a resource that moto cannot
change in place is replaced.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
"""
# moto has no types that this project's checker follows

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.cloudformation import models, parsing, responses
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource

from local_farm.template import in_order

_KEPT = ("Retain", "RetainExceptOnCreate")


def apply() -> None:
    """Put this in moto's place, for the whole process."""
    models.Stack.create_resources = _create_stack
    models.Stack.update = _update_stack
    models.Stack.stack_parameters = property(_given_parameters)
    models.CloudFormationBackend.delete_stack = _delete_stack
    models.ChangeSet.diff = _differences
    responses.CloudFormationResponse.describe_change_set = _describe_change_set
    responses.CloudFormationResponse.delete_change_set = _delete_change_set
    responses.CloudFormationResponse.execute_change_set = _execute_change_set


def _create_stack(stack: Any) -> None:
    _deploy(stack, "CREATE", template=stack.template, parameters=stack.parameters)


def _update_stack(
    stack: Any,
    template: str,
    role_arn: str | None = None,
    parameters: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    stack.role_arn = role_arn
    stack.tags = stack.tags if tags is None else tags
    _deploy(stack, "UPDATE", template=template, parameters=parameters or {})


def _given_parameters(stack: Any) -> dict[str, Any]:
    # moto gives what the Parameter Store holds for a parameter, but its previous value is the name it was given.
    slots = stack.template_dict.get("Parameters", {})
    return {name: stack.parameters.get(name, slot.get("Default")) for name, slot in slots.items()}


def _describe_change_set(response: Any) -> ActionResult:
    return ActionResult(_change_set(response))


def _execute_change_set(response: Any) -> EmptyResult:
    change_set = _change_set(response)
    stack = response.cloudformation_backend.stacks[change_set.stack_id]
    stack.tags = change_set.tags or stack.tags
    _deploy(stack, change_set.change_set_type, template=change_set.template, parameters=change_set.parameters)
    change_set.execution_status = "EXECUTE_COMPLETE"
    return EmptyResult()


def _delete_change_set(response: Any) -> EmptyResult:
    # AWS succeeds for a change set that is not there, and the CDK relies on it.
    for change_set in _change_sets(response):
        del response.cloudformation_backend.change_sets[change_set.change_set_id]
    return EmptyResult()


def _differences(change_set: Any) -> list[Any]:
    old, new = change_set.stack.resource_map._resource_json_map, change_set.template_dict["Resources"]
    actions = {each: "Remove" for each in old if each not in new}
    actions |= {each: "Modify" if each in old else "Add" for each in new if old.get(each) != new[each]}
    changes = []
    for logical_id, action in actions.items():
        body = new.get(logical_id) or old[logical_id]
        change = models.Change(action, logical_id, body["Type"])
        before, after = (part.get(logical_id, {}).get("Properties", {}) for part in (old, new))
        change.details = [
            {
                "Target": {
                    "Attribute": "Properties",
                    "Name": name,
                    "RequiresRecreation": "Never" if _changes_in_place(body["Type"]) else "Always",
                },
                "Evaluation": "Static",
                "ChangeSource": "DirectModification",
            }
            for name in sorted(before.keys() | after.keys())
            if action == "Modify" and before.get(name) != after.get(name)
        ]
        changes.append(change)
    return changes


def _change_set(response: Any) -> Any:
    for found in _change_sets(response):
        return found
    raise _ChangeSetMissing(f"ChangeSet [{response._get_param('ChangeSetName')}] does not exist")


def _change_sets(response: Any) -> list[Any]:
    """Give the change sets that the request names, by ARN or by name and stack; the newest comes first."""
    name, stack = response._get_param("ChangeSetName"), response._get_param("StackName")
    return [
        each
        for each in reversed(response.cloudformation_backend.change_sets.values())
        if name == each.change_set_id or (name == each.change_set_name and stack in (each.stack_name, each.stack_id))
    ]


def _deploy(stack: Any, action: str, *, template: str, parameters: dict[str, Any]) -> None:
    """Bring the stack to the template, and it and its events to their final state."""
    stack.template, stack.parameters = template, parameters
    stack._parse_template()
    stack.description = stack.template_dict.get("Description")
    stack.status = f"{action}_IN_PROGRESS"
    try:
        _bring(stack)
        stack.output_map = stack._create_output_map()
        stack.status = f"{action}_COMPLETE"
    except _ResourceError as error:
        error.tell(stack, f"{action}_FAILED")
        stack.status = f"{action}_FAILED"
    stack._add_stack_event(stack.status)


def _bring(stack: Any) -> None:
    resources, document = stack.resource_map, stack.template_dict
    bodies = document["Resources"]
    made = _made(resources)
    leaving: list[tuple[str, Any, dict[str, Any], str | None]] = []
    resources._template, resources._resource_json_map, resources.input_parameters = document, bodies, stack.parameters
    with _failing(stack.name, stack.cloudformation_type()):
        resources.load()

    wanted = [each for each in in_order(bodies) if _is_wanted(bodies[each], resources)]
    for logical_id in wanted:
        body = bodies[logical_id]
        with _failing(logical_id, body["Type"]):
            declared = parsing.clean_json(body, resources)
            before, original = made.get(logical_id), resources._parsed_resources.get(logical_id)
            if before is None:
                _make(stack, logical_id)
            elif before != declared and not _change(stack, logical_id, body):
                leaving.append((logical_id, original, before, before.get("UpdateReplacePolicy")))
        made.pop(logical_id, None)
        made[logical_id] = declared

    for logical_id, declared in reversed(made.copy().items()):
        if logical_id not in wanted:
            resource = resources._parsed_resources.pop(logical_id)
            leaving.append((logical_id, resource, made.pop(logical_id), declared.get("DeletionPolicy")))
    for logical_id, resource, declared, policy in leaving:
        if policy not in _KEPT:
            _remove(resources, logical_id, resource, declared)


def _make(stack: Any, logical_id: str) -> None:
    resources = stack.resource_map
    resource = resources[logical_id]
    if isinstance(resource, TaggedEC2Resource):
        ec2 = ec2_backends[stack.account_id][stack.region_name]
        ec2.create_tags(
            [resource.physical_resource_id],
            stack.tags
            | {
                "aws:cloudformation:stack-name": stack.name,
                "aws:cloudformation:stack-id": stack.stack_id,
                "aws:cloudformation:logical-id": logical_id,
            },
        )


def _change(stack: Any, logical_id: str, body: dict[str, Any]) -> bool:
    """Change the resource in place and say so, or make another in its stead where that cannot be done."""
    resources = stack.resource_map
    if not _changes_in_place(body["Type"]):
        del resources._parsed_resources[logical_id]
        _make(stack, logical_id)
        return False
    resources._parsed_resources[logical_id] = parsing.parse_and_update_resource(
        logical_id, body, resources, account_id=stack.account_id, region_name=stack.region_name
    )
    return True


def _changes_in_place(resource_type: str) -> bool:
    model = parsing.resource_class_from_type(resource_type)
    return model is None or not hasattr(model.update_from_cloudformation_json, "__isabstractmethod__")


def _remove(resources: Any, logical_id: str, resource: Any, declared: dict[str, Any]) -> None:
    with _failing(logical_id, declared["Type"]):
        if hasattr(resource, "delete"):
            resource.delete(resources._account_id, resources._region_name)
        else:
            name = getattr(resource, "physical_resource_id", None)
            parsing.parse_and_delete_resource(name, declared, resources._account_id, resources._region_name)


def _delete_stack(backend: Any, name_or_id: str) -> None:
    stack = next((each for each in backend.stacks.values() if name_or_id in (each.name, each.stack_id)), None)
    if stack is None:
        return
    stack._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")
    resources, made = stack.resource_map, _made(stack.resource_map)
    try:
        for logical_id, declared in reversed(made.copy().items()):
            if declared.get("DeletionPolicy") not in _KEPT:
                _remove(resources, logical_id, resources._parsed_resources[logical_id], declared)
            del made[logical_id]
    except _ResourceError as error:
        error.tell(stack, "DELETE_FAILED")
        stack.status = "DELETE_FAILED"
    else:
        # moto makes a resource that is asked for; a stack that is gone must make none.
        resources._resource_json_map = {}
        stack.status = "DELETE_COMPLETE"
        backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)
        for name, export in list(backend.exports.items()):
            if export.exporting_stack_id == stack.stack_id:
                del backend.exports[name]
    stack._add_stack_event(stack.status)


def _made(resources: Any) -> dict[str, dict[str, Any]]:
    """Give what each resource was made of, its references resolved, in the order in which they need each other."""
    made: dict[str, dict[str, Any]] = vars(resources).setdefault("made", {})
    return made


def _is_wanted(body: dict[str, Any], resources: Any) -> bool:
    condition = body.get("Condition")
    # A type that moto does not know is passed over.
    known = parsing.resource_class_from_type(body["Type"]) is not None
    return known and (condition is None or bool(resources.lazy_condition_map[condition]))


@contextmanager
def _failing(logical_id: str, resource_type: str) -> Iterator[None]:
    try:
        yield
    except _ResourceError:
        raise
    except Exception as error:
        raise _ResourceError(logical_id, resource_type, error) from error


class _ChangeSetMissing(ServiceException):  # type: ignore[misc]  # moto is not followed by the type checker
    code = "ChangeSetNotFound"


class _ResourceError(Exception):
    """One resource could not be made, changed or removed; the rest of the stack is as it was then."""

    def __init__(self, logical_id: str, resource_type: str, error: Exception) -> None:
        super().__init__(logical_id)
        self.logical_id = logical_id
        self.resource_type = resource_type
        self.reason = getattr(error, "message", None) or f"{type(error).__name__}: {error}"

    def tell(self, stack: Any, status: str) -> None:
        """Add the event that names the resource and the reason."""
        stack.events.append(
            models.Event(
                stack_id=stack.stack_id,
                stack_name=stack.name,
                logical_resource_id=self.logical_id,
                physical_resource_id="",
                resource_type=self.resource_type,
                resource_status=status,
                resource_status_reason=self.reason,
                resource_properties=None,
            )
        )
