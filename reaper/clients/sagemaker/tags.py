"""Tags of what SageMaker runs."""

from reaper.clients.aws import Aws, Operation
from reaper.errors import SourceMalformed

__all__ = ["read_tags"]


async def read_tags(aws: Aws, operation: Operation, arn: str, region: str) -> dict[str, str]:
    """Read the tags of something by its ARN.

    Args:
        aws: Whom to ask.
        operation: ListTags, as it is registered for that type of resource.
        arn: Its ARN.
        region: Where it is.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`; a tag without a key is malformed.
    """
    tags = {}
    for tag in await aws.pages(operation, region=region, ResourceArn=arn) or ():
        if not isinstance(tag, dict) or not isinstance(tag.get("Key"), str):
            raise SourceMalformed(f"ListTags of {arn}: one tag has no key")
        tags[tag["Key"]] = str(tag.get("Value") or "")
    return tags
