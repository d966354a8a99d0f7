"""SageMaker's operations on domains, user profiles, spaces and apps.

What is not in the service model was seen elsewhere, and is told where it stands: DeleteApp of a deleted
app is a ValidationException ("has already been deleted", and "previously failed and was automatically
deleted": both matched by Terraform's aws_sagemaker_app); its ARN has the type in lower case (the same).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.studio.estate import ACTIVE, App, AppKey, Domain, Place, Space, UserProfile
from reaper.testing.studio.paging import page
from reaper.testing.studio.studio import Studio

__all__ = ["OPERATIONS"]

Parameters = Mapping[str, Any]
Answer = dict[str, Any]
Operation = Callable[[Studio, Place, Parameters], Answer]

T = TypeVar("T", App, Space, UserProfile)


def list_domains(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListDomains: in order of creation."""
    found = [domain for domain in studio.domains if domain.place == place]
    shown, onward = page(parameters, found)
    return {"Domains": [_domain_summary(domain) for domain in shown], **onward}


def describe_domain(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeDomain."""
    domain = _domain(studio, place, parameters["DomainId"])
    return {
        **_domain_summary(domain),
        "AuthMode": domain.auth_mode,
        "AppNetworkAccessType": "VpcOnly",
        "HomeEfsFileSystemId": "fs-0fake0studio0home",
        "VpcId": "vpc-0fake",
        "SubnetIds": ["subnet-0fake"],
    }


def list_user_profiles(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListUserProfiles."""
    found = [
        user
        for user in _here(studio.users, place, parameters)
        if parameters.get("UserProfileNameContains", "") in user.name
    ]
    shown, onward = page(parameters, _sorted(parameters, found))
    return {"UserProfiles": [_owner_summary(user, "UserProfileName") for user in shown], **onward}


def describe_user_profile(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeUserProfile."""
    user = _user(studio, _domain(studio, place, parameters["DomainId"]), parameters["UserProfileName"])
    return {**_owner_summary(user, "UserProfileName"), "UserProfileArn": user.arn}


def list_spaces(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListSpaces."""
    found = [
        space
        for space in _here(studio.spaces, place, parameters)
        if parameters.get("SpaceNameContains", "") in space.name
    ]
    shown, onward = page(parameters, _sorted(parameters, found))
    return {"Spaces": [_space_summary(space) for space in shown], **onward}


def describe_space(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeSpace."""
    space = _space(studio, _domain(studio, place, parameters["DomainId"]), parameters["SpaceName"])
    summary = _owner_summary(space, "SpaceName")
    return {
        **summary,
        "SpaceArn": space.arn,
        "SpaceSettings": {} if space.app_type is None else {"AppType": space.app_type},
        "OwnershipSettings": {"OwnerUserProfileName": space.owner},
        "SpaceSharingSettings": {"SharingType": "Shared" if space.shared else "Private"},
    }


def list_apps(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListApps: by user profile or by space, never both; no filter by state; deleted ones for a day."""
    user, space = parameters.get("UserProfileNameEquals"), parameters.get("SpaceNameEquals")
    if user is not None and space is not None:
        raise Refusal("ValidationException", "UserProfileNameEquals and SpaceNameEquals can't both be set")
    now = studio.now()
    found = [
        app
        for app in _here(studio.apps, place, parameters)
        if app.is_listed(now)
        and (user is None or (isinstance(app.owner, UserProfile) and app.owner.name == user))
        and (space is None or (isinstance(app.owner, Space) and app.owner.name == space))
    ]
    shown, onward = page(parameters, _sorted(parameters, found))
    return {"Apps": [_app_summary(app, now) for app in shown], **onward}


def describe_app(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeApp. LastUserActivityTimestamp is as late as the last health check: it tells nothing."""
    app, now = _app(studio, place, parameters), studio.now()
    answer = {**_app_summary(app, now), "AppArn": app.arn}
    if app.status(now) == "InService":
        checked = max(app.created_at, now - timedelta(minutes=1))
        answer |= {"LastHealthCheckTimestamp": checked, "LastUserActivityTimestamp": checked}
    if app.failure is not None:
        answer["FailureReason"] = app.failure
    return answer


def create_app(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """CreateApp: a name is free again once the app of that name is deleted or has failed."""
    domain = _domain(studio, place, parameters["DomainId"])
    key = _key(parameters)
    owner = _space(studio, domain, key[2]) if key[1] else _user(studio, domain, key[2])
    before = studio.find_app(key)
    if before is not None and before.status(studio.now()) in ACTIVE:
        raise Refusal("ResourceInUse", f"App {before.arn} already exists")
    spec = parameters.get("ResourceSpec", {})
    image = {"image": spec["SageMakerImageArn"]} if "SageMakerImageArn" in spec else {}
    app = studio.add_app(
        owner,
        parameters["AppName"],
        app_type=parameters["AppType"],
        instance_type=spec.get("InstanceType"),
        boots_in=studio.boots_in,
        lifecycle_config_arn=spec.get("LifecycleConfigArn"),
        **image,
    )
    app.tags.update({tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])})
    return {"AppArn": app.arn}


def delete_app(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DeleteApp: takes its time; there is no waiter, DescribeApp tells when it is done."""
    app = _app(studio, place, parameters)
    match app.status(studio.now()):
        case "Deleted":
            raise Refusal("ValidationException", f"App {app.arn} has already been deleted")
        case "Failed":
            raise Refusal(
                "ValidationException", f"App {app.arn} previously failed and was automatically deleted"
            )
        case "Pending" | "Deleting" as status:
            raise Refusal("ResourceInUse", f"App {app.arn} is in {status} state")
        case _:
            studio.delete_app(app)
    return {}


OPERATIONS: dict[str, Operation] = {
    "ListDomains": list_domains,
    "DescribeDomain": describe_domain,
    "ListUserProfiles": list_user_profiles,
    "DescribeUserProfile": describe_user_profile,
    "ListSpaces": list_spaces,
    "DescribeSpace": describe_space,
    "ListApps": list_apps,
    "DescribeApp": describe_app,
    "CreateApp": create_app,
    "DeleteApp": delete_app,
}


def _here(things: list[T], place: Place, parameters: Parameters) -> list[T]:
    wanted = parameters.get("DomainIdEquals")
    return [thing for thing in things if thing.domain.place == place and wanted in {None, thing.domain.id}]


def _sorted(parameters: Parameters, things: list[T]) -> list[T]:
    descending = parameters.get("SortOrder") == "Descending"
    return sorted(things, key=lambda thing: thing.created_at, reverse=descending)


def _domain(studio: Studio, place: Place, domain_id: str) -> Domain:
    for domain in studio.domains:
        if domain.id == domain_id and domain.place == place:
            return domain
    raise Refusal("ResourceNotFound", f"Domain [{domain_id}] does not exist.")


def _user(studio: Studio, domain: Domain, name: str) -> UserProfile:
    for user in studio.users:
        if user.domain is domain and user.name == name:
            return user
    raise Refusal("ResourceNotFound", f"UserProfile [{name}] does not exist.")


def _space(studio: Studio, domain: Domain, name: str) -> Space:
    for space in studio.spaces:
        if space.domain is domain and space.name == name:
            return space
    raise Refusal("ResourceNotFound", f"Space [{name}] does not exist.")


def _key(parameters: Parameters) -> AppKey:
    user, space = parameters.get("UserProfileName"), parameters.get("SpaceName")
    if (user is None) == (space is None):
        raise Refusal("ValidationException", "Exactly one of UserProfileName and SpaceName must be set")
    return (
        parameters["DomainId"],
        space is not None,
        str(space or user),
        parameters["AppType"],
        parameters["AppName"],
    )


def _app(studio: Studio, place: Place, parameters: Parameters) -> App:
    app = studio.find_app(_key(parameters))
    if app is None or app.domain.place != place:
        raise Refusal("ResourceNotFound", f"App [{parameters['AppName']}] does not exist.")
    return app


def _domain_summary(domain: Domain) -> Answer:
    return {
        "DomainArn": domain.arn,
        "DomainId": domain.id,
        "DomainName": domain.name,
        "Status": "InService",
        "CreationTime": domain.created_at,
        "LastModifiedTime": domain.created_at,
        "Url": f"https://{domain.id}.studio.{domain.place.region}.sagemaker.aws",
    }


def _owner_summary(owner: UserProfile | Space, name: str) -> Answer:
    return {
        "DomainId": owner.domain.id,
        name: owner.name,
        "Status": "InService",
        "CreationTime": owner.created_at,
        "LastModifiedTime": owner.created_at,
    }


def _space_summary(space: Space) -> Answer:
    return {
        **_owner_summary(space, "SpaceName"),
        "SpaceSettingsSummary": {} if space.app_type is None else {"AppType": space.app_type},
        "OwnershipSettingsSummary": {"OwnerUserProfileName": space.owner},
        "SpaceSharingSettingsSummary": {"SharingType": "Shared" if space.shared else "Private"},
    }


def _app_summary(app: App, now: datetime) -> Answer:
    spec = {"InstanceType": app.instance_type, "SageMakerImageArn": app.image_arn}
    if app.lifecycle_config_arn is not None:
        spec["LifecycleConfigArn"] = app.lifecycle_config_arn
    return {
        "DomainId": app.domain.id,
        "SpaceName" if isinstance(app.owner, Space) else "UserProfileName": app.owner.name,
        "AppType": app.type,
        "AppName": app.name,
        "Status": app.status(now),
        "CreationTime": app.created_at,
        "ResourceSpec": spec,
    }
