"""SageMaker Studio: who we are in it, and two doors to the apps of our user profile or space."""

from reaper.clients.studio.apps import SYSTEM, AppModel, app_of_terminal, image_terminal
from reaper.clients.studio.doors import ApiDoor, CanvasUse, ServerDoor
from reaper.clients.studio.identity import (
    APP_TYPES,
    Identity,
    app_key,
    known_identity,
    own_identity,
    own_key,
    read_identity,
)
from reaper.clients.studio.saves import Newest, editor_histories, newest_change
from reaper.clients.studio.surroundings import SAMPLING, Around, Said, Surroundings, saved

__all__ = [
    "APP_TYPES",
    "SAMPLING",
    "SYSTEM",
    "ApiDoor",
    "AppModel",
    "Around",
    "CanvasUse",
    "Identity",
    "Newest",
    "Said",
    "ServerDoor",
    "Surroundings",
    "app_key",
    "app_of_terminal",
    "editor_histories",
    "image_terminal",
    "known_identity",
    "newest_change",
    "own_identity",
    "own_key",
    "read_identity",
    "saved",
]
