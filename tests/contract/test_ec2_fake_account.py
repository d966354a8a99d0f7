"""What the EC2 fake has beside EC2: the organization, parameters, prices."""

import json
from typing import Any

from reaper.testing.ec2 import Fleet
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, refused
from tests.support.studio import ONCE, aws_session

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]

UNIT, BELOW = "ou-fake-00000001", "ou-fake-00000002"


async def pages(aws: Aws, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = await aws("organizations", operation, **parameters)
        found += answer[key]
        if "NextToken" not in answer:
            return found
        parameters["NextToken"] = answer["NextToken"]


async def test_accounts_of_the_organization(fleet: Fleet, aws: Aws) -> None:
    fleet.add_unit(UNIT, "research")
    fleet.add_unit(BELOW, "gpu", parent=UNIT)
    for number in range(25):
        fleet.add_account(f"2{number:011d}", unit=UNIT if number < 3 else BELOW)
    fleet.add_account("333333333333", "old", status="SUSPENDED")
    accounts = await pages(aws, "list_accounts", "Accounts")
    assert len(accounts) == 27
    assert {one["Id"]: one["Status"] for one in accounts}["333333333333"] == "SUSPENDED"
    assert len(await pages(aws, "list_accounts_for_parent", "Accounts", ParentId=UNIT)) == 3
    assert len(await pages(aws, "list_accounts_for_parent", "Accounts", ParentId=BELOW)) == 22
    [unit] = await pages(
        aws, "list_organizational_units_for_parent", "OrganizationalUnits", ParentId="r-fake"
    )
    assert (unit["Id"], unit["Name"]) == (UNIT, "research")
    children = {"ParentId": UNIT, "ChildType": "ORGANIZATIONAL_UNIT"}
    assert await pages(aws, "list_children", "Children", **children) == [
        {"Id": BELOW, "Type": "ORGANIZATIONAL_UNIT"}
    ]
    children["ChildType"] = "ACCOUNT"
    assert len(await pages(aws, "list_children", "Children", **children)) == 3
    nowhere = aws("organizations", "list_accounts_for_parent", ParentId="ou-fake-00000009")
    assert (await refused(nowhere))[0] == "ParentNotFoundException"


async def test_a_member_may_not_ask_the_organization(fleet: Fleet, aws: Aws) -> None:
    fleet.add_account("222222222222")
    role = {"RoleArn": "arn:aws:iam::222222222222:role/any", "RoleSessionName": "me"}
    credentials = (await aws("sts", "assume_role", **role))["Credentials"]
    async with aws_session().create_client(
        "organizations",
        config=ONCE,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ) as client:
        assert (await refused(client.list_accounts()))[0] == "AccessDeniedException"
    assert await aws("organizations", "list_accounts")


async def test_a_parameter_is_there_or_not(fleet: Fleet, aws: Aws) -> None:
    assert (await refused(aws("ssm", "get_parameter", Name="/reaper/pause")))[0] == "ParameterNotFound"
    fleet.shard().parameters["/reaper/pause"] = "night"
    answer = await aws("ssm", "get_parameter", Name="/reaper/pause")
    assert (answer["Parameter"]["Value"], answer["Parameter"]["Type"]) == ("night", "String")
    elsewhere = aws("ssm", "get_parameter", Name="/reaper/pause", region="eu-west-1")
    assert (await refused(elsewhere))[0] == "ParameterNotFound"
    fleet.deny("GetParameter")
    assert (await refused(aws("ssm", "get_parameter", Name="/reaper/pause")))[0] == "AccessDeniedException"


def filters(**fields: str) -> list[dict[str, str]]:
    return [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]


async def prices(aws: Aws, service: str, **fields: str) -> list[tuple[dict[str, str], float]]:
    answer = await aws("pricing", "get_products", ServiceCode=service, Filters=filters(**fields))
    found = []
    for text in answer["PriceList"]:
        product = json.loads(text)
        [term] = product["terms"]["OnDemand"].values()
        [dimension] = term["priceDimensions"].values()
        found.append((product["product"]["attributes"], float(dimension["pricePerUnit"]["USD"])))
    return found


PLAIN = {
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}


async def test_prices_are_in_products(fleet: Fleet, aws: Aws) -> None:
    found = await prices(aws, "AmazonEC2", regionCode="us-east-1", instanceType="g5.xlarge", **PLAIN)
    assert {(one["marketoption"], price) for one, price in found} == {
        ("OnDemand", 1.006),
        ("CapacityBlock", 0.0),
    }
    fleet.prices["g5.xlarge", "us-east-1"] = None
    assert await prices(aws, "AmazonEC2", regionCode="us-east-1", instanceType="g5.xlarge") == []
    dear = await prices(
        aws, "AmazonEC2", regionCode="eu-west-1", instanceType="g5.xlarge", marketoption="OnDemand", **PLAIN
    )
    assert [price for _, price in dear] == [1.12672]
    studio = await prices(aws, "AmazonSageMaker", regionCode="eu-west-1", instanceName="ml.m5.large")
    assert {one["usagetype"] for one, _ in studio} == {
        "EU-Notebk:ml.m5.large",
        "EU-Host:ml.m5.large",
        "EU-Studio:KernelGateway-ml.m5.large",
        "EU-Studio:JupyterLab-ml.m5.large",
    }


async def test_products_come_in_pages_and_in_few_regions(fleet: Fleet, aws: Aws) -> None:
    asked: dict[str, Any] = {"ServiceCode": "AmazonEC2", "Filters": filters(regionCode="us-east-1")}
    first = await aws("pricing", "get_products", **asked)
    assert len(first["PriceList"]) == 100
    rest = await aws("pricing", "get_products", **asked, NextToken=first["NextToken"])
    assert not set(first["PriceList"]) & set(rest["PriceList"])
    wrong = aws("pricing", "get_products", **asked, NextToken="bad")
    assert (await refused(wrong))[0] == "InvalidNextTokenException"
    assert (await refused(aws("pricing", "get_products", ServiceCode="AmazonX")))[0] == "NotFoundException"
    nowhere = aws("pricing", "get_products", region="us-west-2", **asked)
    assert (await refused(nowhere))[0] == "AccessDeniedException"
    assert fleet.counts["GetProducts"] == 5


async def test_a_fleet_has_nothing_of_sagemaker(aws: Aws) -> None:
    assert (await aws("sagemaker", "list_apps"))["Apps"] == []
    assert (await aws("sagemaker", "list_notebook_instances"))["NotebookInstances"] == []
