"""An embedded MQTT 3.1.1 broker on loopback: anonymous, without system topics, without memory on disk."""

import argparse
import asyncio
import logging
import sys

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from orchestrator.demo.lifetime import end_with_parent, stop_requested, tell


async def _serve(port: int) -> None:
    stopping = stop_requested()
    broker = Broker(
        BrokerConfig(
            # amqtt does not say which port it got when asked for any: the socket is ours, and each of its
            # connections is handed over.
            listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
    )
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = broker.external_connected(
            StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default"
        )
        task = asyncio.ensure_future(session)
        connections.add(task)
        task.add_done_callback(connections.discard)

    await broker.start()
    server = await asyncio.start_server(connected, "127.0.0.1", port)
    tell(port=server.sockets[0].getsockname()[1])
    await stopping.wait()
    server.close()
    await broker.shutdown()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


def main() -> int:
    """The command line: `python -m orchestrator.demo.broker`."""
    parser = argparse.ArgumentParser(prog="orchestrator.demo.broker", description="An embedded MQTT broker.")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: any free one")
    parser.add_argument("--parent", type=int, help="end when this process, which started the broker, is gone")
    arguments = parser.parse_args()
    if arguments.parent:
        end_with_parent(arguments.parent)
    # Its library calls a client that hangs up an error; only what stops the broker is worth a line here.
    logging.basicConfig(level=logging.CRITICAL)
    try:
        asyncio.run(_serve(arguments.port))
    except OSError as error:
        print(f"broker: port {arguments.port} of 127.0.0.1 cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
