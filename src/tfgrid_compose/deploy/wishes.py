"""From manifest, options and preferences to what each machine wants of its node.

Blacklists always hold, whoever wrote them. What an option says takes the place of what manifest and preferences say about
the same. Where no option speaks, both of them hold: a node has to be on each whitelist, and the stricter threshold counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfgrid_compose.deploy.options import PlacementOptions
from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.grids.wish import ANY, Whitelist, Wish, features_of
from tfgrid_compose.manifest.model import Placement
from tfgrid_compose.state.settings import NodePreferences, Settings

OPTIONS, MANIFEST, PREFERENCES = "the options", "the manifest", "your preferences"


def options_of(remembered: Mapping[str, Any]) -> PlacementOptions:
    """The options that were remembered; what an older or newer version remembered besides is left out."""
    fields = PlacementOptions.__dataclass_fields__
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in remembered.items()}
    return PlacementOptions(**{key: value for key, value in known.items() if key in fields})


@dataclass(frozen=True)
class Asked:
    """Everybody who has a say about nodes: options, manifest, and the user's preferences on one network."""

    options: PlacementOptions = field(default_factory=PlacementOptions)
    manifest: Placement = field(default_factory=Placement)
    preferences: NodePreferences = field(default_factory=NodePreferences)
    favourites: frozenset[int] = frozenset()

    @classmethod
    def by(cls, overrides: Mapping[str, Any], manifest: Placement, settings: Settings, network: str) -> Asked:
        """From a deployment's overrides and the configuration."""
        options = options_of(overrides.get("placement") or {})
        return cls(
            options,
            manifest,
            settings.nodes,
            frozenset(id for name, ids in settings.favorites.items() if name == network for id in ids),
        )

    @property
    def spread(self) -> str:
        """What machines of one role don't share."""
        return self.options.spread or self.manifest.spread

    @property
    def countries(self) -> frozenset[str]:
        """Countries to choose from, in small letters; empty for any."""
        found = _small(self.options.countries or self.manifest.countries)
        return frozenset() if ANY in found else found

    @property
    def dedicated(self) -> bool:
        """Whether only nodes do that the account rents as a whole."""
        return _said(self.options.dedicated, self.manifest.dedicated)

    def whitelists(self) -> tuple[Whitelist, ...]:
        """The lists that a node has to be on, each of them; `*` is every farm."""
        if self.options.farms or self.options.whitelist_nodes:
            found = [_list(self.options.whitelist_nodes, self.options.farms, OPTIONS)]
        else:
            preferred = self.preferences
            found = [
                _list((), self.manifest.farms, MANIFEST),
                _list(preferred.whitelist_nodes, preferred.whitelist_farms, PREFERENCES),
            ]
        return tuple(item for item in found if (item.nodes or item.farms) and ANY not in item.farms)

    def black_farms(self) -> frozenset[str]:
        """Farms that are never chosen, in small letters."""
        return _small([*self.options.blacklist_farms, *self.preferences.blacklist_farms])

    def wish(self, size: RoleSizes, disks: int, networks: Sequence[str], twin: int = 0) -> Wish:
        """What one machine wants; `disks` is the size of its data disks in GB."""
        options, manifest = self.options, self.manifest
        return Wish(
            cpu=size.cpu,
            memory_mib=size.memory,
            disk_gib=size.disk + disks,
            ipv4="ipv4" in networks,
            ipv6="ipv6" in networks,
            certified=_said(options.certified, manifest.certified),
            dedicated=self.dedicated,
            countries=self.countries,
            whitelists=self.whitelists(),
            black_nodes=frozenset([*options.blacklist_nodes, *self.preferences.blacklist_nodes]),
            black_farms=self.black_farms(),
            max_cpu_usage=self._threshold("max_cpu_usage", min),
            max_disk_usage=self._threshold("max_disk_usage", min),
            min_uptime_days=self._threshold("min_uptime_days", max) or 0.0,
            features=features_of(networks),
            favourites=self.favourites,
            twin=twin,
        )

    def _threshold(self, name: str, stricter: Callable[[Iterable[float]], float]) -> float | None:
        if (option := getattr(self.options, name)) is not None:
            return float(option)
        values = [value for source in (self.manifest, self.preferences) if (value := getattr(source, name)) is not None]
        return stricter(values) if values else None


def _said(option: bool | None, otherwise: bool) -> bool:
    return otherwise if option is None else option


def _small(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in words if word.strip())


def _list(nodes: Iterable[int], farms: Iterable[str], origin: str) -> Whitelist:
    return Whitelist(frozenset(nodes), _small(farms), origin)
