"""Names on Deepgram's live wire."""

from typing import Literal

Model = Literal["nova-3", "nova-3-medical", "nova-2", "nova-2-meeting"]
"""Some of them; any other name is sent as it is."""
DEFAULT_MODEL: Model = "nova-3"

KEEP_ALIVE = '{"type":"KeepAlive"}'
FINALIZE = '{"type":"Finalize"}'
CLOSE_STREAM = '{"type":"CloseStream"}'
"""Each as a text message."""

LANGUAGE_MULTI = "multi"
"""Several languages in one stream, each result telling its own."""

MAX_KEYTERM_TOKENS = 500
MAX_KEYWORDS = 100
"""Of a request. More is answered with an error."""
