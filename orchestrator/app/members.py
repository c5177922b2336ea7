"""People of the configuration, under the random ids that the chain knows them by (S19)."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.policy import Member
from orchestrator.runtime.event_store import EventStore
from orchestrator.runtime.ledger import SiteState
from orchestrator.settings import Settings


async def known_members(store: EventStore[SiteState], settings: Settings) -> Mapping[str, Member]:
    """Each member by id; ids are made at first sight and kept beside the log, erasable."""
    names = [entry.name for entry in settings.members]
    values = [device.value for entry in settings.members for device in entry.devices]
    member_ids = await store.pseudonyms("m", names)
    device_ids = await store.pseudonyms("d", values)
    members = {}
    for entry in settings.members:
        member = Member(
            id=member_ids[entry.name],
            name=entry.name,
            roles=entry.roles,
            cameras=entry.cameras,
            devices={device.value: device_ids[device.value] for device in entry.devices},
            labels={device_ids[device.value]: device.label for device in entry.devices},
        )
        members[member.id] = member
    return members
