"""A simulated worker: hands in what lies in its spool, a file a batch, and deletes what is done with.

`python -m tools.bench_transcripts.poster SPOOL URL NAME`; the secret is in the environment. It may be killed at any
moment: whoever is started on the same spool hands in what is left.
"""

import http.client
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from contract import names

TIMEOUT_S = 10.0
BACKOFF_S = (0.05, 0.1, 0.2, 0.4)
REFUSED = (400, 404)
"""Not to be handed in again."""


def main(spool: Path, url: str, name: str) -> None:
    """Ends when nothing is left."""
    failures = 0
    while waiting := sorted(spool.glob("*.json")):
        for file in waiting:
            status = posted(file, url=url, name=name)
            if status == 200 or status in REFUSED:
                file.unlink()
                failures = 0
                print(status, flush=True)
            else:
                print(status, flush=True)
                time.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
                failures += 1


def posted(file: Path, *, url: str, name: str) -> int:
    """The answer's status; 0: there was none."""
    session = file.stem.partition(".")[2]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {_token(name)}", "Content-Type": "application/json"}
    try:
        connection.request(
            "POST", names.PATH_SEGMENTS.format(session=session), body=file.read_bytes(), headers=headers
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _token(name: str) -> str:
    claims = {"aud": names.INTERNAL_AUDIENCE, "sub": name, "exp": int(time.time()) + 30}
    return jwt.encode(claims, os.environ["INTERNAL_API_SECRET"], algorithm="HS256")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
