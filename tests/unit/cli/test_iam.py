"""`reaper iam`: what is asked for, what is refused."""

import json

import pytest

from reaper.clients.aws.policy import PURPOSES
from tests.support.iam import actions_of


def test_a_policy_on_stdout_alone(reaper):
    ran = reaper("iam", "--for", "studio", "--domain", "d-one", "--account", "111122223333")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json["Version"] == "2012-10-17"
    assert "sagemaker:DeleteApp" in actions_of(ran.json)
    assert '"arn:aws:sagemaker:*:111122223333:app/d-one/' in ran.out


def test_purposes_as_people_write_lists(reaper):
    once = reaper("iam", "--for", "studio,coverage").json
    assert once == reaper("iam", "--for", "studio", "--for", "coverage").json
    assert actions_of(once) == actions_of(reaper("iam", "--for", "studio").json) | actions_of(
        reaper("iam", "--for", "coverage").json
    )


def test_the_help_names_every_purpose(reaper):
    said = " ".join(reaper("iam", "--help").out.split())
    assert all(purpose in said for purpose in PURPOSES)


def test_by_default_what_the_preset_needs(reaper, own_home, monkeypatch):
    metadata = own_home / "metadata.json"
    arn = "arn:aws:sagemaker:eu-west-1:111122223333:app/d-one/ann/JupyterServer/default"
    metadata.write_text(json.dumps({"AppType": "JupyterServer", "ResourceArn": arn}))
    monkeypatch.setenv("REAPER_STUDIO__METADATA_FILE", str(metadata))
    assert reaper("iam").json == reaper("iam", "--for", "studio").json


def test_no_more_than_the_ceiling(reaper, monkeypatch):
    monkeypatch.setenv("REAPER_ACTIONS", "jupyter.shutdown")
    ran = reaper("iam", "--for", "studio")
    assert ran.status == 0
    assert "sagemaker:DeleteApp" not in actions_of(ran.json)
    assert "REAPER_ACTIONS is jupyter.shutdown: other actions are not granted" in ran.err
    monkeypatch.setenv("REAPER_ACTIONS", "studio.*")
    assert "sagemaker:DeleteApp" in actions_of(reaper("iam", "--for", "studio").json)


def resource_of(document, action):
    (found,) = [one["Resource"] for one in document["Statement"] if action in one["Action"]]
    return found


def test_the_fleets_roles_are_those_of_the_settings(reaper, monkeypatch):
    assert resource_of(reaper("iam", "--for", "fleet").json, "sts:AssumeRole") == (
        "arn:aws:iam::*:role/reaper-member"
    )
    arn = "arn:aws:iam::123456789012:role/team/looker"
    monkeypatch.setenv("REAPER_AWS__ROLES", arn)
    monkeypatch.setenv("REAPER_AWS__ORGANIZATION__ROLE", "member")
    monkeypatch.setenv("REAPER_AWS__PAUSE_PARAMETER", "/ops/pause")
    hub = reaper("iam", "--for", "fleet-hub", "--region", "eu-west-1").json
    assert resource_of(hub, "sts:AssumeRole") == [arn, "arn:aws:iam::*:role/member"]
    assert resource_of(hub, "ssm:GetParameter") == "arn:aws:ssm:eu-west-1:*:parameter/ops/pause"
    asked = reaper("iam", "--for", "fleet-hub", "--role", "x", "--role", "y").json
    assert resource_of(asked, "sts:AssumeRole") == [f"arn:aws:iam::*:role/{one}" for one in "xy"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the preset here is jupyter, which needs nothing of AWS: name --for, of studio"),
        (["--for", "class"], "--for: 'class' is no purpose; there are: studio"),
        (["--for", "studio,"], "--for: '' is no purpose"),
        (["--for", "studio", "--account", "12"], "--account: '12' is not twelve digits"),
        (["--for", "studio", "--region", "*"], "--region: '*' is not a region's name"),
        (["--for", "studio", "--domain", "one"], "--domain: 'one' is not a Studio domain's id"),
        (["--for", "fleet", "--role", "*"], "--role: '*' is not a role's ARN or name"),
        (["--for", "studio", "--user", "${aws:username}"], "is not a user profile's name"),
    ],
)
def test_usage_errors(reaper, arguments, said):
    ran = reaper("iam", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
