"""Delivery of metrics from inside a process: never in its way, and not lost with it.

    import heliograph.ship

    shipper = heliograph.ship.to("http://heliograph:8989", collector=collector)

`to` and `Shipper` are all of it that users need; docs/sdk.md tells the rest.
"""

from heliograph.ship.begin import to as to
from heliograph.ship.shipper import Shipper as Shipper
