"""EC2: instances, their types, what protects them, and what may be done to them."""

from reaper.clients.ec2.models import InstanceModel, Protection, TypeModel, parse_instance, parse_type

__all__ = ["InstanceModel", "Protection", "TypeModel", "parse_instance", "parse_type"]
