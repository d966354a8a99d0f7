"""The generated IAM policy: who may do what by it, and that it is one that IAM takes."""

import json
import re
from typing import ClassVar

import pytest
from botocore.loaders import Loader

from reaper.clients.aws import OPERATIONS
from reaper.clients.aws.policy import (
    CONTROL_TAGS,
    HEARTBEAT_TAG,
    LAST_ACTION_TAG,
    LONGEST,
    PURPOSES,
    Narrowing,
    length,
    partition_of,
    policy,
    tag_guard,
)
from tests.support.iam import actions_of, allows

DELETE, TAG, DESCRIBE = "sagemaker:DeleteApp", "sagemaker:AddTags", "sagemaker:DescribeApp"
ANN = {"sagemaker:DomainId": "d-one", "sagemaker:UserProfileName": "ann"}
ANN_BY_SOURCE = {"aws:SourceIdentity": "ann"}
both_ways = pytest.mark.parametrize("caller", [ANN, ANN_BY_SOURCE], ids=["profile", "source-identity"])


def arn(tail: str, region: str = "eu-central-1", partition: str = "aws") -> str:
    return f"arn:{partition}:sagemaker:{region}:111122223333:{tail}"


def owned_by(user: str, domain: str = "d-one", sharing: str = "Private") -> dict[str, str]:
    """What IAM knows of an app in a space."""
    return {
        "sagemaker:OwnerUserProfileArn": arn(f"user-profile/{domain}/{user}"),
        "sagemaker:SpaceSharingType": sharing,
    }


STUDIO = policy(["studio"], Narrowing())


class TestWhoseApps:
    """One execution role for ann and bob."""

    @both_ways
    @pytest.mark.parametrize("kind", ["KernelGateway", "kernelgateway", "canvas", "jupyterlab"])
    def test_ones_own(self, caller, kind):
        assert allows(STUDIO, DELETE, arn(f"app/d-one/ann/{kind}/a-1"), caller)

    @both_ways
    def test_not_anothers(self, caller):
        assert not allows(STUDIO, DELETE, arn("app/d-one/bob/kernelgateway/a-1"), caller)
        assert not allows(STUDIO, DELETE, arn("app/d-one/anna/kernelgateway/a-1"), caller)

    def test_not_a_namesakes_in_another_domain(self):
        assert not allows(STUDIO, DELETE, arn("app/d-two/ann/kernelgateway/a-1"), ANN)
        narrowed = policy(["studio"], Narrowing(domain="d-one"))
        assert not allows(narrowed, DELETE, arn("app/d-two/ann/kernelgateway/a-1"), ANN_BY_SOURCE)

    @both_ways
    def test_in_a_space_of_ones_own(self, caller):
        lab = arn("app/d-one/my-space/jupyterlab/default")
        assert allows(STUDIO, DELETE, lab, caller | owned_by("ann"))
        assert not allows(STUDIO, DELETE, lab, caller | owned_by("bob"))

    @both_ways
    def test_not_in_anothers_space_that_is_called_like_me(self, caller):
        assert not allows(STUDIO, DELETE, arn("app/d-one/ann/jupyterlab/default"), caller | owned_by("bob"))

    def test_in_shared_spaces_only_where_asked_for(self):
        lab = arn("app/d-one/team/jupyterlab/default")
        shared = ANN | owned_by("bob", sharing="Shared")
        assert not allows(STUDIO, DELETE, lab, shared)
        asked = policy(["studio"], Narrowing(shared_spaces=True))
        assert allows(asked, DELETE, lab, shared)
        assert not allows(asked, DELETE, lab, ANN | owned_by("bob"))

    def test_nobodys_where_iam_does_not_know_who_calls(self):
        assert not allows(STUDIO, DELETE, arn("app/d-one/ann/kernelgateway/a-1"), {})
        assert not allows(STUDIO, DELETE, arn("app/d-one/x/jupyterlab/default"), owned_by("ann"))

    def test_one_user_by_name(self):
        anns = policy(["studio"], Narrowing(domain="d-one", user="ann"))
        assert allows(anns, DELETE, arn("app/d-one/ann/kernelgateway/a-1"), {})
        assert allows(anns, DELETE, arn("app/d-one/x/jupyterlab/default"), owned_by("ann"))
        assert not allows(anns, DELETE, arn("app/d-one/bob/kernelgateway/a-1"), {})
        assert "${" not in json.dumps(anns)

    def test_one_user_in_either_spelling(self):
        """Names of user profiles don't differ by case (SageMaker API Reference), patterns of IAM do."""
        anns = policy(["studio"], Narrowing(domain="d-one", user="Ann"))
        for name in ("Ann", "ann"):
            assert allows(anns, DELETE, arn(f"app/d-one/{name}/kernelgateway/a-1"), {})
            assert allows(anns, DELETE, arn("app/d-one/x/jupyterlab/default"), owned_by(name))
        assert not allows(anns, DELETE, arn("app/d-one/anna/kernelgateway/a-1"), {})

    @both_ways
    def test_never_a_jupyter_server(self, caller):
        for kind in ("JupyterServer", "jupyterserver"):
            assert not allows(STUDIO, DELETE, arn(f"app/d-one/ann/{kind}/default"), caller)

    @both_ways
    def test_never_what_is_protected(self, caller):
        protected = caller | {"sagemaker:ResourceTag/Reaper:Protect": "no"}
        assert not allows(STUDIO, DELETE, arn("app/d-one/ann/kernelgateway/a-1"), protected)


