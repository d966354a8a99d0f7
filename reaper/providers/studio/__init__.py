"""SageMaker Studio's apps: what they show of themselves, and their end."""

from reaper.providers.studio.options import StudioOptions
from reaper.providers.studio.provider import StudioProvider

__all__ = ["StudioOptions", "StudioProvider"]
