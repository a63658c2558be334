"""`python -m speech`: the speech server."""

import sys

import uvicorn

from speech.application import application
from speech.errors import SettingsError
from speech.limits import MAX_MESSAGE_BYTES
from speech.logs import start_logging
from speech.settings import one_thread_of_arithmetic, read_settings


def main() -> int:
    start_logging()
    one_thread_of_arithmetic()
    try:
        settings = read_settings()
    except SettingsError as error:
        print(f"speech: {error}", file=sys.stderr)  # noqa: T201
        return 2
    config = uvicorn.Config(
        application(settings),
        host=settings.host,
        port=settings.port,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        # While a client is slowed down its answers to pings wait behind its audio, and it would pass for dead.
        ws_ping_interval=None,
        access_log=False,
        log_config=None,
        server_header=False,
        # Meetings do not wait for a server that is going; clients replay what was not answered.
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