class TestHeartbeat:
    def test_only_its_own_tag(self):
        server = arn("app/d-one/ann/jupyterserver/default")
        assert allows(STUDIO, TAG, server, ANN | {"aws:TagKeys": [HEARTBEAT_TAG]})
        assert not allows(STUDIO, TAG, server, ANN | {"aws:TagKeys": [HEARTBEAT_TAG, "reaper:protect"]})
        assert not allows(STUDIO, TAG, server, ANN)
        assert not allows(STUDIO, TAG, arn("user-profile/d-one/ann"), {"aws:TagKeys": [HEARTBEAT_TAG]})


class TestCeiling:
    def test_what_may_not_be_done_is_not_granted(self):
        document = policy(
            ["studio"], Narrowing(), lambda family, action: (family, action) != ("studio", "delete")
        )
        assert DELETE not in json.dumps(document)
        assert {DESCRIBE, TAG} <= actions_of(document)
        assert actions_of(document, "Deny") == set()

    def test_every_operation_that_writes_says_what_it_carries_out(self):
        """Or it is none of the actions: a tag with which reaper reports itself, or what it is about to do."""
        silent = {one.name for one in OPERATIONS if one.writes and not one.carries_out}
        assert silent <= {"AddTags", "CreateTags"}
        assert all(
            re.fullmatch(r"[a-z][a-z0-9]*\.[a-z]+", one.carries_out) for one in OPERATIONS if one.carries_out
        )


class TestFromOutside:
    def test_only_what_its_owner_has_put_into_reapers_hands(self):
        """Endpoints and jobs, which no reaper runs in."""
        outside = [one for one in OPERATIONS if one.carries_out.startswith("sagemaker.")]
        document = policy(PURPOSES, Narrowing())
        for one in outside:
            resource, managed = arn(f"{one.resource}/x"), {"sagemaker:ResourceTag/reaper:managed": "yes"}
            assert allows(document, one.action, resource, managed)
            assert allows(document, one.action, resource, {}) is (one.resource == "notebook-instance")
            assert not allows(
                document, one.action, resource, managed | {"sagemaker:ResourceTag/reaper:protect": ""}
            )

    def test_one_notebook_instance(self):
        document = policy(["notebook-instance"], Narrowing(notebook_instance="Box"))
        assert allows(document, "sagemaker:StopNotebookInstance", arn("notebook-instance/Box"), {})
        assert allows(document, "sagemaker:StopNotebookInstance", arn("notebook-instance/box"), {})
        assert not allows(document, "sagemaker:StopNotebookInstance", arn("notebook-instance/Box2"), {})


