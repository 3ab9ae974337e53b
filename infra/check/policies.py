"""What a list of IAM statements allows, by the rules of IAM that the templates use. LocalStack does not enforce permissions."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Operation:
    """A request as IAM sees it. Every one of `resources` must be allowed: SubmitJob has a queue and a definition."""

    action: str
    resources: tuple[str, ...]
    context: dict[str, str | list[str]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.action} on {', '.join(self.resources)}" + (f" with {self.context}" if self.context else "")


def several(value) -> list[str]:
    return [value] if isinstance(value, str) else value


def matches(pattern: str, text: str) -> bool:
    # IAM has no character classes.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


OPERATORS = {
    "StringEquals": lambda wanted, given: wanted == given,
    "ArnEquals": matches,
    "StringLike": matches,
    "Bool": lambda wanted, given: wanted == given,
}


def condition_holds(operator: str, key: str, wanted: list[str], context: dict) -> bool:
    every = operator.startswith("ForAllValues:")
    test = OPERATORS[operator.removeprefix("ForAllValues:")]
    given = several(context.get(key, []))
    each = [any(test(one, value) for one in wanted) for value in given]
    return all(each) if every else any(each)


def concerns(statement: dict, action: str, resource: str, context: dict) -> bool:
    return (
        any(matches(each.lower(), action.lower()) for each in several(statement["Action"]))
        and any(matches(each, resource) for each in several(statement["Resource"]))
        and all(
            condition_holds(operator, key, several(wanted), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def allows(statements: list[dict], operation: Operation) -> bool:
    def one(resource: str) -> bool:
        effects = {each["Effect"] for each in statements if concerns(each, operation.action, resource, operation.context)}
        return effects == {"Allow"}

    return all(map(one, operation.resources))


def without_one_permission(statements: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    """The statements without a single pair of action and resource, for each such pair, with its name."""
    for number, statement in enumerate(statements):
        actions, resources = several(statement["Action"]), several(statement["Resource"])
        for action in actions:
            for resource in resources:
                rest = statements[:number] + statements[number + 1 :]
                others = [each for each in actions if each != action]
                if others:
                    rest.append(statement | {"Action": others})
                if left := [each for each in resources if each != resource]:
                    rest.append(statement | {"Action": [action], "Resource": left})
                yield f"{statement['Sid']}: {action} on {resource}", rest


def without_one_condition(statements: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    for number, statement in enumerate(statements):
        for operator, keys in statement.get("Condition", {}).items():
            for key in keys:
                wider = copy.deepcopy(statements)
                del wider[number]["Condition"][operator][key]
                yield f"{statement['Sid']}: {operator} {key}", wider
