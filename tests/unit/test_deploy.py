"""The templates under deploy/: their form, and that they grant what `reaper iam` prints, no more and no less."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from reaper.clients.aws.policy import Narrowing, policy, tag_guard

DEPLOY = Path(__file__).parents[2] / "deploy"
HERE = Narrowing(partition="aws-cn", account="111122223333", roles=("reaper-member",))
POLICIES = {"hub": policy(["fleet"], HERE), "member": policy(["fleet-member"], HERE)}
both = pytest.mark.parametrize("which", ["hub", "member"])


class Template(yaml.SafeLoader):  # type: ignore[misc]
    """Reads CloudFormation's short forms: `!Ref x` is `{"Ref": x}`, `!Sub x` is `{"Fn::Sub": x}`."""


def _function(loader: Template, suffix: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        value = loader.construct_sequence(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".")
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


Template.add_multi_constructor("!", _function)


def template(which: str) -> dict[str, Any]:
    text = (DEPLOY / f"cloudformation/reaper-{which}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Template)  # noqa: S506 - a SafeLoader
    return loaded


def module(which: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (DEPLOY / f"terraform/{which}/main.tf.json").read_text(encoding="utf-8")
    )
    return loaded


def parts(value: Any) -> Iterator[Any]:
    """Give a value and all that is in it."""
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inside:
        yield from parts(one)


def functions(value: Any, name: str) -> list[Any]:
    return [part[name] for part in parts(value) if isinstance(part, dict) and len(part) == 1 and name in part]


PSEUDO = {"AWS::Partition": "aws-cn", "AWS::AccountId": "111122223333", "AWS::NoValue": None}


class TestCloudFormation:
    @both
    def test_its_form(self, which: str) -> None:
        document = template(which)
        known = {
            "AWSTemplateFormatVersion",
            "Description",
            "Parameters",
            "Conditions",
            "Resources",
            "Outputs",
        }
        assert document.keys() <= known
        assert document["AWSTemplateFormatVersion"] == "2010-09-09"
        assert all(
            one.keys() <= {"Type", "Properties", "Condition"} for one in document["Resources"].values()
        )
        assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in document["Resources"])
        assert len(json.dumps(document)) < 51_200  # CloudFormation User Guide, quotas
        assert len(document["Description"]) < 1024

    @both
    def test_every_name_that_is_used_is_there_and_every_one_that_is_there_is_used(self, which: str) -> None:
        document = template(which)
        parameters, conditions = document["Parameters"], document["Conditions"]
        texts = functions(document, "Fn::Sub")
        used = set(functions(document, "Ref")) | {
            name for text in texts for name in re.findall(r"\$\{([^}]+)\}", text)
        }
        assert used <= parameters.keys() | document["Resources"].keys() | PSEUDO.keys()
        assert parameters.keys() <= used
        for resource, _ in functions(document, "Fn::GetAtt"):
            assert resource in document["Resources"]
        asked = {one[0] for one in functions(document, "Fn::If")}
        asked |= {one["Condition"] for one in document["Resources"].values() if "Condition" in one}
        assert asked == conditions.keys()

    @both
    def test_it_grants_what_reaper_iam_prints(self, which: str) -> None:
        document = template(which)
        (granted,) = document["Resources"]["Role"]["Properties"]["Policies"]
        assert self.resolved(granted["PolicyDocument"], document) == POLICIES[which]
        guard = document["Resources"]["TagGuard"]["Properties"]["PolicyDocument"]
        assert guard == tag_guard()

    def test_both_guard_the_same_and_the_hubs_output_is_whom_the_member_trusts(self) -> None:
        hub, member = template("hub"), template("member")
        (trust,) = member["Resources"]["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"AWS": {"Ref": "HubRoleArn"}}
        assert trust["Action"] == "sts:AssumeRole"
        asked = {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}}
        assert trust["Condition"] == {"Fn::If": ["HasExternalId", asked, {"Ref": "AWS::NoValue"}]}
        assert hub["Outputs"]["RoleArn"]["Value"] == {"Fn::GetAtt": ["Role", "Arn"]}
        assert member["Parameters"]["RoleName"]["Default"] == hub["Parameters"]["MemberRoleName"]["Default"]

    def resolved(self, value: Any, document: dict[str, Any]) -> Any:
        """Put in what variables stand for, by the parameters' defaults."""
        match value:
            case {"Fn::Sub": text}:
                known = PSEUDO | {name: one.get("Default") for name, one in document["Parameters"].items()}
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(known[found[1]]), text)
            case dict():
                return {key: self.resolved(one, document) for key, one in value.items()}
            case list():
                return [self.resolved(one, document) for one in value]
        return value


