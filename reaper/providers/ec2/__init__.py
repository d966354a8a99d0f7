"""EC2: the instances of each account and region, what CloudWatch shows of them, and their end."""

from reaper.providers.ec2.options import Ec2Options
from reaper.providers.ec2.provider import Ec2Provider

__all__ = ["Ec2Options", "Ec2Provider"]
