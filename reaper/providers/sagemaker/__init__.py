"""SageMaker beside Studio: notebook instances, endpoints, jobs: what they show of themselves, and their end."""

from reaper.providers.sagemaker.options import SagemakerOptions
from reaper.providers.sagemaker.provider import SagemakerProvider

__all__ = ["SagemakerOptions", "SagemakerProvider"]