class TestTerraform:
    @both
    def test_every_name_that_is_used_is_there(self, which: str) -> None:
        document = module(which)
        assert document.keys() == {"//", "terraform", "variable", "data", "resource", "output"}
        there = {f"var.{name}" for name in document["variable"]}
        there |= {f"data.{kind}.{name}" for kind, some in document["data"].items() for name in some}
        there |= {f"{kind}.{name}" for kind, some in document["resource"].items() for name in some}
        texts = [part for part in parts(document) if isinstance(part, str) and "${" in part]
        inside = [one for text in texts for one in re.findall(r"\$\{([^}]+)\}", text)]
        used = {
            name
            for one in inside
            for name in re.findall(r"(?:var\.\w+|data\.\w+\.\w+|(?<![\w.])aws_\w+\.\w+)", one)
        }
        assert len(inside) >= len(used) > 0
        assert used <= there
        assert {name for name in there if name.startswith("var.")} <= used
        assert all({"type", "description"} <= one.keys() for one in document["variable"].values())

    @both
    def test_it_grants_what_reaper_iam_prints(self, which: str) -> None:
        documents = module(which)["data"]["aws_iam_policy_document"]
        assert documents.keys() == {"trust", "fleet", "tag_guard"}
        for name, expected in (("fleet", POLICIES[which]), ("tag_guard", tag_guard())):
            assert self.statements(documents[name]) == [self.plain(one) for one in expected["Statement"]]

    def test_whom_the_member_trusts(self) -> None:
        (trust,) = module("member")["data"]["aws_iam_policy_document"]["trust"]["statement"]
        assert trust["principals"] == [{"type": "AWS", "identifiers": ["${var.hub_role_arn}"]}]
        asked = trust["dynamic"]["condition"]
        assert asked["for_each"] == '${var.external_id == "" ? [] : [var.external_id]}'
        assert asked["content"]["variable"] == "sts:ExternalId"

    def statements(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Write aws_iam_policy_document's statements as IAM does, each value a list."""
        names = {
            "data.aws_partition.here.partition": "aws-cn",
            "data.aws_caller_identity.here.account_id": "111122223333",
            "var.member_role_name": "reaper-member",
        }
        text = re.sub(r"\$\{([^}]+)\}", lambda found: names[found[1]], json.dumps(document["statement"]))
        found = []
        for one in json.loads(text):
            conditions: dict[str, dict[str, list[str]]] = {}
            for condition in one.get("condition", ()):
                conditions.setdefault(condition["test"], {})[condition["variable"]] = condition["values"]
            told = {
                "Sid": one["sid"],
                "Effect": one["effect"],
                "Action": one["actions"],
                "Resource": one["resources"],
            }
            found.append(told | ({"Condition": conditions} if conditions else {}))
        return found

    def plain(self, statement: dict[str, Any]) -> dict[str, Any]:
        """Write each value of a statement as a list."""

        def many(value: Any) -> list[str]:
            return [value] if isinstance(value, str) else value

        written = {key: many(statement[key]) for key in ("Action", "Resource")}
        conditions = {
            test: {key: many(value) for key, value in keys.items()}
            for test, keys in statement.get("Condition", {}).items()
        }
        return statement | written | ({"Condition": conditions} if conditions else {})