class TestFleet:
    """Instances that others run."""

    MANAGED: ClassVar[dict[str, str | list[str]]] = {"aws:ResourceTag/reaper:managed": ""}
    BOX = "arn:aws:ec2:eu-central-1:111122223333:instance/i-1"
    FLEET = policy(["fleet"], Narrowing())
    ACTS = ("ec2:StopInstances", "ec2:TerminateInstances")

    @pytest.mark.parametrize("action", ACTS)
    def test_only_what_is_managed_and_not_protected(self, action):
        assert allows(self.FLEET, action, self.BOX, self.MANAGED)
        assert not allows(self.FLEET, action, self.BOX, {})
        protected = self.MANAGED | {"aws:ResourceTag/Reaper:Protect": "no"}
        assert not allows(self.FLEET, action, self.BOX, protected)

    def test_a_spot_request_has_tags_of_its_own(self):
        request = "arn:aws:ec2:eu-central-1:111122223333:spot-instances-request/sir-1"
        assert allows(self.FLEET, "ec2:CancelSpotInstanceRequests", request, self.MANAGED)
        assert not allows(self.FLEET, "ec2:CancelSpotInstanceRequests", request, {})

    def test_one_tag_may_be_written_and_no_other(self):
        last: dict[str, str | list[str]] = {"aws:TagKeys": [LAST_ACTION_TAG]}
        assert allows(self.FLEET, "ec2:CreateTags", self.BOX, self.MANAGED | last)
        assert not allows(self.FLEET, "ec2:CreateTags", self.BOX, last)
        assert not allows(self.FLEET, "ec2:CreateTags", self.BOX, self.MANAGED)
        more: dict[str, str | list[str]] = {"aws:TagKeys": [LAST_ACTION_TAG, "reaper:managed"]}
        assert not allows(self.FLEET, "ec2:CreateTags", self.BOX, self.MANAGED | more)

    def test_what_may_not_be_done_is_not_granted(self):
        stops = policy(
            ["fleet"], Narrowing(), lambda family, action: (family, action) in {("ec2", "stop"), ("x", "y")}
        )
        assert "ec2:StopInstances" in actions_of(stops)
        assert not actions_of(stops) & {"ec2:TerminateInstances", "ec2:CancelSpotInstanceRequests"}
        assert actions_of(stops, "Deny") == {"ec2:StopInstances"}
        looks = policy(["fleet"], Narrowing(), lambda *_: False)
        assert actions_of(looks, "Deny") == set()
        assert "ec2:DescribeInstances" in actions_of(looks)

    def test_who_may_only_hibernate_may_stop_as_far_as_iam_goes(self):
        hibernates = policy(["fleet"], Narrowing(), lambda _, action: action == "hibernate")
        assert allows(hibernates, "ec2:StopInstances", self.BOX, self.MANAGED)

    def test_the_hub_assumes_roles_by_name(self):
        hub = policy(["fleet-hub"], Narrowing(roles=("arn:aws:iam::444455556666:role/x", "reaper-member")))
        assert allows(hub, "sts:AssumeRole", "arn:aws:iam::444455556666:role/x", {})
        assert allows(hub, "sts:AssumeRole", "arn:aws:iam::111122223333:role/reaper-member", {})
        assert not allows(hub, "sts:AssumeRole", "arn:aws:iam::111122223333:role/admin", {})

    def test_hub_and_members_together_are_the_fleet(self):
        hub, member = (actions_of(policy([one], Narrowing())) for one in ("fleet-hub", "fleet-member"))
        assert hub | member == actions_of(self.FLEET)
        assert hub & member == set()

    def test_who_only_checks_changes_nothing(self):
        checks = policy(["check"], Narrowing())
        assert not {one.action for one in OPERATIONS if one.writes} & actions_of(checks)
        assert {"ec2:DescribeInstances", "sagemaker:ListApps", "sts:AssumeRole"} <= actions_of(checks)
        assert "sagemaker:ListApps" not in actions_of(self.FLEET)

    def test_only_reapers_own_parameters(self):
        parameter = "arn:aws:ssm:eu-central-1:111122223333:parameter/"
        assert allows(self.FLEET, "ssm:GetParameter", f"{parameter}reaper/pause", {})
        assert not allows(self.FLEET, "ssm:GetParameter", f"{parameter}database/password", {})


class TestTagGuard:
    """For those who use instances: beside a policy that lets them tag as they like."""

    ANYTHING: ClassVar = {"Effect": "Allow", "Action": ["ec2:CreateTags", "ec2:DeleteTags"], "Resource": "*"}

    @pytest.mark.parametrize("action", ["ec2:CreateTags", "ec2:DeleteTags"])
    @pytest.mark.parametrize("key", [*CONTROL_TAGS, "Reaper:Protect"])
    def test_what_controls_reaper_is_not_theirs(self, action, key):
        guarded = {"Statement": [self.ANYTHING, *tag_guard()["Statement"]]}
        assert not allows(guarded, action, TestFleet.BOX, {"aws:TagKeys": ["Name", key]})
        assert allows(guarded, action, TestFleet.BOX, {"aws:TagKeys": ["Name", "reaper:hold-until"]})


class TestLimits:
    def test_everything_is_within_them(self):
        limits = Narrowing(partition="aws-cn", account="111122223333", region="cn-north-1", domain="d-one")
        document = policy(["studio"], limits)
        for statement in document["Statement"]:
            resources = statement["Resource"]
            for one in [resources] if isinstance(resources, str) else resources:
                assert one == "*" or one.startswith("arn:aws-cn:sagemaker:cn-north-1:111122223333:app/d-one/")
        server = arn("app/d-one/ann/kernelgateway/a", region="cn-north-1", partition="aws-cn")
        assert allows(document, DELETE, server, ANN)
        assert not allows(document, DELETE, server.replace("111122223333", "999922223333"), ANN)

    def test_partitions_are_botocores(self):
        partitions = Loader().load_data("endpoints")["partitions"]
        for one in partitions:
            for region in one["regions"]:
                assert partition_of(region) == one["partition"], region

    @pytest.mark.parametrize(
        ("region", "partition"),
        [("", "aws"), ("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
    )
    def test_partition(self, region, partition):
        assert partition_of(region) == partition


@pytest.mark.parametrize("purposes", [[one] for one in PURPOSES] + [list(PURPOSES)], ids="+".join)
def test_iam_takes_it(purposes):
    """IAM JSON policy reference: letters and digits in Sids, each once; 6,144 characters without white space."""
    limits = Narrowing(
        account="111122223333", region="eu-central-1", domain="d-abcdefghijkl", shared_spaces=True
    )
    document = policy(purposes, limits)
    assert document["Version"] == "2012-10-17"
    sids = [one["Sid"] for one in document["Statement"]]
    assert len(set(sids)) == len(sids) > 0
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert length(document) <= LONGEST or len(purposes) > 1
    for action in actions_of(document):
        assert "*" not in action
