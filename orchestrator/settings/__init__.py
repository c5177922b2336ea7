"""The configuration: `volet.toml` and the environment become frozen values, or every fault with its path."""

from orchestrator.settings.changes import Changes, Part, changes
from orchestrator.settings.faults import Fault, SettingsInvalid
from orchestrator.settings.load import load
from orchestrator.settings.source import CameraSource
from orchestrator.settings.units import duration_text, parse_duration_us
from orchestrator.settings.values import (
    TAILSCALE_CAPABILITY,
    AcceptedSideDoor,
    CameraSettings,
    DeviceEntry,
    LogSettings,
    Mask,
    MemberEntry,
    MqttSettings,
    Settings,
    VpnSettings,
    WorkerSettings,
)

__all__ = [
    "TAILSCALE_CAPABILITY",
    "AcceptedSideDoor",
    "CameraSettings",
    "CameraSource",
    "Changes",
    "DeviceEntry",
    "Fault",
    "LogSettings",
    "Mask",
    "MemberEntry",
    "MqttSettings",
    "Part",
    "Settings",
    "SettingsInvalid",
    "VpnSettings",
    "WorkerSettings",
    "changes",
    "duration_text",
    "load",
    "parse_duration_us",
]
