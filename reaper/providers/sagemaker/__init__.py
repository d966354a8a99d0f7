"""SageMaker's notebook instances: what they show of themselves, and their end."""

from reaper.providers.sagemaker.options import SagemakerOptions
from reaper.providers.sagemaker.provider import SagemakerProvider

__all__ = ["SagemakerOptions", "SagemakerProvider"]
