"""Hosts: to which addresses a process may listen, as nobody is asked for a key where none is."""

from __future__ import annotations

import ipaddress

from core.clock import Clock
from core.errors import ConfigurationError
from serving.process import Told
from serving.telemetry.log_lines import Trouble
from stores.keys.access_keys import AccessKeyFile


def check_host(host: str, file: AccessKeyFile, clock: Clock, told: Told) -> None:
    """Say that the service is open, where it is; refuse to open it to other machines.

    Raises
    ------
    ConfigurationError
        If other machines can reach ``host`` and no key is there to ask them for.
    IntegrityError
        If keys cannot be read, or have gone.
    """
    keys = file.read_at_start()
    if any(key.is_usable(clock.now_ms()) for key in keys.keys):
        return
    if not is_own_machine(host):
        raise ConfigurationError(
            "the service would be open to other machines",
            found=f"the address {host!r} and no key that opens anything",
            remedy="make one (`throughline keys create`), or listen on 127.0.0.1",
            code="open_to_others",
        )
    if not keys.counter:
        told(
            Trouble(
                "warning: no keys, so whoever is on this machine may ask; see docs/online.md, Keys"
            )
        )


def is_own_machine(host: str) -> bool:
    """Whether an address is reached from its own machine alone.

    Examples
    --------
    >>> [is_own_machine(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", "db")]
    [True, True, True, False, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
