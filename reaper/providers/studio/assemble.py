"""From what the doors, CloudWatch and this container say to resources and observations. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reaper.clients.studio import SAMPLING, AppModel, Identity, Said, Surroundings, app_key
from reaper.core.model import Activity, Observation, Resource, ResourceRef
from reaper.providers.studio.labels import without_heartbeat
from reaper.providers.studio.states import app_status

__all__ = ["Assembly"]


@dataclass(slots=True, kw_only=True)
class Assembly:
    """Collects the resources and observations of one look.

    Attributes:
        identity: Whose apps; None where that is not known.
        server_url: Of the JupyterServer that lists them; empty for the API.
        door: `server` or `api`.
        now: The look's instant.
    """

    identity: Identity | None
    server_url: str
    door: str
    now: datetime
    resources: list[Resource] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    def ref(self, app: AppModel, incarnation: str) -> ResourceRef:
        """Name one life of an app."""
        key = app_key(self.identity, app.name, app_type=app.app_type, server_url=self.server_url)
        return ResourceRef(kind=key.kind, scope=key.scope, id=key.id, incarnation=incarnation)

    def app(
        self,
        app: AppModel,
        *,
        incarnation: str,
        began_at: datetime | None,
        tags: Mapping[str, str] | str,
        canvas: Said | None,
        surroundings: Surroundings | None,
    ) -> None:
        """Add an app.

        Args:
            app: As its door tells of it.
            incarnation: Which life of its name.
            began_at: When this life began, at the latest.
            tags: Its tags; a text is why they can't be read: one of them may protect it.
            canvas: When Canvas was last used, of a Canvas app.
            surroundings: What the container shows, of the app that we run in.
        """
        ref = self.ref(app, incarnation)
        self._observe(ref, "status", app_status(app, began_at, now=self.now))
        if isinstance(tags, str):
            said = f"its tags can't be read, and one may protect it: {tags}"
            self._observe(ref, "tags", Said(Activity.UNKNOWN, None, said))
            tags = {}
        required: Sequence[str] = ()
        if canvas is not None:
            self._observe(ref, "canvas", canvas)
            required = ("canvas",)
        if surroundings is not None:
            self.observations += surroundings.observations(ref, self.now)
            required = ("process",)
        self.resources.append(
            Resource(
                ref=ref,
                name=app.name,
                aliases=(f"{app.app_type}/{app.name}",),
                children_from="jupyter:" if app.app_type in ("JupyterLab", "KernelGateway") else "",
                owner=self.identity.owner if self.identity is not None else None,
                tags=without_heartbeat(tags),
                started_at=app.created_at,
                required_signals=tuple(required),
                sample_interval_s=SAMPLING.total_seconds() if surroundings is not None else 0.0,
                attributes=self._attributes(app, own=surroundings is not None),
            )
        )

    def _attributes(self, app: AppModel, *, own: bool) -> dict[str, object]:
        said: dict[str, object] = {
            "app_type": app.app_type,
            "instance_type": app.instance_type,
            "image": app.image,
            "environment": app.environment,
            "door": self.door,
            "own": own,
        }
        if self.identity is not None:
            said |= {"domain": self.identity.domain, "space": self.identity.space}
        return said

    def _observe(self, ref: ResourceRef, signal: str, said: Said) -> None:
        self.observations.append(
            Observation(
                ref=ref,
                signal=signal,
                activity=said.activity,
                evidence_at=said.evidence_at,
                value=said.value,
            )
        )
